"""A federation on the golden tiny CLIP: three clients with unequal numbers of batches."""

import torch

from fedbench.clip import FrozenCLIP
from fedbench.engine.federation import Federation
from fedbench.engine.local import Step
from fedbench.method import Method
from fedbench.registry import METHODS
from fedbench.seeds import torch_stream

NAMES = ["star", "striped red star", "blue ring", "plain dot", "green cross"]
COUNTS = [12, 12, 8]


def pixel_batches(epochs: int = 1) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Each client's (pixels, labels) batches of four images."""
    rng = torch.Generator().manual_seed(11)
    return [
        [
            (torch.randn(4, 3, 32, 32, generator=rng), torch.randint(len(NAMES), (4,), generator=rng))
            for _ in range(count // 4)
        ]
        for count in COUNTS
    ]


class FixedData:
    """The engine's `LocalData` over `pixel_batches`; each epoch goes over them in order."""

    def __init__(self, method: Method, local_epochs: int = 1):
        self.epochs = len(method.phases(local_epochs))
        self.batches = [
            [(method.clip.image_input(x, method.image_input), y) for x, y in client]
            for client in pixel_batches()
        ]

    def steps(self, round_, clients):
        most = max(len(self.batches[c]) for c in clients)
        for epoch in range(self.epochs):
            for s in range(most):
                chosen = [self.batches[c][s if s < len(self.batches[c]) else 0] for c in clients]
                images, labels = (torch.stack([part[i] for part in chosen]) for i in (0, 1))
                active = torch.tensor([s < len(self.batches[c]) for c in clients])
                yield Step(images, labels, torch.ones_like(labels, dtype=torch.bool), active, epoch)


def make_method(name: str, clip: FrozenCLIP, **switches) -> Method:
    """A method with a small context and a learning rate at which a few steps matter."""
    fields = METHODS[name].Hyper.model_fields
    hyper = {"n_ctx": 4, "lr": 0.05} | switches.pop("hyper", {})
    return METHODS[name](clip, NAMES, hyper={k: v for k, v in hyper.items() if k in fields}, **switches)


def start_of(method: Method, scale: float = 5.0):
    """The method's start, larger than life, so that the prompt matters."""
    return {name: x * scale for name, x in method.init(torch_stream(1, "init")).items()}


def federation(method: Method, *, local_epochs: int = 1, **settings) -> Federation:
    """Three clients from the scaled start."""
    return Federation(
        method,
        FixedData(method, local_epochs),
        counts=COUNTS,
        seed=1,
        local_epochs=local_epochs,
        start=start_of(method),
        **settings,
    )
