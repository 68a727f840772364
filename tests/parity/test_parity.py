"""`bench parity` on the recorded numbers, on numbers of other sizes, and on wrong ones."""

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fedbench.commands.parity import parity
from fedbench.errors import FedbenchError
from fedbench.method import Method
from fedbench.official import Official
from fedbench.parity.golden import GoldenFile, official_name
from fedbench.parity.run import run
from fedbench.reference import PlainCLIP, run_plain
from fedbench.registry import METHODS
from tests.helpers.tinyclip import GOLDEN, random_clip
from tests.helpers.worlds import COUNTS, NAMES, make_method, pixel_batches, start_of

FIVE = {
    "clip_zeroshot.npz": ("CLIP", 8),
    "promptfl.npz": ("PromptFL", 17),
    "prox.npz": ("Prox", 24),
    "fedpgp.npz": ("FedPGP", 32),
    "federated/federated_promptfl.npz": ("PromptFL", 22),
}


@pytest.fixture(scope="module")
def outcomes():
    return run(GOLDEN)


@pytest.mark.parametrize("file", FIVE)
def test_recorded_numbers_are_met(outcomes, file):
    method, quantities = FIVE[file]
    (outcome,) = [o for o in outcomes if o.file == file]
    assert outcome.method == method
    assert outcome.passed, [c for c in outcome.checks if not c.passed]
    assert len(outcome.checks) >= quantities, "quantities were silently left out"


def test_every_file_is_met_or_says_why_not(outcomes):
    assert all(o.passed for o in outcomes), [
        (o.file, o.reason, [c for c in o.checks if not c.passed]) for o in outcomes
    ]
    assert all(o.checks or o.reason for o in outcomes)


def test_averages_are_checked_through_the_methods_server_step(outcomes):
    (outcome,) = [o for o in outcomes if o.file == "aggregation.npz" and o.method == "PromptFL"]
    assert {c.quantity for c in outcome.checks} >= {
        "all/average/sigma",
        "subset/average/glo_adapter.layer.0.weight",
    }


def folder(tmp_path, *files, drop=()):
    for name in ("tiny_clip.npz", "config.json", *files):
        if name not in drop:
            shutil.copy(GOLDEN / name, tmp_path / name)
    return tmp_path


def altered(path, **changes):
    with np.load(path) as archive:
        arrays = dict(archive)
    for key, change in changes.items():
        arrays[key.replace("__", "/")] = change(arrays[key.replace("__", "/")])
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "key", ["grad__prompt_learner.ctx", "logits_eval", "step3__prompt_learner.ctx", "tokens", "loss"]
)
def test_a_wrong_number_is_missed_by_name_and_exit_code(tmp_path, key):
    folder(tmp_path, "promptfl.npz")
    altered(tmp_path / "promptfl.npz", **{key: lambda x: x + (1 if x.dtype.kind == "i" else 3e-3)})
    done = CliRunner().invoke(parity, [str(tmp_path)])
    assert done.exit_code == 1
    missed = [line for line in done.output.splitlines() if "MISSED" in line]
    assert [line.split()[0] for line in missed] == [key.split("__")[0]]


def test_a_nan_is_missed(tmp_path):
    folder(tmp_path, "promptfl.npz")
    altered(tmp_path / "promptfl.npz", logits_eval=lambda x: x * np.nan)
    assert CliRunner().invoke(parity, [str(tmp_path)]).exit_code == 1


def test_json_holds_every_quantity(tmp_path):
    done = CliRunner().invoke(parity, [str(folder(tmp_path, "promptfl.npz")), "--json"])
    (outcome,) = json.loads(done.output)
    assert outcome["passed"] is True
    assert {"quantity", "deviation", "tolerance", "passed"} == set(outcome["checks"][0])


def test_sizes_are_read_off_the_tensors_where_there_is_no_config(tmp_path):
    (outcome,) = run(folder(tmp_path, "promptfl.npz", drop=["config.json"]))
    assert outcome.passed
    assert outcome.checks


