"""What a record says about the code behind it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fedbench.engine import environment as module
from fedbench.engine.environment import environment
from tests.helpers.tinyclip import random_clip

GIT = shutil.which("git")


def commit() -> str:
    return str(environment(random_clip())["commit"])


@pytest.mark.skipif(GIT is None, reason="there is no git on this machine")
def test_the_commit_is_of_the_checkout_that_has_the_code_and_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    (tmp_path / "environment.py").write_text("")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "environment.py"))
    git("init", "-q")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    assert commit() == "", "the code is in the folder of a checkout, and no part of it"
    git("add", "environment.py")
    assert commit() == git("rev-parse", "--short", "HEAD") != ""


def test_a_machine_without_git_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit() == ""
