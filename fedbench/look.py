"""A task to look at: what a split makes of a data set, as tables and as a picture."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedbench.config import Quirks, RunConfig, Runtime, complete
from fedbench.errors import unknown
from fedbench.grid.owners import of_dataset
from fedbench.named import make_task, resolve
from fedbench.registry import SPLITS
from fedbench.task import Task

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Look:
    """A view of a task.

    Attributes:
        task: the task itself: clients with their training images, pools, metrics.
        seed: the seed that it was made with.
    """

    task: Task
    seed: int

    @property
    def hash(self) -> str:
        """Two cells with one hash saw the same split."""
        return self.task.hash

    @property
    def classes(self) -> tuple[str, ...]:
        """The label space of training."""
        return self.task.classnames

    @property
    def clients(self) -> "pd.DataFrame":
        """Training images: a row for each client, a column for each class."""
        import pandas as pd

        counts = [Counter(item.label for item in client.train) for client in self.task.clients]
        rows = [[count[label] for label in range(len(self.classes))] for count in counts]
        index = pd.Index([client.name for client in self.task.clients], name="client")
        return pd.DataFrame(rows, index=index, columns=list(self.classes))

    @property
    def pools(self) -> "pd.DataFrame":
        """Test sets: classes, images, and the metrics that are computed on them."""
        import pandas as pd

        rows = [
            {
                "pool": name,
                "classes": len(pool.classnames),
                "images": len(pool.items),
                "metrics": ", ".join(m for m, metric in self.task.metrics.items() if metric.pool == name),
            }
            for name, pool in self.task.pools.items()
        ]
        return pd.DataFrame(rows).set_index("pool")

    def plot(self) -> "Figure":
        """Clients x classes: the darker, the more training images."""
        from fedbench.report.heatmap import heatmap

        title = f"{self.task.protocol} on {self.task.dataset.name}, seed {self.seed}: training images"
        return heatmap(self.clients, title=title)

    def __repr__(self) -> str:
        counts = self.task.counts
        lines = [
            f"{self.task.protocol} on {self.task.dataset.name}, seed {self.seed}: hash {self.hash}",
            f"{len(counts)} clients with {counts.min()} to {counts.max()} training images, {len(self.classes)} classes",
            *(
                f"pool {name}: {row.images} images of {row.classes} classes"
                for name, row in self.pools.iterrows()
            ),
            *self.task.notes,
        ]
        return "\n".join(lines)


def look(
    dataset: str, split: str, *, seed: int, quirks: tuple[str, ...], runtime: Runtime, options: dict[str, Any]
) -> Look:
    """Make the task and the view of it.

    Raises:
        FedbenchError: an unknown name, option or quirk, or a split that cannot be made.
    """
    name, path = resolve(dataset, runtime.data_root)
    owned, own = of_dataset(name), SPLITS[split].quirks
    for quirk in quirks:
        if quirk not in owned and quirk not in own:
            raise unknown(f"quirk of {split} or {dataset}", quirk, [*own, *owned])
    config = RunConfig(
        method="",  # a task knows no method
        dataset=name,
        split=split,
        split_options=complete(SPLITS[split].Options, options, owner=split),
        quirks=Quirks(
            split=tuple(sorted(set(quirks) & set(own))), dataset=tuple(sorted(set(quirks) & set(owned)))
        ),
        seed=seed,
    )
    folders = {name: path} if path else {}
    return Look(make_task(config, runtime.model_copy(update={"folders": folders})), seed)