def test_files_of_unknown_methods_are_listed(tmp_path):
    folder(tmp_path)
    shutil.copy(GOLDEN / "promptfl.npz", tmp_path / "somebody_elses.npz")
    done = CliRunner().invoke(parity, [str(tmp_path)])
    assert done.exit_code == 0
    assert "somebody_elses.npz: not compared: no registered method claims it" in done.output


def test_a_file_that_does_not_fit_its_method_fails_with_the_reason(tmp_path):
    folder(tmp_path, "fedpgp.npz")
    altered(tmp_path / "fedpgp.npz", **{"init__prompt_learner.sigma": lambda x: x[:, :5]})
    (outcome,) = run(tmp_path)
    assert not outcome.passed
    assert "init/prompt_learner.sigma" in outcome.reason


def test_a_file_without_a_start_fails_with_the_reason(tmp_path):
    folder(tmp_path, "fedpgp.npz")
    with np.load(tmp_path / "fedpgp.npz") as archive:
        arrays = {key: archive[key] for key in archive.files if key != "init/prompt_learner.U"}
    np.savez(tmp_path / "fedpgp.npz", **arrays)
    (outcome,) = run(tmp_path)
    assert not outcome.passed
    assert outcome.reason == "fedpgp.npz: no init/prompt_learner.U"


def test_an_empty_folder_is_refused_and_a_damaged_file_fails(tmp_path):
    with pytest.raises(FedbenchError, match="holds no golden files"):
        run(tmp_path)
    folder(tmp_path, "promptfl.npz")
    (tmp_path / "promptfl.npz").write_bytes(b"PK nonsense")
    (outcome,) = run(tmp_path)
    assert outcome.failed
    assert "promptfl.npz cannot be read" in outcome.reason


def save_clip(path, clip):
    state = {k: v.numpy() for k, v in clip.model.state_dict().items()}
    np.savez(path / "tiny_clip.npz", **state)
    vision, text = clip.model.visual, clip.model
    config = {
        "embed_dim": clip.embed_dim,
        "quick_gelu": True,
        "vision_cfg": {
            "layers": len(vision.transformer.resblocks), "width": clip.image.width, "head_width": 16,
            "patch_size": 16, "image_size": 32,
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": clip.text.width, "heads": 2,
            "layers": len(text.transformer.resblocks),
        },
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(config))


def record_federation(path, name: str, method: Method, plain: Method, hyper):
    """A recorded federation made by the plain path, in the format of the golden folder."""
    cls = type(method)
    start, batches = start_of(method), pixel_batches()
    arrays = {"classnames": np.array(NAMES), "counts": np.array(COUNTS)}
    for k, client in enumerate(batches):
        for b, (pixels, labels) in enumerate(client):
            arrays |= {
                f"client{k}/batch{b}/images": pixels.numpy(),
                f"client{k}/batch{b}/labels": labels.numpy(),
            }
    held_out = batches[0][0]
    arrays |= {"eval/images": held_out[0].numpy(), "eval/labels": held_out[1].numpy()}
    arrays["hparams_json"] = np.array(json.dumps(hyper | {"method": name}))
    features = plain.clip.image_input(held_out[0], plain.image_input)[None]
    for tensor, x in start.items():
        if x.numel():  # a stack of none has no numbered tensors
            arrays["init/" + _theirs(cls, tensor)] = x.numpy()
    for r, (server, personal) in enumerate(
        run_plain(plain, start, batches, COUNTS, rounds=2, local_epochs=hyper.get("local_epochs", 1))
    ):
        for tensor, x in ((n, x) for n, x in server.items() if x.numel()):
            arrays[f"round{r}/server/" + _theirs(cls, tensor)] = x.numpy()
        for k, own in enumerate(personal):
            for tensor, x in own.items():
                arrays[f"round{r}/client{k}/" + _theirs(cls, tensor)] = x.numpy()
            with torch.no_grad():
                model = {n: x[None] for n, x in (server | own).items()}
                arrays[f"round{r}/client{k}/logits_eval"] = plain.logits(model, features, NAMES)[0].numpy()
    np.savez(path / f"federated_{name}.npz", **arrays)


def _theirs(cls, tensor):
    theirs, row = official_name(cls, tensor)
    return theirs if row is None else f"{theirs}[{row}]"


