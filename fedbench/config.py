"""What a cell is: the scientific configuration, and beside it the things that may not change a number."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedbench.errors import FedbenchError, unknown

SCHEMA = 1
"""Version of the files in a result store."""


class Frozen(BaseModel):
    """Immutable, and refuses unknown keys: what settings of all kinds are made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def later(neutral: Any, **field: Any) -> Any:
    """A key that came after results were published: `lr_schedule: str = later("constant")`.

    At its neutral value, which is what older versions did, it is no part of a configuration's digest and is not
    written down, so that cells keep their names and stores can be continued after an upgrade. Use it for every new
    key of `Training`, of a method's `Hyper` and of a split's `Options`.
    """
    return Field(default=neutral, json_schema_extra={"later": True}, **field)


def canonical(model: BaseModel) -> dict[str, Any]:
    """The model's values as JSON, without `later` keys that have their neutral value."""
    values = model.model_dump(mode="json")
    for key, field in type(model).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("later") and getattr(model, key) == field.default:
            del values[key]
    return values


class Training(Frozen):
    """Every knob of training. Flags of `bench run`, keys of suites and the facts below a table are made from it."""

    rounds: int = Field(default=25, ge=0, description="Communication rounds.")
    local_epochs: int = Field(default=2, ge=1, description="Passes over a client's own images in each round.")
    batch_size: int = Field(default=16, ge=1, description="Images in one local step.")
    participation: float = Field(
        default=1.0, gt=0, le=1, description="Fraction of the clients that train in a round."
    )
    views: int | None = Field(
        default=None,
        ge=0,
        description="Augmented views of an image; 0: the test transform only; none: one for each epoch.",
    )
    evaluate_every: int = Field(default=1, ge=1, description="Rounds from one evaluation to the next.")
    precision: Literal["float32", "bf16"] = Field(
        default="float32", description="Of the frozen towers; learned tensors are always float32."
    )


class Quirks(Frozen):
    """The quirks of a cell, by the role of their owner."""

    method: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    dataset: tuple[str, ...] = ()
    engine: tuple[str, ...] = ()

    def names(self) -> Iterator[str]:
        """All of them."""
        return (quirk for role in type(self).model_fields for quirk in getattr(self, role))

    def without_data(self) -> Iterator[str]:
        """All but those of the data set, which are no choice of the method's."""
        return iter((*self.method, *self.split, *self.engine))


class RunConfig(Training):
    """One cell: everything that decides its numbers and nothing else (no paths, devices or worker counts).

    `hyper` and `split_options` are complete, so that a changed default is another cell: `fedbench.named.run_config`
    fills the defaults in.
    """

    method: str
    hyper: dict[str, Any] = {}
    quirks: Quirks = Quirks()
    dataset: str
    split: str = "base-to-novel"
    split_options: dict[str, Any] = {}
    backbone: str = "ViT-B-16:openai"
    seed: int = Field(default=1, ge=0)

    @property
    def digest(self) -> str:
        """sha256 over the canonical JSON, 8 hex digits."""
        return hashlib.sha256(json.dumps(canonical(self), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def cell(self) -> str:
        """The cell's folder name: `<method>-<dataset>-<split>-s<seed>-<hash8>`."""
        name = f"{self.method}-{self.dataset}-{self.split}-s{self.seed}"
        return re.sub(r"[^A-Za-z0-9._-]+", "_", name) + f"-{self.digest}"


FIXED = ("split", "backbone", *Training.model_fields)
"""Fields of `RunConfig` that all cells of a store share: cells that differ here are not one comparison."""


class Runtime(Frozen):
    """Where and how fast a cell runs. Nothing here changes a number."""

    device: str = Field(default="cpu", description="cpu, cuda or cuda:N.")
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of a cell; by default the cores, shared by the jobs."
    )
    data_root: Path = Field(default=Path("data"), description="Folder of the data sets.")
    cache_dir: Path = Field(default=Path("~/.cache/fedbench"), description="Folder of the feature cache.")
    memory_gib: float | None = Field(
        default=None, gt=0, description="Memory for a training step in GiB; by default from the machine."
    )
    clients_at_once: int | None = Field(
        default=None, ge=1, description="Clients that train in one pass; None: as many as fit the memory."
    )
    checkpoint_every: int = Field(default=5, ge=1, description="Rounds from one checkpoint to the next.")
    allow_missing: bool = Field(default=False, description="Go on without the images that are missing.")
    folders: dict[str, Path] = Field(default={}, description="canonical `folder-…` name to the user's folder")
    checkpoints: dict[str, Path] = Field(
        default={}, description="canonical backbone name to the user's weights file"
    )


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Mapping[str, Any], *, where: str) -> Model:
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


def complete(
    model: type[BaseModel], values: Mapping[str, Any], *, owner: str, kind: str = "option"
) -> dict[str, Any]:
    """All settings of `model` (a method's `Hyper`, a split's `Options`) as canonical JSON: `values` over the defaults.

    Types are strict, except that an integer is a number and a list a tuple: `mu = true` or `n_ctx = 4.0` is a
    mistake. "none" stands for None, which TOML lacks.

    Raises:
        FedbenchError: an unknown key, a wrong type, or a value that the model refuses.
    """
    for key in values:
        if key not in model.model_fields:
            raise unknown(f"{kind} of {owner}", key, model.model_fields)
    given = {key: _native(value, model.model_fields[key].annotation) for key, value in values.items()}
    try:
        first = model.model_validate(given, strict=True).model_dump()
        # Again, now with the defaults: one written `1` for a float must hash like 1.0.
        found = model.model_validate(first, strict=True)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = ".".join([owner, *map(str, wrong["loc"])])
        if wrong["type"] == "missing":
            raise FedbenchError(f"{name} is needed and not given") from error
        raise FedbenchError(f"{name} = {wrong['input']!r}: {wrong['msg'].lower()}") from error
    for key in model.model_fields:
        value = given.get(key, getattr(found, key))
        if isinstance(value, float) and not math.isfinite(value):
            raise FedbenchError(f"{owner}.{key} = {value!r}: input should be a finite number")
    return canonical(found)


def _native(value: Any, annotation: Any) -> Any:
    if value == "none" and type(None) in getattr(annotation, "__args__", ()):
        return None
    return tuple(value) if isinstance(value, list) else value
