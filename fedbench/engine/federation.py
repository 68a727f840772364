"""The federation: rounds of local training and averaging. This file reads like the algorithm."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fedbench.engine.contract import check_names, check_start
from fedbench.engine.local import Step, Trained, train_locally
from fedbench.errors import FedbenchError
from fedbench.method import Method, Tensors
from fedbench.seeds import number, stream, torch_stream


class LocalData(Protocol):
    """Where local training gets its batches."""

    def steps(self, round_: int, clients: Sequence[int]) -> Iterable[Step]:
        """All local steps of these clients in this round, in order."""
        ...


@dataclass(frozen=True)
class RoundResult:
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
        """Each term's mean over all steps that were taken; summed exactly, so that no grouping shows."""
        taken = self.active.sum().item()
        return {name: math.fsum(x.flatten().tolist()) / taken for name, x in self.losses.items()}


class Federation:
    """Server and clients of one cell.

    Attributes:
        server: the shared tensors, without a clients axis.
        clients: all that may take part.
        personal: everything that stays with the clients. (clients, ...)
        kept: optimiser state that outlives a round, with the axis of its owners.
    """

    def __init__(
        self,
        method: Method,
        data: LocalData,
        *,
        counts: Sequence[int],
        seed: int,
        participation: float = 1.0,
        local_epochs: int = 1,
        clients_at_once: int | None = None,
        start: Tensors | None = None,
        round_zero_all: bool = False,
    ):
        """
        Args:
            counts: every client's number of training images.
            clients_at_once: how many train in one pass; changes no number.
            start: common start of all clients instead of the method's `init`, without the clients axis.
            round_zero_all: everyone trains in round 0, whatever the participation: the quirk of that name.

        Raises:
            FedbenchError: the method names tensors that it does not declare, or drops a client that is not there.
        """
        self.method, self.data, self.seed, self.local_epochs = method, data, seed, local_epochs
        self.counts = torch.as_tensor(counts)
        self.participants_per_round = max(int(participation * len(counts)), 1)
        self.round_zero_all = round_zero_all
        self.clients_at_once = clients_at_once or len(counts)
        self.device = method.clip.device
        check_names(method, local_epochs)
        start = start or method.init(torch_stream(seed, "init"))
        check_start(method, start)
        start = {name: x.to(self.device) for name, x in start.items()}
        self.server = {name: start[name] for name in method.shared}
        self.start = {
            name: x.expand(len(counts), *x.shape) for name, x in start.items() if name not in method.shared
        }
        self.personal = {name: x.clone() for name, x in self.start.items()}
        self.kept: Tensors = {}
        self.clients = [k for k in range(len(counts)) if k not in method.dropped]
        if len(self.clients) != len(counts) - len(method.dropped):
            raise FedbenchError(
                f"{method.name} is to drop client {max(method.dropped)}, and there are {len(counts)}: "
                "use more clients or leave that quirk out"
            )
        self.one_by_one = bool(method.leaked) or any(self._passed_on(name) for name in start)

    def run_round(self, round_: int) -> RoundResult:
        """One communication round: sample, train locally, average."""
        participants = self.sample(round_)
        if self.method.restarts:
            self.personal = {name: x.clone() for name, x in self.start.items()}
        trained = [self.train(clients, round_) for clients in self.chunks(participants)]
        uploads = {name: torch.cat([t.tensors[name] for t in trained]) for name in self.method.shared}
        if uploads:
            self.server = self.method.aggregate(
                uploads, self.counts[participants], self.server, round_=round_
            )
        steps = max(t.active.shape[1] for t in trained)
        return RoundResult(
            participants=participants,
            uploads=uploads,
            losses={
                name: torch.cat([_widen(t.losses[name], steps) for t in trained])
                for name in trained[0].losses
            },
            active=torch.cat([_widen(t.active, steps) for t in trained]),
        )

    def sample(self, round_: int) -> list[int]:
        """This round's participants, in index order."""
        everyone = (self.round_zero_all and round_ == 0) or self.method.everyone_trains
        if everyone or self.participants_per_round >= len(self.clients):
            return list(self.clients)
        chosen = stream(self.seed, "participants", round=round_).choice(
            self.clients, self.participants_per_round, replace=False
        )
        return sorted(chosen.tolist())

    def chunks(self, clients: list[int]) -> list[list[int]]:
        """Clients that train together: all numbers are the same, whatever the size."""
        size = 1 if self.one_by_one else self.clients_at_once
        return [clients[i : i + size] for i in range(0, len(clients), size)]

    def train(self, clients: list[int], round_: int) -> Trained:
        """Local training of some clients, from the server's tensors and their own; keeps what stays with them."""
        received = {name: x.expand(len(clients), *x.shape) for name, x in self.server.items()}
        trained = train_locally(
            self.method,
            self.model(clients),
            self.data.steps(round_, clients),
            received=received,
            state=self._state_of(clients),
            seeds=torch.tensor([number(self.seed, "training", round=round_, client=c) for c in clients]).to(
                self.device
            ),
            local_epochs=self.local_epochs,
        )
        for name, x in self.personal.items():
            x[clients] = trained.tensors[name]
        self._pass_on(clients, trained, round_)
        self._keep(clients, trained.state)
        return trained

    def model(self, clients: Sequence[int]) -> Tensors:
        """The personalised models: the server's tensors and the clients' own. (clients, ...)"""
        shared = {name: x.expand(len(clients), *x.shape) for name, x in self.server.items()}
        return shared | {name: x[list(clients)] for name, x in self.personal.items()}

    def _pass_on(self, clients: list[int], trained: Trained, round_: int) -> None:
        """Under a leak, everyone holds the last-trained client's tensors; in round 0 the rest still start afresh.

        Clients train in index order, so in round 0 those after the present one have not been made yet.
        """
        done = slice(None) if round_ > 0 else slice(0, clients[-1] + 1)
        for name in self.method.leaked:
            self.personal[name][done] = trained.tensors[name]

    def _state_of(self, clients: list[int]) -> Tensors:
        """Optimiser state that the clients go on with: their own, or what the client before them left."""
        return {key: x if self._passed_on(_tensor_of(key)) else x[clients] for key, x in self.kept.items()}

    def _keep(self, clients: list[int], state: Tensors) -> None:
        for key, x in state.items():
            match self.method.optimizer(_tensor_of(key)).state:
                case "passed on":
                    self.kept[key] = x
                case "kept":
                    everyone = self.kept.setdefault(key, x.new_zeros(len(self.counts), *x.shape[1:]))
                    everyone[clients] = x

    def _passed_on(self, name: str) -> bool:
        return self.method.optimizer(name).state == "passed on"

    def state(self) -> Tensors:
        """Everything that the next round depends on, by name."""
        parts = {
            "server": self.server,
            "personal": self.personal,
            "optimizer": self.kept,
            "memory": self.method.remembered,
        }
        return {
            f"{part}/{name}": x.contiguous() for part, tensors in parts.items() for name, x in tensors.items()
        }

    def restore(self, state: Tensors) -> None:
        """Take up a state that `state` wrote."""
        parts: dict[str, Tensors] = {"server": {}, "personal": {}, "optimizer": {}, "memory": {}}
        for key, x in state.items():
            part, _, name = key.partition("/")
            parts[part][name] = x.to(self.device)
        self.server, self.personal, self.kept = parts["server"], parts["personal"], parts["optimizer"]
        self.method.remembered = parts["memory"]


def _widen(x: Tensor, steps: int) -> Tensor:
    """Pad the steps axis with zeros. (clients, some steps) → (clients, steps)"""
    return torch.nn.functional.pad(x, (0, steps - x.shape[1]))


def _tensor_of(key: str) -> str:
    """The tensor to which a piece of optimiser state belongs: `context/momentum` is `context`'s."""
    return key.rsplit("/", 1)[0]
