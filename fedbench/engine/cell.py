"""One cell from configuration to record."""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from fedbench import clip as clip_package
from fedbench import quirks
from fedbench.clip import FrozenCLIP
from fedbench.config import SCHEMA, RunConfig, Runtime, validated
from fedbench.data.names import make_dataset
from fedbench.engine.batches import FeatureBatches
from fedbench.engine.environment import environment
from fedbench.engine.evaluate import Evaluator, summary
from fedbench.engine.features import FeatureCache
from fedbench.engine.federation import Federation, payload
from fedbench.engine.memory import clients_that_fit, peak_bytes, step_bytes
from fedbench.errors import FedbenchError, unknown
from fedbench.method import Method
from fedbench.progress import Progress
from fedbench.registry import METHODS, SPLITS
from fedbench.store.journal import Journal
from fedbench.task import Task

log = logging.getLogger("fedbench")


class Skipped(FedbenchError):
    """The cell cannot run by design; the message says why. It is reported, not counted as a failure."""


@dataclass
class Clock:
    """Seconds by phase, with the device's work finished."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, phase: str, work: Callable[[], Any]) -> Any:
        """Run `work` and add its time to `phase`."""
        start = time.perf_counter()
        result = work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start
        return result


def run_cell(config: RunConfig, runtime: Runtime, *, folder: Path, progress: Progress) -> dict[str, Any]:
    """Train and evaluate one cell, from its last checkpoint if there is one, and return its record (docs/store.md).

    Writes `task.json`, `rounds.jsonl` and `state.safetensors` into `folder`.

    Raises:
        Skipped: the method cannot run on this backbone.
        FedbenchError: bad input or a bad state on disk.
    """
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    device = torch.device(runtime.device)
    owners = _owners(config)
    task = make_task(config, runtime)
    clip = load_backbone(config.backbone, config.precision, runtime)
    method: Method = METHODS[config.method](
        clip, task.classnames, hyper=config.hyper, quirks=_share(config, owners[config.method])
    )
    reason = method.skip()
    if reason:
        raise Skipped(reason)
    cache = FeatureCache(
        clip,
        task.dataset,
        kind=method.image_input,
        folder=runtime.cache_dir,
        say=log.warning,
        progress=progress,
    )
    journal = Journal(folder, identity=f"{config.cell}/{task.hash}/{clip.weights_hash}")
    _write_json(folder / "task.json", task.description())
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    clock = Clock(device)
    data = FeatureBatches(task, cache, config, epochs=len(method.phases(config.local_epochs)), device=device)
    trains = payload(method)["trainable"] > 0
    if trains and config.participation == 1:
        clock("features", data.prepare)
    evaluator = clock("features", lambda: Evaluator(task, cache, device=device))
    federation = Federation(
        method,
        data,
        counts=task.counts.tolist(),
        seed=config.seed,
        participation=config.participation,
        local_epochs=config.local_epochs,
        round_zero_all="round-zero-all" in config.quirks,
    )
    if trains:
        federation.clients_at_once = _clients_at_once(federation, data, runtime)
    rounds = config.rounds if trains else 0
    _train(
        federation,
        evaluator,
        journal,
        config=config,
        runtime=runtime,
        rounds=rounds,
        clock=clock,
        progress=progress,
    )
    return _record(config, task, clip, method, journal.lines(), clock=clock)


def make_task(config: RunConfig, runtime: Runtime) -> Task:
    """The cell's task."""
    dataset = make_dataset(
        config.dataset,
        runtime.data_root,
        allow_missing=runtime.allow_missing,
        quirks=_share(config, quirks.of_dataset(config.dataset)),
        folders=runtime.folders,
    )
    split = SPLITS[config.split]
    options = validated(split.Options, config.split_options, where=config.split)  # type: ignore[attr-defined]
    return split(options, _share(config, split.quirks)).make(dataset, seed=config.seed)  # type: ignore[attr-defined]


def _owners(config: RunConfig) -> dict[str, Mapping[str, str]]:
    """Quirks by owner.

    Raises:
        FedbenchError: the cell has a quirk that none of them knows.
    """
    owners = quirks.of_cell(method=config.method, split=config.split, dataset=config.dataset)
    known = {quirk for of_one in owners.values() for quirk in of_one}
    for quirk in config.quirks:
        if quirk not in known:
            raise unknown("quirk", quirk, known)
    return owners


