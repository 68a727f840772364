"""Files of other sizes than the methods' defaults: `bench parity` reads sizes off the file's tensors."""

import json

import numpy as np
import pytest
import torch

from fedbench.official import Official
from fedbench.parity.build import build
from fedbench.parity.golden import GoldenFile
from fedbench.parity.replay import local_epochs
from fedbench.parity.run import run
from fedbench.registry import METHODS
from tests.helpers.recorded import altered, folder, record_federation, save_clip, states
from tests.helpers.tinyclip import GOLDEN, golden_clip, random_clip
from tests.helpers.worlds import NAMES

SIZES = {
    # stem: (method, sizes under the authors' names, the other hyper-parameters)
    "promptfl": ("PromptFL", {"n_ctx": 3}, {"position": "end"}),
    "prox": ("Prox", {"n_ctx": 5}, {"mu": 2.0}),
    "fedpgp": ("FedPGP", {"n_ctx": 6, "bottleneck": 2}, {"mu": 0.7, "temp": 0.3}),
    "fedotp": ("FedOTP", {"n_ctx": 1}, {}),
    "maple": ("FedMaPLe", {"n_ctx": 3, "prompt_depth": 2}, {}),
    "pfedmma": ("pFedMMA", {"adapter_dim": 1}, {"adapter_start": 1, "adapter_end": 2, "adapter_scale": 0.5}),
    "pfedpt": ("pFedPT", {"n_ctx": 3, "pad": 2}, {"prompt_lr": 0.5, "local_epochs": 2}),
}


def recorded(path, stem, monkeypatch, *, stating, **settings):
    """A federation of other sizes, which `hparams_json` states or not."""
    registered, sizes, others = SIZES[stem]
    if METHODS[registered].official is None:
        names = {n: n for n in ("context", "up", "down", "left", "right")}  # trained in two phases
        ours = Official(files=(stem,), tensors=names, round_tolerance=2e-6)  # of numbers up to 4
        monkeypatch.setattr(METHODS[registered], "official", ours)
    ours = METHODS[registered].official.hyper
    hyper = {ours.get(k, k): v for k, v in (sizes | others).items() if k != "local_epochs"}
    clip = random_clip(quick=True, width=48, text_width=64, embed=40)
    save_clip(path, clip)
    record_federation(
        path,
        stem,
        clip,
        registered,
        hyper,
        stated=others | (sizes if stating else {}),
        local_epochs=others.get("local_epochs", 1),
        **settings,
    )


@pytest.mark.parametrize("stem", SIZES)
@pytest.mark.parametrize("stating", [True, False], ids=["stated", "unstated"])
def test_federations_of_other_sizes_recorded_by_the_plain_path_are_met(tmp_path, stem, stating, monkeypatch):
    recorded(tmp_path, stem, monkeypatch, stating=stating)
    (result,) = run(tmp_path)
    assert result.method == SIZES[stem][0]
    assert result.passed, result.reason or [c for c in result.checks if not c.passed]
    assert len(result.checks) >= 2 * (1 + 3)
    assert not result.overruled
    ours = METHODS[result.method].official.hyper
    sizes = {ours.get(size, size) for size in SIZES[stem][1]}
    assert sizes.isdisjoint(line.split(" = ")[0] for line in result.assumed), "the tensors tell them"


def test_clients_batches_and_rounds_may_be_of_any_number(tmp_path, monkeypatch):
    rng = torch.Generator().manual_seed(3)
    sizes = [[1], [5, 2, 3], [4], [2, 2]]
    batches = [
        [
            (torch.randn(n, 3, 32, 32, generator=rng), torch.randint(len(NAMES), (n,), generator=rng))
            for n in client
        ]
        for client in sizes
    ]
    counts = [1, 10, 4, 4]
    recorded(tmp_path, "fedpgp", monkeypatch, stating=False, counts=counts, batches=batches, rounds=3)
    (result,) = run(tmp_path)
    assert result.passed, result.reason or [c for c in result.checks if not c.passed]
    scored = {c.quantity for c in result.checks if "logits" in c.quantity}
    assert scored == {f"round{r}/client{k}/logits_eval" for r in range(3) for k in range(4)}


def test_a_single_step_file_need_not_state_its_sizes(tmp_path):
    folder(tmp_path, "fedpgp.npz", "maple.npz", "pfedmma_start1.npz")
    states(tmp_path / "fedpgp.npz", drop=["n_ctx", "bottleneck"])
    states(tmp_path / "maple.npz", drop=["n_ctx", "prompt_depth"])
    states(tmp_path / "pfedmma_start1.npz", drop=["adapter_dim", "adapter_start"])
    for result in run(tmp_path):
        assert result.passed, result.reason or [c for c in result.checks if not c.passed]
        assert len(result.checks) > 10


