"""Every shipped suite reads and expands, released or not, with the real registries and no data."""

from pathlib import Path

import pytest

from fedbench.config import Quirks, RunConfig
from fedbench.errors import FedbenchError
from fedbench.grid.expand import expand
from fedbench.grid.suites import find, names, overridden, read

PROTOCOLS = ("base-to-novel", "class-disjoint", "leave-one-domain-out", "dirichlet", "domain-label-skew")


def cells(name: str, **flags: object) -> list[RunConfig]:
    return expand(overridden(read(name), flags))


@pytest.mark.parametrize("name", names())
def test_every_suite_expands_to_cells_that_share_a_setting(name: str) -> None:
    found = cells(name)
    assert found
    assert not any(any(cell.quirks.names()) for cell in found)
    assert len({cell.split for cell in found}) == 1


@pytest.mark.parametrize("name", [name for name in names() if "released_quirks" in read(name)])
def test_released_adds_quirks_and_changes_nothing_else(name: str) -> None:
    plain, released = cells(name), cells(name, released=True)
    assert [c.model_copy(update={"quirks": Quirks()}) for c in released] == plain
    used = {quirk for cell in released for quirk in cell.quirks.names()}
    assert used == {entry.rpartition(":")[2] for entry in read(name)["released_quirks"]}


@pytest.mark.parametrize("name", [name for name in names() if name != "quickstart"])
def test_every_value_of_a_published_suite_has_its_own_comment_or_a_common_one(name: str) -> None:
    lines = find(name).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    if not name.endswith("-shapes"):
        assert sum(line.startswith("#") for line in lines) >= 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_has_a_twin_on_the_built_in_world(protocol: str) -> None:
    twin = cells(f"{protocol}-shapes")
    assert {(c.split, c.dataset, c.backbone) for c in twin} == {(protocol, "shapes", "tiny")}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("fedpgp-table1", 8 * 5 * 3),
        ("fedpgp-table2", 6 * (4 + 6) * 3),
        ("fedpgp-table4", 2 * 4 * 3),
        ("fedpgp-table6", 4 * 5 * 3),
        ("fedpgp-table7", 2 * 5 * 3),
        ("fedpgp-table11", 4 * 5 * 4 * 3),
    ],
)
def test_the_tables_have_as_many_cells_as_entries(name: str, count: int) -> None:
    assert len(cells(name)) == count


def test_batches_are_as_large_as_shots_where_a_suite_says_so() -> None:
    assert {(c.split_options["shots"], c.batch_size) for c in cells("fedpgp-table11")} == {
        (shots, shots) for shots in (1, 2, 4, 8, 16)
    }


def test_a_suite_loses_what_flags_take_out_of_it() -> None:
    office = cells("fedpgp-table2", datasets=("office_caltech10",), methods=("CLIP",), released=True)
    assert {c.split_options["target"] for c in office} == {"amazon", "caltech", "dslr", "webcam"}
    assert {tuple(c.quirks.names()) for c in office} == {("unordered-classnames",)}


def test_settings_of_methods_that_the_flags_took_out_go_with_them() -> None:
    suite = read("leave-one-domain-out-shapes")
    assert "lr" in suite["set"]
    assert "lr" not in overridden(suite, {"methods": ("CLIP",)}).set
    assert "lr" in overridden(suite, {"methods": ("CLIP", "CoOp")}).set
    assert cells("leave-one-domain-out-shapes", methods=("CLIP",))


def test_a_suite_brings_its_own_plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedbench.grid.planning import Wish, planned
    from fedbench.registry import METHODS

    list(METHODS)
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    (tmp_path / "own.py").write_text(
        "from fedbench.methods.promptfl import PromptFL\nfrom fedbench.registry import METHODS\n\n\n"
        '@METHODS.register("Own")\nclass Own(PromptFL):\n    """Mine."""\n'
    )
    (tmp_path / "mine.toml").write_text(
        'methods = ["Own"]\ndatasets = ["shapes"]\nbackbone = "tiny"\nplugins = ["own.py"]\n'
    )
    ready = planned(Wish(str(tmp_path / "mine.toml"), out=tmp_path / "out"))
    assert {p.config.method for p in ready.cells} == {"Own"}
    assert ready.plugins == (tmp_path / "own.py",)  # for workers
    (tmp_path / "mine.toml").write_text('methods = ["Own"]\ndatasets = ["shapes"]\nplugins = ["none.py"]\n')
    with pytest.raises(FedbenchError, match=r"plug-in .*none\.py does not exist"):
        planned(Wish(str(tmp_path / "mine.toml"), out=tmp_path / "out"))
