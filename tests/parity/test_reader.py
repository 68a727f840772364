"""What `bench parity` makes of files that other people write: other number types, other words, neighbours of a miss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedbench.clip.transport import patch_similarity
from fedbench.parity.run import run
from fedbench.registry import METHODS
from tests.helpers.recorded import folder, rewritten
from tests.helpers.tinyclip import GOLDEN, random_clip


def written(tmp_path, name, change):
    """A golden folder with one file, its arrays changed."""
    folder(tmp_path, name)
    rewritten(tmp_path / (GOLDEN / name).name, change)
    return tmp_path


@pytest.mark.parametrize("name", ["fedotp.npz", "federated/federated_promptfl.npz"])
def test_numbers_may_be_of_another_precision(tmp_path, name):
    wider = {"f": np.float64, "i": np.int32}
    place = written(tmp_path, name, lambda _, x: x.astype(wider.get(x.dtype.kind, x.dtype)))
    (outcome,) = run(place)
    assert outcome.passed, outcome.reason or [c for c in outcome.checks if not c.passed]
    assert outcome.checks


def test_a_missed_tensor_is_named_and_a_nan_is_not_hidden_by_its_neighbours(tmp_path, bench_parity):
    first = "grad/adapter_learner.text_adapter.2.down.0.weight"
    second = "grad/adapter_learner.text_adapter.2.down.0.bias"
    changes = {first: np.nan, second: 1.0}
    place = written(tmp_path, "pfedmma.npz", lambda key, x: x + changes[key] if key in changes else x)
    done = bench_parity(place)
    assert done.code == 1
    (line,) = [line for line in done.out.splitlines() if "MISSED" in line]
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
    place = written(tmp_path, "pfedmma.npz", lambda k, x: text(changed) if k == "hparams_json" else x)
    (outcome,) = run(place)
    found = {c.quantity: c for c in outcome.checks}
    assert not found["tokens"].passed
    method = METHODS["pFedMMA"](random_clip(), ["a_b"], hyper={"phrase": "one_two"})
    tokenize = method.clip.text.tokenize
    assert method.prompts(["a_b"])[0][1:-1] == tokenize("one two a b.")


def test_a_miss_names_the_hyper_parameters_that_only_one_side_has(tmp_path, bench_parity):
    changed = (
        '{"mu": 0.7, "n_ctx": 16, "position": "end", "optim": {"lr": 0.001, "nesterov": true}, "warmup": 3}'
    )
    place = written(tmp_path, "prox.npz", lambda k, x: text(changed) if k == "hparams_json" else x)
    done = bench_parity(place)
    assert "stated in the file and unknown to Prox: warmup, nesterov" in done.out
    assert "not stated in the file, so Prox's own: momentum = 0.9, weight_decay = 0.0005" in done.out
