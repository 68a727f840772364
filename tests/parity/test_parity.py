"""`bench parity` on the recorded numbers, and on wrong ones."""

import json

import numpy as np
import pytest

from fedbench.parity.build import build
from fedbench.parity.golden import GoldenFile
from fedbench.parity.run import run
from fedbench.registry import METHODS
from tests.helpers.recorded import altered, folder, states
from tests.helpers.tinyclip import GOLDEN, random_clip

FIVE = {
    "clip_zeroshot.npz": ("CLIP", 8),
    "promptfl.npz": ("PromptFL", 17),
    "prox.npz": ("Prox", 24),
    "fedpgp.npz": ("FedPGP", 32),
    "federated/federated_promptfl.npz": ("PromptFL", 22),
}


@pytest.fixture(scope="module")
def results():
    return run(GOLDEN)


@pytest.mark.parametrize("file", FIVE)
def test_recorded_numbers_are_met(results, file):
    method, quantities = FIVE[file]
    (result,) = [o for o in results if o.file == file]
    assert result.method == method
    assert result.passed, [c for c in result.checks if not c.passed]
    assert len(result.checks) >= quantities, "quantities were silently left out"


def test_every_file_is_met_or_says_why_not(results):
    assert all(o.passed for o in results), [
        (o.file, o.reason, [c for c in o.checks if not c.passed]) for o in results
    ]
    assert all(o.checks or o.reason for o in results)


def test_averages_are_checked_through_the_methods_server_step(results):
    (result,) = [o for o in results if o.file == "aggregation.npz" and o.method == "PromptFL"]
    assert {c.quantity for c in result.checks} >= {
        "all/average/sigma",
        "subset/average/glo_adapter.layer.0.weight",
    }


@pytest.mark.parametrize(
    "key", ["grad__prompt_learner.ctx", "logits_eval", "step3__prompt_learner.ctx", "tokens", "loss"]
)
def test_a_wrong_number_is_missed_by_name_and_exit_code(tmp_path, key, bench_parity):
    folder(tmp_path, "promptfl.npz")
    altered(tmp_path / "promptfl.npz", **{key: lambda x: x + (1 if x.dtype.kind == "i" else 3e-3)})
    done = bench_parity(tmp_path)
    assert done.code == 1
    missed = [line for line in done.out.splitlines() if "MISSED" in line]
    assert [line.split()[0] for line in missed] == [key.split("__")[0]]


def test_json_holds_every_quantity(tmp_path, bench_parity):
    done = bench_parity(folder(tmp_path, "promptfl.npz"), "--json")
    (result,) = json.loads(done.out)
    assert result["passed"] is True
    assert {"quantity", "deviation", "tolerance", "passed"} == set(result["checks"][0])


def test_sizes_are_read_off_the_tensors_where_there_is_no_config(tmp_path):
    (result,) = run(folder(tmp_path, "promptfl.npz", drop=["config.json"]))
    assert result.passed
    assert result.checks


def test_hyperparameters_come_from_the_file():
    file = GoldenFile(GOLDEN / "fedpgp.npz")
    cls = METHODS["FedPGP"]
    method = build(file, cls, random_clip(), cls.official.variants[""]).method
    assert (method.hyper.bottleneck, method.hyper.mu, method.hyper.temperature) == (4, 1.0, 0.5)
    assert method.quirk("placeholder-anchor")


def test_no_starting_words_are_none_and_not_the_methods_own(tmp_path):
    folder(tmp_path, "maple.npz")
    states(tmp_path / "maple.npz", ctx_init=None)
    cls = METHODS["FedMaPLe"]
    built = build(GoldenFile(tmp_path / "maple.npz"), cls, random_clip(), cls.official.variants[""])
    assert built.method.phrase == ""


@pytest.mark.parametrize("position", ["middle", "front"])
def test_tokens_stand_as_the_authors_tokenise_them_wherever_the_name_stands(tmp_path, position):
    folder(tmp_path, "promptfl.npz")
    with np.load(tmp_path / "promptfl.npz") as archive:
        kept = {k: archive[k] for k in ("images", "labels", "classnames", "tokens")}
        kept |= {k: archive[k] for k in archive.files if k.startswith("init/")}
        kept["logits_eval"] = archive[f"position_{position}/logits_eval"]
        stated = json.loads(str(archive["hparams_json"])) | {"position": position}
    np.savez(tmp_path / "promptfl.npz", **kept, hparams_json=np.array(json.dumps(stated)))
    (result,) = run(tmp_path)
    assert result.passed, [c for c in result.checks if not c.passed]
    assert {c.quantity for c in result.checks} == {"tokens", "logits_eval"}


def test_a_term_is_compared_before_a_weight_of_zero(tmp_path):
    folder(tmp_path, "fedpgp.npz")
    states(tmp_path / "fedpgp.npz", mu=0)
    (result,) = run(tmp_path)
    assert next(c for c in result.checks if c.quantity == "loss_contrastive").passed
