"""What a cell writes while it runs: a line a round, and every few rounds its whole state."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fedbench.config import validated
from fedbench.errors import FedbenchError
from fedbench.store.files import replace
from fedbench.store.schema import RoundLine

if TYPE_CHECKING:  # the report reads journals too, and need not wait for torch
    from torch import Tensor

log = logging.getLogger("fedbench")

NOTHING = "nothing"
"""The one tensor in the state of a method without any: the file format wants one."""


def read_lines(file: Path) -> list[RoundLine]:
    """The complete lines of a `rounds.jsonl`; what a kill cut short is left out. Empty without the file.

    Raises:
        FedbenchError: a line before the last is damaged.
    """
    if not file.exists():
        return []
    lines = []
    for number, text in enumerate(file.read_bytes().split(b"\n")[:-1], start=1):
        try:
            lines.append(RoundLine.model_validate_json(text))
        except ValidationError as error:
            raise FedbenchError(
                f"{file}, line {number} is damaged; delete {file.parent} to start anew"
            ) from error
    return lines


class Journal:
    """`rounds.jsonl` and `state.safetensors` of one cell. A killed cell goes on from its last checkpoint."""

    def __init__(self, folder: Path, *, identity: str, code: Mapping[str, str] | None = None):
        """
        Args:
            identity: names the cell and its split; a checkpoint of another one is refused.
            code: digests of the code that runs the cell. A checkpoint of other code is left aside and the cell
                starts anew, since rounds of two versions in one cell would be nobody's numbers.
        """
        self.code = dict(code or {})
        self.rounds = folder / "rounds.jsonl"
        self.state = folder / "state.safetensors"
        self.identity = identity

    def resume(self) -> tuple[int, dict[str, "Tensor"]]:
        """The last checkpointed round and its state; (-1, {}) to start anew. Later lines of the journal are dropped.

        Raises:
            FedbenchError: the checkpoint is damaged or belongs to another cell.
        """
        from safetensors import SafetensorError, safe_open

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
        if about.get("code", {}) != self.code:
            log.warning(
                "%s: its code has changed since it was interrupted: it starts anew", self.rounds.parent.name
            )
            self._rewrite([])
            return -1, {}
        done = about["round"]
        lines = self.lines()[: done + 1]
        if len(lines) != done + 1:
            raise FedbenchError(
                f"{self.rounds} has lost rounds that {self.state.name} has; delete both to start anew"
            )
        self._rewrite(lines)
        return done, {key: x for key, x in tensors.items() if key != NOTHING}

    def lines(self) -> list[RoundLine]:
        """All complete lines; what a kill cut short is left out."""
        return read_lines(self.rounds)

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a round's line, the fields of a `RoundLine`.

        Raises:
            FedbenchError: a key that it does not have, or a number that is not finite.
        """
        checked = validated(RoundLine, line, where=f"{self.rounds}, round {line.get('round')}")
        with self.rounds.open("ab") as file:
            file.write(_text(checked))

    def checkpoint(self, round_: int, state: Mapping[str, "Tensor"]) -> None:
        """Write the state after `round_`, atomically, after the journal is safely on disk."""
        import torch
        from safetensors.torch import save

        with self.rounds.open("ab") as file:
            os.fsync(file.fileno())
        tensors = {k: x.detach().cpu().contiguous() for k, x in state.items()} or {NOTHING: torch.zeros(1)}
        # one key: the file format keeps several in no fixed order, and equal states are to be equal files
        about = json.dumps({"round": round_, "identity": self.identity, "code": self.code})
        replace(self.state, save(tensors, metadata={"checkpoint": about}), durable=True)

    def _rewrite(self, lines: list[RoundLine]) -> None:
        replace(self.rounds, b"".join(map(_text, lines)), durable=True)


def _text(line: RoundLine) -> bytes:
    return json.dumps(line.content(), allow_nan=False).encode() + b"\n"
