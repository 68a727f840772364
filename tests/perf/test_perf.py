"""`bench perf`: what it prints is measured, consistent and of the same mathematics on both paths."""

import json

import pytest
import torch
from click.testing import CliRunner

from fedbench.commands.perf import perf
from fedbench.perf.measure import _relative
from fedbench.perf.names import class_names

KEYS = {"fast_seconds", "plain_seconds", "ratio", "relative_difference", "peak_bytes", "device", "precision"}


def measured(*words):
    done = CliRunner().invoke(
        perf, [*words, "--backbone", "tiny", "--device", "cpu", "--repeats", "1", "--json"]
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.mark.parametrize(
    "words",
    [
        ["text-encoding", "--classes", "7", "--context", "5", "--clients", "3"],
        ["step", "--method", "FedPGP", "--classes", "5", "--batch", "2", "--clients", "2"],
        [
            "step",
            "--method",
            "FedMaPLe",
            "--classes",
            "5",
            "--batch",
            "2",
            "--clients",
            "3",
            "--memory-gib",
            "0.1",
        ],
    ],
)
def test_both_paths_agree_and_the_figures_fit_together(words):
    found = measured(*words)
    assert found.keys() >= KEYS
    assert 0 < found["relative_difference"] < 1e-4
    assert found["ratio"] == pytest.approx(found["plain_seconds"] / found["fast_seconds"])
    assert found["peak_bytes"] > 2**27, "a process with torch in it is larger"
    if words[0] == "step":
        assert found["gflop"] > 0
        assert found["bound_seconds"] > 0


def test_the_plain_path_pays_for_77_tokens_and_the_fast_one_does_not():
    # operations, not seconds: a timed test would depend on the machine
    few, many = (
        measured("step", "--method", "PromptFL", "--classes", c, "--batch", "1", "--clients", "1")
        for c in ("5", "10")
    )
    assert many["gflop"] < 2 * few["gflop"]


def test_class_names_are_distinct_words():
    assert len(set(class_names(1000))) == 1000
    with pytest.raises(ValueError, match="1 to 1000"):
        class_names(1001)


def test_a_nan_does_not_hide_behind_a_number():
    good, bad = torch.ones(2), torch.tensor([1.0, float("nan")])
    assert _relative({"a": bad, "b": good}, {"a": good, "b": 2 * good}) == (float("inf"), "a")
    assert _relative({"a": good, "b": good}, {"a": good, "b": 2 * good}) == (0.5, "b")
