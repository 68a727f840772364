"""Label skew: the papers' two Dirichlet schemes, as functions of labels and a generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedbench.errors import FedbenchError

Generator = np.random.Generator | np.random.RandomState
"""Both have `shuffle`, `dirichlet` and `multinomial`; the papers use the older one."""

FINE = 10.0
"""Concentration within a superclass, hard-coded in the papers' code."""

DEALT = ("train", "test", "val")
"""The parts of a data set in the order in which they are dealt: `min_size` is asked of the first two."""

ADVISED = (0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0)
ADVICE_TRIES = 20


@dataclass(frozen=True)
class LabelDir:
    """`noniid-labeldir`: each class is cut over the clients in proportions from a Dirichlet distribution.

    A client that has its share of all training images gets nothing of further classes. All parts are cut at
    the same proportions. The draw is repeated until every client has `min_size` images of the first two parts.

    Attributes:
        beta: concentration; small is skewed.
        max_tries: draws before it gives up.
        reset: the papers' loaders of domains set their generator to this before each class; None: they do not.
    """

    beta: float
    clients: int
    min_size: int
    max_tries: int
    reset: int | None = None

    def deal(
        self, parts: Sequence[np.ndarray], *, draws: Callable[[int], Generator], what: str
    ) -> list[list[np.ndarray]]:
        """Positions in each of `parts` (labels of train, test, ...) for each client: [part][client].

        Args:
            draws: the generator of each try, from 0.
            what: says what is dealt.

        Raises:
            FedbenchError: no draw gives every client enough; with settings that work.
        """
        best = -1
        for attempt in range(self.max_tries if self._possible(parts) else 0):
            rng = draws(attempt)
            dealt = self.once(parts, rng)
            smallest = _smallest(dealt)
            if smallest >= self.min_size:
                for client in range(self.clients):
                    for part in dealt:
                        rng.shuffle(part[client])
                return dealt
            best = max(best, smallest)
        raise FedbenchError(
            f"{what}: no draw with beta={self.beta:g} over clients={self.clients} gives every client "
            f"min_size={self.min_size} training and test images"
            + (f" ({self.max_tries} draws, the best gave {best})" if best >= 0 else "")
            + self._advice(parts, draws, best)
        )

    def once(self, parts: Sequence[np.ndarray], rng: Generator) -> list[list[np.ndarray]]:
        """One draw, in the papers' order of calls, so that `RandomState(seed)` gives their partition."""
        dealt: list[list[list[np.ndarray]]] = [[[] for _ in range(self.clients)] for _ in parts]
        sizes = np.zeros(self.clients, dtype=int)
        for label in range(max(int(labels.max(initial=-1)) for labels in parts) + 1):
            positions = [np.where(labels == label)[0] for labels in parts]
            if self.reset is not None:
                rng = np.random.RandomState(self.reset)
            for own in positions:
                rng.shuffle(own)
            shares = rng.dirichlet(np.repeat(self.beta, self.clients))
            open_ = sizes < len(parts[0]) / self.clients
            shares = (
                shares * open_ if (shares * open_).sum() > 0 else open_.astype(float)
            )  # a tiny beta rounds to 0
            cuts = np.cumsum(shares / shares.sum())
            for part, own in zip(dealt, positions, strict=True):
                pieces = np.split(own, (cuts * len(own)).astype(int)[:-1])
                for client, piece in enumerate(pieces):
                    part[client].append(piece)
            sizes += [len(client[-1]) for client in dealt[0]]
        return [[np.concatenate(client) for client in part] for part in dealt]

    def _possible(self, parts: Sequence[np.ndarray]) -> bool:
        return min(len(labels) for labels in parts[:2]) >= self.min_size * self.clients

    def _advice(self, parts: Sequence[np.ndarray], draws: Callable[[int], Generator], best: int) -> str:
        """Settings that were tried and work."""
        fewest = min(len(labels) for labels in parts[:2])
        if not self._possible(parts):
            name = "training" if len(parts[0]) == fewest else "test"
            if fewest < self.clients:
                return f": there are {fewest} {name} images; use fewer clients"
            return (
                f": there are {fewest} {name} images; use min_size up to {fewest // self.clients} or clients up to "
                f"{fewest // max(self.min_size, 1)}"
            )
        working = [f"min_size={best}"] if best > 0 else []
        for beta in (beta for beta in ADVISED if beta > self.beta):
            if self._works(replace(self, beta=beta, max_tries=ADVICE_TRIES), parts, draws):
                working.append(f"beta={beta:g}")
                break
        clients = self.clients // 2
        while clients > 1 and not self._works(
            replace(self, clients=clients, max_tries=ADVICE_TRIES), parts, draws
        ):
            clients //= 2
        if clients > 1:
            working.append(f"clients={clients}")
        return f"; what works here: {' or '.join(working) or 'clients=1'}"

    @staticmethod
    def _works(rule: "LabelDir", parts: Sequence[np.ndarray], draws: Callable[[int], Generator]) -> bool:
        return any(
            _smallest(rule.once(parts, draws(attempt))) >= rule.min_size for attempt in range(rule.max_tries)
        )


def _smallest(dealt: Sequence[Sequence[np.ndarray]]) -> int:
    """Images of the client that has the fewest training, or the fewest test images."""
    return min(len(own) for part in dealt[:2] for own in part)


def pachinko(
    labels: np.ndarray,
    superclasses: Sequence[int],
    *,
    clients: int,
    beta: float,
    rng: Generator,
    order: Sequence[int],
    pick: Callable[[int], int],
) -> list[list[int]]:
    """`noniid-labeldir100`: positions in `labels` for each client, all of one size, by Pachinko allocation.

    A client draws weights over superclasses (concentration `beta`) and over the classes in each, then image by
    image a superclass, a class and one of the images that are left.

    Args:
        superclasses: the superclass of each label; -1 for labels without an image.
        rng: draws weights and classes.
        order: the positions in random order.
        pick: `pick(n)` draws a number below n: one of n images.
    """
    pools: list[list[int]] = [[] for _ in superclasses]
    for position in order:
        pools[labels[position]].append(position)
    fine = {
        group: [label for label, above in enumerate(superclasses) if above == group and pools[label]]
        for group in sorted(set(superclasses) - {-1})
    }
    fine = {group: members for group, members in fine.items() if members}
    groups = list(fine)
    dealt: list[list[int]] = []
    for _ in range(clients):
        coarse = rng.dirichlet(beta * np.ones(len(groups)))
        weights = {group: rng.dirichlet(FINE * np.ones(len(fine[group]))) for group in groups}
        own = []
        for _ in range(len(labels) // clients):
            at = int(rng.multinomial(1, coarse).argmax())
            group = groups[at]
            inner = int(rng.multinomial(1, weights[group]).argmax())
            images = pools[fine[group][inner]]
            own.append(images.pop(pick(len(images))))
            if not images:
                del fine[group][inner]
                weights[group] = _without(weights[group], inner)
                if not fine[group]:
                    del groups[at]
                    coarse = _without(coarse, at)
        dealt.append(own)
    return dealt


def _without(weights: np.ndarray, place: int) -> np.ndarray:
    """The other weights, summing to one again; even ones where nothing is left of them."""
    rest = np.delete(weights, place)
    total = rest.sum()
    return rest / total if total > 0 else np.full(len(rest), 1 / max(len(rest), 1))
