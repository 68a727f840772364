"""The files of a result store as models: the engine fills them, the report parses them.

Keys that a model does not know are ignored on reading, so that a later version may add some; what it adds has a
default. Numbers are finite: one that does not exist is null. docs/store.md is made from here (`store/page.py`).
"""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from fedbench.config import SCHEMA, RunConfig, canonical, validated
from fedbench.errors import FedbenchError


def _cell_config(values: Any) -> RunConfig:
    if isinstance(values, RunConfig):
        return values
    if not isinstance(values, dict):
        raise FedbenchError("a cell's configuration is no JSON object")
    return validated(RunConfig, values, where="a cell's configuration")


CellConfig = Annotated[RunConfig, BeforeValidator(_cell_config), PlainSerializer(canonical)]
"""A configuration inside another file. Unlike other parts it refuses unknown keys: they would change numbers."""


class Part(BaseModel):
    """A file of the store, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def content(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json", by_alias=True)


class Protocol(Part):
    """How the cell was tested."""

    name: str = Field(examples=["base-to-novel"])
    columns: tuple[str, ...] = Field(
        min_length=1, examples=[["local", "base", "novel"]], description="The metrics that a table shows."
    )
    summary: str = Field(
        examples=["hm"], description="`hm`: a table ends with their harmonic mean; or empty."
    )
    clients: int = Field(examples=[10])
    client_names: tuple[str, ...] = Field(
        examples=[["client 0", "client 1", "..."]], description="In the order of the clients' numbers."
    )
    classes: int = Field(examples=[20], description="Of the label space of training.")
    train_images: int = Field(examples=[320], description="Of all clients.")
    source: str = Field(
        examples=["built-in"],
        description="Whose train, val and test parts: `zhou`, `official`, `own` or `built-in`.",
    )
    missing: int = Field(default=0, examples=[0], description="Images of the parts that were not there.")
    unreadable: int = Field(default=0, examples=[0], description="Images that were there and broken.")
    notes: tuple[str, ...] = Field(
        default=(), examples=[[]], description="What a reader must know of the data."
    )


class BackboneFacts(Part):
    """The frozen model."""

    name: str = Field(examples=["tiny"])
    weights: str = Field(examples=["0123456789abcdef"], description="sha256, 16 hex digits.")
    label: str = Field(examples=["miniature"], description="A caveat that every table repeats; or empty.")
    trained: bool = Field(examples=[True], description="False for random weights.")


class Hashes(Part):
    """What two cells must share to be compared."""

    split: str = Field(
        examples=["fedcba9876543210"], description="Classes and images of every client and test set."
    )
    weights: str = Field(examples=["0123456789abcdef"])


class Parameters(Part):
    """Numbers of trainable scalars of one client."""

    trainable: int = Field(examples=[12416], description="0: the method trains nothing.")
    shared: int = Field(examples=[8192])
    personal: int = Field(examples=[4224])


class Payload(Part):
    """Bytes sent, as float32."""

    up_per_client_round: int = Field(examples=[32768])
    down_per_client_round: int = Field(examples=[32768])
    up: int = Field(examples=[8192000], description="In all, from clients to the server.")
    down: int = Field(examples=[8192000])


class Seconds(Part):
    """Wall-clock time by phase; of a resumed cell, `features` is that of the last process."""

    features: float = Field(examples=[12.0])
    train: float = Field(examples=[10.5])
    evaluate: float = Field(examples=[4.5])
    total: float = Field(examples=[27.0])


class Environment(Part):
    """Where the cell ran, and on what."""

    device: str = Field(examples=["cpu"])
    precision: str = Field(examples=["float32"], description="Of the frozen towers.")
    threads: int = Field(examples=[2])
    python: str = Field(examples=["3.11.7"])
    torch: str = Field(examples=["2.15.0"])
    open_clip: str = Field(examples=["3.3.0"])
    fedbench: str = Field(examples=["0.1.0"])
    commit: str = Field(
        examples=["abc1234"], description="Ends in `-dirty` if files had been changed since; or empty."
    )
    platform: str = Field(examples=["Linux-6.8-x86_64"])


class Record(Part):
    """`record.json`: what a finished cell was, what it was computed on, and what it cost."""

    schema_version: int = Field(alias="schema", examples=[SCHEMA])
    cell: str = Field(examples=["FedPGP-shapes-base-to-novel-s1-0a1b2c3d"])
    config: CellConfig = Field(examples=[{"...": "as in config.json"}])
    protocol: Protocol
    backbone: BackboneFacts
    hashes: Hashes
    rounds: int = Field(examples=[25], description="The last round; 0 for a method that trains nothing.")
    parameters: Parameters
    payload: Payload
    seconds: Seconds
    peak_bytes: int = Field(examples=[123456789], description="Memory: of the GPU, or of the process.")
    environment: Environment
    code: dict[str, str] = Field(
        default={},
        examples=[{"method": "1f2e3d4c", "split": "5b6a7988", "dataset": "90ab12cd", "...": "..."}],
        description="Digests of the source of `method`, `split`, `dataset`, `backbone` and `engine`.",
    )


class Accuracy(Part):
    """An accuracy in percent: of each client (None: a quirk drops it), and the mean over those that have one."""

    mean: float | None
    clients: tuple[float | None, ...] = ()


class Sent(Part):
    """Bytes of one round, over all participants."""

    up: int = Field(default=0, examples=[655360])
    down: int = Field(default=0, examples=[655360])


class Spent(Part):
    """Seconds of one round."""

    train: float = Field(default=0, examples=[0.41])
    evaluate: float = Field(default=0, examples=[0.2])


class RoundLine(Part):
    """A line of `rounds.jsonl`. Round 0 is the evaluation of the common start."""

    round: int = Field(examples=[3])
    participants: tuple[int, ...] = Field(default=(), examples=[[0, 1]], description="Clients by number.")
    losses: dict[str, float] = Field(
        default={},
        examples=[{"ce": 1.234, "contrastive": 0.51}],
        description="Means over local steps and participants.",
    )
    metrics: dict[str, Accuracy] = Field(
        default={},
        examples=[
            {
                "local": {"mean": 71.25, "clients": [70.0, 72.5]},
                "base": {"mean": 66.0, "clients": [66.0, None]},
            }
        ],
        description="Accuracies in percent, null for clients that a quirk drops; empty: not evaluated.",
    )
    bytes: Sent = Sent()
    seconds: Spent = Spent()


class Status(Part):
    """`status.json`: the state that a cell was left in."""

    state: str = Field(examples=["done"], description="`queued`, `running`, `done`, `failed` or `skipped`.")
    reason: str = Field(default="", examples=[""], description="Why it failed or was skipped, in one line.")
    pid: int | None = Field(default=None, examples=[4711], description="The process that wrote this.")
    updated: str = Field(default="", examples=["2026-01-31T12:00:00+00:00"])
    code: dict[str, str] = Field(
        default={},
        examples=[{"method": "1f2e3d4c", "...": "..."}],
        description="As in the record; once it ran.",
    )
    changed: tuple[str, ...] = Field(
        default=(),
        examples=[["method"]],
        description="Parts of a finished cell whose source is another one now (keys of `code` in the record).",
    )


class GridFile(Part):
    """`grid.json`: the cells that the store is to hold, in the order of its tables."""

    schema_version: int = Field(alias="schema", examples=[SCHEMA])
    setting: dict[str, Any] = Field(
        default={},
        examples=[{"split": "base-to-novel", "rounds": 25, "...": "..."}],
        description="What all cells share.",
    )
    cells: dict[str, CellConfig] = Field(
        default={},
        examples=[{"FedPGP-shapes-base-to-novel-s1-0a1b2c3d": {"...": "as in config.json"}}],
        description="Name to configuration.",
    )


AnyPart = TypeVar("AnyPart", bound=Part)


def load(model: type[AnyPart], file: Path, *, remedy: str) -> AnyPart:
    """Parse a file of the store.

    Args:
        remedy: the way out, which ends the message.

    Raises:
        FedbenchError: the file is missing, unreadable, truncated, damaged or of another schema.
    """
    values = load_object(file, remedy=remedy)
    if "schema_version" in model.model_fields and values.get("schema") != SCHEMA:
        raise FedbenchError(
            f"{file} has schema {values.get('schema')!r}, this fedbench has {SCHEMA}: use the fedbench version that "
            "wrote it, or another folder"
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FedbenchError(f"{file} is damaged at '{key}' ({first['msg'].lower()}): {remedy}") from error
    except FedbenchError as error:  # of a configuration inside it
        raise FedbenchError(f"{file}: {error}: {remedy}") from error


def load_object(file: Path, *, remedy: str) -> dict[str, Any]:
    """The JSON object in a file of the store.

    Raises:
        FedbenchError: the file is missing, unreadable or truncated.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FedbenchError(f"{file} is missing: {remedy}") from error
    except OSError as error:
        raise FedbenchError(f"{file} cannot be read ({type(error).__name__}): {remedy}") from error
    except ValueError as error:
        raise FedbenchError(f"{file} is truncated or damaged: {remedy}") from error
    if not isinstance(values, dict):
        raise FedbenchError(f"{file} holds no JSON object: {remedy}")
    return values
