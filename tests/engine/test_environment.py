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


@pytest.mark.skipif(GIT is None, reason="there is no git on this machine")
def test_a_commit_whose_code_has_been_changed_since_is_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    for folder in ("fedbench", "methods", "datasets", "docs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "fedbench" / "a.py"))
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "x")
    clean = commit()
    assert not clean.endswith("-dirty")
    (tmp_path / "docs" / "a.py").write_text("1\n")
    assert commit() == clean, "the documentation computes nothing"
    (tmp_path / "methods" / "new.py").write_text("")
    assert commit() == f"{clean}-dirty", "a new method is code too"
    (tmp_path / "methods" / "new.py").unlink()
    (tmp_path / "fedbench" / "a.py").write_text("1\n")
    assert commit() == f"{clean}-dirty"
