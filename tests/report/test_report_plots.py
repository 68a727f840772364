"""Figures: what is drawn, and that names and data do not cover each other."""

import itertools
import math
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from fedbench.errors import FedbenchError
from fedbench.report import tables_of, write_plots
from fedbench.report.figures import MARKERS, PALETTE, Picture
from fedbench.report.plots import figures
from tests.helpers.store_writer import StoreWriter, config, lbn, lodo, one_column

TWELVE = (
    "CLIP",
    "CoOp",
    "PromptFL",
    "Prox",
    "FedPGP",
    "FedOTP",
    "pFedMMA",
    "FedTV",
    "Co",
    "MaPLe",
    "LoRA",
    "Clip2",
)


def store(
    root: Path, methods: tuple[str, ...], seeds: tuple[int, ...] = (0, 1, 2), spread: float = 5.0
) -> Path:
    writer = StoreWriter(root / "run")
    for i, method in enumerate(methods):
        for seed in seeds:
            end = (70 + spread * i + seed, 70 + seed, 80 - spread * (i * 5 % 12) + seed)
            rounds = [lbn(60 + seed, 60 + seed, 70), lbn(65, 65, 72), lbn(*end)]
            writer.done(config(method, seed=seed), rounds[:1] if method == "CLIP" else rounds)
    return writer.root


def drawn(root: Path) -> dict[str, Figure]:
    return dict(figures(tables_of(root)))


def bands(axes: Axes) -> int:
    return sum(isinstance(c, PolyCollection) for c in axes.collections)


def test_one_panel_a_column_one_line_a_row(tmp_path: Path) -> None:
    fig = drawn(store(tmp_path, ("CLIP", "CoOp", "Prox")))["rounds-shapes"]
    assert [axes.get_title() for axes in fig.axes] == ["Local", "Base", "Novel"]
    for axes in fig.axes:
        assert [line.get_label() for line in axes.lines] == ["CLIP", "CoOp", "Prox"]
        assert bands(axes) == 2
    clip, coop, _ = fig.axes[0].lines
    assert clip.is_dashed()
    assert list(clip.get_ydata()) == [61, 61]
    assert list(coop.get_xdata()) == [0, 1, 2]
    assert coop.get_ydata()[-1] == pytest.approx(76)  # (75 + 76 + 77) / 3
    band = next(c for c in fig.axes[0].collections if isinstance(c, PolyCollection)).get_paths()[0].vertices
    at_the_end = band[band[:, 0] == 2][:, 1]
    assert (min(at_the_end), max(at_the_end)) == (pytest.approx(75), pytest.approx(77))  # ± 1, ddof 1


def test_one_seed_has_no_band_and_no_bars(tmp_path: Path) -> None:
    found = drawn(store(tmp_path, ("CLIP", "CoOp"), seeds=(0,)))
    assert all(bands(axes) == 0 for axes in found["rounds-shapes"].axes)
    assert all(len(c.get_segments()) == 0 for c in found["scatter-shapes"].axes[0].collections)
    assert "One seed." in found["rounds-shapes"].texts[-1].get_text()


def names(fig: Figure) -> list[Annotation]:
    return [t for t in fig.axes[0].texts if isinstance(t, Annotation)]


def test_scatter_names_every_point_and_no_names_overlap(tmp_path: Path) -> None:
    fig = drawn(store(tmp_path, ("CLIP", "CoOp", "PromptFL", "Prox", "FedPGP")))["scatter-shapes"]
    fig.draw_without_rendering()
    found = names(fig)
    assert [t.get_text() for t in found] == ["CLIP", "CoOp", "PromptFL", "Prox", "FedPGP"]
    renderer = fig.canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in found]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    room = fig.bbox
    assert all(room.x0 <= b.x0 and b.x1 <= room.x1 and room.y0 <= b.y0 and b.y1 <= room.y1 for b in boxes)


def test_crowded_scatter_has_a_legend_beside_the_axes(tmp_path: Path) -> None:
    fig = drawn(store(tmp_path, TWELVE, spread=0.05))["scatter-shapes"]
    fig.draw_without_rendering()
    assert names(fig) == []
    (legend,) = fig.legends
    assert [t.get_text() for t in legend.get_texts()] == list(TWELVE)
    assert legend.get_window_extent().x0 >= fig.axes[0].get_window_extent().x1
    assert legend.get_window_extent().x1 <= fig.bbox.x1


