"""The federation: rounds of local training and averaging. This file reads like the algorithm."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fedbench.engine.local import Step, Trained, train_locally
from fedbench.method import Method, Tensors
from fedbench.seeds import stream, torch_stream


class LocalData(Protocol):
    """Where local training gets its batches."""

    def steps(self, round_: int, clients: Sequence[int]) -> Iterable[Step]:
        """All local steps of these clients in this round, in order."""
        ...


@dataclass(frozen=True)
class Round:
    """What happened in a round.

    Attributes:
        participants: the clients that trained.
        uploads: their shared tensors after training. (participants, ...)
        losses: terms of the loss before each local step. (participants, steps)
        active: which of those steps a client took. (participants, steps) bool
    """

    participants: list[int]
    uploads: Tensors
    losses: Tensors
    active: Tensor

    def mean_losses(self) -> dict[str, float]:
        """Each term's mean over all steps that were taken."""
        taken = self.active.sum().item()
        return {name: (x.sum() / taken).item() for name, x in self.losses.items()}


class Federation:
    """Server and clients of one cell.

    Attributes:
        server: the shared tensors, without a clients axis.
        personal: everything that stays with the clients. (clients, ...)
        buffers: momentum that outlives a round (see `Method.optimizer_state`), with the axis of its owners.
    """

    def __init__(
        self,
        method: Method,
        data: LocalData,
        *,
        counts: Sequence[int],
        seed: int,
        participation: float = 1.0,
        clients_at_once: int | None = None,
        start: Tensors | None = None,
    ):
        """
        Args:
            counts: every client's number of training images.
            clients_at_once: how many train in one pass; changes no number.
            start: common start of all clients instead of the method's `init`, without the clients axis.
        """
        self.method, self.data, self.seed = method, data, seed
        self.counts = torch.as_tensor(counts)
        self.participants_per_round = max(int(participation * len(counts)), 1)
        self.clients_at_once = clients_at_once or len(counts)
        self.device = method.clip.device
        start = start or method.init(torch_stream(seed, "init"))
        start = {name: x.to(self.device) for name, x in start.items()}
        self.server = {name: start[name] for name in method.shared}
        self.start = {name: x.expand(len(counts), *x.shape) for name, x in start.items() if name not in method.shared}
        self.personal = {name: x.clone() for name, x in self.start.items()}
        self.buffers: Tensors = {}

    def run_round(self, round_: int) -> Round:
        """One communication round: sample, train locally, average."""
        participants = self.sample(round_)
        if self.method.quirk("restart-each-round"):
            self.personal = {name: x.clone() for name, x in self.start.items()}
        trained = [self.train(clients, round_) for clients in self.chunks(participants)]
        uploads = {name: torch.cat([t.tensors[name] for t in trained]) for name in self.method.shared}
        if uploads:
            self.server = self.method.aggregate(uploads, self.counts[participants], self.server)
        steps = max(t.active.shape[1] for t in trained)
        return Round(
            participants=participants,
            uploads=uploads,
            losses={name: torch.cat([_widen(t.losses[name], steps) for t in trained]) for name in trained[0].losses},
            active=torch.cat([_widen(t.active, steps) for t in trained]),
        )

    def sample(self, round_: int) -> list[int]:
        """This round's participants, in index order."""
        everyone = len(self.counts)
        if self.participants_per_round == everyone:
            return list(range(everyone))
        chosen = stream(self.seed, "participants", round=round_).choice(everyone, self.participants_per_round, replace=False)
        return sorted(chosen.tolist())

    def chunks(self, clients: list[int]) -> list[list[int]]:
        """Clients that train together: all numbers are the same, whatever the size."""
        size = 1 if self.method.quirk("momentum-leak") else self.clients_at_once
        return [clients[i : i + size] for i in range(0, len(clients), size)]

    def train(self, clients: list[int], round_: int) -> Trained:
        """Local training of some clients, from the server's tensors and their own; keeps what stays with them."""
        received = {name: x.expand(len(clients), *x.shape) for name, x in self.server.items()}
        trained = train_locally(
            self.method,
            self.model(clients),
            self.data.steps(round_, clients),
            received=received,
            buffers=self._momentum(clients),
        )
        for name, x in self.personal.items():
            x[clients] = trained.tensors[name]
        self._keep_momentum(clients, trained.buffers)
        return trained

    def model(self, clients: Sequence[int]) -> Tensors:
        """The personalised models: the server's tensors and the clients' own. (clients, ...)"""
        shared = {name: x.expand(len(clients), *x.shape) for name, x in self.server.items()}
        return shared | {name: x[list(clients)] for name, x in self.personal.items()}

    def _momentum(self, clients: list[int]) -> Tensors | None:
        if not self.buffers:
            return None
        if self.method.quirk("momentum-leak"):
            return self.buffers
        return {name: x[clients] for name, x in self.buffers.items()}

    def _keep_momentum(self, clients: list[int], buffers: Tensors) -> None:
        if self.method.quirk("momentum-leak"):
            self.buffers = buffers
        elif self.method.optimizer_state == "kept":
            if not self.buffers:
                self.buffers = {name: x.new_zeros(len(self.counts), *x.shape[1:]) for name, x in buffers.items()}
            for name, x in buffers.items():
                self.buffers[name][clients] = x

    def state(self) -> Tensors:
        """Everything that the next round depends on, by name."""
        parts = {"server": self.server, "personal": self.personal, "momentum": self.buffers}
        return {f"{part}/{name}": x.contiguous() for part, tensors in parts.items() for name, x in tensors.items()}

    def restore(self, state: Tensors) -> None:
        """Take up a state that `state` wrote."""
        parts: dict[str, Tensors] = {"server": {}, "personal": {}, "momentum": {}}
        for key, x in state.items():
            part, _, name = key.partition("/")
            parts[part][name] = x.to(self.device)
        self.server, self.personal, self.buffers = parts["server"], parts["personal"], parts["momentum"]


def _widen(x: Tensor, steps: int) -> Tensor:
    """Pad the steps axis with zeros. (clients, some steps) → (clients, steps)"""
    return torch.nn.functional.pad(x, (0, steps - x.shape[1]))


def payload(method: Method) -> dict[str, int]:
    """Numbers of trainable, shared and personal parameters of one client."""
    sizes = {name: int(np.prod(x.shape)) for name, x in method.init(torch_stream(0, "init")).items()}
    shared = sum(sizes[name] for name in method.shared)
    return {"trainable": sum(sizes.values()), "shared": shared, "personal": sum(sizes.values()) - shared}
