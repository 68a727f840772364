"""A table as every renderer prints it: texts, marks and numbers, without markup.

A renderer (`fedbench.report.formats`) looks at nothing else: neither at cells nor at the store.
"""

from dataclasses import dataclass

from fedbench.report.arithmetic import Value


@dataclass(frozen=True)
class Cell:
    """A printed number: the mean, what follows it, and its rank in the column (1 best, 2 second best, 0: no mark)."""

    mean: str
    spread: str = ""
    rank: int = 0


@dataclass(frozen=True)
class Grid:
    """One grid. `lines` hold a row's name and its cells under `heads`; `note` says what the numbers are.

    `main`: a section of the table, which the document's own definitions explain.
    """

    title: str
    corner: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Cell, ...]], ...]
    note: str = ""

    @property
    def main(self) -> bool:
        return not self.note


@dataclass(frozen=True)
class Number:
    """A number of the table, unrounded; n is 0 where it is missing.

    Metrics with `/` belong to a domain, those with `<-` to clients: `target/amazon` is the accuracy on the held-out
    amazon, the mean over its source clients; `target/amazon<-webcam` that of the client webcam;
    `target/amazon<-*` the first again, with std and n over the source clients instead of seeds; `target/avg` the mean
    over held-out domains. `local/webcam` is the mean over the clients of webcam, and `local<-*` is `local` with std and
    n over clients. HM is the metric `hm`, the average over datasets the dataset `Average`.
    """

    method: str
    dataset: str
    protocol: str
    metric: str
    value: Value


@dataclass(frozen=True)
class Document:
    """All that is said of one protocol on one backbone.

    Attributes:
        split, backbone: what the table is of.
        title: both, with the backbone's caveat, which no rendering may leave out.
        grids: the sections first, the average before the datasets; then matrices and the like.
        definitions: how the numbers of the sections came about.
        comparison: every row with one, in pairs, if the user asked for it.
        facts: (name, text) pairs in order: Backbone, Protocol, Data, Quirks, Selection, Seeds, Training, ...
        warnings: reasons to distrust numbers.
        notes: what is missing in the numbers.
        unfinished: a line for each cell without numbers.
        numbers: all of them, for programs.
    """

    split: str
    backbone: str
    title: str
    grids: tuple[Grid, ...]
    definitions: str
    comparison: Grid | None
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    unfinished: tuple[str, ...]
    numbers: tuple[Number, ...]

    @property
    def sections(self) -> tuple[Grid, ...]:
        """The grids that the definitions explain."""
        return tuple(grid for grid in self.grids if grid.main)

    @property
    def others(self) -> tuple[tuple[Grid, str], ...]:
        """The other grids, each with its note; "" where the next one has the same."""
        others = [grid for grid in self.grids if not grid.main]
        following = [grid.note for grid in others[1:]] + [""]
        return tuple(
            (g, g.note if g.note != note else "") for g, note in zip(others, following, strict=False)
        )