def test_tensors_count_more_than_a_stated_size_and_the_output_says_so(tmp_path, bench_parity):
    folder(tmp_path, "fedpgp.npz")
    states(tmp_path / "fedpgp.npz", n_ctx=4, bottleneck=9)
    done = bench_parity(tmp_path)
    assert done.code == 0
    said = done.line("  stated in the file against its tensors, which count: ")
    assert "n_ctx = 4, which is 16" in said
    assert "bottleneck = 9, which is 4" in said


def test_sizes_that_depend_on_one_another_are_not_guessed(tmp_path):
    """pFedMMA's first and last block give one number of blocks: its own stay, and the output may name them."""
    cls = METHODS["pFedMMA"]
    folder(tmp_path, "pfedmma.npz")
    states(tmp_path / "pfedmma.npz", adapter_start=1, adapter_end=2)  # and the tensors are of three blocks
    (result,) = run(tmp_path)
    assert result.failed
    assert result.reason == (
        "init/adapter_learner.text_adapter.{}.down.0.weight is (3, 8, 64), "
        "pFedMMA has (2, 8, 64) on this CLIP"
    )
    built = build(GoldenFile(GOLDEN / "pfedmma.npz"), cls, golden_clip(), cls.official.variants[""])
    assert "gradient_scaling" in built.assumed
    assert "rank" not in built.assumed


@pytest.mark.parametrize(
    ("file", "key", "change", "reason"),
    [
        (
            "fedpgp.npz",
            "init/prompt_learner.sigma",
            lambda x: x[:, :5],
            "init/prompt_learner.sigma is (1, 5, 64), FedPGP has (16, 64) on this CLIP",
        ),
        (
            "fedpgp.npz",
            "init/prompt_learner.U",
            lambda x: x.swapaxes(1, 2),
            "init/prompt_learner.U is (1, 4, 16), FedPGP has (16, 4) on this CLIP",
        ),
        (
            "fedotp.npz",
            "init/prompt_learner.ctx",
            lambda x: x[:1],
            "init/prompt_learner.ctx is (1, 16, 64), without a row 1",
        ),
        (
            "promptfl.npz",  # five tokens then, and what was recorded has sixteen
            "init/prompt_learner.ctx",
            lambda x: x[:5],
            "grad/prompt_learner.ctx is (16, 64), ours is (5, 64) (and 5 more)",
        ),
        (
            "clip_zeroshot.npz",
            "logits_eval",
            lambda x: x[:3],
            "logits_eval is (3, 7), ours is (6, 7)",
        ),
    ],
    ids=["rows", "turned", "lost-row", "start", "result"],
)  # fmt: skip
def test_tensors_of_a_wrong_size_fail_their_file(tmp_path, file, key, change, reason, bench_parity):
    folder(tmp_path, file, "clip_zeroshot.npz")
    altered(tmp_path / file, **{key.replace("/", "__"): change})
    done = bench_parity(tmp_path)
    assert done.code == 1
    if (
        key.endswith("learner.ctx") and file == "promptfl.npz"
    ):  # five tokens now; what was recorded has sixteen
        reason = "grad/prompt_learner.ctx is (16, 64), ours is (5, 64) (and 5 more)"
    assert done.line(f"{file}: FAILED") == f"{file}: FAILED: {reason}"
    assert "clip_zeroshot.npz (CLIP)" in done.out


def test_local_epochs_are_stated_or_told_by_the_losses(tmp_path):
    name = "federated/federated_promptfl.npz"
    path = folder(tmp_path, name) / "federated_promptfl.npz"
    method = METHODS["PromptFL"](golden_clip("federated"), NAMES)
    assert local_epochs(GoldenFile(path), method) == 1
    altered(path, round0__client0__loss_per_batch=lambda x: np.tile(x, 3))
    assert local_epochs(GoldenFile(path), method) == 1, "stated"
    states(path, drop=["local_epochs"])
    assert local_epochs(GoldenFile(path), method) == 3


def test_the_number_of_classes_is_the_files(tmp_path):
    folder(tmp_path, "clip_zeroshot.npz")
    path = tmp_path / "clip_zeroshot.npz"
    with np.load(path) as archive:
        arrays = {k: archive[k] for k in ("images", "classnames", "tokens", "text_features", "logits_eval")}
        arrays |= {"labels": np.zeros(6, np.int64), "hparams_json": archive["hparams_json"]}
    arrays |= {k: arrays[k][:2] for k in ("classnames", "tokens", "text_features")}
    arrays["logits_eval"] = arrays["logits_eval"][:, :2]
    np.savez(path, **arrays)
    (result,) = run(tmp_path)
    assert result.passed, result.reason or [c for c in result.checks if not c.passed]
    assert {c.quantity for c in result.checks} == {"tokens", "text_features", "logits_eval"}
    assert json.loads(str(arrays["hparams_json"]))["template"] == "a photo of a {}."
