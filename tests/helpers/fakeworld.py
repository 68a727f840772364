"""A world without torch for tests of the grid: a plug-in that brings fake methods, data, engine and report.

`bench run --plugin tests/helpers/fakeworld.py` works in any process: workers and killed runs can be tested so.
"""

import errno
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

import fedbench
from fedbench import registry
from fedbench.code import code_of
from fedbench.config import RunConfig, Runtime
from fedbench.errors import FedbenchError, unknown
from fedbench.store import schema

FAKED = ("fedbench.engine", "fedbench.clip", "fedbench.report")
REGISTRIES = (registry.METHODS, registry.DATASETS, registry.SPLITS, registry.BACKBONES)


class Method:
    """What the grid needs to know of a method; `mode` says how its cells end."""

    paper: ClassVar[str] = "A fake, of no paper"
    quirks: ClassVar[dict[str, str]] = {"momentum-leak": "one buffer for all"}

    class Hyper(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid")
        lr: float = 1
        delay: float = 0.0
        mode: Literal["ok", "error", "refuse", "skip", "die", "disk-full"] = "ok"


class Alpha(Method):
    """The first fake."""


class Beta(Method):
    """The second fake, with more to set."""

    quirks: ClassVar[dict[str, str]] = {**Method.quirks, "placeholder-anchor": "the wrong anchor"}

    class Hyper(Method.Hyper):
        mu: float = 0.5
        width: int | None = None
        widths: tuple[int, ...] = (1, 2)
        flag: bool = False
        template: str = "a photo of a {}."


class Plain(Method):
    """Has no quirks."""

    quirks: ClassVar[dict[str, str]] = {}


class Dots:
    """A dataset."""

    title = "Dots"
    quirks: ClassVar[dict[str, str]] = {}

    def __init__(self, root: Path, *, allow_missing: bool = False, quirks: Any = ()):
        if root.name == "nowhere":
            raise FedbenchError("dots: no images")


class Halves:
    """Base and novel halves."""

    quirks: ClassVar[dict[str, str]] = {}

    class Options(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid")
        clients: int = 2
        shots: int = 16
        partition: Literal["published", "balanced"] = "published"

    def __init__(self, options: "Halves.Options", quirks: Any = ()):
        self.options = options

    def make(self, dataset: Dots, *, seed: int) -> SimpleNamespace:
        if self.options.clients > 20:
            raise FedbenchError(f"{self.options.clients} clients cannot share 20 classes; at most 20 work")
        return SimpleNamespace(hash=None)


class Tiny:
    """A backbone."""


class Skipped(FedbenchError):
    """As in fedbench.engine."""


def run_cell(config: RunConfig, runtime: Runtime, *, folder: Path, progress: Any) -> schema.Record:
    """Each round hashes what came before, so that a lost or repeated round shows in the record."""
    _log(f"start {config.cell} {os.getpid()} {runtime.threads} {runtime.device}")
    state_file = folder / "state.json"
    state: dict[str, Any] = {"round": 0, "hash": config.cell}
    if state_file.exists():
        state = json.loads(state_file.read_text())
    while state["round"] < config.rounds:
        if state["round"] == 1:
            _end_badly(config)
        time.sleep(config.hyper["delay"])
        state = {
            "round": state["round"] + 1,
            "hash": hashlib.sha256(f"{state['hash']}{state['round']}".encode()).hexdigest(),
        }
        temporary = state_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        os.replace(temporary, state_file)
        with (folder / "rounds.jsonl").open("a") as file:
            file.write(json.dumps({"round": state["round"]}) + "\n")
        _log(f"round {config.cell} {state['round']}")
        progress("rounds", state["round"], config.rounds)
    return _record(config, state["hash"])


def _record(config: RunConfig, found: str) -> schema.Record:
    return schema.Record(
        schema=1,
        cell=config.cell,
        config=config,
        protocol=schema.Protocol(
            name=config.split,
            columns=("local",),
            summary="",
            clients=2,
            client_names=("a", "b"),
            classes=20,
            train_images=32,
            source="built-in",
        ),
        backbone=schema.BackboneFacts(name=config.backbone, weights="0", label="", trained=True),
        hashes=schema.Hashes(split=found, weights="0"),
        rounds=config.rounds,
        parameters=schema.Parameters(trainable=1, shared=1, personal=0),
        payload=schema.Payload(up_per_client_round=4, down_per_client_round=4, up=4, down=4),
        seconds=schema.Seconds(features=0, train=0, evaluate=0, total=0),
        peak_bytes=1,
        environment=schema.Environment(
            device="cpu",
            precision=config.precision,
            threads=1,
            python="",
            torch="",
            open_clip="",
            fedbench="",
            commit="",
            platform="",
        ),
        code=code_of(config),
    )


def _end_badly(config: RunConfig) -> None:
    mode = config.hyper["mode"]
    if mode == "skip":
        raise Skipped("needs an image tower of ViT kind")
    if os.environ.get("FAKE_FIXED"):
        return
    if mode == "error":
        raise ZeroDivisionError("division\nby zero")
    if mode == "refuse":
        raise FedbenchError("no weights; get them with ...")
    if mode == "disk-full":
        raise RuntimeError("writing failed") from OSError(errno.ENOSPC, "No space left on device")
    if mode == "die":
        os.kill(os.getpid(), signal.SIGKILL)


def _log(text: str) -> None:
    """One line into the file FAKE_LOG, whichever process writes it."""
    if "FAKE_LOG" in os.environ:
        with open(os.environ["FAKE_LOG"], "a") as file:
            file.write(text + "\n")


def resolve(name: str) -> tuple[str, Path | None]:
    """As in fedbench.clip: a path becomes a hash."""
    model, _, source = name.partition(":")
    if Path(source).is_file():
        return f"{model}:sha256-{hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]}", Path(source)
    if name not in registry.BACKBONES:
        raise unknown("backbone", name, registry.BACKBONES)
    return name, None


def install() -> None:
    """Put the fakes in place of registries' entries and of the heavy modules."""
    methods: dict[str, type] = {"Alpha": Alpha, "Beta": Beta, "Plain": Plain}
    contents: tuple[dict[str, type], ...] = (
        methods,
        {"dots": Dots, "dots2": Dots},
        {"halves": Halves},
        {"tiny": Tiny},
    )
    for reg, entries in zip(REGISTRIES, contents, strict=True):
        reg._entries, reg._filled = dict(entries), True
    engine, clip, report = (ModuleType(name) for name in FAKED)
    engine.run_cell, engine.Skipped, clip.resolve = run_cell, Skipped, resolve  # type: ignore[attr-defined]
    report.terminal_table = lambda store, select, versus=None: "THE TABLE"  # type: ignore[attr-defined]
    report.write_report = lambda store, **_: [store / "report.md"]  # type: ignore[attr-defined]
    report.write_plots = lambda store, **_: [store / "curves.png"]  # type: ignore[attr-defined]
    for name, module in zip(FAKED, (engine, clip, report), strict=True):
        sys.modules[name] = module
        setattr(fedbench, name.rpartition(".")[2], module)  # `from fedbench import clip` looks here first


@contextmanager
def installed() -> Iterator[None]:
    """The fakes for the time of a test in this process."""
    modules = {name: sys.modules.get(name) for name in FAKED}
    attributes = {name.rpartition(".")[2]: fedbench.__dict__.get(name.rpartition(".")[2]) for name in FAKED}
    registries = [(reg, dict(reg.__dict__)) for reg in REGISTRIES]
    install()
    try:
        yield
    finally:
        for name, module in modules.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
        for name, value in attributes.items():
            if value is None:
                fedbench.__dict__.pop(name, None)
            else:
                setattr(fedbench, name, value)
        for reg, values in registries:
            reg.__dict__.update(values)


if __name__.startswith("fedbench_plugin_"):
    install()
