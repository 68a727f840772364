"""The record of a finished cell: what it was, what it was computed on, and what it cost."""

from collections.abc import Mapping, Sequence

from fedbench.clip import FrozenCLIP
from fedbench.config import SCHEMA, RunConfig
from fedbench.engine.environment import environment
from fedbench.engine.memory import peak_bytes
from fedbench.method import Method
from fedbench.store.schema import (
    BackboneFacts,
    Environment,
    Hashes,
    Parameters,
    Payload,
    Protocol,
    Record,
    RoundLine,
    Seconds,
)
from fedbench.task import Task


def record(
    config: RunConfig,
    task: Task,
    clip: FrozenCLIP,
    method: Method,
    lines: Sequence[RoundLine],
    *,
    seconds: Mapping[str, float],
    code: Mapping[str, str],
) -> Record:
    """The content of `record.json`.

    Args:
        lines: those of `rounds.jsonl`.
        seconds: by phase, as far as the lines do not hold them.
        code: digests of the source of method, split, dataset, backbone and engine.
    """
    sizes = Parameters(**method.payload)
    features = seconds.get("features", 0.0)
    train = sum(line.seconds.train for line in lines)
    evaluate = sum(line.seconds.evaluate for line in lines)
    return Record(
        schema=SCHEMA,
        cell=config.cell,
        config=config,
        protocol=Protocol(
            name=task.protocol,
            columns=task.columns,
            summary=task.summary,
            clients=len(task.clients),
            client_names=tuple(client.name for client in task.clients),
            classes=len(task.classnames),
            train_images=int(task.counts.sum()),
            source=task.dataset.source,
            missing=task.dataset.missing,
            unreadable=task.dataset.unreadable,
            notes=tuple(dict.fromkeys([*task.dataset.notes(), *task.notes])),  # a split may not repeat them
        ),
        backbone=BackboneFacts(
            name=config.backbone,
            weights=clip.weights_hash,
            label=clip.label,
            trained=clip.label != "untrained",
        ),
        hashes=Hashes(split=task.hash, weights=clip.weights_hash),
        rounds=lines[-1].round,
        parameters=sizes,
        payload=Payload(
            up_per_client_round=4 * sizes.shared,
            down_per_client_round=4 * sizes.shared,
            up=sum(line.bytes.up for line in lines),
            down=sum(line.bytes.down for line in lines),
        ),
        seconds=Seconds(features=features, train=train, evaluate=evaluate, total=features + train + evaluate),
        peak_bytes=peak_bytes(clip.device),
        environment=Environment(**environment(clip)),
        code=dict(code),
    )
