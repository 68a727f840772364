"""pFedPT: against the plain path, its acceptance tests, its sizes and its quirks."""

import pytest
import torch

from fedbench.errors import FedbenchError
from fedbench.methods.pfedpt import BORDER
from tests.helpers.checks import (
    against_plain,
    distance,
    federation,
    gradients,
    logits,
    run,
    same,
    sizes,
    start,
)
from tests.helpers.tinyclip import golden_clip
from tests.helpers.worlds import NAMES, make_method


def pfedpt(clip=None, **hyper):
    return make_method("pFedPT", clip or golden_clip("federated"), hyper=hyper)


def part(tensors, names):
    return {name: x for name, x in tensors.items() if name in names}


# at the paper's rate of 20 two rounds amplify float32 noise a thousandfold: the plain path is compared at 1
@pytest.mark.parametrize("shared", ["ctx", "none", "visual"])
def test_two_rounds_equal_the_plain_path(clip, shared):
    tensors, scores = against_plain("pFedPT", clip, lr=1e-3, prompt_lr=1.0, shared=shared, local_epochs=1)
    assert tensors < 5e-6
    assert scores < 1e-4


def test_sizes_on_vit_b_16():
    assert sizes("pFedPT") == {"trainable": 43472, "shared": 8192, "personal": 35280}
    assert sizes("pFedPT", hyper={"shared": "none"}) == {"trainable": 35280, "shared": 0, "personal": 35280}
    assert sizes("pFedPT", hyper={"shared": "visual"})["shared"] == 110592
    assert sizes("pFedPT", hyper={"pad": 30})["personal"] == 69840
    assert sizes("pFedPT", quirks=["one-channel-prompt"])["personal"] == 35280 // 3


def test_the_prompt_is_zero_in_the_interior_and_free_on_the_border():
    method = pfedpt(pad=3)
    p = {name: x[None] for name, x in start(method).items()}
    border = method.border(p)
    assert border.shape == (1, 3, 32, 32)
    assert (border[..., 3:-3, 3:-3] == 0).all()
    assert (border != 0).sum() == 2 * 3 * 3 * (2 * 32 - 2 * 3) == sum(p[name].numel() for name in BORDER)
    assert border.std() > 0.3
    torch.testing.assert_close(border[0, :, :3], p["up"][0])
    torch.testing.assert_close(border[0, :, 3:-3, -3:], p["right"][0])


def test_the_width_is_a_sixteenth_of_the_side_unless_given():
    assert pfedpt().pad == 2
    assert pfedpt(pad=5).pad == 5


def test_each_phase_moves_its_own_tensors():
    method = pfedpt()
    assert method.phases(2) == [BORDER, BORDER, ("context",), ("context",)]
    first = start(method)
    fed = federation(method, start=first)
    taken = iter([s for s in fed.data.steps(0, [0, 1, 2]) if s.epoch == 0])
    fed.data.steps = lambda round_, clients: taken
    trained = fed.train([0, 1, 2], 0).tensors
    assert all(torch.equal(x, first["context"]) for x in trained["context"])
    assert all(not torch.equal(trained[name][0], first[name]) for name in BORDER)
    before = {name: x.clone() for name, x in fed.personal.items()}
    again = federation(method, start=first)
    later = iter([s for s in again.data.steps(0, [0, 1, 2]) if s.epoch == 1])
    again.data.steps = lambda round_, clients: later
    again.personal = {name: x.clone() for name, x in before.items()}
    trained = again.train([0, 1, 2], 0).tensors
    assert same(part(trained, BORDER), before)
    assert (trained["context"] != first["context"]).any(dim=(1, 2)).all()


def test_only_the_shared_part_is_sent():
    for shared, names in {"ctx": {"context"}, "none": set(), "visual": {"a", "b"}}.items():
        fed, rounds = run(pfedpt(shared=shared), rounds=1)
        assert set(fed.server) == set(rounds[0].uploads) == names
        assert set(fed.personal) == set(BORDER)