@pytest.mark.parametrize("count", [2, 5, 12])
def test_nothing_is_clipped(tmp_path: Path, count: int) -> None:
    for fig in drawn(store(tmp_path, TWELVE[:count])).values():
        fig.draw_without_rendering()
        box = fig.get_tightbbox(fig.canvas.get_renderer())  # inches
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= fig.get_figwidth()
        assert box.y1 <= fig.get_figheight()
        legends = [legend.get_window_extent() for legend in fig.legends]
        assert not any(legend.overlaps(axes.get_window_extent()) for legend in legends for axes in fig.axes)


def test_a_row_looks_the_same_in_all_figures(tmp_path: Path) -> None:
    found = drawn(store(tmp_path, TWELVE))
    lines = {line.get_label(): line.get_color() for line in found["rounds-shapes"].axes[0].lines}
    assert len(set(lines.values())) == 12
    handles = found["rounds-shapes"].legends[0].get_lines()
    assert {h.get_label(): h.get_color() for h in handles} == lines
    assert len(set(PALETTE)) == len(set(MARKERS)) == 12


@pytest.mark.parametrize("trained", [True, False])
def test_footnotes_carry_the_caveat(tmp_path: Path, trained: bool) -> None:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config(), [lbn(1, 1, 1), lbn(60, 60, 60)], backbone={"trained": trained})
    writer.open(config("FedPGP"), "failed", "diverged")
    expected = "(miniature)" if trained else "(untrained: numbers mean nothing)"
    for fig in drawn(writer.root).values():
        text = " ".join(fig.texts[-1].get_text().split())
        assert expected in text
        assert "Without numbers: FedPGP." in text


def test_metric_that_a_seed_lacks_is_not_drawn(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config(), [lbn(1, 1, 1), lbn(60, 60, math.nan)])
    found = drawn(writer.root)
    assert "scatter-shapes" not in found
    assert list(found["rounds-shapes"].axes[2].lines[0].get_xdata()) == [0]


def test_files(tmp_path: Path) -> None:
    root = store(tmp_path, ("CLIP", "CoOp"))
    paths = write_plots(root, formats=("png", "pdf", "svg"), select="best-test")
    stems = ["rounds-shapes"] * 3 + ["scatter-shapes-best-test"] * 3
    assert [p.name for p in paths] == [
        f"{s}.{f}" for s, f in zip(stems, ("png", "pdf", "svg") * 2, strict=True)
    ]
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    assert all(p.read_bytes().startswith(starts[p.suffix]) and p.stat().st_size > 5000 for p in paths)
    assert {p.parent for p in paths} == {root / "report"}
    with pytest.raises(FedbenchError, match="format of a figure"):
        write_plots(root, formats=("jpeg",))


@pytest.mark.parametrize(("count", "rows", "columns"), [(2, 1, 2), (4, 1, 4), (5, 2, 3), (6, 2, 3)])
def test_one_panel_a_held_out_domain_and_no_scatter(
    tmp_path: Path, count: int, rows: int, columns: int
) -> None:
    writer = StoreWriter(tmp_path / "run")
    domains = list("abcdef")[:count]
    for i, target in enumerate(domains):
        names = [d for d in domains if d != target]
        for seed in (1, 2):
            end = [70.0 + i + seed] * len(names)
            rounds = [{"target": [50.0] * len(names)}, {"target": [60.0] * len(names)}, {"target": end}]
            writer.done(lodo(target, seed=seed), rounds, protocol=one_column("target", names))
    found = drawn(writer.root)
    assert list(found) == ["rounds-office"]
    fig = found["rounds-office"]
    assert [axes.get_title() for axes in fig.axes] == [f"held out: {d}" for d in domains]
    assert [axes.lines[0].get_ydata()[-1] for axes in fig.axes] == [71.5 + i for i in range(count)]
    assert all(bands(axes) == 1 for axes in fig.axes)
    assert fig.axes[0].get_gridspec().get_geometry() == (rows, columns)
    text = " ".join(fig.texts[-1].get_text().split())
    assert "(n = 2). No scatter: the only column is Target." in text
    fig.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in fig.axes]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_one_column_has_one_panel_and_no_scatter(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    names = [f"{d} {k}" for d in "ab" for k in range(2)]
    rounds = [{"local": [50.0] * 4}, {"local": [60.0] * 4}, {"local": [60.0, 62.0, 64.0, 66.0]}]
    writer.done(config(split="domain-label-skew"), rounds, protocol=one_column("local", names))
    found = drawn(writer.root)
    assert list(found) == ["rounds-shapes"]
    (axes,) = found["rounds-shapes"].axes
    assert list(axes.lines[0].get_ydata()) == [50, 60, 63]


def test_a_notebook_shows_figures_without_being_told_to() -> None:
    content, metadata = Picture(figsize=(5, 2), dpi=200)._repr_png_()
    assert content.startswith(b"\x89PNG")
    assert metadata == {"width": 480}  # not the 1000 pixels of the file
