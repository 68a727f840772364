"""The record of a finished cell: what it was, what it was computed on, and what it cost."""

from typing import Any

from fedbench.clip import FrozenCLIP
from fedbench.code import code_of
from fedbench.config import SCHEMA, RunConfig, canonical
from fedbench.engine.environment import environment
from fedbench.engine.memory import peak_bytes
from fedbench.method import Method
from fedbench.task import Task


def record(
    config: RunConfig,
    task: Task,
    clip: FrozenCLIP,
    method: Method,
    lines: list[dict[str, Any]],
    *,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The content of `record.json` (docs/store.md).

    Args:
        lines: those of `rounds.jsonl`.
        seconds: by phase, as far as the lines do not hold them.
    """
    sizes = method.payload
    spent = {phase: sum(line["seconds"][phase] for line in lines) for phase in ("train", "evaluate")}
    spent["features"] = seconds.get("features", 0.0)
    return {
        "schema": SCHEMA,
        "cell": config.cell,
        "config": canonical(config),
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
        "seconds": {**spent, "total": sum(spent.values())},
        "peak_bytes": peak_bytes(clip.device),
        "code": code_of(config),
        "environment": environment(clip),
    }
