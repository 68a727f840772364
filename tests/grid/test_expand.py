"""Grids become cells: complete, checked, and with names that depend on nothing but the science."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbench.config import Quirks, RunConfig, Runtime, validated
from fedbench.errors import FedbenchError
from fedbench.grid.config import GridConfig
from fedbench.grid.expand import checkpoints, expand
from fedbench.grid.suites import names, overridden, read
from fedbench.grid.values import assignments, parse
from fedbench.splits.leave_one_domain_out import LeaveOneDomainOut

Cells = Callable[..., list[RunConfig]]


def test_cell_name_is_golden() -> None:
    """Stores on people's disks depend on it: another name here means that nothing resumes."""
    config = RunConfig(
        method="FedPGP",
        hyper={"lr": 0.001, "mu": 0.5, "n_ctx": 16},
        quirks=Quirks(method=("momentum-leak",)),
        dataset="caltech101",
        split_options={"clients": 10, "shots": 16},
        seed=0,
    )
    assert config.cell == "FedPGP-caltech101-base-to-novel-s0-53969d91"


def test_a_cell_of_the_grid_is_golden(cells: Cells) -> None:
    assert cells()[0].cell == "Alpha-dots-halves-s1-8514c9fa"


def test_the_order_of_keys_and_quirks_means_nothing(cells: Cells) -> None:
    one = cells(quirks=["momentum-leak", "Beta:placeholder-anchor"], set={"lr": 2, "Beta.mu": 1})
    other = cells(quirks=["Beta:placeholder-anchor", "momentum-leak"], set={"Beta.mu": 1.0, "lr": 2.0})
    assert [c.cell for c in one] == [c.cell for c in other]


def test_the_order_of_lists_changes_the_order_only(cells: Cells) -> None:
    one = cells(methods=["Alpha", "Beta"], seeds=[1, 2])
    other = cells(methods=["Beta", "Alpha"], seeds=[2, 1])
    assert {c.cell for c in one} == {c.cell for c in other}
    assert [c.method for c in one] == ["Alpha", "Beta", "Alpha", "Beta"]


def test_duplicates_count_once(cells: Cells) -> None:
    assert len(cells(methods=["Alpha", "Alpha"], seeds=[1, 1], shots=[4, 4])) == 1


def test_machines_are_not_in_the_configuration() -> None:
    assert not set(RunConfig.model_fields) & set(Runtime.model_fields)


def test_precision_auto_follows_the_device_and_a_given_one_does_not(world: None) -> None:
    values: dict[str, Any] = {
        "methods": ["Alpha"],
        "datasets": ["dots"],
        "split": "halves",
        "backbone": "tiny",
    }
    auto = GridConfig(**values)
    assert expand(auto, device="cpu")[0].precision == "float32"
    assert expand(auto, device="cuda")[0].precision == "bf16"
    fixed = GridConfig(**values, precision="float32")
    assert expand(fixed, device="cpu") == expand(fixed, device="cuda")


def test_weights_files_are_known_by_their_hash(cells: Cells, tmp_path: Path) -> None:
    digests = []
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
        grid = cells(backbone=f"ViT:{tmp_path / name}")
        digests.append(grid[0].digest)
        assert str(tmp_path) not in grid[0].model_dump_json()
    assert digests[0] == digests[1]


def test_checkpoints_say_where_the_weights_file_is(world: None, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"weights")
    values: dict[str, Any] = {"methods": ["Alpha"], "datasets": ["dots"], "split": "halves"}
    grid = GridConfig(**values, backbone=f"ViT:{file}")
    cells = expand(grid)
    assert checkpoints(grid, cells) == {cells[0].backbone: file.resolve()}
    tiny = GridConfig(**values, backbone="tiny")
    assert checkpoints(tiny, expand(tiny)) == {}


def test_everything_is_filled_in(cells: Cells) -> None:
    beta = cells()[1]
    assert set(beta.hyper) == {"lr", "delay", "mode", "mu", "width", "widths", "flag", "template"}
    assert isinstance(beta.hyper["lr"], float)  # its default is written `1`
    assert beta.split_options == {"clients": 2, "shots": 16, "partition": "published"}


