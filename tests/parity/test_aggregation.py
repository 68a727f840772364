"""`aggregation.npz` of any size: averages worked out here in float64, by the words of the formats' description."""

import numpy as np
import pytest

from fedbench.parity.run import run
from tests.helpers.recorded import altered, folder, rewritten

COUNTS = np.array([5, 1, 9])
USERS = {"all": [0, 1, 2], "pair": [2, 0]}


def write(path, *, n_ctx, width, temperature):
    """Uploads of three clients and what servers make of them; no size is that of a method or of the CLIP."""
    rng = np.random.default_rng(5)
    uploads = rng.normal(size=(3, 1, n_ctx, width)).astype(np.float32)
    previous = rng.normal(size=(1, n_ctx, width)).astype(np.float32)
    arrays = {"counts": COUNTS, "prev_global/sigma": previous}
    arrays |= {f"in/client{k}/sigma": x for k, x in enumerate(uploads)}
    for tag, users in USERS.items():
        flat, old = uploads[users].reshape(len(users), -1).astype(float), previous.ravel().astype(float)
        cosines = flat @ old / np.linalg.norm(flat, axis=1) / np.linalg.norm(old)
        near = COUNTS[users] * np.exp(cosines / temperature)
        arrays |= {
            f"{tag}/users": np.array(users),
            f"{tag}/average/sigma": np.average(uploads[users], axis=0, weights=COUNTS[users]),
            f"{tag}/similarity_t{temperature}/sigma": np.average(uploads[users], axis=0, weights=near),
            f"{tag}/similarity_t{temperature}_weights/sigma": near / near.sum(),
            f"{tag}/cos_to_prev/sigma": cosines,
        }
    pairs = rng.normal(size=(3, 2, n_ctx, width)).astype(np.float32)
    mean = np.average(pairs[:, 0], axis=0, weights=COUNTS)
    for k, x in enumerate(pairs):
        arrays[f"fedotp/in/client{k}/prompt_learner.ctx"] = x
        arrays[f"fedotp/out/client{k}/prompt_learner.ctx"] = np.stack([mean, x[1]])
    np.savez(path, **arrays)


@pytest.fixture
def place(tmp_path):
    """A golden folder with a zero-shot file and an aggregation file of four tokens, 24 wide, of three clients."""
    folder(tmp_path, "clip_zeroshot.npz")
    write(tmp_path / "aggregation.npz", n_ctx=4, width=24, temperature=0.5)
    return tmp_path


def test_a_shrunk_file_is_met_in_every_part(place, bench_parity):
    done = bench_parity(place)
    assert done.code == 0, done.out
    assert done.err == ""
    found = [result for result in run(place) if result.file == "aggregation.npz"]
    assert {c.quantity for result in found for c in result.checks} == {
        *(f"{tag}/{rule}/sigma" for tag in USERS for rule in (
            "average", "similarity_t0.5", "similarity_t0.5_weights", "cos_to_prev")),
        *(f"fedotp/out/client{k}/prompt_learner.ctx" for k in range(3)),
    }  # fmt: skip
    assert {result.method for result in found} == {"PromptFL", "FedTV", "FedOTP"}


@pytest.mark.parametrize("n_ctx", [1, 33])
def test_a_file_may_be_small_or_large_and_called_after_what_it_is(tmp_path, n_ctx):
    folder(tmp_path)
    write(tmp_path / "aggregation_other.npz", n_ctx=n_ctx, width=7, temperature=2.5)
    found = run(tmp_path)
    assert all(result.passed for result in found), [result.reason for result in found]
    assert sum(len(result.checks) for result in found) == 2 * 4 + 3


@pytest.mark.parametrize(
    ("key", "method"),
    [
        ("all/average/sigma", "PromptFL"),
        ("pair/similarity_t0.5/sigma", "FedTV"),
        ("fedotp/out/client2/prompt_learner.ctx", "FedOTP"),
    ],
)
def test_a_wrong_average_is_missed(place, key, method):
    altered(place / "aggregation.npz", **{key.replace("/", "__"): lambda x: x + 1e-3})
    missed = {(result.method, c.quantity) for result in run(place) for c in result.checks if not c.passed}
    assert missed == {(method, key)}


@pytest.mark.parametrize(
    ("key", "value", "failing", "reason"),
    [
        ("in/client1/sigma", None, {"PromptFL", "FedTV"}, "no in/client1/sigma"),
        ("prev_global/sigma", None, {"PromptFL", "FedTV"}, "no prev_global/sigma"),
        ("pair/users", None, {"PromptFL", "FedTV"}, "no pair/users"),
        ("counts", None, {"PromptFL", "FedTV", "FedOTP"}, "no counts"),
        ("pair/users", np.array([2, 7]), {"PromptFL", "FedTV"}, "pair/users is [2, 7], and counts is of 3"),
        ("in/client2/sigma", np.zeros((1, 5, 24)), {"PromptFL", "FedTV"}, "in/client2/sigma is (1, 5, 24), prev"),
        ("counts", COUNTS[:2], {"PromptFL", "FedTV", "FedOTP"}, "counts is of 2 clients"),
        ("fedotp/in/client0/prompt_learner.ctx", None, {"FedOTP"}, "no fedotp/in/client0/prompt_learner.ctx"),
        ("fedotp/out/client1/prompt_learner.ctx", None, {"FedOTP"}, "no fedotp/out/client1/"),
        ("fedotp/in/client1/prompt_learner.ctx", np.zeros((2, 4, 9)), {"FedOTP"}, "clients differ in the size of"),
        ("fedotp/in/client1/prompt_learner.ctx", np.zeros((1, 4, 24)), {"FedOTP"}, "without a row 1"),
        ("all/average/sigma", np.zeros((1, 5, 24)), {"PromptFL"}, "all/average/sigma is (1, 5, 24), ours is"),
        ("in/client0/sigma", np.array("words"), {"PromptFL", "FedTV"}, "in/client0/sigma holds no numbers"),
    ],
)  # fmt: skip
def test_what_does_not_fit_fails_and_the_rest_is_compared(place, key, value, failing, reason, bench_parity):
    rewritten(place / "aggregation.npz", lambda k, x: value if k == key else x)
    done = bench_parity(place)
    assert done.code == 1
    failed = [line for line in done.out.splitlines() if line.startswith("aggregation.npz: FAILED: ")]
    assert any(reason in line for line in failed)
    assert len(failed) == len(set(failed)) == len(failing)
    found = run(place)
    assert {result.method for result in found if result.failed} == failing
    sound = {result.method for result in found if result.checks and not result.failed}
    assert sound == {"CLIP", "PromptFL", "FedTV", "FedOTP"} - failing


def test_a_rule_that_no_method_follows_is_named_and_does_not_count(place, bench_parity):
    path = place / "aggregation.npz"
    with np.load(path) as archive:
        arrays = dict(archive) | {"all/median/sigma": np.zeros((1, 4, 24))}
    np.savez(path, **arrays)
    done = bench_parity(place)
    assert done.code == 0
    assert done.line("aggregation.npz: not compared").endswith(
        "no registered method gives a number for a part of it"
    )
    assert done.line("  not compared") == "  not compared: all/median/sigma"


def test_nothing_but_inputs_fails(place, bench_parity):
    rewritten(place / "aggregation.npz", lambda key, x: x if key.startswith("in/") else None)
    done = bench_parity(place)
    assert done.code == 1
    assert done.line("aggregation.npz").endswith("FAILED: it holds no quantity that can be compared")
