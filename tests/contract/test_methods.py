"""What every registered method must keep, whoever wrote it; a new file in `methods/` is tested unasked."""

import dataclasses
from functools import cache
from itertools import pairwise
from typing import Any

import open_clip
import pytest
import torch

from fedbench.clip.load import from_state_dict
from fedbench.clip.model import hash_model
from fedbench.engine.federation import Federation, RoundResult
from fedbench.engine.local import Step, losses_and_gradients
from fedbench.errors import FedbenchError
from fedbench.method import Batch, Method, Tensors
from fedbench.registry import METHODS
from fedbench.seeds import torch_stream
from fedbench.store.journal import Journal
from tests.helpers.checks import same, vit_b_16
from tests.helpers.tinyclip import golden_clip, random_clip
from tests.helpers.worlds import COUNTS, NAMES, FixedData, make_method, pixel_batches

ALL = list(METHODS)
TRAINED = [name for name in ALL if METHODS[name](golden_clip(), NAMES).trains]
QUIRKS = [(name, quirk) for name in ALL for quirk in METHODS[name].quirks]  # type: ignore[attr-defined]
OF_THE_DRIVER = ("drop-client-5", "full-participation")
"""They need a sixth client, and a participation below one."""

NOVEL = ["violet moon", "star", "a bird that nobody has seen before"]

SHARED_ON_VIT_B_16 = {
    "CLIP": 0,
    "CoOp": 0,
    "PromptFL": 8192,
    "Prox": 8192,
    "FedPGP": 8192,
    "FedOTP": 8192,
    "pFedMMA": 8448,
    "FedTV": 532480,
    "FedMaPLe": 3555072,
    "FedCoCoOp": 41504,
    "pFedPT": 8192,
    "pLoRA": 92160,
}
"""Numbers that a client sends in a round, from the specifications."""


def federation(method: Method, *, sixes: bool = False, **settings: Any) -> Federation:
    """Three clients with three, three and two batches; `sixes`: twice that, and half of them take part."""
    data, counts = FixedData(method), list(COUNTS)
    if sixes:
        data.batches, counts = data.batches * 2, counts * 2
        settings["participation"] = 0.5
    return Federation(method, data, counts=counts, seed=1, **settings)


def rng() -> torch.Generator:
    return torch_stream(1, "init")


def copied(tensors: Tensors) -> Tensors:
    return {name: x.clone() for name, x in tensors.items()}


def scores(fed: Federation, names: list[str] = NAMES) -> torch.Tensor:
    """What all clients' models say about some images. (clients, images, classes)"""
    images = fed.method.clip.image_input(pixel_batches()[2][1][0], fed.method.image_input)
    everyone = range(len(fed.counts))
    with torch.no_grad():
        return fed.method.logits(fed.model(everyone), images.expand(len(everyone), *images.shape), names)


@dataclasses.dataclass
class History:
    """Two rounds of a federation: its start, its rounds, and state and scores after each."""

    fed: Federation
    start: Tensors
    rounds: list[RoundResult]
    states: list[Tensors]
    scores: list[torch.Tensor]


@cache
def history(name: str, *quirks: str, sixes: bool = False) -> History:
    fed = federation(make_method(name, golden_clip(), quirks=quirks), sixes=sixes)
    known = History(fed, copied(fed.model([0, 1, 2])), [], [], [])
    for r in range(2):
        known.rounds.append(fed.run_round(r))
        known.scores.append(scores(fed))
        known.states.append(copied(fed.state()))
    return known


@pytest.fixture(scope="session", autouse=True)
def frozen():
    """No method may touch the backbone, here or in any later test of this file."""
    clip = golden_clip()
    before = hash_model(clip.model)
    yield
    assert hash_model(clip.model) == before
    assert all(x.grad is None and not x.requires_grad for x in clip.model.parameters())


