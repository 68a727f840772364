"""The report needs the store and nothing else: no torch, and no plug-in that made the store."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.store_writer import StoreWriter, config, lbn

PLUGIN = '''
from dataclasses import replace

from fedbench.datasets.shapes import Shapes
from fedbench.registry import DATASETS, SPLITS
from fedbench.splits.base_to_novel import BaseToNovel

@DATASETS.register("myshapes")
class MyShapes(Shapes):
    """Grey shapes."""
    quirks = {"grey": "without colours"}
    def open(self, item):
        image = super().open(item)
        return image.convert("L").convert("RGB") if self.active_quirks else image
    def fingerprint(self, item):
        return super().fingerprint(item) + str(sorted(self.active_quirks))
    def notes(self):
        return ["drawn by hand"]

@SPLITS.register("my-split")
class MySplit(BaseToNovel):
    """Says nothing of the data."""
    def make(self, dataset, *, seed):
        return replace(super().make(dataset, seed=seed), protocol="my-split", notes=())
'''


def bench(*words: str | Path, code: str = "") -> subprocess.CompletedProcess[str]:
    call = f"from fedbench.cli import main\ntry: main({list(map(str, words))!r})"
    program = f"import sys\n{call}\nfinally:\n    {code or 'pass'}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_a_store_of_plugins_is_reported_without_them(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    store = tmp_path / "store"
    words = ["--methods", "CLIP", "--datasets", "myshapes", "--split", "my-split", "--quirks", "grey"]
    places = ["--out", store, "--cache-dir", tmp_path / "cache", "--plugin", tmp_path / "plugin.py"]
    small = ["--backbone", "tiny", "--seeds", "1", "--shots", "1", "--views", "0", "--device", "cpu"]
    ran = bench("run", *words, *small, *places).stdout.splitlines()
    made = {path.name: path.read_bytes() for path in (store / "report").glob("table.*")}
    again = bench("report", store, "--out", tmp_path / "again").stdout.splitlines()
    assert ran[:-1] == again[:-1]  # the last line names the files
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == made
    assert "Quirks: on myshapes: grey" in again
    assert any(line.startswith(" CLIP  ") for line in again)
    # whatever the split does, the record says what there is to say of the data
    (record,) = store.glob("cells/*/record.json")
    assert json.loads(record.read_text())["protocol"]["notes"] == ["drawn by hand"]
    assert "Data: drawn by hand" in again


@pytest.fixture
def root(tmp_path: Path) -> Path:
    writer = StoreWriter(tmp_path / "run")
    writer.done(config(), [lbn(1, 1, 1), lbn(60, 60, 60)])
    writer.open(config("CoOp"), "failed", "diverged")
    return writer.root


@pytest.mark.parametrize("command", ["report", "status", "list"])
def test_torch_and_pandas_are_not_waited_for(root: Path, command: str) -> None:
    words = [command, "datasets" if command == "list" else root]
    code = "print('loaded:', sorted({'torch', 'pandas', 'safetensors', 'scipy', 'matplotlib'} & set(sys.modules)))"
    assert bench(*words, code=code).stdout.splitlines()[-1] == "loaded: []"


def test_the_reader_and_the_writer_of_stores_import_no_torch() -> None:
    modules = ("cells", "journal", "frame", "page")
    code = f"import sys, {', '.join(f'fedbench.store.{m}' for m in modules)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_form_from_a_plugin(root: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "html.py"
    plugin.write_text(
        "from fedbench.registry import FORMATS\n"
        "from fedbench.report.formats.base import Format\n\n"
        '@FORMATS.register("html")\n'
        "class Html(Format):\n"
        "    def render(self, documents):\n"
        '        return "".join(f"<h1>{document.title}</h1>" for document in documents).encode()\n'
    )
    lines = bench("report", root, "--plugin", plugin, "--format", "html,md").stdout.splitlines()
    assert lines[-1] == f"{root}/report: table.html, table.md"
    assert (root / "report" / "table.html").read_text() == "<h1>base-to-novel, tiny (miniature)</h1>"


def test_pictures_in_the_forms_that_are_asked_for(root: Path) -> None:
    lines = bench("plot", root, "--format", "svg").stdout.splitlines()
    assert lines == [f"{root}/report: rounds-shapes.svg, scatter-shapes.svg"]
