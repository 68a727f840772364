"""Fast path against plain path, in one run on one machine."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fedbench.clip import FrozenCLIP, load
from fedbench.clip.prompts import context_prompt
from fedbench.engine.local import Step, losses_and_gradients
from fedbench.engine.memory import clients_that_fit, peak_bytes, step_bytes
from fedbench.errors import FedbenchError
from fedbench.method import Method
from fedbench.perf.names import class_names
from fedbench.reference import PlainCLIP, plain_losses
from fedbench.registry import METHODS
from fedbench.seeds import torch_stream

PATIENCE = 60.0
"""Seconds after which no further repeat begins: methods inside the image tower take minutes on a CPU."""


@dataclass(frozen=True)
class Measurement:
    """What `bench perf` prints. Seconds are medians, per client where there are several.

    Attributes:
        relative_difference: largest difference of results and gradients, over the largest value of each.
        worst: the result or gradient in which it was seen.
        repeats: measured runs of each path; fewer than asked for where they take minutes.
        at_once: clients in one pass, as many as the memory budget holds.
        peak_bytes: of the process (CPU, weights and libraries included) or of the card, at the fast path's peak.
        gflop: operations of one client's fast step, forward and backward; 0 where they were not counted.
        bound_seconds: those operations at the rate of this machine's matrix product: no step can be faster.
        image_seconds: what one image costs once, when its view enters the cache; 0 where no image is involved.
    """

    benchmark: str
    backbone: str
    fast_seconds: float
    plain_seconds: float
    ratio: float
    relative_difference: float
    worst: str
    peak_bytes: int
    device: str
    precision: str
    threads: int
    classes: int
    clients: int
    batch: int
    repeats: int
    at_once: int
    gflop: float = 0.0
    bound_seconds: float = 0.0
    image_seconds: float = 0.0

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def text_encoding(
    *, backbone: str, classes: int, context: int, clients: int, device: str, precision: str, repeats: int
) -> Measurement:
    """Class features from learned contexts, forward and backward."""
    clip = load(backbone).to(device, precision=precision)
    plain = PlainCLIP(clip)
    prompts = [context_prompt(clip.text.tokenize, name, n_ctx=context) for name in class_names(classes)]
    packed, rows = clip.text.pack(prompts), plain.text.pack(prompts)
    rng = torch_stream(0, "perf")
    contexts = (torch.randn(clients, 1, context, clip.text.width, generator=rng) * 0.02).to(device)
    weights = torch.randn(classes, clip.embed_dim, generator=rng).to(device)  # a stand-in for the loss above

    def run(encode: Callable[[Tensor], Tensor], x: Tensor) -> dict[str, Tensor]:
        x = x.clone().requires_grad_()
        with clip.autocast():
            features = encode(x).float()
        (gradient,) = torch.autograd.grad((features * weights).sum(), x)
        return {"features": features.detach()[0], "contexts": gradient[0]}

    fast = _Timer(lambda: run(lambda x: clip.text.encode(packed, x), contexts), device)
    slow = _Timer(lambda: run(lambda x: plain.text.encode(rows, x), contexts[:1]), device)
    return _measured(
        "text-encoding",
        clip,
        backbone,
        fast,
        slow,
        repeats=repeats,
        classes=classes,
        clients=clients,
        batch=0,
        at_once=clients,
    )


def trained_methods() -> list[str]:
    """The methods that have a step to measure."""
    return [name for name in METHODS if METHODS[name](load("tiny"), ("a", "b")).trains]


def step(
    *,
    method: str,
    backbone: str,
    classes: int,
    batch: int,
    clients: int,
    device: str,
    precision: str,
    repeats: int,
    memory_gib: float | None = None,
) -> Measurement:
    """One local step of a method: loss and gradients. Fast: cached features, all clients at once."""
    clip = load(backbone).to(device, precision=precision)
    cls = METHODS[method]
    names = class_names(classes)
    fast_method: Method = cls(clip, names)
    plain_method: Method = cls(PlainCLIP(clip), names)
    start = fast_method.init(torch_stream(0, "init"))
    if not start:
        raise FedbenchError(f"{method} trains nothing: it has no step to measure")
    rng = torch_stream(0, "perf")
    side = clip.preprocess.size
    pixels = torch.randn(batch, 3, side, side, generator=rng).to(device)
    labels = torch.randint(classes, (clients, batch), generator=rng).to(device)
    p = {n: _spread(x, clients, rng).to(device) for n, x in start.items()}
    received = {n: start[n].expand(clients, *start[n].shape).to(device) for n in fast_method.shared}

    began = time.perf_counter()
    features = clip.image_input(pixels, fast_method.image_input)
    _wait(device)
    image_seconds = (time.perf_counter() - began) / batch

    def cached(group: slice) -> Step:
        y = labels[group]
        true = torch.ones_like(y, dtype=torch.bool)
        return Step(features.expand(len(y), *features.shape), y, true, true[:, 0])

    one = step_bytes(fast_method, {n: x[:1] for n, x in p.items()}, cached(slice(0, 1)))
    at_once = min(clients, clients_that_fit(one, device=clip.device, gib=memory_gib))
    groups = [slice(k, k + at_once) for k in range(0, clients, at_once)]

    def run_group(group: slice) -> dict[str, Tensor]:
        mine, given = ({n: x[group] for n, x in tensors.items()} for tensors in (p, received))
        losses, gradients = losses_and_gradients(fast_method, mine, cached(group), received=given)
        loss = sum(losses.values(), torch.zeros(()))
        return {"loss": loss[0].detach()} | {n: g[0] for n, g in gradients.items()}

    def run_fast() -> dict[str, Tensor]:
        results = [run_group(group) for group in groups]
        return results[0]  # compared for client 0, who is in the first group

    def run_plain() -> dict[str, Tensor]:
        leaves = {n: x[:1].clone().requires_grad_() for n, x in p.items()}
        one = {n: x[:1] for n, x in received.items()}
        losses = plain_losses(plain_method, leaves, pixels, labels[0], received=one)
        loss = sum(losses.values(), torch.zeros(()))
        gradients = torch.autograd.grad(loss.sum(), list(leaves.values()), materialize_grads=True)
        return {"loss": loss[0].detach()} | {n: g[0] for n, g in zip(leaves, gradients, strict=True)}

    measured = _measured(
        f"step {method}",
        clip,
        backbone,
        _Timer(run_fast, device),
        _Timer(run_plain, device),
        repeats=repeats,
        classes=classes,
        clients=clients,
        batch=batch,
        at_once=at_once,
        image_seconds=image_seconds,
    )
    flop = _flop(lambda: run_group(groups[0])) / min(at_once, clients)
    return replace(measured, gflop=flop / 1e9, bound_seconds=flop / _product_rate(clip))


def _flop(work: Callable[[], object]) -> float:
    """Operations of matrix products, convolutions and attention in `work`, forward and backward."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return float(counter.get_total_flops())


