"""Code is part of a cell: an edited method, split or data set never keeps its old numbers without a word."""

import json
from pathlib import Path
from typing import Any

import pytest

import fedbench as fb
from fedbench.registry import METHODS

METHOD = '''
"""A method of a user."""
from fedbench.method import Method
from fedbench.methods.promptfl import PromptFL
from fedbench.registry import METHODS


@METHODS.register("Edited")
class Edited(PromptFL):
    """PromptFL, edited now and then."""

    def losses(self, p, batch):
        """Cross-entropy."""
        return {"ce": WEIGHT * super().losses(p, batch)["ce"]}


WEIGHT = 1.0
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    list(METHODS)  # filled, so that only the plug-in goes when the test is over
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    path = tmp_path / "edited.py"
    path.write_text(METHOD)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def run(plugin: Path, cache: Path, **more: Any) -> fb.Results:
    grid = {"methods": ["Edited", "CLIP"], "datasets": "shapes", "backbone": "tiny", "seeds": 1, "shots": 1}
    training = {"rounds": 1, "local_epochs": 1, "views": 0, "clients": 2, "set": {"Edited.lr": 0.1}}
    return fb.run(
        **{**grid, **training, "plugins": plugin, "cache_dir": cache, "out": plugin.parent / "out", **more}
    )


def losses(results: fb.Results) -> dict[str, float]:
    folder = next(cell.folder for cell in results.cells if cell.config.method == "Edited")
    return json.loads((folder / "rounds.jsonl").read_text().splitlines()[-1])["losses"]


def status(results: fb.Results, method: str = "Edited") -> dict[str, Any]:
    folder = next(cell.folder for cell in results.cells if cell.config.method == method)
    return json.loads((folder / "status.json").read_text())


@pytest.mark.slow
def test_an_edited_plug_in_is_said_marked_and_run_again_on_request(
    plugin: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = losses(run(plugin, cache))
    plugin.write_text(METHOD.replace("PromptFL, edited now and then", "PromptFL").replace("\n\n\n", "\n\n"))
    kept = run(plugin, cache)
    said = capsys.readouterr().err
    assert "2 of 2 cells have been run before" in said
    assert "has changed" not in said  # sentences and blank lines are no code
    assert not status(kept).get("changed")

    plugin.write_text(METHOD.replace("WEIGHT = 1.0", "WEIGHT = 3.0"))
    kept = run(plugin, cache)
    said = capsys.readouterr().err
    assert "Edited: the code of its method has changed since 1 cell was run" in said
    assert "--retry-changed" in said
    assert "CLIP:" not in said
    assert losses(kept) == first
    assert status(kept)["changed"] == ["method"]
    assert not status(kept, "CLIP").get("changed")

    again = run(plugin, cache, retry_changed=True)
    assert losses(again)["ce"] == pytest.approx(3 * first["ce"], rel=1e-5)
    assert "[1/1] done Edited" in capsys.readouterr().err
    run(plugin, cache)
    assert "has changed" not in capsys.readouterr().err
    assert not status(again).get("changed")

    plugin.write_text(METHOD)  # back to what the first run was: now the second one is the old code
    run(plugin, cache)
    assert "Edited: the code of its method has changed" in capsys.readouterr().err


def test_a_failed_cell_is_tried_again_when_its_code_was_mended(
    plugin: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin.write_text(METHOD.replace("WEIGHT * super", "WEIGTH * super"))
    failed = run(plugin, cache)
    assert status(failed)["state"] == "failed"
    assert "NameError" in status(failed)["reason"]
    left = run(plugin, cache)
    assert "1 of them failed: --retry-failed tries them again" in capsys.readouterr().err
    assert status(left)["state"] == "failed"
    plugin.write_text(METHOD)
    assert status(run(plugin, cache))["state"] == "done"


def test_an_interrupted_cell_does_not_go_on_with_other_code(
    plugin: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rounds of two versions in one cell would be nobody's numbers."""
    whole = losses(run(plugin, cache, rounds=3, out=plugin.parent / "whole"))
    plugin.write_text(METHOD.replace("WEIGHT = 1.0", "WEIGHT = 2.0"))
    results = run(plugin, cache, rounds=3)
    folder = next(cell.folder for cell in results.cells if cell.config.method == "Edited")
    (folder / "record.json").unlink()  # as if it had been killed after its last checkpoint
    plugin.write_text(METHOD)
    resumed = run(plugin, cache, rounds=3)
    assert losses(resumed) == whole
    assert "its code has changed since it was interrupted: it starts anew" in caplog.text
