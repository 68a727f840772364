"""What a cell writes while it runs: a line a round, and every few rounds its whole state."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedbench.errors import FedbenchError


class Journal:
    """`rounds.jsonl` and `state.safetensors` of one cell. A killed cell goes on from its last checkpoint."""

    def __init__(self, folder: Path, *, identity: str):
        """`identity` names the cell and its split: a checkpoint of another one is refused."""
        self.rounds, self.state, self.identity = (
            folder / "rounds.jsonl",
            folder / "state.safetensors",
            identity,
        )

    def resume(self) -> tuple[int, dict[str, Tensor]]:
        """The last checkpointed round and its state; (-1, {}) to start anew. Later lines of the journal are dropped.

        Raises:
            FedbenchError: the checkpoint is damaged or belongs to another cell.
        """
        if not self.state.exists():
            self._rewrite([])
            return -1, {}
        try:
            with safe_open(self.state, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get("checkpoint", "{}"))
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no iterator)
        except (SafetensorError, OSError) as error:
            raise FedbenchError(
                f"checkpoint {self.state} is damaged; delete it to start the cell anew"
            ) from error
        if about.get("identity") != self.identity:
            raise FedbenchError(
                f"checkpoint {self.state} belongs to another configuration or split; use another --out, or delete it "
                "to start the cell anew"
            )
        done = about["round"]
        lines = self.lines()[: done + 1]
        if len(lines) != done + 1:
            raise FedbenchError(
                f"{self.rounds} has lost rounds that {self.state.name} has; delete both to start anew"
            )
        self._rewrite(lines)
        return done, {k: x for k, x in tensors.items() if k != "nothing"}

    def lines(self) -> list[dict[str, Any]]:
        """All complete lines; what a kill cut short is left out."""
        if not self.rounds.exists():
            return []
        whole = self.rounds.read_text().split("\n")[:-1]
        return [json.loads(line) for line in whole]

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a round's line."""
        with self.rounds.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def checkpoint(self, round_: int, state: Mapping[str, Tensor]) -> None:
        """Write the state after `round_`, atomically, after the journal is safely on disk."""
        with self.rounds.open("a") as file:
            os.fsync(file.fileno())
        # safetensors wants at least one tensor; a method that trains nothing has none
        tensors = {k: x.detach().cpu().contiguous() for k, x in state.items()} or {"nothing": torch.zeros(1)}
        temporary = self.state.with_suffix(".tmp")
        # one key: the file format keeps several in no fixed order, and equal states are to be equal files
        about = json.dumps({"round": round_, "identity": self.identity})
        save_file(tensors, temporary, metadata={"checkpoint": about})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self.state)

    def _rewrite(self, lines: list[dict[str, Any]]) -> None:
        temporary = self.rounds.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
        os.replace(temporary, self.rounds)
