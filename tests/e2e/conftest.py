"""The command line as a user types it, in the fake world of tests/helpers: in this process or in its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedbench.cli import main

ROOT = Path(__file__).parents[2]
FAKES = ROOT / "tests" / "helpers" / "fakeworld.py"


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def bench(
    world: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """`bench("run", "--methods", "Alpha")` in this process, in an empty folder; a run is on the CPU."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        device = ["--device", "cpu"] if arguments[:1] == ("run",) and "--device" not in arguments else []
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([*arguments, *device])
        shown = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Result(caught.value.code, shown.out, shown.err)

    return call


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`start("run", ...)`: `python bench.py run ...` as a process of its own, with the fakes as a plug-in.

    It leads a process group, so that a test can send Ctrl-C to all of it, as a terminal does.
    """

    def call(*arguments: str) -> subprocess.Popen[str]:
        environment = os.environ | {"FAKE_LOG": str(tmp_path / "log"), "PYTHONPATH": ""}
        command = [sys.executable, "-m", "fedbench", *arguments, "--plugin", str(FAKES), "--device", "cpu"]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return call
