"""Markdown, LaTeX, terminal: structure, marks and escapes; and how files are written."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from fedbench.errors import FedbenchError
from fedbench.report import terminal_table, write_report
from fedbench.report.formats.latex import escape
from tests.helpers.store_writer import StoreWriter, config, lbn

START = lbn(1, 1, 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    writer = StoreWriter(tmp_path / "run")
    for seed in (1, 2):
        writer.done(config("CLIP", seed=seed), [lbn(70, 70, 80)])
        writer.done(config("A_B", seed=seed), [START, lbn(80 + seed, 72, 75)])
        writer.done(config("C&D 5%", seed=seed, quirks=("momentum-leak",)), [START, lbn(80 + seed, 71, 79)])
    return writer.root


def read(root: Path, form: str) -> str:
    (path,) = write_report(root, formats=[form])
    return path.read_text()


def test_markdown(root: Path) -> None:
    text = read(root, "md")
    lines = text.splitlines()
    assert lines[0] == "# base-to-novel, tiny (miniature)"
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in lines if line.startswith("|")]
    assert rows[0] == ["Method", "Local", "Base", "Novel", "HM"]
    assert rows[2][:4] == ["CLIP", "<u>70.00</u> ± 0.00", "70.00 ± 0.00", "**80.00** ± 0.00"]
    assert rows[3][:4] == [
        "A_B",
        "**81.50** ± 0.71",
        "**72.00** ± 0.00",
        "75.00 ± 0.00",
    ]  # ties share the best
    assert rows[4][:3] == ["C&D 5% [momentum-leak]", "**81.50** ± 0.71", "<u>71.00</u> ± 0.00"]
    assert "n=" not in text
    assert "Seeds: 1, 2 (n = 2)" in text


def test_one_seed_has_no_spread_and_one_row_no_marks(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config(), [START, lbn(80, 72, 75)])
    text = read(writer.root, "md")
    assert re.search(r"\| PromptFL \| +80\.00 \| +72\.00 \| +75\.00 \| +75\.52 \|", text)
    tabular = read(writer.root, "tex").split(r"\begin{tabular}")[1].split(r"\end{tabular}")[0]
    assert "pm" not in tabular
    assert "textbf" not in tabular


def test_markdown_escapes(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config("a|b*"), [START, lbn(80, 72, 75)])
    assert r"| a\|b\* " in read(writer.root, "md")


def test_latex(root: Path) -> None:
    text = read(root, "tex")
    for environment in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
    order = [text.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert order == sorted(order)
    assert r"\begin{tabular}{lrrrr}" in text
    assert r"A\_B & \textbf{81.50} $\pm$ 0.71 & \textbf{72.00} $\pm$ 0.00 & 75.00 $\pm$ 0.00 &" in text
    assert r"C\&D 5\% [momentum-leak] & \textbf{81.50} $\pm$ 0.71 & \underline{71.00} $\pm$ 0.00 &" in text
    assert r"tiny (miniature). Selection: last round. Seeds: 1, 2 (n = 2). Accuracies in \%" in text
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert [row.replace(r"\&", "").count("&") for row in rows] == [4, 4, 4, 4]


def test_latex_braces_balance(root: Path) -> None:
    bare = re.sub(r"\\[{}]", "", read(root, "tex"))
    assert bare.count("{") == bare.count("}")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5% #1 $x {y}", r"a\_b \& 5\% \#1 \$x \{y\}"),
        ("\\~^", r"\textbackslash{}\textasciitilde{}\textasciicircum{}"),
        ("± – <>", r"$\pm$ -- \textless{}\textgreater{}"),
        ("µ é 漢", "µ é ?"),
    ],
)
def test_latex_escapes_each_character_once(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def shown(root: Path, width: int, **options: str) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(root, **options))
    return capture.get()


def test_terminal(root: Path) -> None:
    text = shown(root, 100)
    assert "C&D 5% [momentum-leak]" in text  # not taken for rich markup
    assert re.search(r"A_B +81\.50 ± 0\.71 +72\.00 ± 0\.00", text)
    assert text.startswith("base-to-novel, tiny (miniature)\n")


def test_the_terminal_is_short_and_the_table_last(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    for dataset in ("dtd", "shapes"):
        for method in ("CoOp", "FedPGP"):
            cell = config(method, dataset, hyper={"mu": 0.5})
            writer.done(cell, [START, lbn(80, 72, 75)], protocol={"notes": ["7 are missing"]})
    for seed in range(2, 20):
        writer.open(config("CoOp", "dtd", seed, hyper={"mu": 0.5}), "queued", "not yet")
    (path,) = write_report(writer.root, formats=["txt"])
    text = path.read_text()
    assert text.rstrip() == shown(writer.root, 200).rstrip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[0] == "base-to-novel, tiny (miniature)"
    assert [line.split()[0] for line in lines[-5:]] == ["Average", "Method", "─" * 42, "CoOp", "FedPGP"]
    assert [line for line in lines if line in ("dtd", "shapes")] == ["dtd", "shapes"]
    assert "mu" not in text.replace("number", "")
    assert "Data: dtd: 7 are missing; shapes: 7 are missing" in lines
    assert sum("not yet" in line for line in lines) == 5
    assert "and 13 more; `bench status` lists them" in lines
    (full,) = write_report(writer.root, formats=["md"])
    assert "Hyper-parameters of FedPGP: mu=0.5" in full.read_text()
    assert full.read_text().count("not yet") == 18


def test_terminal_marks_the_best(root: Path) -> None:
    console = Console(width=100, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(terminal_table(root))
    assert "\x1b[1m81.50\x1b[0m ± 0.71" in capture.get()
    assert "\x1b[4m71.00\x1b[0m" in capture.get()


def test_narrow_terminal_loses_nothing(root: Path) -> None:
    text = shown(root, 50)
    assert "…" not in text
    assert "81.50" in text
    assert "A_B" in text


def test_untrained_is_said_everywhere(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config(), [START, lbn(80, 72, 75)], backbone={"trained": False})
    for form in ("md", "tex"):
        assert "untrained: numbers mean nothing" in read(writer.root, form)
    assert "untrained: numbers mean nothing" in shown(writer.root, 100)


def test_files_go_to_the_store_or_elsewhere(root: Path, tmp_path: Path) -> None:
    paths = write_report(root)
    assert [p.relative_to(root).as_posix() for p in paths] == [
        f"report/table.{f}" for f in ("md", "tex", "csv")
    ]
    (elsewhere,) = write_report(root, formats=["md"], out=tmp_path / "a" / "b")
    assert elsewhere.parent == tmp_path / "a" / "b"
    assert [p.name for p in elsewhere.parent.iterdir()] == ["table.md"]  # no temporary file stays
    assert write_report(root) == paths  # again, over the old ones


def test_unknown_format_and_bad_folder(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FedbenchError, match="unknown format 'markdown'; known: csv, md, tex, txt"):
        write_report(root, formats=["markdown"])
    (tmp_path / "file").write_text("")
    with pytest.raises(FedbenchError, match="cannot be written"):
        write_report(root, out=tmp_path / "file")
