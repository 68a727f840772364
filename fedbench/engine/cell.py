"""One cell from configuration to record."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from fedbench import clip as clip_package
from fedbench.clip import FrozenCLIP
from fedbench.clip.loader import BackboneLoader
from fedbench.code import code_of
from fedbench.config import RunConfig, Runtime
from fedbench.engine.batches import FeatureBatches
from fedbench.engine.evaluate import Evaluator, summary
from fedbench.engine.features import FeatureCache
from fedbench.engine.federation import Federation
from fedbench.engine.memory import clients_that_fit, step_bytes
from fedbench.engine.record import record
from fedbench.errors import FedbenchError, unknown
from fedbench.method import Method
from fedbench.named import make_task
from fedbench.progress import Progress
from fedbench.quirks import ENGINE, ROUND_ZERO_ALL
from fedbench.registry import BACKBONES, METHODS
from fedbench.store.files import write_json
from fedbench.store.journal import Journal
from fedbench.store.schema import Record

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


def run_cell(config: RunConfig, runtime: Runtime, *, folder: Path, progress: Progress) -> Record:
    """Train and evaluate one cell, from its last checkpoint if there is one, and return its record (docs/store.md).

    Writes `task.json`, `rounds.jsonl` and `state.safetensors` into `folder`.

    Raises:
        Skipped: the method cannot run on this backbone.
        FedbenchError: bad input or a bad state on disk.
    """
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    device = torch.device(runtime.device)
    for quirk in config.quirks.engine:
        if quirk not in ENGINE:
            raise unknown("quirk of the engine", quirk, ENGINE)
    task = make_task(config, runtime)
    clip = load_backbone(config.backbone, config.precision, runtime)
    method: Method = METHODS[config.method](
        clip, task.classnames, hyper=config.hyper, quirks=config.quirks.method
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
    code = code_of(config)
    journal = Journal(folder, identity=f"{config.cell}/{task.hash}/{clip.weights_hash}", code=code)
    write_json(folder / "task.json", task.description(), indent=None)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    clock = Clock(device)
    data = FeatureBatches(task, cache, config, epochs=len(method.phases(config.local_epochs)), device=device)
    trains = method.trains and config.rounds > 0
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
        round_zero_all=ROUND_ZERO_ALL in config.quirks.engine,
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
    return record(config, task, clip, method, journal.lines(), seconds=clock.seconds, code=code)


@lru_cache(maxsize=1)
def _backbone(
    cls: type[BackboneLoader] | None, name: str, precision: str, device: str, path: Path | None
) -> FrozenCLIP:
    loaded = clip_package.load(name, checkpoints={name: path} if path else None)
    return loaded.to(device, precision=precision)


def load_backbone(name: str, precision: str, runtime: Runtime) -> FrozenCLIP:
    """The frozen CLIP on its device; a process keeps the last one for its next cell."""
    # in a notebook a name may stand for another class by now
    cls = BACKBONES[name] if name in BACKBONES else None  # noqa: SIM401 (a registry has no get)
    return _backbone(cls, name, precision, runtime.device, runtime.checkpoints.get(name))


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
    sent = 4 * federation.method.payload["shared"]  # bytes of float32, each way, for each participant
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