def _share(config: RunConfig, known: Mapping[str, str]) -> tuple[str, ...]:
    """Those of the cell's quirks that one owner knows."""
    return tuple(quirk for quirk in config.quirks if quirk in known)


@lru_cache(maxsize=1)
def _backbone(name: str, precision: str, device: str, path: Path | None) -> FrozenCLIP:
    loaded = clip_package.load(name, checkpoints={name: path} if path else None)
    return loaded.to(device, precision=precision)


def load_backbone(name: str, precision: str, runtime: Runtime) -> FrozenCLIP:
    """The frozen CLIP on its device; a process keeps the last one for its next cell."""
    return _backbone(name, precision, runtime.device, runtime.checkpoints.get(name))


def _clients_at_once(federation: Federation, data: FeatureBatches, runtime: Runtime) -> int:
    if runtime.clients_at_once:
        return runtime.clients_at_once
    largest = int(federation.counts.argmax())
    one = step_bytes(federation.method, federation.model([largest]), next(iter(data.steps(0, [largest]))))
    return clients_that_fit(one, device=federation.device, gib=runtime.memory_gib)


def _train(
    federation: Federation,
    evaluator: Evaluator,
    journal: Journal,
    *,
    config: RunConfig,
    runtime: Runtime,
    rounds: int,
    clock: Clock,
    progress: Progress,
) -> None:
    """Round 0 is the evaluation of the common start; then `rounds` rounds, each with a line in the journal."""
    done, state = journal.resume()
    if state:
        federation.restore(state)
    sent = 4 * sum(
        x.numel() for x in federation.server.values()
    )  # bytes of float32, each way, per participant
    for r in range(done + 1, rounds + 1):
        line: dict[str, Any] = {
            "round": r,
            "participants": [],
            "losses": {},
            "metrics": {},
            "bytes": {"up": 0, "down": 0},
        }
        before = dict(clock.seconds)
        if r > 0:
            result = clock("train", partial(federation.run_round, r - 1))
            everyone = sent * len(result.participants)
            line |= {
                "participants": result.participants,
                "losses": result.mean_losses(),
                "bytes": {"up": everyone, "down": everyone},
            }
        if r % config.evaluate_every == 0 or r == rounds:
            line["metrics"] = summary(clock("evaluate", lambda: evaluator(federation)))
        spent = {k: round(clock.seconds.get(k, 0.0) - before.get(k, 0.0), 4) for k in ("train", "evaluate")}
        journal.append(line | {"seconds": spent})
        if r % runtime.checkpoint_every == 0 or r == rounds:
            journal.checkpoint(r, federation.state())
        progress("rounds", r, rounds)


def _record(
    config: RunConfig,
    task: Task,
    clip: FrozenCLIP,
    method: Method,
    lines: list[dict[str, Any]],
    *,
    clock: Clock,
) -> dict[str, Any]:
    sizes = payload(method)
    seconds = {phase: sum(line["seconds"][phase] for line in lines) for phase in ("train", "evaluate")}
    seconds["features"] = clock.seconds.get("features", 0.0)
    return {
        "schema": SCHEMA,
        "cell": config.cell,
        "config": config.model_dump(mode="json"),
        "protocol": {
            "name": task.protocol,
            "columns": list(task.columns),
            "summary": task.summary,
            "clients": len(task.clients),
            "client_names": [client.name for client in task.clients],
            "classes": len(task.classnames),
            "train_images": int(task.counts.sum()),
            "source": task.dataset.source,
            "missing": task.dataset.missing,
            "unreadable": task.dataset.unreadable,
            "notes": list(task.notes),
        },
        "backbone": {
            "name": config.backbone,
            "weights": clip.weights_hash,
            "label": clip.label,
            "trained": clip.label != "untrained",
        },
        "hashes": {"split": task.hash, "weights": clip.weights_hash},
        "rounds": lines[-1]["round"],
        "parameters": sizes,
        "payload": {
            "up_per_client_round": 4 * sizes["shared"],
            "down_per_client_round": 4 * sizes["shared"],
            "up": sum(line["bytes"]["up"] for line in lines),
            "down": sum(line["bytes"]["down"] for line in lines),
        },
        "seconds": {**seconds, "total": sum(seconds.values())},
        "peak_bytes": peak_bytes(clip.device),
        "environment": environment(clip),
    }


def _write_json(path: Path, content: object) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content))  # in the given order: that of the clients
    os.replace(temporary, path)
