"""The examples of docs/adding-a-method.md are methods that work, and its tables leave nothing out."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedbench.clip.tools import ClipTools
from fedbench.learned import Learned
from fedbench.method import Batch, Method

DOC = (Path(__file__).parents[2] / "docs" / "adding-a-method.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOC, flags=re.DOTALL)
NAMES = ("Pulled", "Shifted")


def bench(*words: object) -> str:
    command = [sys.executable, "-m", "fedbench", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plugins(tmp_path_factory) -> list[str]:
    """The examples as files, as flags."""
    folder = tmp_path_factory.mktemp("plugins")
    flags = []
    for name, code in zip(NAMES, EXAMPLES, strict=True):
        (folder / f"{name}.py").write_text(code)
        flags += ["--plugin", str(folder / f"{name}.py")]
    return flags


def test_the_documented_examples_run(tmp_path, plugins):
    grid = ["--methods", ",".join((*NAMES, "PromptFL")), "--datasets", "shapes", "--backbone", "tiny"]
    settings = ["--set", "Pulled.mu=1", "--seeds", "1", "--rounds", "1", "--views", "0", "--shots", "2"]
    places = ["--out", tmp_path / "store", "--cache-dir", tmp_path / "cache", "--device", "cpu"]
    printed = bench("run", *plugins, *grid, *settings, *places)
    assert all(name in printed for name in NAMES)
    (journal,) = (tmp_path / "store").glob("cells/Pulled-*/rounds.jsonl")
    assert '"pull"' in journal.read_text()
    (record,) = (tmp_path / "store").glob("cells/Shifted-*/record.json")
    found, width, embed = json.loads(record.read_text())["parameters"], 128, 128  # of `tiny`
    assert found == {"trainable": 4 * width + embed, "shared": 4 * width, "personal": embed}


def test_the_second_example_is_short_and_shown_with_its_tensors(plugins):
    assert len([line for line in EXAMPLES[1].splitlines() if line.strip()]) <= 32
    shown = " ".join(bench("list", "methods", "Shifted", *plugins).split())
    assert "context 4 x 512, shared shift 512, personal" in shown
    assert "n_ctx default 4, above 0: learned tokens" in shown


def test_an_example_is_timed_against_the_plain_path(plugins):
    small = ["--backbone", "tiny", "--classes", "3", "--clients", "2", "--batch", "2", "--repeats", "1"]
    found = json.loads(
        bench("perf", "step", "--method", "Shifted", *plugins, *small, "--device", "cpu", "--json")
    )
    assert found["relative_difference"] < 1e-3


PUBLIC = {
    name
    for cls in (Method, ClipTools)
    for name in (*vars(cls), *vars(cls).get("__annotations__", ()))
    if not name.startswith("_")
}


@pytest.mark.parametrize("name", sorted((PUBLIC | {"remembered"}) - {"name"}))
def test_the_tables_name_everything_that_a_method_is_or_has(name):
    assert re.search(rf"`(self\.)?{name}\b", DOC), f"{name} is not in docs/adding-a-method.md"


@pytest.mark.parametrize("name", [*Batch.__dataclass_fields__, *Learned.__dataclass_fields__])
def test_the_page_names_what_a_batch_and_a_learned_tensor_hold(name):
    assert re.search(rf"\b{name}\b", DOC)
