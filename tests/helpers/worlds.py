"""A federation of registered methods: three clients with unequal numbers of batches."""

from fedbench.clip import FrozenCLIP
from fedbench.engine.federation import Federation
from fedbench.method import Method
from fedbench.registry import METHODS
from fedbench.seeds import torch_stream
from fedbench.testing.worlds import COUNTS, NAMES, FixedData, pixel_batches

__all__ = ["COUNTS", "NAMES", "FixedData", "federation", "make_method", "pixel_batches", "start_of"]


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
