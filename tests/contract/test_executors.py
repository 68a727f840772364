"""What every registered executor must keep to, in one test each: all checks look at the same run."""

import pytest

from fedbench.registry import EXECUTORS
from fedbench.testing.executors import CHECKS, ExecutorTrial


@pytest.mark.slow
@pytest.mark.parametrize("name", list(EXECUTORS))
def test_the_contract(name):
    trial = ExecutorTrial(EXECUTORS[name], jobs=1)  # two are started in tests/e2e/test_processes.py
    assert [problem for check in CHECKS for problem in check.problems(trial)] == []
    assert trial.trace.was_running == (name != "in-process")
