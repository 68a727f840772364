"""Which display suits where the output goes."""

import io

import pytest
from rich.console import Console

from fedbench.commands.progress import Bars, Lines, Notebook, display


@pytest.mark.parametrize(
    ("console", "kind"),
    [
        (Console(file=io.StringIO(), force_terminal=True), Bars),
        (Console(file=io.StringIO(), force_terminal=False), Lines),
        (Console(force_jupyter=True), Notebook),
        (Console(force_jupyter=True, quiet=True), Lines),
    ],
    ids=["terminal", "file", "notebook", "notebook that is to show nothing"],
)
def test_the_display_suits_where_it_goes(console: Console, kind: type) -> None:
    assert type(display(total=1, console=console)) is kind


def test_the_running_line_of_a_notebook_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = pytest.importorskip(
        "IPython.display", reason="IPython is not installed: pip install '.[notebook]'"
    )
    shown: list[str] = []

    class Place:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            shown[-1] = data["text/plain"]

    def show(data: dict[str, str], *, raw: bool, display_id: bool) -> Place:
        shown.append(data["text/plain"])
        return Place()

    monkeypatch.setattr(ipython, "display", show)
    monkeypatch.setattr(Notebook, "every", 0.0)
    with Notebook(Console(file=io.StringIO()), total=1) as notebook:
        for done in (1, 2, 3):
            notebook.update("a-cell", "rounds", done, 4)
        assert len(shown) == 1
        assert shown[0].startswith("  a-cell: rounds 3/4, ")
    assert shown == [""]
