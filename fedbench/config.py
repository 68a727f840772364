"""What a cell is: the scientific configuration, and beside it the things that may not change a number."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedbench.errors import FedbenchError, unknown

SCHEMA = 1
"""Version of the files in a result store."""


class Frozen(BaseModel):
    """Immutable, and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunConfig(Frozen):
    """One cell: everything that decides its numbers and nothing else (no paths, devices or worker counts).

    `hyper` and `split_options` are complete: defaults are filled in before the configuration is made, so that a
    changed default is another cell.
    """

    method: str
    hyper: dict[str, Any] = {}
    quirks: tuple[str, ...] = ()
    dataset: str
    split: str = "base-to-novel"
    split_options: dict[str, Any] = {}
    backbone: str = "ViT-B-16:openai"
    seed: int = Field(default=1, ge=0)
    rounds: int = Field(default=25, ge=0)
    local_epochs: int = Field(default=2, ge=1)
    batch_size: int = Field(default=16, ge=1)
    participation: float = Field(default=1.0, gt=0, le=1)
    views: int | None = Field(
        default=None, ge=0, description="augmented views per image; None: one per epoch; 0: none"
    )
    evaluate_every: int = Field(default=1, ge=1)
    precision: Literal["float32", "bf16"] = "float32"

    @property
    def digest(self) -> str:
        """sha256 over the canonical JSON, 8 hex digits."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[
            :8
        ]

    @property
    def cell(self) -> str:
        """The cell's folder name: `<method>-<dataset>-<split>-s<seed>-<hash8>`."""
        name = f"{self.method}-{self.dataset}-{self.split}-s{self.seed}"
        return re.sub(r"[^A-Za-z0-9._-]+", "_", name) + f"-{self.digest}"


class Runtime(Frozen):
    """Where and how fast a cell runs. Nothing here changes a number."""

    device: str = "cpu"
    data_root: Path = Path("data")
    cache_dir: Path = Path("~/.cache/fedbench")
    memory_gib: float | None = Field(
        default=None, gt=0, description="budget for one training step; None: from the machine"
    )
    clients_at_once: int | None = Field(default=None, ge=1, description="None: as many as fit the budget")
    threads: int | None = Field(default=None, ge=1)
    checkpoint_every: int = Field(default=5, ge=1)
    allow_missing: bool = False
    folders: dict[str, Path] = Field(default={}, description="canonical `folder-…` name to the user's folder")
    checkpoints: dict[str, Path] = Field(
        default={}, description="canonical backbone name to the user's weights file"
    )


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: dict[str, Any], *, where: str) -> Model:
    """Build a pydantic model from user input.

    Raises:
        FedbenchError: one line that names the key, what is wrong with it and, for unknown keys, the nearest one.
    """
    for key in values:
        if key not in model.model_fields:
            raise unknown(f"key in {where}", key, model.model_fields)
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise FedbenchError(f"{where}: {key} is needed and not given") from error
        raise FedbenchError(f"{where}: {key} = {first.get('input')!r}: {first['msg'].lower()}") from error
