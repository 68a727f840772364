"""`bench run` with the real engine, as a user types it: the built-in world, kills, resumes, and real images."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

METHODS = ["CLIP", "CoOp", "PromptFL", "Prox", "FedPGP"]
BENCH = [sys.executable, "-m", "fedbench"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def command(*words, out, cache):
    return [*BENCH, "run", *words, "--out", str(out), "--cache-dir", str(cache), "--device", "cpu"]


def bench(*words, out, cache, check=True):
    done = subprocess.run(command(*words, out=out, cache=cache), capture_output=True, text=True, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def cells(out):
    return {path.name: path for path in sorted((out / "cells").iterdir())}


def numbers(out):
    """Everything in the journals but the clock, and the bytes of the states."""
    found = {}
    for name, path in cells(out).items():
        lines = [json.loads(line) for line in (path / "rounds.jsonl").read_text().splitlines()]
        for line in lines:
            del line["seconds"]
        found[name] = (lines, (path / "state.safetensors").read_bytes())
    return found


SMALL = ["--methods", "FedPGP,CoOp", "--datasets", "shapes", "--backbone", "tiny", "--seeds", "0", "--rounds", "12",
         "--shots", "4", "--batch-size", "4", "--views", "2", "--set", "lr=0.02"]  # fmt: skip


@pytest.fixture(scope="module")
def straight(tmp_path_factory, cache):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("straight") / "store"
    bench(*SMALL, out=out, cache=cache)
    return numbers(out)


def test_the_quick_start_writes_tables_curves_and_traceable_records(tmp_path, cache):
    done = bench("quickstart", "--rounds", "2", out=tmp_path / "store", cache=cache)
    for name in METHODS:
        assert name in done.stdout
    assert "miniature" in done.stdout
    report = tmp_path / "store" / "report"
    with (report / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["method", "dataset", "protocol", "metric", "mean", "std", "n"]
    assert {row["method"] for row in rows} == set(METHODS)
    assert {row["metric"] for row in rows if row["dataset"] == "shapes"} == {"local", "base", "novel", "hm"}
    assert all(row["n"] == "2" for row in rows)
    assert {path.suffix for path in report.iterdir()} >= {".md", ".tex", ".csv", ".png"}
    for name, path in cells(tmp_path / "store").items():
        record = json.loads((path / "record.json").read_text())
        assert record["cell"] == name
        assert record["rounds"] == (0 if record["config"]["method"] == "CLIP" else 2)
        assert len(record["hashes"]["split"]) == len(record["hashes"]["weights"]) == 16
    splits = {
        json.loads((p / "record.json").read_text())["hashes"]["split"]
        for p in cells(tmp_path / "store").values()
    }
    assert len(splits) == 2, "one split a seed, the same for all methods"


def test_payload_in_the_record_is_what_was_sent(tmp_path, cache):
    out = tmp_path / "store"
    words = [
        "--methods",
        "PromptFL,CoOp",
        "--datasets",
        "shapes",
        "--backbone",
        "tiny",
        "--seeds",
        "1",
        "--views",
        "0",
    ]
    bench(*words, "--rounds", "3", "--participation", "0.5", "--shots", "2", out=out, cache=cache)
    by_method = {
        r["config"]["method"]: r
        for r in (json.loads((p / "record.json").read_text()) for p in cells(out).values())
    }
    assert by_method["PromptFL"]["parameters"] == {"trainable": 16 * 128, "shared": 16 * 128, "personal": 0}
    assert by_method["PromptFL"]["payload"]["up"] == 3 * 5 * 4 * 16 * 128
    assert by_method["CoOp"]["payload"]["up"] == by_method["CoOp"]["payload"]["down"] == 0


def test_a_killed_run_resumes_to_identical_bits(tmp_path, cache, straight):
    out = tmp_path / "store"
    with subprocess.Popen(
        command(*SMALL, out=out, cache=cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        deadline = time.monotonic() + 120
        while not past_checkpoint(out):
            assert run.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(run.pid, signal.SIGKILL)
    assert not all((path / "record.json").exists() for path in cells(out).values())
    done = bench(*SMALL, out=out, cache=cache)
    assert done.returncode == 0
    assert numbers(out) == straight


def past_checkpoint(out: Path) -> bool:
    """A cell has a checkpoint, and rounds after it that will be lost."""
    return any(
        (path.parent / "state.safetensors").exists()
        and path.read_text().count("\n") > 7
        and not (path.parent / "record.json").exists()
        for path in out.glob("cells/*/rounds.jsonl")
    )


@pytest.mark.parametrize(
    "switches",
    [["--jobs", "2"], ["--memory-gib", "0.06"], ["--threads", "1"], ["--threads", "2"]],
    ids=["two jobs", "little memory", "one thread", "two threads"],
)
def test_how_a_run_is_executed_changes_no_bit(tmp_path, cache, straight, switches):
    bench(*SMALL, *switches, out=tmp_path / "store", cache=cache)
    assert numbers(tmp_path / "store") == straight


def test_the_same_bits_from_an_empty_cache(tmp_path, straight):
    bench(*SMALL, out=tmp_path / "store", cache=tmp_path / "cache")
    assert numbers(tmp_path / "store") == straight


def test_real_images_with_missing_files(tmp_path, cache, shared):
    words = ["--methods", "CLIP,PromptFL", "--datasets", "caltech101", "--data-root", str(shared / "data"),
             "--backbone", "tiny", "--seeds", "1", "--shots", "4", "--rounds", "1", "--views", "1"]  # fmt: skip
    refused = bench(*words, out=tmp_path / "store", cache=cache, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: caltech101: 7242 of 8242 images are missing")
    assert "Traceback" not in refused.stderr
    bench(*words, "--allow-missing", out=tmp_path / "store", cache=cache)
    records = [json.loads((p / "record.json").read_text()) for p in cells(tmp_path / "store").values()]
    assert {r["protocol"]["missing"] for r in records} == {7242}
    assert {r["protocol"]["classes"] for r in records} == {50}


def test_weights_that_are_not_there_say_how_to_get_them(tmp_path, cache):
    done = subprocess.run(
        command("--methods", "CLIP", "--datasets", "shapes", "--backbone", "ViT-B-32:openai",
                out=tmp_path / "s", cache=cache),
        capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "use ViT-B-32:PATH" in done.stderr + done.stdout