OTHER_SIZES = {
    "promptfl": ("PromptFL", {"n_ctx": 3, "position": "end"}),
    "prox": ("Prox", {"n_ctx": 5, "mu": 2.0}),
    "fedpgp": ("FedPGP", {"n_ctx": 6, "bottleneck": 2, "mu": 0.7, "temp": 0.3}),
    "maple": ("FedMaPLe", {"n_ctx": 3, "prompt_depth": 1}),
    "pfedpt": ("pFedPT", {"n_ctx": 3, "pad": 2, "prompt_lr": 0.5, "local_epochs": 2}),
}


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_federations_of_other_sizes_recorded_by_the_plain_path_are_met(tmp_path, name, monkeypatch):
    registered, stated = OTHER_SIZES[name]
    if METHODS[registered].official is None:
        tensors = {n: n for n in ("context", "up", "down", "left", "right")}  # trained in two phases
        ours = Official(files=(name,), tensors=tensors, round_tolerance=2e-6)  # of numbers up to 4
        monkeypatch.setattr(METHODS[registered], "official", ours)
    clip = random_clip(quick=True, width=48, text_width=64, embed=40)
    save_clip(tmp_path, clip)
    cls = METHODS[registered]
    variant = cls.official.variants[""]
    hyper = {cls.official.hyper.get(k, k): v for k, v in stated.items() if k != "local_epochs"} | {"lr": 1e-3}
    method, plain = (
        make_method(registered, c, hyper=hyper, quirks=variant.quirks) for c in (clip, PlainCLIP(clip))
    )
    record_federation(
        tmp_path, name, method, plain, stated | {"optim": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}}
    )
    (outcome,) = run(tmp_path)
    assert outcome.method == registered
    assert outcome.passed, outcome.reason or [c for c in outcome.checks if not c.passed]
    assert len(outcome.checks) >= 2 * (1 + 3)


def test_hyperparameters_come_from_the_file():
    file = GoldenFile(GOLDEN / "fedpgp.npz")
    cls = METHODS["FedPGP"]
    method = file.build(cls, random_clip(), cls.official.variants[""])
    assert (method.hyper.bottleneck, method.hyper.mu, method.hyper.temperature) == (4, 1.0, 0.5)
    assert method.quirk("placeholder-anchor")


def test_no_starting_words_are_none_and_not_the_methods_own(tmp_path):
    folder(tmp_path, "maple.npz")
    altered(
        tmp_path / "maple.npz",
        hparams_json=lambda x: np.array(json.dumps(json.loads(str(x)) | {"ctx_init": None})),
    )
    cls = METHODS["FedMaPLe"]
    method = GoldenFile(tmp_path / "maple.npz").build(cls, random_clip(), cls.official.variants[""])
    assert method.phrase == ""


@pytest.mark.parametrize("position", ["middle", "front"])
def test_tokens_stand_as_the_authors_tokenise_them_wherever_the_name_stands(tmp_path, position):
    folder(tmp_path, "promptfl.npz")
    with np.load(tmp_path / "promptfl.npz") as archive:
        kept = {k: archive[k] for k in ("images", "labels", "classnames", "tokens")}
        kept |= {k: archive[k] for k in archive.files if k.startswith("init/")}
        kept["logits_eval"] = archive[f"position_{position}/logits_eval"]
        stated = json.loads(str(archive["hparams_json"])) | {"position": position}
    np.savez(tmp_path / "promptfl.npz", **kept, hparams_json=np.array(json.dumps(stated)))
    (outcome,) = run(tmp_path)
    assert outcome.passed, [c for c in outcome.checks if not c.passed]
    assert {c.quantity for c in outcome.checks} == {"tokens", "logits_eval"}


def test_a_term_is_compared_before_a_weight_of_zero(tmp_path):
    folder(tmp_path, "fedpgp.npz")
    altered(
        tmp_path / "fedpgp.npz",
        hparams_json=lambda x: np.array(json.dumps(json.loads(str(x)) | {"mu": 0})),
    )
    (outcome,) = run(tmp_path)
    assert next(c for c in outcome.checks if c.quantity == "loss_contrastive").passed
