"""What only shows with processes: workers, two runs at once, kill -9, Ctrl-C."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]
GRID = ("run", "--methods", "Alpha,Beta", "--datasets", "dots", "--split", "halves", "--backbone", "tiny")


def grid(out: Path, *, rounds: int = 4, delay: float = 0.05) -> tuple[str, ...]:
    return (*GRID, "--seeds", "1,2", "--rounds", str(rounds), "--set", f"delay={delay}", "--out", str(out))


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def log(folder: Path) -> list[list[str]]:
    file = folder / "log"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def hashes(out: Path) -> dict[str, str]:
    records = {p.parent.name: json.loads(p.read_text()) for p in out.glob("cells/*/record.json")}
    return {name: record["hashes"]["split"] for name, record in records.items()}


def gone(pids: set[int]) -> bool:
    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    return not any(alive(pid) for pid in pids)


@pytest.fixture
def expected(start: Start, tmp_path: Path) -> dict[str, str]:
    """The records of an undisturbed run in one process (the hash does not depend on delays)."""
    out = tmp_path / "undisturbed"
    assert finish(start(*grid(out)))[0] == 0
    (tmp_path / "log").unlink()
    return hashes(out)


def test_jobs_share_the_cells_and_the_cores(start: Start, tmp_path: Path, expected: dict[str, str]) -> None:
    code, _, err = finish(start(*grid(tmp_path / "out"), "--jobs", "2"))
    assert code == 0, err
    assert hashes(tmp_path / "out") == expected
    starts = [line for line in log(tmp_path) if line[0] == "start"]
    assert sorted(line[1] for line in starts) == sorted(expected)
    assert len({line[2] for line in starts}) == 2
    assert {line[3] for line in starts} == {str(max(1, len(os.sched_getaffinity(0)) // 2))}
    assert err.count("] done ") == 4


def test_a_dying_worker_costs_its_own_cell_only(start: Start, tmp_path: Path) -> None:
    broken = (*grid(tmp_path / "out"), "--set", "Beta.mode=die", "--seeds", "1", "--jobs", "2")
    code, _, err = finish(start(*broken, "--methods", "Beta,Alpha,Plain"))
    assert code == 1
    assert "its worker process died" in err
    assert len(hashes(tmp_path / "out")) == 2
    assert "error: 1 of 3 cells failed" in err
    code, _, err = finish(start(*broken, "--methods", "Beta,Alpha,Plain"))
    assert code == 1
    assert "1 of them failed: --retry-failed tries them again" in err, "it is not tried again unasked"


def test_two_runs_at_once_run_each_cell_once(start: Start, tmp_path: Path, expected: dict[str, str]) -> None:
    runs = [start(*grid(tmp_path / "out")), start(*grid(tmp_path / "out"), "--jobs", "2")]
    for process in runs:
        code, out, err = finish(process)
        assert code == 0, err
        assert "THE TABLE" in out
    rounds = Counter(tuple(line[1:]) for line in log(tmp_path) if line[0] == "round")
    assert set(rounds.values()) == {1}
    assert sum(line[0] == "start" for line in log(tmp_path)) == 4
    assert hashes(tmp_path / "out") == expected


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_kill_and_go_on(start: Start, tmp_path: Path, expected: dict[str, str], jobs: str) -> None:
    """kill -9 in the middle; the same command gives the undisturbed results and repeats no round."""
    command = (*grid(tmp_path / "out"), "--jobs", jobs)
    process = start(*command)
    wait_for(lambda: sum(line[0] == "round" for line in log(tmp_path)) >= 6)
    process.kill()
    process.wait()
    workers = {int(line[2]) for line in log(tmp_path) if line[0] == "start"}
    code, _, err = finish(start(*command))
    assert code == 0, err
    assert hashes(tmp_path / "out") == expected
    rounds = Counter(tuple(line[1:]) for line in log(tmp_path) if line[0] == "round")
    assert set(rounds.values()) == {1}
    wait_for(lambda: gone(workers))  # workers do not outlive the run that was killed


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupt_and_go_on(start: Start, tmp_path: Path, expected: dict[str, str], jobs: str) -> None:
    """Ctrl-C reaches the whole process group, as from a terminal."""
    command = (*grid(tmp_path / "out"), "--jobs", jobs)
    process = start(*command)
    wait_for(lambda: sum(line[0] == "round" for line in log(tmp_path)) >= 6)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert "Traceback" not in err
    assert "of 4 cells done; the same command continues" in err.splitlines()[-1]
    assert gone({int(line[2]) for line in log(tmp_path) if line[0] == "start"})
    assert len(hashes(tmp_path / "out")) < 4
    code, _, err = finish(start(*command))
    assert code == 0, err
    assert hashes(tmp_path / "out") == expected
    starts = Counter(line[1] for line in log(tmp_path) if line[0] == "start")
    assert max(starts.values()) == 2  # the interrupted ones
