"""Test sets, whose rows are which client's, and the notes that the protocols share."""

from collections.abc import Iterable, Mapping, Sequence

from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError
from fedbench.splits.shots import by_label
from fedbench.task import Metric, Pool

NO_VAL = "no val metric and no best-val selection"


def relabelled(items: Iterable[Item], labels: Sequence[int]) -> list[Item]:
    """The items of `labels`, labelled by their position there."""
    new: Mapping[int, int] = {label: position for position, label in enumerate(labels)}
    return [Item(i.key, new[i.label], i.domain) for i in items if i.label in new]


def names(dataset: Dataset, labels: Sequence[int]) -> tuple[str, ...]:
    """Class names of `labels`."""
    return tuple(dataset.classnames[label] for label in labels)


def pool(dataset: Dataset, labels: Sequence[int], items: Iterable[Item]) -> Pool:
    """The items of `labels` as a test set among these classes."""
    return Pool(names(dataset, labels), tuple(relabelled(items, labels)))


def joined(
    classnames: tuple[str, ...], parts: Iterable[Sequence[Item]]
) -> tuple[Pool, tuple[tuple[int, ...], ...]]:
    """One pool of all clients' test images, one client after another, and the rows of each."""
    items: list[Item] = []
    rows = []
    for part in parts:
        rows.append(tuple(range(len(items), len(items) + len(part))))
        items += part
    return Pool(classnames, tuple(items)), tuple(rows)


def own_rows(of: Pool, blocks: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The rows of a pool that show each client's own classes."""
    return tuple(tuple(row for row, item in enumerate(of.items) if item.label in block) for block in blocks)


def check_tested(protocol: str, of: Pool, blocks: Sequence[Sequence[int]]) -> None:
    """Refuse a client without a test image of its own classes.

    Raises:
        FedbenchError: its accuracy would be undefined.
    """
    tested = {item.label for item in of.items}
    for client, block in enumerate(blocks):
        if not tested.intersection(block):
            own = ", ".join(of.classnames[label] for label in block)
            raise FedbenchError(
                f"{protocol}: client {client} of {len(blocks)} has no test image of its classes ({own}), "
                "so its Local accuracy is undefined; complete the images or use fewer clients"
            )


def add_val(
    of: Pool,
    rows: Sequence[Sequence[int]],
    *,
    pools: dict[str, Pool],
    metrics: dict[str, Metric],
    notes: list[str],
) -> None:
    """Enter the metric `val` on each client's rows of `of`, or the note why there is none."""
    lacking = [str(client) for client, own in enumerate(rows) if not own]
    if not lacking:
        pools["val"], metrics["val"] = of, Metric("val", tuple(map(tuple, rows)))
    elif len(lacking) == len(rows):
        notes.append(f"no validation images, so {NO_VAL}")
    else:
        clients = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        notes.append(f"no validation image for client {clients}, so {NO_VAL}")


def listed(dataset: Dataset, labels: Sequence[int]) -> str:
    """`2 classes (bonsai, umbrella)`, at most five named."""
    named = ", ".join(names(dataset, labels[:5])) + (", ..." if len(labels) > 5 else "")
    return f"{len(labels)} class{'' if len(labels) == 1 else 'es'} ({named})"


def few_shot_notes(dataset: Dataset, used: Sequence[int], *, shots: int, left_out_of: str) -> list[str]:
    """What a reader of few-shot numbers on the classes `used` must know."""
    notes = []
    train = by_label(dataset.parts["train"])
    counts = {label: len(train.get(label, ())) for label in range(len(dataset.classnames))}
    tested = {item.label for item in dataset.parts["test"]}
    unused = [label for label in range(len(dataset.classnames)) if not counts[label]]
    if unused:
        notes.append(f"{listed(dataset, unused)} without a training image, left out of {left_out_of}")
    untested = [label for label in used if label not in tested]
    if untested:
        notes.append(f"{listed(dataset, untested)} without a test image, kept in the label space")
    few = [label for label in used if counts[label] < shots]
    if few:
        lowest = min(few, key=lambda label: counts[label])
        notes.append(
            f"{len(few)} of {len(used)} classes have fewer than {shots} training images and "
            f"give all they have (fewest: {counts[lowest]}, {dataset.classnames[lowest]})"
        )
    return notes
