"""The journal of a cell: what a kill leaves, and what is refused."""

import json
import math

import pytest
import torch

from fedbench.errors import FedbenchError
from fedbench.store.journal import Journal


def journal(folder, identity="cell/split/weights"):
    return Journal(folder, identity=identity)


def filled(folder, rounds=4, checkpoint=2):
    j = journal(folder)
    j.resume()
    for r in range(rounds):
        j.append({"round": r})
        if r == checkpoint:
            j.checkpoint(r, {"server/context": torch.full((2, 3), float(r))})
    return j


def test_resume_goes_back_to_the_checkpoint_and_drops_later_lines(tmp_path):
    filled(tmp_path)
    done, state = journal(tmp_path).resume()
    assert done == 2
    assert torch.equal(state["server/context"], torch.full((2, 3), 2.0))
    assert [line.round for line in journal(tmp_path).lines()] == [0, 1, 2]


def test_a_line_cut_short_is_not_read(tmp_path):
    j = filled(tmp_path)
    with j.rounds.open("a") as file:
        file.write('{"round": 4, "los')
    assert [line.round for line in journal(tmp_path).lines()] == [0, 1, 2, 3]
    assert journal(tmp_path).resume()[0] == 2


def test_without_a_checkpoint_the_cell_starts_anew(tmp_path):
    j = journal(tmp_path)
    j.append({"round": 0})
    assert journal(tmp_path).resume() == (-1, {})
    assert journal(tmp_path).lines() == []


def test_a_method_without_tensors_checkpoints_too(tmp_path):
    j = journal(tmp_path)
    j.append({"round": 0})
    j.checkpoint(0, {})
    assert journal(tmp_path).resume() == (0, {})


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, damage):
    j = filled(tmp_path)
    j.state.write_bytes(j.state.read_bytes()[:-5] if damage == "truncated" else b"nonsense")
    with pytest.raises(FedbenchError, match=r"checkpoint .*state.safetensors is damaged; delete it"):
        journal(tmp_path).resume()


def test_a_checkpoint_of_another_split_is_refused(tmp_path):
    filled(tmp_path)
    with pytest.raises(FedbenchError, match="belongs to another configuration or split"):
        journal(tmp_path, identity="cell/other/weights").resume()


def test_a_journal_that_lost_rounds_is_refused(tmp_path):
    j = filled(tmp_path)
    j.rounds.write_text(json.dumps({"round": 0}) + "\n")
    with pytest.raises(FedbenchError, match="has lost rounds"):
        journal(tmp_path).resume()


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch, step):
    j = filled(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    target = {"write": "tempfile.mkstemp", "fsync": "os.fsync", "replace": "os.replace"}[step]
    monkeypatch.setattr(f"fedbench.store.files.{target}", full)
    with pytest.raises(OSError, match="No space left"):
        j.checkpoint(3, {"server/context": torch.zeros(1)})
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rounds.jsonl", "state.safetensors"]
    assert journal(tmp_path).resume()[0] == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"losses": {"ce": math.nan}}, "round 4: losses.ce = nan: input should be a finite number"),
        ({"metrics": {"local": {"mean": math.inf, "clients": []}}}, "metrics.local.mean = inf"),
        ({"loses": {}}, "unknown key in .*round 4 'loses'; did you mean losses?"),
    ],
)
def test_what_is_no_line_is_refused_and_not_written(tmp_path, line, message):
    j = filled(tmp_path)
    with pytest.raises(FedbenchError, match=message):
        j.append({"round": 4} | line)
    assert [line.round for line in j.lines()] == [0, 1, 2, 3]


def test_a_damaged_line_is_named(tmp_path):
    j = filled(tmp_path)
    j.rounds.write_text('{"round": 0}\n{"round": "x"}\n{"round": 2}\n')
    with pytest.raises(FedbenchError, match=r"rounds.jsonl, line 2 is damaged"):
        j.lines()