def test_settings_reach_whom_they_name(cells: Cells) -> None:
    alpha, beta = cells(
        seeds=[0], set={"lr": 3, "Beta.lr": 4, "Beta.width": 5, "halves.partition": "balanced"}
    )
    assert (alpha.hyper["lr"], beta.hyper["lr"], beta.hyper["width"], alpha.seed) == (3.0, 4.0, 5, 0)
    assert alpha.split_options["partition"] == beta.split_options["partition"] == "balanced"


def test_quirks_reach_whom_they_name(cells: Cells) -> None:
    alpha, beta = cells(seeds=[1], quirks=["momentum-leak", "placeholder-anchor"])
    assert alpha.quirks.method == ("momentum-leak",)
    assert beta.quirks.method == ("momentum-leak", "placeholder-anchor")
    alpha, beta = cells(seeds=[1], quirks=["Beta:momentum-leak"])
    assert (alpha.quirks.method, beta.quirks.method) == ((), ("momentum-leak",))


def test_several_shots_make_a_cell_each(cells: Cells) -> None:
    assert [c.split_options["shots"] for c in cells(methods=["Alpha"], seeds=[1], shots=[4, 16])] == [4, 16]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["Bta"]}, "unknown method 'Bta'; did you mean Beta?"),
        ({"datasets": ["dot"]}, "unknown dataset 'dot'; did you mean dots"),
        ({"split": "halfs"}, "unknown split 'halfs'; did you mean halves?"),
        ({"backbone": "tinny"}, "unknown backbone 'tinny'; did you mean tiny?"),
        ({"methods": []}, "the grid has no methods"),
        ({"seeds": []}, "the grid has no seeds"),
        ({"quirks": ["momentum-leek"]}, "unknown quirk 'momentum-leek'; did you mean momentum-leak?"),
        ({"quirks": ["Alpha:placeholder-anchor"]}, "unknown quirk of Alpha 'placeholder-anchor'"),
        ({"quirks": ["Plain:momentum-leak"]}, "Plain is not among the grid's methods"),
        ({"quirks": ["Bta:momentum-leak"]}, "did you mean Beta?"),
        (
            {"methods": ["Plain"], "quirks": ["momentum-leak"]},
            "unknown quirk 'momentum-leak'; known: best-on-test, round-zero-all",
        ),
        ({"methods": ["Plain"], "quirks": ["Plain:momentum-leak"]}, "method Plain has no quirks"),
        ({"set": {"Beta.nu": 1}}, "unknown hyper-parameter of Beta 'nu'; did you mean mu?"),
        ({"set": {"momu": 1}}, "unknown setting 'momu'; did you mean mu or mode?"),
        ({"set": {"partition": "balanced"}}, "did you mean halves.partition?"),
        ({"set": {"Bta.mu": 1}}, "did you mean Beta?"),
        ({"set": {"Plain.lr": 1}}, "Plain is not among the grid's methods"),
        ({"set": {"Beta.mu": "much"}}, "Beta.mu = 'much': input should be a valid number"),
        ({"set": {"Beta.mu": float("nan")}}, "input should be a finite number"),
        ({"set": {"Beta.width": 1.5}}, "Beta.width = 1.5: input should be a valid integer"),
        ({"set": {"Beta.width": True}}, "Beta.width = True: input should be a valid integer"),
        ({"set": {"Beta.flag": 1}}, "Beta.flag = 1: input should be a valid boolean"),
        ({"set": {"Beta.template": 16}}, "Beta.template = 16: input should be a valid string"),
        ({"set": {"mode": "bad"}}, "input should be 'ok', 'error'"),
        ({"split_options": {"client": 3}}, "did you mean clients?"),
        ({"set": {"halves.partition": "even"}}, "input should be 'published' or 'balanced'"),
    ],
)
def test_bad_grids_are_refused_in_one_line(cells: Cells, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FedbenchError) as caught:
        cells(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("none", None),
        ("balanced", "balanced"),
        ('"16"', "16"),
        ("[1, 2]", [1, 2]),
        ("0.5,1", [0.5, 1]),
        ("amazon,webcam", ["amazon", "webcam"]),
        ("all,none,16", ["all", None, 16]),
        ('"amazon,webcam"', "amazon,webcam"),
        ("{},texture.", "{},texture."),
        ("a photo of a {}, a type of pet.", "a photo of a {}, a type of pet."),
        ("a photo of a {}.", "a photo of a {}."),
        ("1979-05-27", "1979-05-27"),
        ("1\nother = 2", "1\nother = 2"),
        ("", ""),
    ],
)
def test_values_are_parsed_as_written(text: str, value: object) -> None:
    assert parse(text) == value
    assert type(parse(text)) is type(value)


