"""The contract of a backbone by name."""

from abc import ABC, abstractmethod

from fedbench.clip.model import FrozenCLIP


class BackboneLoader(ABC):
    """A backbone by name: register a class with `@BACKBONES.register("my-clip")`."""

    name: str

    @abstractmethod
    def load(self) -> FrozenCLIP:
        """The model, on the CPU; see `fedbench.clip.load.from_state_dict`.

        Raises:
            FedbenchError: its weights are not there or are damaged.
        """
