"""Files that cannot be compared: each fails alone, with one line that names it and the reason."""

import shutil

import numpy as np
import pytest

from fedbench.registry import METHODS
from tests.helpers.recorded import folder, rewritten, save_clip, states
from tests.helpers.tinyclip import GOLDEN, random_clip

WITNESS = "sound/clip_zeroshot.npz (CLIP)"
"""Heads the file that is in order and must be compared although it comes after one that is not."""


@pytest.fixture
def place(tmp_path):
    """A golden folder with one file to spoil, and below it one whose file is in order."""
    golden = folder(tmp_path / "golden", "promptfl.npz")
    folder(golden / "sound", "clip_zeroshot.npz")
    return golden


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"?" * 4000
    path.write_bytes(content)


def replace_by_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def pickle(path):
    np.savez(path, images=np.array([{"a": 1}], dtype=object))


def make_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [halve, garble, replace_by_array, pickle, make_folder, lambda path: path.write_bytes(b"")]
)
@pytest.mark.parametrize("name", ["promptfl.npz", "aggregation.npz"])
def test_a_damaged_file_fails_alone(place, damage, name, bench_parity):
    (place / "promptfl.npz").unlink()
    shutil.copy(GOLDEN / name, place)
    damage(place / name)
    done = bench_parity(place)
    assert (done.code, done.err) == (1, "")
    assert done.line(f"{name}: FAILED: {name} cannot be read: ")
    assert WITNESS in done.out
    assert "0 files missed their tolerance, 1 could not be compared (FAILED)" in done.out


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("images", None, "no images"),
        ("labels", None, "no labels"),
        ("classnames", None, "no classnames"),
        ("init/prompt_learner.ctx", None, "no init/prompt_learner.ctx"),
        ("hparams_json", np.array("{"), "hparams_json is no JSON: "),
        ("hparams_json", np.array("[1]"), "hparams_json is no JSON object"),
        ("hparams_json", np.array('{"optim": 3}'), "hparams_json: optim is no JSON object"),
        ("hparams_json", np.array('{"n_ctx": 0}'), "PromptFL: n_ctx = 0: input should be greater than 0"),
        ("images", np.zeros((6, 3, 16, 16)), "images are (6, 3, 16, 16), the CLIP takes (batch, 3, 32, 32)"),
        ("images", np.array("a picture"), "images holds no numbers"),
        ("labels", np.full(6, 99), "labels are not 6 places in 7 classes"),
        ("labels", np.zeros(5), "labels are not 6 places in 7 classes"),
        ("labels", np.full(6, 0.5), "labels is no list of whole numbers"),
        ("classnames", np.array("abc"), "classnames is no list of names"),
        ("init/prompt_learner.ctx", np.zeros((16, 32)), "init/prompt_learner.ctx is (16, 32), PromptFL has (16, 64)"),
        ("step/prompt_learner.ctx", np.zeros((16, 32)), "step/prompt_learner.ctx is (16, 32), ours is (16, 64)"),
        ("loss", np.array("low"), "loss holds no numbers"),
    ],
)  # fmt: skip
def test_what_is_missing_or_does_not_fit_fails_its_file(place, key, value, reason, bench_parity):
    rewritten(place / "promptfl.npz", lambda k, x: value if k == key else x)
    done = bench_parity(place)
    assert (done.code, done.err) == (1, "")
    assert done.line("promptfl.npz: FAILED: ").startswith(f"promptfl.npz: FAILED: {reason}")
    assert WITNESS in done.out


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("counts", None, "no counts"),
        ("counts", np.array([12, 12]), "counts is of 2 clients, and there is client2/batch0/images"),
        ("counts", np.array([12, 12, 0]), "counts has a client without images"),
        ("counts", np.array(32), "counts is no list of whole numbers"),
        ("client1/batch0/labels", None, "no client1/batch0/labels"),
        ("client1/batch1/images", None, "no client1/batch1/images"),
        ("eval/images", None, "no eval/images"),
        ("eval/images", np.zeros((6, 3, 8, 8)), "eval/images are (6, 3, 8, 8), the CLIP takes"),
        ("round1/client2/logits_eval", np.zeros((6, 4)), "round1/client2/logits_eval is (6, 4), ours is (6, 5)"),
    ],
)  # fmt: skip
def test_a_federation_that_does_not_fit_fails(tmp_path, key, value, reason, bench_parity):
    folder(tmp_path, "federated/federated_promptfl.npz")
    rewritten(tmp_path / "federated_promptfl.npz", lambda k, x: value if k == key else x)
    done = bench_parity(tmp_path)
    assert (done.code, done.err) == (1, "")
    assert done.line("federated_promptfl.npz: FAILED").startswith(f"federated_promptfl.npz: FAILED: {reason}")


