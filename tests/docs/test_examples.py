"""What the documentation shows can be run."""

import pkgutil
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from fedbench import cli
from fedbench.config import Training
from fedbench.grid.config import GridConfig
from fedbench.named import run_config
from fedbench.registry import DATASETS, FORMATS, METHODS
from fedbench.report import write_report
from tests.helpers.store_writer import StoreWriter, config, lbn

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = [f"{registry.kind}s" for registry in (METHODS, DATASETS, FORMATS)]
"""Groups of entry points, which are no modules."""

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language ("" for those without)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    """(page, `bench …`) of everything in a fenced block or between backticks that looks like a whole command."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        inline = re.findall(r"`(bench [^`]+)`", text)
        fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE))
        lines = [line.removeprefix("$ ") for line in fenced.replace("\\\n", " ").splitlines()]
        for found in [*inline, *(line for line in lines if line.startswith("bench "))]:
            yield path.relative_to(ROOT).as_posix(), " ".join(found.split("#")[0].replace(" ...", "").split())


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_command_in_the_documentation_has_only_options_that_exist(page: str, line: str) -> None:
    """Parses the command as the shell would, and runs nothing."""
    command: click.Command = cli.cli
    context = click.Context(command, info_name="bench")
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"{page}: no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context, resilient_parsing=True)
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= options | {"--help", "--version"}, f"{page}: `{line}`"
    if not isinstance(
        command, click.Group
    ):  # values are of the right kind; arguments may be left out in prose
        command.make_parser(context).parse_args(args=list(words))


def test_the_suite_of_the_page_is_a_suite(tmp_path: Path) -> None:
    from fedbench.grid.expand import expand
    from fedbench.grid.suites import overridden, read, sentence

    (toml,) = blocks("docs/adding-a-suite.md", "toml")
    suite = tmp_path / "my-suite.toml"
    suite.write_text(toml)
    cells = expand(overridden(read(str(suite)), {}))
    assert len(cells) == 2 * 2 * 3 * 4  # data sets, shots, seeds; CLIP, PromptFL twice, FedPGP
    assert (
        sentence(str(suite)) == "Context lengths of PromptFL beside FedPGP; settings are ours, chosen on val."
    )
    assert {(c.dataset, c.split_options["clients"]) for c in cells} == {
        ("caltech101", 10),
        ("oxford_pets", 6),
    }
    assert {c.batch_size for c in cells if c.split_options["shots"] == 4} == {4}
    assert {c.hyper["lr"] for c in cells if c.method != "CLIP"} == {0.002}


def test_the_data_set_of_the_page_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(DATASETS)
    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    (code,) = blocks("docs/adding-a-dataset.md", "python")
    cls = exec_(code)["MyData"]
    for number, folder in enumerate(("Apple", "junk", "Pear")):
        (tmp_path / "my-data" / "images" / folder).mkdir(parents=True)
        for image in range(10):
            picture = Image.new("RGB", (8, 8), (number * 80, image * 20, 0))
            picture.save(tmp_path / "my-data" / "images" / folder / f"{image}.png")
    dataset = cls(tmp_path, allow_missing=True)  # the page says that there are 8242 of them
    assert DATASETS["mydata"] is cls
    assert dataset.classnames == ("apple", "pear")
    assert (dataset.source, [len(dataset.parts[part]) for part in ("train", "val", "test")]) == (
        "own",
        [10, 4, 6],
    )
    assert dataset.open(dataset.parts["test"][0]).mode == "RGB"


def test_the_report_format_of_the_page_prints_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(FORMATS)
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS._entries))
    (code,) = blocks("docs/adding-a-report-format.md", "python")
    exec_(code)
    writer = StoreWriter(tmp_path / "run")
    for seed in (1, 2):
        writer.done(config("CLIP", seed=seed), [lbn(70, 70, 80)])
        writer.done(config("A<B", seed=seed), [lbn(1, 1, 1), lbn(80 + seed, 72, 75)])
    (path,) = write_report(writer.root, formats=["html"])
    assert path.name == "table.html"
    text = path.read_text(encoding="utf-8")
    assert "<h1>base-to-novel, tiny (miniature)</h1>" in text
    assert "<th>A&lt;B</th><td><b>81.50</b> ± 0.71</td>" in text
    assert "Seeds: 1, 2 (n = 2)" in text


@pytest.mark.parametrize("page", ["docs/adding-a-suite.md", "docs/architecture.md"])
def test_tables_that_follow_from_the_code_are_current(page: str) -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "tables.py"))
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(made["TABLES"]) == {"docs/adding-a-suite.md", "docs/architecture.md"}
    assert made["filled"](page, text) == text, "run `python scripts/tables.py`"


def test_the_table_of_a_suites_keys_has_all_of_them() -> None:
    text = (ROOT / "docs" / "adding-a-suite.md").read_text(encoding="utf-8")
    assert all(f"| `{key}` |" in text for key in GridConfig.model_fields)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and home; what an example registers is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    list(METHODS)
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    return tmp_path


def exec_(code: str, names: dict[str, Any] | None = None, *, name: str = "example") -> dict[str, Any]:
    """Run some code; what it has defined."""
    names = {"__name__": "example"} if names is None else names
    exec(compile(code, name, "exec"), names)
    return names


def run_examples(*pages: str) -> dict[str, Any]:
    """Run the Python blocks of pages one after the other; what they have defined."""
    names: dict[str, Any] = {"__name__": "example"}
    for page in pages:
        for number, block in enumerate(blocks(page, "python")):
            exec_(block, names, name=f"{page}, block {number}")
    return names


@pytest.mark.slow
def test_the_examples_of_the_python_api_run(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run_examples("docs/python-api.md")
    assert list(names["r"].table().index) == ["CLIP", "PromptFL", "FedPGP", "Short"]
    assert "did you mean rounds" in capsys.readouterr().out
    assert sorted(path.name for path in (elsewhere / "results").iterdir()) == ["quickstart", "small"]


@pytest.mark.slow
def test_the_examples_about_a_store_run(elsewhere: Path) -> None:
    import fedbench as fb

    small = {"rounds": 1, "local_epochs": 1, "shots": 1, "clients": 2, "views": 0, "progress": False}
    fb.run(
        methods=["CLIP", "PromptFL"],
        datasets="shapes",
        backbone="tiny",
        seeds=[1, 2],
        out="results/caltech",
        **small,
    )
    names = run_examples("docs/your-store.md")
    assert set(names["last"].method) == {"CLIP", "PromptFL"}
    assert names["r"].root == Path("results/caltech")


@pytest.mark.slow
def test_the_python_of_the_readme_runs(elsewhere: Path) -> None:
    (block,) = blocks("README.md", "python")
    names = exec_(block.replace("rounds=2, seeds=1", "rounds=0, seeds=1, progress=False"))
    assert list(names["r"].table().index) == ["CLIP", "CoOp", "PromptFL", "Prox", "FedPGP"]


def test_the_readme_states_the_defaults() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    fields = {name: GridConfig.model_fields[name].default for name in ("split", "backbone", "seeds")}
    fields |= {
        name: Training.model_fields[name].default
        for name in ("rounds", "local_epochs", "batch_size", "participation")
    }
    fields |= {
        key: run_config(method="CLIP", dataset="shapes").split_options[key] for key in ("clients", "shots")
    }
    for name, default in fields.items():
        value = ",".join(map(str, default)) if isinstance(default, tuple) else default
        assert f"--{name.replace('_', '-')} {value}" in text, name


def test_the_readme_shows_what_bench_parity_says() -> None:
    from fedbench.commands.parity import _summary
    from fedbench.parity.run import run

    assert (
        _summary(run(ROOT / "tests" / "golden"))
        in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    )


def test_no_page_names_a_file_that_is_not_there() -> None:
    """Paths between backticks that begin like ours are ours."""
    for path in PAGES:
        for name in re.findall(
            r"`((?:docs|tests|scripts|fedbench|methods|datasets)/[\w./-]+\w)`",
            path.read_text(encoding="utf-8"),
        ):
            assert (ROOT / name).exists(), f"{path.name} names {name}"


def test_what_a_page_calls_by_its_dotted_name_is_there() -> None:
    for path in PAGES:
        for name in re.findall(r"`(fedbench\.[\w.]+)`", path.read_text(encoding="utf-8")):
            module, _, attribute = name.rpartition(".")
            entry_points = module == "fedbench" and attribute in ENTRY_POINTS
            assert entry_points or pkgutil.resolve_name(name) is not None, f"{path.name} names {name}"
