"""A table of counts as a picture: the darker, the more."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from fedbench.report.figures import DPI, Picture

if TYPE_CHECKING:
    import pandas as pd

LABELLED = 40
"""Most rows or columns whose names can be read."""


def heatmap(counts: "pd.DataFrame", *, title: str) -> Figure:
    """Rows x columns of counts, with a colour bar; names are left out where there are too many to read."""
    rows, columns = counts.shape
    width, height = (
        min(max(least, 0.28 * n + 2), 14) for least, n in ((4.0, columns), (2.4, rows))
    )  # inches
    figure = Picture(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts.to_numpy(), aspect="auto", cmap="Greys", vmin=0, interpolation="nearest")
    for axis, names in ((axes.xaxis, counts.columns), (axes.yaxis, counts.index)):
        if len(names) <= LABELLED:
            axis.set_ticks(range(len(names)), labels=[str(name) for name in names])
    axes.tick_params(axis="x", labelrotation=90)
    axes.set_xlabel(f"{columns} classes")
    axes.set_ylabel(f"{rows} clients")
    axes.set_title(title, loc="left", fontsize="medium")
    figure.colorbar(image, ax=axes, label="images")
    return figure
