"""Numbers that are not finite, in the file or in ours: always a miss, never hidden by a comparison with NaN."""

import json

import numpy as np
import pytest

from fedbench.parity.compare import Check, deviation, tolerance
from tests.helpers.recorded import altered, folder, rewritten


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("key", ["grad/prompt_learner.ctx", "logits_eval", "loss"])
def test_a_recorded_number_that_is_not_finite_is_missed(tmp_path, value, key, bench_parity):
    def spoil(x):
        x = x.copy()
        x.flat[-1] = value
        return x

    folder(tmp_path, "promptfl.npz")
    altered(tmp_path / "promptfl.npz", **{key.replace("/", "__"): spoil})
    done = bench_parity(tmp_path)
    assert done.code == 1
    (line,) = [line for line in done.out.splitlines() if "MISSED" in line]
    assert line.split()[0] == key.split("/")[0]
    assert "not a finite number" in line


def test_our_numbers_that_are_not_finite_are_missed_and_json_stays_json(tmp_path, bench_parity):
    folder(tmp_path, "promptfl.npz")
    rewritten(tmp_path / "promptfl.npz", lambda k, x: x * np.nan if k == "init/prompt_learner.ctx" else x)
    done = bench_parity(tmp_path, "--json")
    assert done.code == 1

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    (result,) = json.loads(done.out, parse_constant=refuse)
    deviations = {c["quantity"]: (c["deviation"], c["passed"]) for c in result["checks"]}
    assert deviations["logits_eval"] == (None, False)
    assert deviations["step/prompt_learner.ctx"] == (None, False)
    assert deviations["tokens"] == (0.0, True)


def test_only_equal_infinities_are_equal():
    one = np.array([1.0, np.inf, 2.0])
    assert deviation(one, one.copy()) == 0.0
    assert deviation(one, np.array([1.5, np.inf, 2.0])) == 0.5
    assert deviation(one, np.array([1.0, -np.inf, 2.0])) == np.inf
    assert deviation(one, np.array([1.0, 3.0, 2.0])) == np.inf
    assert deviation(np.array([np.nan]), np.array([np.nan])) == np.inf
    assert deviation(np.zeros((0, 2)), np.zeros(0)) == 0.0
    assert not Check("grad/x.y", np.inf, tolerance("grad/x.y", one)).passed
    assert np.isfinite(tolerance("grad/x.y", np.array([np.nan, np.inf])))
