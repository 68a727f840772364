"""All figures of a store, by file name."""

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from fedbench.report.curves import curves
from fedbench.report.figures import looks, slug
from fedbench.report.scatter import scatter
from fedbench.report.sections import AVERAGE
from fedbench.report.tables import Table


def figures(tables: Sequence[Table]) -> Iterator[tuple[str, Figure]]:
    """(name without ending, figure): curves for each dataset, a scatter for each dataset and the average."""
    look = looks(tables)
    for table in tables:
        prefix = slug(f"{table.split}-{table.backbone}-") if len(tables) > 1 else ""
        suffix = "" if table.rule == "last" else f"-{table.rule}"
        for section in table.sections:
            if section.dataset != AVERAGE:
                yield f"{prefix}rounds-{slug(section.dataset)}", curves(table, section.dataset, look)
            fig = scatter(table, section, look)
            if fig is not None:
                yield f"{prefix}scatter-{slug(section.dataset)}{suffix}", fig
