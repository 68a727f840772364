"""Commands and their errors, as typed. The engine is fake here; test_quickstart.py has the true one."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedbench import cli
from fedbench.store.cells import CellFolder

Bench = Callable[..., Any]
GRID = ("run", "--methods", "Alpha,Beta", "--datasets", "dots", "--split", "halves", "--backbone", "tiny")
SMALL = (*GRID, "--seeds", "0,1", "--rounds", "3", "--out", "out")
ROOT = Path(__file__).parents[2]


def python(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_run_shows_the_table_and_where_it_is(bench: Bench) -> None:
    result = bench(*SMALL)
    assert result.code == 0
    assert result.out.splitlines() == ["THE TABLE", "out: report.md, curves.png"]
    lines = result.err.splitlines()
    assert [line.split()[:2] for line in lines] == [[f"[{i}/4]", "done"] for i in range(1, 5)]
    assert len(list(Path("out/cells").glob("*/record.json"))) == 4


def test_the_same_command_keeps_what_is_done(bench: Bench) -> None:
    bench(*SMALL)
    stamps = {p: p.stat().st_mtime_ns for p in Path("out/cells").glob("*/*.json*")}
    result = bench(*SMALL)
    assert (result.code, result.err) == (0, "4 of 4 cells have been run before\n")
    assert {p: p.stat().st_mtime_ns for p in Path("out/cells").glob("*/*.json*")} == stamps


def test_dry_run_writes_nothing(bench: Bench) -> None:
    result = bench(*SMALL, "--dry-run")
    assert result.code == 0
    assert "4 cells in out: 4 to run. Nothing was written." in result.out
    assert os.listdir() == []
    bench(*SMALL, "--seeds", "0")
    before = {p: p.stat().st_mtime_ns for p in Path("out").rglob("*")}
    result = bench(*SMALL, "--dry-run")
    assert "2 to keep, 2 to run" in result.out
    assert {p: p.stat().st_mtime_ns for p in Path("out").rglob("*")} == before


def test_the_machine_is_not_in_the_cell(bench: Bench) -> None:
    plain = bench(*SMALL, "--dry-run").out
    machine = (
        "--threads",
        "1",
        "--jobs",
        "2",
        "--data-root",
        "elsewhere",
        "--cache-dir",
        "c",
        "--memory-gib",
        "1",
    )
    assert bench(*SMALL, "--dry-run", *machine, "--allow-missing").out == plain


def test_flags_reach_the_configuration(bench: Bench) -> None:
    flags = (
        *(
            "--shots",
            "4",
            "--clients",
            "5",
            "--local-epochs",
            "3",
            "--batch-size",
            "7",
            "--participation",
            "0.5",
        ),
        *(
            "--views",
            "0",
            "--evaluate-every",
            "2",
            "--precision",
            "float32",
            "--quirks",
            "Beta:placeholder-anchor",
        ),
        *("--set", "Beta.mu=2", "--set", "lr=0.1", "--set", "halves.partition=balanced"),
    )
    assert bench(*SMALL, *flags, "--seeds", "0").code == 0
    (file,) = Path("out/cells").glob("Beta*/config.json")
    config = json.loads(file.read_text())
    assert config["split_options"] == {"clients": 5, "shots": 4, "partition": "balanced"}
    assert (config["hyper"]["mu"], config["hyper"]["lr"], config["quirks"]) == (
        2.0,
        0.1,
        {"method": ["placeholder-anchor"], "split": [], "dataset": [], "engine": []},
    )
    expected = {
        "local_epochs": 3,
        "batch_size": 7,
        "participation": 0.5,
        "views": 0,
        "evaluate_every": 2,
        "seed": 0,
    }
    assert {key: config[key] for key in expected} == expected


def test_a_suite_names_its_folder(bench: Bench) -> None:
    Path("mine.toml").write_text(
        "methods = ['Alpha']\ndatasets = ['dots']\nsplit = 'halves'\nbackbone = 'tiny'\nseeds = 3\n"
    )
    assert bench("run", "mine.toml").code == 0
    assert [p.name[:18] for p in Path("results/mine/cells").iterdir()] == ["Alpha-dots-halves-"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rn",), "unknown command 'rn'; did you mean run?"),
        (("run", "quikstart"), "unknown suite 'quikstart'; did you mean quickstart?"),
        (("run", "no/such.toml"), "suite no/such.toml does not exist"),
        ((*GRID, "--methods", "Alfa"), "unknown method 'Alfa'; did you mean Alpha?"),
        ((*GRID, "--datasets", "dosts"), "unknown dataset 'dosts'; did you mean dots"),
        ((*GRID, "--split", "halve"), "unknown split 'halve'; did you mean halves?"),
        ((*GRID, "--backbone", "tini"), "unknown backbone 'tini'; did you mean tiny?"),
        ((*GRID, "--quirks", "momentum"), "unknown quirk 'momentum'; did you mean momentum-leak?"),
        ((*GRID, "--set", "Beta.wdth=1"), "unknown hyper-parameter of Beta 'wdth'; did you mean width"),
        ((*GRID, "--set", "Beta.mu=x"), "Beta.mu = 'x': input should be a valid number"),
        ((*GRID, "--set", "mu"), "--set takes KEY=VALUE"),
        ((*GRID, "--plugin", "none.py"), "plug-in none.py does not exist"),
        ((*GRID, "--clients", "21"), "21 clients cannot share 20 classes; at most 20 work"),
        ((*GRID, "--data-root", "nowhere"), "dots: no images"),
        ((*GRID, "--device", "gpu"), "device 'gpu': use auto, cpu, cuda or cuda:N"),
        (("run",), "the grid has no methods: give --methods or a suite"),
        (("status", "out"), "out holds no result store"),
        (("list", "method"), "unknown kind of list 'method'; did you mean methods?"),
    ],
)
def test_bad_input_is_one_line(bench: Bench, arguments: tuple[str, ...], message: str) -> None:
    result = bench(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sets", "a=1"), "--set"),
        (("--rounds", "many"), "'many' is not a valid integer"),
        (("--seeds", "1,x"), "'1,x' is not a list of integers such as 1,2,3"),
        (("--rounds", "-1"), "-1 is not in the range x>=0"),
        (("--threads", "0"), "0 is not in the range"),
        (("--batch-size", "shot"), "'shot' is not a valid integer"),
        (("--jobs", "0"), "0 is not in the range"),
    ],
)
def test_misused_options_are_one_line(bench: Bench, arguments: tuple[str, ...], message: str) -> None:
    result = bench(*GRID, *arguments)
    assert result.code == 2
    assert message in result.err
    assert "see `bench run --help`" in result.err
    assert result.err.count("\n") == 1


def test_impossible_output_folders(bench: Bench) -> None:
    Path("file").touch()
    Path("full").mkdir()
    Path("full/thesis.txt").touch()
    Path("old").mkdir()
    Path("old/grid.json").write_text('{"schema": 0}')
    for folder, message in (
        ("file", "is a file"),
        ("full", "not empty"),
        ("old", "schema 0"),
        ("file/x", "file/x"),
    ):
        result = bench(*GRID, "--out", folder)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert message in result.err
    assert os.listdir("full") == ["thesis.txt"]


def test_a_store_of_another_configuration_is_refused(bench: Bench) -> None:
    bench(*SMALL)
    result = bench(*SMALL, "--rounds", "4")
    assert result.code == 1
    assert "out holds a grid of another configuration (rounds is 3 there and 4 here)" in result.err


def test_failed_cells_are_listed_left_and_retried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*SMALL, "--set", "Beta.mode=error")
    for earlier in ("", " (in an earlier run)"):
        result = bench(*broken)
        assert result.code == 1
        assert f"{earlier}: ZeroDivisionError: division by zero" in result.err
        assert "error: 2 of 4 cells failed; tracebacks: out/cells/*/error.txt" in result.err
        assert "THE TABLE" in result.out
    monkeypatch.setenv("FAKE_FIXED", "1")
    result = bench(*broken, "--retry-failed")
    assert result.code == 0
    assert result.err.count("done Beta") == 2


def test_skipped_cells_are_no_failure(bench: Bench) -> None:
    result = bench(*SMALL, "--set", "Beta.mode=skip")
    assert result.code == 0
    assert result.err.count("\nskipped Beta") == 2


def test_status(bench: Bench) -> None:
    bench(*SMALL, "--set", "Beta.mode=error")
    (running,) = Path("out/cells").glob("Alpha-*-s0-*")
    (running / "record.json").unlink()
    (running / "status.json").write_text('{"state": "running"}')
    lines = bench("status", "out").out.splitlines()
    assert lines[0] == "out: 4 cells: 2 failed, 1 interrupted, 1 done"
    assert f"interrupted  {running.name}  round 3 of 3" in lines
    assert sum(line.startswith("failed       Beta-") and "ZeroDivisionError" in line for line in lines) == 2


def test_status_names_a_damaged_journal_among_the_other_cells(bench: Bench) -> None:
    bench(*SMALL)
    (cell,) = Path("out/cells").glob("Alpha-*-s0-*")
    (cell / "record.json").unlink()
    (cell / "rounds.jsonl").write_text("half\n")
    lines = bench("status", "out").out.splitlines()
    assert lines[0] == "out: 4 cells: 3 done, 1 interrupted"
    assert lines[1].startswith(f"interrupted  {cell.name}  {cell}/rounds.jsonl, line 1 is damaged; delete")


def test_status_names_finished_cells_whose_code_has_changed(bench: Bench) -> None:
    bench(*SMALL)
    (folder,) = map(CellFolder, Path("out/cells").glob("Alpha-*-s0-*"))
    folder.note_changed(["method", "engine"])
    assert bench("status", "out").out.splitlines() == [
        "out: 4 cells: 4 done",
        f"done, code changed  {folder.name}  method, engine",
    ]


def test_list(bench: Bench) -> None:
    assert bench("list", "methods").out.startswith("Alpha  The first fake. A fake, of no paper.")
    assert "placeholder-anchor  the wrong anchor (Beta)" in bench("list", "quirks").out
    assert "  partition  default published" in bench("list", "splits").out
    assert "\nquickstart " in bench("list", "suites").out
    everything = bench("list").out
    for kind in ("methods", "datasets", "splits", "backbones", "suites", "quirks", "executors"):
        assert f"\n{kind}\n" in everything


def test_report_and_plot(bench: Bench) -> None:
    bench(*SMALL)
    words = ("report", "out", "--format", "md,csv", "--versus", "Alpha")
    assert bench(*words).out == "THE TABLE\nout: report.md\n"
    assert bench("plot", "out").out == "out: curves.png\n"


def test_disk_full_and_other_system_errors_are_one_line(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedbench.store import files

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        result = bench(*SMALL)
    assert result.code == 1
    assert result.err.startswith("error: no space left on the disk")
    assert result.err.count("\n") == 1
    assert bench(*SMALL).code == 0

    def denied(_: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "out")

    monkeypatch.setattr(files.os, "fsync", denied)
    result = bench(*SMALL, "--seeds", "9")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert result.err.startswith("error: Permission denied: out/cells/Alpha-dots-halves-s9-")


def test_debug_shows_the_traceback(world: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDBENCH_DEBUG", "1")
    with pytest.raises(cli.FedbenchError):
        cli.main(["list", "method"])


def test_help_imports_nothing_heavy() -> None:
    """Which is why it is fast; its seconds depend on the machine and what else runs there."""
    heavy = ("torch", "torchvision", "open_clip", "pydantic", "numpy", "scipy", "pandas", "matplotlib", "PIL")
    code = (
        "import sys\n"
        "from fedbench.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('loaded:', sorted(set({heavy}) & set(sys.modules)))"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in cli.COMMANDS)
    assert result.stdout.splitlines()[-1] == "loaded: []"


def test_help_of_run_imports_no_torch() -> None:
    code = (
        "import sys\nfrom fedbench.cli import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert "bench run quickstart" in result.stdout


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m fedbench run --help | head -1"
    result = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_bench_py_hides_its_folder_or_says_what_is_missing(tmp_path: Path) -> None:
    """Its `datasets/` must not be importable as a top-level name; fedbench comes from the environment."""
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_path({str(ROOT / 'bench.py')!r})\n"
    )
    result = python("-c", code + f"assert {str(ROOT)!r} not in sys.path", cwd=tmp_path)
    assert result.returncode == 0 or result.stderr.startswith("error: fedbench is not installed")
    isolated = python("-S", str(ROOT / "bench.py"), "--help", PYTHONPATH="")
    assert isolated.returncode == 1
    assert isolated.stderr.startswith("error: ")
    assert "make setup" in isolated.stderr
    assert isolated.stderr.count("\n") == 1