def _product_rate(clip: FrozenCLIP) -> float:
    """Operations a second of one large matrix product in the towers' precision: the best of five."""
    dtype = torch.bfloat16 if clip.precision == "bf16" else torch.float32
    x, w = (torch.ones(*shape, dtype=dtype, device=clip.device) for shape in ((4096, 768), (768, 3072)))
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        x @ w
        _wait(clip.device.type)
        seconds.append(time.perf_counter() - began)
    return 2 * 4096 * 768 * 3072 / min(seconds)


class _Timer:
    """Runs some work, keeps its last result, and its seconds with the device's work finished."""

    def __init__(self, work: Callable[[], dict[str, Tensor]], device: str):
        self.work, self.device = work, device
        self.seconds: list[float] = []
        self.result: dict[str, Tensor] = {}

    def __call__(self) -> None:
        began = time.perf_counter()
        self.result = self.work()
        _wait(self.device)
        self.seconds.append(time.perf_counter() - began)


def _measured(
    benchmark: str,
    clip: FrozenCLIP,
    backbone: str,
    fast: _Timer,
    slow: _Timer,
    *,
    repeats: int,
    image_seconds: float = 0.0,
    **sizes: int,
) -> Measurement:
    if clip.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    fast()  # warm-up; nothing of the plain path has run yet, so the process's peak is the fast path's
    peak = peak_bytes(clip.device)
    slow()
    fast.seconds.clear()
    slow.seconds.clear()
    began = time.perf_counter()
    while len(slow.seconds) < repeats and (not slow.seconds or time.perf_counter() - began < PATIENCE):
        fast()  # in turn, so that a machine that slows down slows both
        slow()
    fast_seconds = statistics.median(fast.seconds) / sizes["clients"]
    plain_seconds = statistics.median(slow.seconds)
    difference, worst = _relative(fast.result, slow.result)
    return Measurement(
        benchmark=benchmark,
        backbone=backbone,
        fast_seconds=fast_seconds,
        plain_seconds=plain_seconds,
        ratio=plain_seconds / fast_seconds,
        relative_difference=difference,
        worst=worst,
        peak_bytes=peak,
        device=torch.cuda.get_device_name() if clip.device.type == "cuda" else "cpu",
        precision=clip.precision,
        threads=torch.get_num_threads(),
        image_seconds=image_seconds,
        repeats=len(slow.seconds),
        **sizes,
    )


def _relative(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> tuple[float, str]:
    """Largest difference over largest value, tensor by tensor: the worst of them, and its name."""

    def difference(name: str) -> float:
        a, b = ours[name], theirs[name]
        found = (a.reshape(b.shape) - b).abs().max().item() / (b.abs().max().item() or 1.0)
        return math.inf if math.isnan(found) else found  # a NaN must not hide behind a number

    return max((difference(name), name) for name in theirs)


def _spread(x: Tensor, clients: int, rng: torch.Generator) -> Tensor:
    """Clients in the middle of training: near the common start, each somewhere else. (clients, ...)"""
    return x + torch.randn(clients, *x.shape, generator=rng) * 0.1 * x.std()


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
