"""What `bench parity` makes of files that other people write: other number types, missing keys, NaN among numbers."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from fedbench.clip.transport import patch_similarity
from fedbench.commands.parity import parity
from fedbench.parity.run import run
from fedbench.registry import METHODS
from tests.helpers.tinyclip import GOLDEN, random_clip


def written(tmp_path, name, change):
    """The golden folder with one file, its arrays changed by `change(key, array)`; None leaves one out."""
    for beside in ("tiny_clip.npz", "config.json"):
        shutil.copy((GOLDEN / name).parent / beside, tmp_path / beside)
    with np.load(GOLDEN / name) as archive:
        arrays = {key: change(key, archive[key]) for key in archive.files}
    file = tmp_path / (GOLDEN / name).name
    np.savez(file, **{key: x for key, x in arrays.items() if x is not None})
    return tmp_path


@pytest.mark.parametrize("name", ["fedotp.npz", "federated/federated_promptfl.npz"])
def test_numbers_may_be_of_another_precision(tmp_path, name):
    wider = {"f": np.float64, "i": np.int32}
    folder = written(tmp_path, name, lambda _, x: x.astype(wider.get(x.dtype.kind, x.dtype)))
    (outcome,) = run(folder)
    assert outcome.passed, outcome.reason or [c for c in outcome.checks if not c.passed]
    assert outcome.checks


@pytest.mark.parametrize(
    ("name", "lost"), [("fedotp.npz", "images"), ("federated/federated_promptfl.npz", "eval/images")]
)
def test_a_file_without_its_images_fails_with_the_reason(tmp_path, name, lost):
    folder = written(tmp_path, name, lambda key, x: None if key == lost else x)
    (outcome,) = run(folder)
    assert not outcome.passed
    assert outcome.reason == f"{(GOLDEN / name).name}: no {lost}"


def test_a_missed_tensor_is_named_and_a_nan_is_not_hidden_by_its_neighbours(tmp_path):
    first = "grad/adapter_learner.text_adapter.2.down.0.weight"
    second = "grad/adapter_learner.text_adapter.2.down.0.bias"
    changes = {first: np.nan, second: 1.0}
    folder = written(tmp_path, "pfedmma.npz", lambda key, x: x + changes[key] if key in changes else x)
    done = CliRunner().invoke(parity, [str(folder)])
    assert done.exit_code == 1
    (line,) = [line for line in done.output.splitlines() if "MISSED" in line]
    assert line.split()[0] == "grad"
    assert line.endswith(f"MISSED by {first.removeprefix('grad/')} and 1 more")


def test_fedotp_may_be_told_never_to_stop_early():
    method = METHODS["FedOTP"](random_clip(), ["a", "b"], hyper={"thresh": 0.0, "max_iter": 7})
    draw, size = torch.Generator().manual_seed(0), method.clip.embed_dim
    text = F.normalize(torch.randn(1, 2, 2, size, generator=draw), dim=-1)
    sim = patch_similarity(text, torch.randn(1, 3, 5, size, generator=draw))
    assert (method.transport().plan(sim)[1] == 7).all()


def text(value):
    return np.array(value)


def test_other_prompt_words_are_the_files(tmp_path):
    changed = '{"adapter_start": 2, "adapter_end": 4, "adapter_dim": 8, "adapter_scale": 0.5, "text_ctx_init": "one"}'
    folder = written(tmp_path, "pfedmma.npz", lambda k, x: text(changed) if k == "hparams_json" else x)
    (outcome,) = run(folder)
    found = {c.quantity: c for c in outcome.checks}
    assert not found["tokens"].passed
    method = METHODS["pFedMMA"](random_clip(), ["a_b"], hyper={"phrase": "one_two"})
    tokenize = method.clip.text.tokenize
    assert method.prompts(["a_b"])[0][1:-1] == tokenize("one two a b.")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("hparams_json", text("{"), "fedotp.npz: hparams_json is no JSON"),
        ("hparams_json", text("[1]"), "fedotp.npz: hparams_json is no JSON object"),
        ("images", np.zeros((8, 3, 16, 16), np.float32), "images are (8, 3, 16, 16), the CLIP takes"),
        ("labels", np.full(8, 99), "places in"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_fails_alone(tmp_path, key, value, reason):
    folder = written(tmp_path, "fedotp.npz", lambda k, x: value if k == key else x)
    shutil.copy(GOLDEN / "prox.npz", folder)
    done = CliRunner().invoke(parity, [str(folder)])
    assert done.exit_code == 1
    assert f"fedotp.npz: FAILED: {reason}" in done.output or reason in done.output
    assert "0 files missed their tolerance, 1 could not be compared" in done.output
    assert "prox.npz (Prox)" in done.output


def test_a_miss_names_the_hyper_parameters_that_the_method_lacks(tmp_path):
    changed = (
        '{"mu": 0.7, "n_ctx": 16, "position": "end", "optim": {"lr": 0.001, "nesterov": true}, "warmup": 3}'
    )
    folder = written(tmp_path, "prox.npz", lambda k, x: text(changed) if k == "hparams_json" else x)
    done = CliRunner().invoke(parity, [str(folder)])
    assert "stated in the file and unknown to Prox: warmup, nesterov" in done.output
