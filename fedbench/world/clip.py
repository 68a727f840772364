"""The backbone `tiny` by its registered name."""

from fedbench.clip.load import from_state_dict
from fedbench.clip.loader import BackboneLoader
from fedbench.clip.model import FrozenCLIP
from fedbench.registry import BACKBONES
from fedbench.world.backbone import tiny_config, tiny_state_dict


@BACKBONES.register("tiny")
class Tiny(BackboneLoader):
    """A CLIP of 3 MB, pretrained on the built-in world (docs/model-card-tiny.md)."""

    def load(self) -> FrozenCLIP:
        """The weights that ship with fedbench.

        Raises:
            FedbenchError: the shipped file is damaged.
        """
        return from_state_dict(tiny_config(), tiny_state_dict(), name="tiny", label="miniature")