# -- training ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINED)
def test_it_trains(name):
    known = history(name)
    method, after = known.fed.method, known.fed.model([0, 1, 2])
    assert after.keys() == known.start.keys() == method.init(rng()).keys()
    for names in method.phases(1):
        for tensor in names:
            moved = (after[tensor] != known.start[tensor]).flatten(1).any(1)
            assert moved.all(), f"{tensor} is trained and did not move"
    for round_ in known.rounds:
        for term, values in round_.losses.items():
            assert torch.isfinite(values).all(), term
            assert values.shape == round_.active.shape
    assert all(torch.isfinite(x).all() for x in known.scores)
    assert not torch.equal(*known.scores)


@pytest.mark.parametrize("name", TRAINED)
def test_only_what_is_declared_moves_in_each_phase(name):
    method = make_method(name, golden_clip())
    fed = federation(method)
    steps = list(fed.data.steps(0, [0, 1, 2]))
    start = copied(fed.model([0, 1, 2]))
    for epoch, names in enumerate(method.phases(1)):
        fed = federation(method)
        chosen = [step for step in steps if step.epoch == epoch]
        fed.data.steps = lambda round_, clients, chosen=chosen: chosen  # type: ignore[method-assign]
        after = fed.train([0, 1, 2], 0).tensors
        still = {tensor for tensor, x in after.items() if torch.equal(x, start[tensor])}
        assert still >= after.keys() - set(names)
        assert {x.shape for x in after.values()} == {x.shape for x in start.values()}