def test_a_federation_without_rounds_or_clients_fails(tmp_path, bench_parity):
    path = folder(tmp_path, "federated/federated_promptfl.npz") / "federated_promptfl.npz"
    rewritten(path, lambda key, x: None if key.startswith("client2/") else x)
    assert "FAILED: no client2/batch0/images" in bench_parity(tmp_path).out
    rewritten(path, lambda key, x: None if key.startswith("round") else x)
    assert "FAILED: it records no round: no round0/" in bench_parity(tmp_path).out
    folder(tmp_path, "federated/federated_promptfl.npz")
    states(path, local_epochs=0)
    assert "FAILED: hparams_json: local_epochs = 0: no whole number above 0" in bench_parity(tmp_path).out


PLUGIN = """
from fedbench.methods.promptfl import PromptFL
from fedbench.official import Official, Variant
from fedbench.registry import METHODS


@METHODS.register("Broken")
class Broken(PromptFL):
    official = Official(
        files=("broken",), tensors={"context": "prompt_learner.ctx"}, aggregation={"average": Variant()}
    )

    def losses(self, p, batch):
        raise RuntimeError("no such thing\\nsecond line")

    def aggregate(self, uploads, counts, previous, *, round_):
        raise LookupError
"""


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A plug-in with a method that raises; forgotten after the test."""
    list(METHODS)  # the zoo is registered on first use
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    return file


def test_a_method_that_raises_fails_its_files_and_no_other(place, broken, bench_parity, monkeypatch):
    shutil.copy(GOLDEN / "promptfl.npz", place / "broken.npz")
    shutil.copy(GOLDEN / "aggregation.npz", place)
    done = bench_parity(place, "--plugin", broken)
    assert (done.code, done.err) == (1, "")
    assert done.line("broken.npz") == "broken.npz: FAILED: Broken raises RuntimeError: no such thing"
    assert done.line("aggregation.npz: FAILED") == "aggregation.npz: FAILED: Broken raises LookupError"
    assert done.out.count("aggregation.npz (") == 4, "the other methods' server's steps"
    assert WITNESS in done.out
    assert "2 could not be compared (FAILED)" in done.out
    monkeypatch.setenv("FEDBENCH_DEBUG", "1")
    with pytest.raises(LookupError):
        bench_parity(place, "--plugin", broken)


def test_a_method_that_forgets_a_tensors_name_fails(place, monkeypatch, bench_parity):
    from dataclasses import replace

    cls = METHODS["PromptFL"]
    monkeypatch.setattr(cls, "official", replace(cls.official, tensors={}))
    done = bench_parity(place)
    assert done.code == 1
    assert done.line("promptfl.npz").endswith(
        "PromptFL: its `official.tensors` does not name the tensor 'context'"
    )


def other_width(path):
    save_clip(path, random_clip(quick=True, width=64, text_width=32, embed=64))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: (path / "tiny_clip.npz").unlink(), "there is no tiny_clip.npz beside it"),
        (lambda path: halve(path / "tiny_clip.npz"), "tiny_clip.npz cannot be read: "),
        (lambda path: (path / "config.json").write_text("{"), "tiny_clip.npz and config.json make no CLIP: JSONDec"),
        (lambda path: (path / "config.json").write_text("{}"), "tiny_clip.npz and config.json make no CLIP: KeyErr"),
        (
            lambda path: shutil.copy(GOLDEN / "federated" / "config.json", path),
            "checkpoint golden golden does not fit the model: ",
        ),
        (
            lambda path: rewritten(path / "tiny_clip.npz", lambda k, x: None if k == "ln_final.bias" else x),
            "checkpoint golden golden does not fit the model: tensors 1 missing (first: ln_final.bias)",
        ),
    ],
    ids=["none", "damaged", "no-json", "empty", "other-config", "lacks-a-tensor"],
)  # fmt: skip
def test_a_clip_that_cannot_be_loaded_fails_the_files_beside_it(place, spoil, reason, bench_parity):
    shutil.copy(GOLDEN / "prox.npz", place)
    spoil(place)
    done = bench_parity(place)
    assert (done.code, done.err) == (1, "")
    for name in ("promptfl", "prox"):
        assert done.line(f"{name}.npz: FAILED: {reason}")
    assert WITNESS in done.out
    assert "2 could not be compared (FAILED)" in done.out


def test_another_clip_of_another_width_fails_what_does_not_fit_it(place, bench_parity):
    other_width(place)
    done = bench_parity(place)
    assert done.code == 1
    reason = "init/prompt_learner.ctx is (16, 64), PromptFL has (16, 32) on this CLIP"
    assert done.line("promptfl.npz") == f"promptfl.npz: FAILED: {reason}"
    other_width(place / "sound")
    assert "MISSED" in bench_parity(place).out, "the zero-shot file has no tensors that could not fit"


def test_a_folder_without_golden_files_is_refused(tmp_path, bench_parity):
    empty = bench_parity(tmp_path)
    assert (empty.code, empty.out) == (1, "")
    assert empty.err.startswith(f"error: {tmp_path} holds no golden files: ")
    folder(tmp_path)  # a CLIP, and nothing that was recorded on it
    assert bench_parity(tmp_path).err == empty.err


def test_a_folder_that_is_not_there_or_not_given_is_said(tmp_path, bench_parity):
    gone = bench_parity(tmp_path / "gone")
    assert (gone.code, gone.out) == (2, "")
    assert f"Directory '{tmp_path / 'gone'}' does not exist" in gone.err
    none = bench_parity()
    assert (none.code, none.out) == (2, "")
    assert "`bench parity tests/golden`" in none.err
    file = bench_parity(GOLDEN / "prox.npz")
    assert file.code == 2
    assert "is a file" in file.err


def test_files_of_no_method_are_named_and_fail_only_where_nothing_else_is_compared(tmp_path, bench_parity):
    folder(tmp_path, "clip_zeroshot.npz", "fedpgp_n2.npz")
    shutil.copy(GOLDEN / "promptfl.npz", tmp_path / "somebody_elses.npz")
    done = bench_parity(tmp_path)
    assert done.code == 0
    assert (
        done.line("somebody_elses.npz") == "somebody_elses.npz: not compared: no registered method claims it"
    )
    assert done.line("fedpgp_n2.npz").startswith("fedpgp_n2.npz: not compared: two prompts")
    assert done.out.endswith("0 files missed their tolerance; 2 of no registered method or excluded\n")
    (tmp_path / "clip_zeroshot.npz").unlink()
    for arguments in ((), ("--json",)):
        done = bench_parity(tmp_path, *arguments)
        assert done.code == 1
        assert done.err.startswith(f"error: nothing in {tmp_path} was compared; ")
        assert "somebody_elses.npz" in done.out


def test_hidden_files_are_no_golden_files(tmp_path, bench_parity):
    """What a virtual environment or a Mac leaves behind."""
    folder(tmp_path, "clip_zeroshot.npz")
    (tmp_path / "._clip_zeroshot.npz").write_bytes(b"\0")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.npz").write_bytes(b"\0")
    assert bench_parity(tmp_path).code == 0


def test_the_summary_is_the_last_line(tmp_path, bench_parity):
    done = bench_parity(folder(tmp_path, "clip_zeroshot.npz"))
    assert done.out.splitlines()[-1] == "8 quantities of 1 files compared, 0 files missed their tolerance"
