"""Which display suits where the output goes."""

import importlib.util
import io

import pytest
from rich.console import Console

from fedbench.commands.progress import Bars, Lines, display


@pytest.mark.parametrize(
    ("console", "widgets", "kind"),
    [
        (Console(file=io.StringIO(), force_terminal=True), False, Bars),
        (Console(file=io.StringIO(), force_terminal=False), True, Lines),
        (Console(force_jupyter=True), True, Bars),
        (Console(force_jupyter=True), False, Lines),
    ],
    ids=["terminal", "file", "notebook with widgets", "notebook without"],
)
def test_bars_only_where_something_can_draw_them(
    console: Console, widgets: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: widgets or None if name == "ipywidgets" else found(name)
    )
    if console.is_jupyter:  # `display` makes a console of its own there, which finds out where it is
        monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert type(display(total=1, console=console)) is kind
