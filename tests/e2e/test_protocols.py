"""Every protocol's `-shapes` twin as a user runs it, shrunk: records, client names, tables, released quirks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SMALL = ["--rounds", "1", "--seeds", "1", "--views", "0", "--device", "cpu"]
TWINS = {
    "base-to-novel": (["local", "base", "novel"], ["--shots", "2"]),
    "class-disjoint": (["local"], ["--shots", "1,2"]),
    "leave-one-domain-out": (["target"], ["--shots", "1"]),
    "dirichlet": (["local"], []),
    "domain-label-skew": (["local"], []),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def bench(*words: str, out: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedbench", "run", *words, "--out", str(out), "--cache-dir", str(cache)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def records(out: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(out.glob("cells/*/record.json"))]


@pytest.mark.parametrize("protocol", TWINS)
def test_the_twin_runs_offline(tmp_path: Path, cache: Path, protocol: str) -> None:
    columns, more = TWINS[protocol]
    out = tmp_path / "store"
    done = bench(f"{protocol}-shapes", "--methods", "CLIP,PromptFL", *SMALL, *more, out=out, cache=cache)
    assert done.returncode == 0, done.stderr
    found = records(out)
    assert {r["config"]["method"] for r in found} == {"CLIP", "PromptFL"}
    assert all(r["protocol"]["columns"] == columns for r in found)
    assert all(not any(r["config"]["quirks"].values()) for r in found)
    names = {tuple(r["protocol"]["client_names"]) for r in found}
    if protocol == "leave-one-domain-out":
        assert names == {
            tuple(d for d in ("photo", "sketch", "negative", "flat") if d != t)
            for t in ("photo", "sketch", "negative", "flat")
        }
    elif protocol == "domain-label-skew":
        assert next(iter(names))[:4] == ("photo 0", "photo 1", "photo 2", "sketch 0")
    else:
        assert next(iter(names))[0] == "client 0"
    assert (out / "report" / "table.md").exists()
    assert "PromptFL" in done.stdout


def test_released_switches_the_suites_quirks_on(tmp_path: Path, cache: Path) -> None:
    out = tmp_path / "store"
    words = ("dirichlet-shapes", "--methods", "CLIP,PromptFL", *SMALL)
    done = bench(*words, "--released", out=out, cache=cache)
    assert done.returncode == 0, done.stderr
    quirks = {r["config"]["method"]: r["config"]["quirks"] for r in records(out)}
    assert {m: (q["method"], q["engine"]) for m, q in quirks.items()} == {
        "CLIP": ([], ["round-zero-all"]),
        "PromptFL": (["momentum-leak"], ["round-zero-all"]),
    }
    assert "round-zero-all" in done.stdout
    dry = bench(*words, "--dry-run", out=tmp_path / "other", cache=cache)
    assert "2 cells" in dry.stdout


def test_released_needs_a_suite_that_says_what_was_released(tmp_path: Path, cache: Path) -> None:
    done = bench("quickstart", "--released", "--dry-run", out=tmp_path / "store", cache=cache)
    assert done.returncode == 1
    assert done.stderr.startswith("error: released: the grid has no released_quirks")


def test_a_wrong_target_is_refused_before_anything_runs(tmp_path: Path, cache: Path) -> None:
    words = ("leave-one-domain-out-shapes", "--set", "leave-one-domain-out.target=skech")
    done = bench(*words, "--dry-run", out=tmp_path / "store", cache=cache)
    assert done.returncode == 1
    assert done.stderr == "error: unknown domain of shapes 'skech'; did you mean sketch?\n"