@pytest.mark.parametrize("name", TRAINED)
def test_images_that_are_only_fillers_do_not_count(name):
    method = make_method(name, golden_clip())
    p = {tensor: x[None].clone() for tensor, x in method.init(rng()).items()}
    (step, *_) = FixedData(method).steps(0, [0])
    filler = torch.full_like(step.images[:, :2], 0.5)
    longer = Step(
        torch.cat([step.images, filler], dim=1),
        torch.cat([step.labels, torch.zeros(1, 2, dtype=torch.long)], dim=1),
        torch.cat([step.valid, torch.zeros(1, 2, dtype=torch.bool)], dim=1),
        step.active,
    )
    received = {tensor: p[tensor].detach() for tensor in method.shared}
    losses, gradients = losses_and_gradients(method, p, step, received=received)
    padded, same_gradients = losses_and_gradients(method, p, longer, received=received)
    for term, value in losses.items():
        torch.testing.assert_close(padded[term], value, atol=1e-5, rtol=1e-5)
    for tensor, value in gradients.items():
        torch.testing.assert_close(same_gradients[tensor], value, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("name", TRAINED)
def test_clients_that_stay_away_keep_what_is_theirs(name):
    fed = federation(make_method(name, golden_clip()), participation=0.67)
    before = copied(fed.personal)
    participants = fed.run_round(0).participants
    (away,) = {0, 1, 2} - set(participants)
    for tensor, x in fed.personal.items():
        assert torch.equal(x[away], before[tensor][away])
        assert not torch.equal(x[participants[0]], before[tensor][participants[0]])


# -- what leaves a client ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINED)
def test_only_the_shared_tensors_leave_a_client_and_the_payload_counts_them(name):
    known, method = history(name), history(name).fed.method
    sizes = method.payload
    for round_ in known.rounds:
        assert set(round_.uploads) == set(method.shared)
        assert sum(x[0].numel() for x in round_.uploads.values()) == sizes["shared"]
    assert set(known.fed.server) == set(method.shared)
    assert set(known.fed.personal) == known.start.keys() - set(method.shared)
    assert sum(x.numel() for x in known.fed.server.values()) == sizes["shared"]
    assert sum(x[0].numel() for x in known.fed.personal.values()) == sizes["personal"]
    assert sizes["trainable"] == sizes["shared"] + sizes["personal"]


@pytest.mark.parametrize("name", TRAINED)
def test_the_server_learns_from_uploads_alone(name):
    """Aggregation sees shared tensors, counts and its own past; equal uploads are their own average."""
    method = make_method(name, golden_clip())
    start = {tensor: x for tensor, x in method.init(rng()).items() if tensor in method.shared}
    uploads = {tensor: x.expand(3, *x.shape) + 0.1 for tensor, x in start.items()}
    for round_ in (0, 1):
        server = method.aggregate(uploads, torch.tensor(COUNTS), start, round_=round_) if uploads else {}
        assert server.keys() == start.keys()
        for tensor, x in server.items():
            torch.testing.assert_close(x, uploads[tensor][0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in ALL if name in SHARED_ON_VIT_B_16])
def test_payload_on_vit_b_16_is_the_specifications(name):
    assert METHODS[name](vit_b_16(), NAMES).payload["shared"] == SHARED_ON_VIT_B_16[name]


# -- reproducibility -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clients_at_once", [1, 2])
@pytest.mark.parametrize("name", TRAINED)
def test_the_bits_do_not_depend_on_how_many_clients_train_at_once(name, clients_at_once):
    known = history(name)
    fed = federation(make_method(name, golden_clip()), clients_at_once=clients_at_once)
    round_ = fed.run_round(0)
    assert same(fed.state(), known.states[0])
    assert same(round_.uploads, known.rounds[0].uploads)
    for client in range(3):  # where a client waits for its neighbours, the tables differ
        taken, expected = round_.active[client], known.rounds[0].active[client]
        for term, values in round_.losses.items():
            assert torch.equal(values[client][taken], known.rounds[0].losses[term][client][expected])


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_bits_on_unequal_towers_too(name):
    clip = random_clip()
    results = []
    for clients_at_once in (3, 1):
        fed = federation(make_method(name, clip), clients_at_once=clients_at_once)
        fed.run_round(0)
        results.append(copied(fed.state()))
    assert same(*results)


@pytest.mark.parametrize(("name", "quirk"), [(name, "") for name in TRAINED] + QUIRKS)
def test_a_saved_federation_goes_on_with_the_same_bits(name, quirk, tmp_path):
    quirks, sixes = (quirk,) if quirk else (), quirk in OF_THE_DRIVER
    known = history(name, *quirks, sixes=sixes)
    journal = Journal(tmp_path, identity=name)
    journal.append({"round": 0})
    journal.checkpoint(0, known.states[0])
    _, state = journal.resume()
    fed = federation(make_method(name, golden_clip(), quirks=quirks), sixes=sixes)
    fed.restore(state)
    fed.run_round(1)
    assert same(copied(fed.state()), known.states[1])
    assert torch.equal(scores(fed), known.scores[1])


# -- evaluation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_novel_classes_need_no_new_tensors(name):
    fed = history(name).fed if name in TRAINED else federation(make_method(name, golden_clip()))
    novel = scores(fed, NOVEL)
    assert novel.shape == (3, 4, len(NOVEL))
    assert torch.isfinite(novel).all()
    # a class's score does not depend on the others of its label space
    torch.testing.assert_close(scores(fed, NOVEL[1:])[..., 0], novel[..., 1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores(fed, NAMES)[..., 0], novel[..., 1], atol=1e-4, rtol=1e-4)
    shapes = [
        {tensor: x.shape for tensor, x in METHODS[name](golden_clip(), names).init(rng()).items()}
        for names in (NAMES, NOVEL)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", ALL)
def test_an_images_scores_do_not_depend_on_the_other_images(name):
    fed = history(name).fed if name in TRAINED else federation(make_method(name, golden_clip()))
    pixels = pixel_batches()[2][1][0]
    p = fed.model([1])
    with torch.no_grad():
        together, alone = (
            fed.method.logits(p, fed.method.clip.image_input(x, fed.method.image_input)[None], NAMES)
            for x in (pixels, pixels[2:3])
        )
    torch.testing.assert_close(together[0, 2], alone[0, 0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_clients_are_tested_with_their_own_tensors(name):
    fed = history(name).fed
    everyone = scores(fed)
    images = fed.method.clip.image_input(pixel_batches()[2][1][0], fed.method.image_input)
    for client in range(3):
        with torch.no_grad():
            own = fed.method.logits(fed.model([client]), images[None], NAMES)[0]
        torch.testing.assert_close(own, everyone[client], atol=1e-5, rtol=1e-5)
    differ = any((a - b).abs().max() > 1e-6 for a, b in pairwise(everyone))
    assert differ == bool(fed.personal)


# -- shapes --------------------------------------------------------------------------------------------------


@cache
def vit_b_16_wide():
    """ViT-B/16 with two blocks a tower."""
    config = {
        "embed_dim": 512,
        "vision_cfg": {"layers": 2, "width": 768, "patch_size": 16, "image_size": 224},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 2},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        state = open_clip.CLIP(**config).state_dict()
    return from_state_dict(config, state, name="two blocks of ViT-B-16", label="untrained")


@pytest.mark.parametrize("name", ALL)
def test_it_runs_on_the_shapes_of_vit_b_16(name):
    clip = vit_b_16_wide()
    method = METHODS[name](clip, NAMES)
    assert method.skip() is None
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    images = clip.image_input(pixels, method.image_input)[None]
    p = {tensor: x[None] for tensor, x in method.init(rng()).items()}
    with torch.no_grad():
        assert method.logits(p, images, NOVEL).shape == (1, 2, len(NOVEL))
    if p:
        all_valid, active = torch.ones(1, 2, dtype=torch.bool), torch.ones(1, dtype=torch.bool)
        step = Step(images, torch.tensor([[1, 4]]), all_valid, active)
        received = {tensor: p[tensor] for tensor in method.shared}
        losses, gradients = losses_and_gradients(method, p, step, received=received)
        assert all(torch.isfinite(x).all() for x in [*losses.values(), *gradients.values()])
        assert {t: x.shape for t, x in gradients.items()} == {t: x.shape for t, x in p.items()}


@pytest.mark.parametrize("name", ALL)
def test_a_backbone_without_a_plain_vit_is_refused_with_a_reason_or_served(name):
    clip = random_clip()
    image, clip.image = clip.image, None
    try:
        method = METHODS[name](clip, NAMES)
        reason = method.skip()
        assert (reason is None) == (method.image_input == "embedding")
        assert reason is None or clip.name in reason
    finally:
        clip.image = image


# -- what a method says about itself -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_it_says_what_it_is(name):
    cls = METHODS[name]
    assert cls.paper.strip()  # type: ignore[attr-defined]
    assert cls.__doc__
    assert cls.Hyper.__doc__  # type: ignore[attr-defined]
    cls.Hyper()  # type: ignore[attr-defined]  # the paper's values are complete
    for quirk, line in cls.quirks.items():  # type: ignore[attr-defined]
        assert quirk == quirk.strip().lower().replace(" ", "-")
        assert 10 < len(line) < 160
        assert "\n" not in line


@pytest.mark.parametrize("name", ALL)
def test_unknown_hyper_parameters_and_quirks_name_the_nearest(name):
    cls, clip = METHODS[name], golden_clip()
    for field in cls.Hyper.model_fields:  # type: ignore[attr-defined]
        with pytest.raises(FedbenchError, match=f"unknown key in {name} .*did you mean.*{field}"):
            cls(clip, NAMES, hyper={f"{field}x": 1})
    for quirk in cls.quirks:  # type: ignore[attr-defined]
        with pytest.raises(FedbenchError, match=f"did you mean.*{quirk}"):
            cls(clip, NAMES, quirks=[quirk[:-1]])
    with pytest.raises(FedbenchError, match="no-such-thing"):
        cls(clip, NAMES, quirks=["no-such-thing"])


@pytest.mark.parametrize(("name", "quirk"), QUIRKS)
def test_every_quirk_changes_something(name, quirk):
    sixes = quirk in OF_THE_DRIVER
    known, released = history(name, sixes=sixes), history(name, quirk, sixes=sixes)
    shift = max(float((a - b).abs().max()) for a, b in zip(known.scores, released.scores, strict=True))
    assert shift > 1e-6, f"{quirk} leaves all scores as they are"


@pytest.mark.parametrize("name", TRAINED)
def test_losses_are_one_number_a_client(name):
    method = make_method(name, golden_clip())
    (step, *_) = FixedData(method).steps(0, [0, 1, 2])
    p = {t: x.expand(3, *x.shape) for t, x in method.init(rng()).items()}
    received = {t: p[t] for t in method.shared}
    for seeds in (None, torch.tensor([1, 2, 3])):
        losses = method.losses(p, Batch(step.images, step.labels, step.valid, received, seeds))
        assert losses
        assert all(x.shape == (3,) for x in losses.values())