def test_a_prompt_of_zeros_that_does_not_move_is_promptfl_step_by_step():
    clip = golden_clip("federated")
    still = pfedpt(clip, start="zero", prompt_lr=0.0, prompt_epochs=0)
    fed, rounds = run(still)
    promptfl, expected = run(make_method("PromptFL", clip))
    assert same(fed.server, promptfl.server)
    assert all(torch.equal(a.losses["ce"], b.losses["ce"]) for a, b in zip(rounds, expected, strict=True))
    # with the first phase too: its steps move nothing, the second phase's are PromptFL's
    fed, rounds = run(pfedpt(clip, start="zero", prompt_lr=0.0))
    assert same(fed.server, promptfl.server)
    for a, b in zip(rounds, expected, strict=True):
        assert torch.equal(a.losses["ce"].unflatten(1, (2, -1))[:, 1], b.losses["ce"])
    assert all((x == 0).all() for x in fed.personal.values())


def test_the_prompts_momentum_stays_with_the_client_and_the_contexts_does_not():
    fed, _ = run(pfedpt(), rounds=1)
    assert set(fed.kept) == {f"{name}/momentum" for name in BORDER}
    velocity = {name: x.clone() for name, x in fed.kept.items()}
    assert all(len(x) == 3 and (x != 0).flatten(1).any(1).all() for x in velocity.values())
    forgetful = federation(pfedpt())
    forgetful.restore({k: x.clone() for k, x in fed.state().items() if not k.startswith("optimizer/")})
    fed.run_round(1)
    forgetful.run_round(1)
    assert distance(fed.personal, forgetful.personal) > 1e-3


def test_a_client_that_is_not_sampled_keeps_its_prompt():
    method = pfedpt()
    fed = federation(method, participation=0.67)
    before = {name: x.clone() for name, x in fed.personal.items()}
    (away,) = {0, 1, 2} - set(fed.run_round(0).participants)
    assert all(torch.equal(x[away], before[name][away]) for name, x in fed.personal.items())


def test_the_prompt_takes_no_weight_decay_and_its_own_rate():
    prompt, context = pfedpt().optimizer("up"), pfedpt(lr=1e-3).optimizer("context")
    assert (prompt.lr, prompt.momentum, prompt.weight_decay, prompt.state) == (20, 0.5, 0, "kept")
    assert (context.lr, context.momentum, context.weight_decay, context.state) == (1e-3, 0.9, 5e-4, "fresh")


def test_all_clients_start_from_one_draw():
    fed = federation(pfedpt())
    for x in fed.personal.values():
        assert torch.equal(x[0], x[1])
        assert x.std() == pytest.approx(1, abs=0.1)


def test_one_channel_is_added_to_all_colours():
    clip = golden_clip("federated")
    method = make_method("pFedPT", clip, quirks=["one-channel-prompt"])
    three = make_method("pFedPT", clip)
    one = {name: x[None] for name, x in start(method).items()}
    thrice = {n: x if n == "context" else x.expand(1, 3, *x.shape[2:]).clone() for n, x in one.items()}
    (loss, grads), (expected, each) = gradients(method, one), gradients(three, thrice)
    torch.testing.assert_close(loss["ce"], expected["ce"])
    torch.testing.assert_close(grads["up"], each["up"].sum(1, keepdim=True))
    assert (logits(run(method, 1)[0]) - logits(run(three, 1)[0])).abs().max() > 1e-3


def test_the_prompt_changes_what_a_client_sees():
    fed, _ = run(pfedpt(), rounds=1)
    assert (logits(fed, 0) - logits(fed, 1)).abs().max() > 1e-3
    assert logits(fed, 0, [*NAMES, "never seen"]).shape[-1] == len(NAMES) + 1


def test_impossible_hyper_parameters():
    with pytest.raises(FedbenchError, match="below the side"):
        pfedpt(pad=16)
    with pytest.raises(FedbenchError, match="nothing to train"):
        pfedpt(shared="none", prompt_epochs=0)
