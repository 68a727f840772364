"""The Python door: the same plans, cells and names as the command line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

import fedbench as fb
from fedbench.commands.run import run as run_command
from fedbench.errors import FedbenchError
from fedbench.methods.promptfl import PromptFL
from fedbench.registry import METHODS

SMALL: dict[str, Any] = {
    "methods": ["CLIP", "PromptFL"],
    "datasets": "shapes",
    "backbone": "tiny",
    "seeds": [1, 2],
    "shots": 1,
    "clients": 2,
    "rounds": 2,
    "local_epochs": 1,
    "views": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> fb.Results:
    folder = tmp_path_factory.mktemp("api")
    return fb.run(**SMALL, out=folder / "store", cache_dir=folder / "cache", progress=False)


def test_importing_fedbench_costs_nothing() -> None:
    code = "import fedbench, sys; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pydantic', 'click')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_cell_run_from_python_and_from_the_shell_is_one_cell(results: fb.Results) -> None:
    flags = ["--methods", "CLIP,PromptFL", "--datasets", "shapes", "--backbone", "tiny", "--seeds", "1,2"]
    flags += ["--shots", "1", "--clients", "2", "--rounds", "2", "--local-epochs", "1", "--views", "0"]
    shown = CliRunner().invoke(
        run_command, [*flags, "--device", "cpu", "--out", str(results.root), "--dry-run"]
    )
    assert shown.output.count("keep ") == 4
    assert "4 to keep" in shown.output


def test_results_hold_cells_with_state_and_configuration(results: fb.Results) -> None:
    assert [(c.config.method, c.config.seed, c.state) for c in results.cells] == [
        ("CLIP", 1, "done"), ("PromptFL", 1, "done"), ("CLIP", 2, "done"), ("PromptFL", 2, "done"),
    ]  # fmt: skip
    assert "4 cells (4 done)" in repr(results)


def test_the_frame_is_long_and_its_means_are_means_over_clients(results: fb.Results) -> None:
    frame = results.frame()
    assert {"cell", "method", "dataset", "seed", "round", "metric", "client", "value"} <= set(frame.columns)
    trained = frame[(frame.method == "PromptFL") & (frame["round"] == 2) & (frame.metric == "local")]
    for _, one_seed in trained.groupby("seed"):
        mean = one_seed[one_seed.client == ""].value
        own = one_seed[one_seed.client != ""].value
        assert len(mean) == 1
        assert len(own) == 2
        assert mean.iloc[0] == pytest.approx(own.mean())
    assert set(frame["split_options.shots"]) == {1}


def test_the_table_is_the_reports(results: fb.Results) -> None:
    table = results.table()
    assert list(table.index) == ["CLIP", "PromptFL"]
    assert [metric for _, metric, part in table.columns if part == "mean"] == ["local", "base", "novel", "hm"]
    frame = results.frame()
    last = frame[
        (frame.method == "PromptFL") & (frame["round"] == 2) & (frame.metric == "base") & (frame.client == "")
    ]
    assert table.loc["PromptFL", ("shapes", "base", "mean")] == pytest.approx(last.value.mean())
    assert table.loc["PromptFL", ("shapes", "base", "std")] == pytest.approx(last.value.std(ddof=1))
    assert "<table" in results._repr_html_()


def test_figures_are_matplotlibs_and_an_unknown_one_is_refused(results: fb.Results) -> None:
    assert isinstance(results.figure("rounds"), Figure)
    with pytest.raises(FedbenchError, match="unknown figure 'round'; did you mean rounds-shapes"):
        results.figure("round")


def test_what_the_command_line_wrote_can_be_loaded(results: fb.Results, tmp_path: Path) -> None:
    assert fb.load(str(results.root)).table().equals(results.table())
    with pytest.raises(FedbenchError, match="holds no result store"):
        fb.load(tmp_path)


def test_a_class_is_a_method(results: fb.Results, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    list(METHODS)
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))

    class Mine(PromptFL):
        """PromptFL under my name."""

    found = fb.run(
        **{**SMALL, "methods": ["PromptFL", Mine], "seeds": 1},
        cache_dir=results.root.parent / "cache",
        out=tmp_path / "store",
        progress=False,
    )
    table = found.table()
    assert (table.loc["Mine"] == table.loc["PromptFL"])[table.loc["Mine"].notna()].all()
    for settings in ({"jobs": 2}, {"executor": "local"}):
        with pytest.raises(FedbenchError, match="Mine: other processes do not know a class"):
            fb.plan(**{**SMALL, "methods": [Mine]}, **settings)
    with pytest.raises(FedbenchError, match="method 'CLIP' is registered twice"):
        fb.plan(**{**SMALL, "methods": [type("CLIP", (Mine,), {})]})


def test_arguments_that_nobody_knows_are_refused_with_the_nearest() -> None:
    with pytest.raises(FedbenchError, match="unknown argument of run 'round'; did you mean rounds"):
        fb.plan("quickstart", round=2)
    with pytest.raises(FedbenchError, match="unknown method 'PromtFL'"):
        fb.plan(**{**SMALL, "methods": "PromtFL"})


def test_a_suite_with_keywords_over_it(tmp_path: Path) -> None:
    plan = fb.plan("quickstart", rounds=2, set={"FedPGP.mu": 1}, out=tmp_path)
    assert {p.config.rounds for p in plan.cells} == {2}
    assert {p.config.hyper["mu"] for p in plan.cells if p.config.method == "FedPGP"} == {1.0}
    assert not list(tmp_path.iterdir())


def test_the_registries_are_tables() -> None:
    for table, name in (
        (fb.methods(), "FedPGP"),
        (fb.datasets(), "shapes"),
        (fb.splits(), "dirichlet"),
        (fb.suites(), "quickstart"),
    ):
        assert isinstance(table, pd.DataFrame)
        assert name in table.index
    assert fb.methods().loc["FedPGP", "hyper"]["mu"] == 0.5
    assert fb.methods.__name__ == "fedbench.methods"  # still the package


def test_a_task_can_be_looked_at() -> None:
    look = fb.task("shapes", "base-to-novel", seed=1, shots=16, clients=10)
    assert look.hash == look.task.hash
    assert look.clients.shape == (10, len(look.classes))
    assert look.clients.to_numpy().sum() == sum(len(client.train) for client in look.task.clients)
    assert set(look.pools.index) >= {"base", "novel"}
    assert isinstance(look.plot(), Figure)
    assert look.hash in repr(look)
    with pytest.raises(FedbenchError, match="unknown option of base-to-novel 'shot'; did you mean shots"):
        fb.task("shapes", shot=3)
    with pytest.raises(FedbenchError, match="unknown quirk"):
        fb.task("shapes", quirks=["no-such"])


def test_check_runs_the_contract_checks(capsys: pytest.CaptureFixture[str]) -> None:
    assert fb.check("PromptFL") == []
    assert "PromptFL" in capsys.readouterr().out
