"""The table of methods, made from the registry: docs/methods.md. Run `python -m fedbench.zoo > docs/methods.md`."""

from types import SimpleNamespace
from typing import Any

import open_clip

from fedbench.method import Method
from fedbench.registry import METHODS

HEAD = """# The zoo

Made from the registry (`python -m fedbench.zoo`). Numbers of parameters are for ViT-B/16 at the default
hyper-parameters; what is shared is sent up and down once per client and round, as 4-byte floats.

| method | trainable | shared | personal | needs of an image | paper |
|---|---:|---:|---:|---|---|
"""

NEEDS = {
    "embedding": "its embedding: the image tower is left alone, features are cached",
    "tokens": "all projected tokens: the image tower is left alone, tokens are cached",
    "block:0": "patch tokens: the whole image tower runs at every step",
    "pixels": "pixels: the whole image tower runs at every step",
}


class Sizes:
    """A stand-in with the sizes of ViT-B/16 and CLIP's tokenizer: enough for a method to make its tensors."""

    def __init__(self) -> None:
        tokenizer = open_clip.SimpleTokenizer()
        self.text = SimpleNamespace(
            width=512, length=77, blocks=[None] * 12, tokenize=tokenizer.encode, embed=self._embed
        )
        self.image = SimpleNamespace(width=768, blocks=[None] * 12)
        self.embed_dim, self.device, self.name = 512, "cpu", "ViT-B-16"
        self.preprocess = SimpleNamespace(size=224)

    @staticmethod
    def _embed(tokens: list[int]) -> Any:
        import torch

        return torch.zeros(len(tokens), 512)


def page() -> str:
    """The whole page: the methods of this project, not those of plug-ins."""
    own = [METHODS[name] for name in METHODS if METHODS[name].__module__.startswith("fedbench.methods.")]
    return HEAD + "".join(map(_row, own)) + "\n## Quirks\n" + "".join(map(_quirks, own))


def _row(cls: type[Method]) -> str:
    method = cls(Sizes(), ("a", "b"))  # type: ignore[arg-type]
    sizes = method.payload
    numbers = " | ".join(f"{sizes[key]:,}" for key in ("trainable", "shared", "personal"))
    needs = NEEDS.get(method.image_input, f"`{method.image_input}`: the blocks above it run at every step")
    return f"| {cls.name} | {numbers} | {needs} | {cls.paper} |\n"


def _quirks(cls: type[Method]) -> str:
    lines = "".join(f"- `{quirk}`: {text}\n" for quirk, text in cls.quirks.items())
    return f"\n**{cls.name}**\n\n{lines}" if lines else ""


if __name__ == "__main__":
    print(page(), end="")
