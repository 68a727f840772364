"""The same code on a card: float32 as on the CPU, bfloat16 within stated bounds, no waiting inside a step."""

from copy import deepcopy

import pytest
import torch

from fedbench.engine.local import losses_and_gradients
from fedbench.engine.memory import budget_bytes
from fedbench.reference import PlainCLIP
from fedbench.registry import METHODS
from tests.helpers.tinyclip import random_clip
from tests.helpers.worlds import COUNTS, NAMES, FixedData, federation, make_method

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA on this machine"),
]

TRAINED = [name for name in METHODS if METHODS[name](random_clip(), NAMES).trains]


def on_card(precision="float32", **shape):
    clip = random_clip(**shape)
    copy = deepcopy(clip.model)
    moved = type(clip)(copy, clip.text.tokenizer, name=clip.name, preprocess=clip.preprocess)
    return moved.to("cuda", precision=precision)


@pytest.fixture(scope="module")
def card():
    return on_card()


@pytest.fixture(scope="module")
def wide():
    """Wide enough for bfloat16 to mean something."""
    shape = {"embed": 256, "width": 256, "text_width": 256, "layers": 6, "text_layers": 6}
    return random_clip(**shape), on_card("bf16", **shape)


def moved(step, device):
    parts = (x.to(device) for x in (step.images, step.labels, step.valid, step.active))
    return type(step)(*parts, step.epoch)


class CardData(FixedData):
    def steps(self, round_, clients):
        for step in super().steps(round_, clients):
            yield moved(step, "cuda")


def first_step(method, device):
    fed = federation(method)
    step = moved(next(iter(FixedData(method).steps(0, range(len(COUNTS))))), device)
    p = {name: x.clone() for name, x in fed.model(range(len(COUNTS))).items()}
    received = {name: p[name].clone() for name in method.shared}
    return losses_and_gradients(method, p, step, received=received)


@pytest.mark.parametrize("name", TRAINED)
def test_float32_losses_and_gradients_are_the_cpus(name, card):
    here = first_step(make_method(name, random_clip()), "cpu")
    there = first_step(make_method(name, card), "cuda")
    for ours, theirs in zip(here, there, strict=True):
        for key in ours:
            scale = ours[key].abs().max().item() or 1.0
            assert (ours[key] - theirs[key].cpu()).abs().max().item() < 1e-3 * scale, key


@pytest.mark.parametrize("name", TRAINED)
def test_rounds_on_the_card_are_near_the_cpus(name, card):
    method = make_method(name, card, hyper={"lr": 1e-3})
    fed = federation(method)
    fed.data = CardData(method)
    cpu = federation(make_method(name, random_clip(), hyper={"lr": 1e-3}))
    for r in range(2):
        fed.run_round(r)
        cpu.run_round(r)
    for key, x in cpu.state().items():
        torch.testing.assert_close(fed.state()[key].cpu(), x, atol=1e-3, rtol=1e-2)


def test_bf16_features_and_losses_stay_within_bounds(wide):
    cpu, gpu = wide
    pixels = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    a, b = cpu.encode_image(pixels), gpu.encode_image(pixels.cuda()).cpu()
    assert torch.nn.functional.cosine_similarity(a, b).min() > 0.999
    here, there = (first_step(make_method("PromptFL", clip), d) for clip, d in ((cpu, "cpu"), (gpu, "cuda")))
    torch.testing.assert_close(there[0]["ce"].cpu(), here[0]["ce"], atol=0.05, rtol=0.02)
    ours, theirs = here[1]["context"].flatten(1), there[1]["context"].cpu().flatten(1)
    assert torch.nn.functional.cosine_similarity(ours, theirs).min() > 0.98
    assert theirs.dtype == torch.float32, "learned tensors and their gradients stay in float32"


@pytest.mark.parametrize("name", TRAINED)
def test_nothing_inside_a_step_waits_for_the_card(name, card):
    method = make_method(name, card)
    fed = federation(method)
    step = moved(next(iter(FixedData(method).steps(0, range(len(COUNTS))))), "cuda")
    p = {n: x.clone() for n, x in fed.model(range(len(COUNTS))).items()}
    received = {n: p[n].clone() for n in method.shared}
    losses_and_gradients(method, p, step, received=received)  # constant text is encoded on first use
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses_and_gradients(method, p, step, received=received)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_plain_path_runs_on_the_card(card):
    prompts = PlainCLIP(card).text.pack(make_method("PromptFL", card).prompts(NAMES))
    assert prompts.ids.is_cuda


def test_the_budget_comes_from_the_card():
    free = torch.cuda.mem_get_info()[0]
    assert 0.3 * free < budget_bytes(torch.device("cuda"), None) < free