@settings(deadline=None)
@given(
    st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
)
def test_numbers_come_back(value: float) -> None:
    assert parse(str(value)) == value


def test_lists_and_none_reach_the_method(cells: Cells) -> None:
    beta = cells(methods=["Beta"], seeds=[1], set={"Beta.widths": [3, 4], "Beta.width": "none"})[0]
    assert beta.hyper["widths"] == [3, 4]
    assert beta.hyper["width"] is None
    assert RunConfig(**beta.model_dump(mode="json")).digest == beta.digest


def test_lists_make_a_cell_for_each_value(cells: Cells) -> None:
    found = cells(seeds=[1], set={"lr": [1, 2], "Beta.mu": [3, 4], "Beta.widths": [5, 6]})
    assert [(c.method, c.hyper["lr"], c.hyper.get("mu")) for c in found] == [
        ("Alpha", 1.0, None), ("Alpha", 2.0, None),
        ("Beta", 1.0, 3.0), ("Beta", 1.0, 4.0), ("Beta", 2.0, 3.0), ("Beta", 2.0, 4.0),
    ]  # fmt: skip
    assert found[-1].hyper["widths"] == [5, 6], "a hyper-parameter that is a list takes it whole"
    options = cells(
        methods=["Alpha"], seeds=[1], shots=[4, 8], split_options={"partition": ["published", "balanced"]}
    )
    assert [(c.split_options["partition"], c.split_options["shots"]) for c in options] == [
        ("published", 4), ("published", 8), ("balanced", 4), ("balanced", 8),
    ]  # fmt: skip
    with pytest.raises(FedbenchError, match=r"lr = \[\]: give at least one value"):
        cells(set={"lr": []})


def test_commas_on_the_command_line_make_a_cell_for_each_value(cells: Cells) -> None:
    """Of the split as of a method."""
    found = cells(
        methods=["Beta"],
        seeds=[1],
        set=assignments(("Beta.mu=0.5,1", "halves.partition=published,balanced", "Beta.widths=5,6")),
    )
    assert [(c.split_options["partition"], c.hyper["mu"], c.hyper["widths"]) for c in found] == [
        ("published", 0.5, [5, 6]), ("published", 1.0, [5, 6]),
        ("balanced", 0.5, [5, 6]), ("balanced", 1.0, [5, 6]),
    ]  # fmt: skip


def test_an_option_that_is_needed_is_asked_for() -> None:
    with pytest.raises(FedbenchError, match=r"^the options: target is needed and not given$"):
        validated(LeaveOneDomainOut.Options, {}, where="the options")


def test_a_dataset_may_have_options_of_its_own(cells: Cells) -> None:
    found = cells(
        methods=["Alpha"],
        seeds=[1],
        datasets=["dots", "dots2"],
        split_options={"clients": 3, "dots2": {"clients": [4, 5]}},
    )
    assert [(c.dataset, c.split_options["clients"]) for c in found] == [
        ("dots", 3),
        ("dots2", 4),
        ("dots2", 5),
    ]
    with pytest.raises(
        FedbenchError, match=r"unknown dataset in the options of split 'halves' 'dos'; did you mean dots\?"
    ):
        cells(split_options={"dos": {"clients": 4}})


def test_batches_may_follow_the_shots(cells: Cells) -> None:
    found = cells(methods=["Alpha"], seeds=[1], shots=[4, 8], batch_size="shots")
    assert [(c.split_options["shots"], c.batch_size) for c in found] == [(4, 4), (8, 8)]


def test_the_split_the_datasets_and_the_engine_have_quirks_too(
    cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedbench.registry import DATASETS, SPLITS

    monkeypatch.setattr(SPLITS["halves"], "quirks", {"mixed": "labels of others"})
    monkeypatch.setitem(
        DATASETS._entries, "dots2", type("Dots2", (DATASETS["dots"],), {"quirks": {"grey": "no colour"}})
    )
    both = {"methods": ["Alpha", "Plain"], "seeds": [1], "datasets": ["dots", "dots2"]}
    found = cells(**both, quirks=["momentum-leak", "mixed", "grey", "round-zero-all"])
    assert [(c.method, c.dataset, *c.quirks.names()) for c in found] == [
        ("Alpha", "dots", "momentum-leak", "mixed", "round-zero-all"),
        ("Plain", "dots", "mixed", "round-zero-all"),
        ("Alpha", "dots2", "momentum-leak", "mixed", "grey", "round-zero-all"),
        ("Plain", "dots2", "mixed", "grey", "round-zero-all"),
    ]
    assert {
        tuple(c.quirks.names()) for c in cells(**both, quirks=["halves:mixed", "engine:round-zero-all"])
    } == {("mixed", "round-zero-all")}
    with pytest.raises(FedbenchError, match=r"unknown quirk of halves 'mix'; did you mean mixed\?"):
        cells(**both, quirks=["halves:mix"])
    with pytest.raises(FedbenchError, match="halve"):
        cells(**both, quirks=["halve:mixed"])


def test_released_quirks_are_checked_and_wait_for_released(cells: Cells) -> None:
    listed = {
        "methods": ["Plain"],
        "seeds": [1],
        "released_quirks": ["momentum-leak", "Beta:placeholder-anchor", "round-zero-all"],
    }
    assert cells(**listed)[0].quirks == Quirks()
    assert cells(**listed, released=True)[0].quirks == Quirks(engine=("round-zero-all",))
    with pytest.raises(FedbenchError, match=r"unknown quirk 'momentum-lek'; did you mean momentum-leak\?"):
        cells(released_quirks=["momentum-lek"])
    with pytest.raises(FedbenchError, match="has no released_quirks"):
        cells(released=True)


@pytest.mark.parametrize("pair", ["mu", "=1", ""])
def test_settings_need_a_key_and_a_value(pair: str) -> None:
    with pytest.raises(FedbenchError, match="KEY=VALUE"):
        assignments((pair,))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"round": 3}, "unknown key in the grid 'round'; did you mean rounds?"),
        ({"rounds": "3"}, "rounds = '3': input should be a valid integer"),
        ({"rounds": True}, "rounds = True"),
        ({"rounds": -1}, "greater than or equal to 0"),
        ({"participation": 0.0}, "greater than 0"),
        ({"seeds": [-1]}, "seeds are 0 or more"),
        ({"methods": [["A"]]}, "input should be a valid string"),
        ({"precision": "fp16"}, "input should be 'auto', 'float32' or 'bf16'"),
    ],
)
def test_bad_keys_and_types_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(FedbenchError) as caught:
        validated(GridConfig, values, where="the grid")
    assert message in str(caught.value)


def test_shipped_suites_are_read() -> None:
    assert "quickstart" in names()
    for name in names():
        assert read(name)["name"] == name


def test_suite_files_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("methods = ['Alpha']\nround = 3\n")
    with pytest.raises(FedbenchError, match=r"unknown key in suite mine.toml 'round'; did you mean rounds\?"):
        read(str(file))
    file.write_text("methods = [")
    with pytest.raises(FedbenchError, match="is not TOML"):
        read(str(file))
    with pytest.raises(FedbenchError, match="does not exist"):
        read(str(tmp_path / "other.toml"))
    with pytest.raises(FedbenchError, match=r"did you mean quickstart\?"):
        read("quikstart")


def test_flags_go_over_the_suite(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "methods = ['Alpha', 'Beta']\nseeds = 0\nrounds = 9\nshots = [4]\n"
        "quirks = ['Beta:placeholder-anchor']\n"
        "[set]\nBeta.mu = 2\nlr = 3\n[split_options]\nclients = 4\n"
    )
    suite = read(str(file))
    grid = overridden(suite, {"rounds": 1, "split_options": {"partition": "balanced"}, "set": {"lr": 5}})
    assert (grid.name, grid.seeds, grid.rounds) == ("mine", (0,), 1)
    assert grid.set == {"Beta.mu": 2, "lr": 5}
    assert grid.split_options == {"clients": 4, "partition": "balanced"}
    alone = overridden(suite, {"methods": ("Alpha",)})
    assert (alone.set, alone.quirks) == ({"lr": 3}, ())
    elsewhere = overridden(suite, {"split": "other"})
    assert (elsewhere.split_options, elsewhere.shots) == ({}, ())
