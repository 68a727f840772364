"""The examples of docs/adding-a-*.md work; `bench check` runs in any folder."""

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import open_clip
import torch
from rich.console import Console
from safetensors.torch import save_file

from fedbench.commands.progress import display
from fedbench.config import Runtime
from fedbench.grid.execute import execute, plan
from fedbench.registry import EXECUTORS, SPLITS, load_plugin
from fedbench.store.cells import Store
from fedbench.testing import check
from tests.conftest import FAKES

DOCS = Path(__file__).parents[2] / "docs"


def example(guide: str, folder: Path) -> Path:
    """The guide's first Python block, as a plug-in file."""
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / f"{guide}.md").read_text(), flags=re.DOTALL)
    plugin = folder / "example.py"
    plugin.write_text(code)
    return plugin


def bench(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedbench", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_split_keeps_to_the_contract_and_runs(tmp_path, plugins, listed):
    plugin = example("adding-a-split", tmp_path)
    done = bench("check", "--plugin", str(plugin), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "iid: 13 checks passed\n"), done.stderr
    load_plugin(plugin)
    iid = SPLITS["iid"]
    task = iid(iid.Options(clients=3)).make(listed([(6, 2, 3)] * 4, missing=2), seed=1)
    assert task.counts.tolist() == [8, 8, 8]
    assert task.notes == ("2 images of the split are missing and were left out",)


def test_the_backbone_keeps_to_the_contract(tmp_path, plugins):
    module = load_plugin(example("adding-a-backbone", tmp_path))
    (problem,) = check("small-clip")
    assert "download it from https://example.org" in problem.text
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(open_clip.CLIP(**module.CONFIG).state_dict(), module.WEIGHTS)
    assert check("small-clip") == []


def test_the_executor_runs_cells_and_ends_them_when_it_is_closed(tmp_path, plugins, world, cells, out):
    load_plugin(example("adding-an-executor", tmp_path))
    grid = cells(seeds=[1], set={"Beta.mode": "error"})
    store = Store(out, create=True)
    planned = plan(grid, store, retry_failed=False)
    store.add(grid)
    settings = {"executor": "process-each", "jobs": 2, "plugins": (FAKES,)}
    with display(total=len(grid), console=Console(file=io.StringIO())) as shown:
        outcomes = execute(planned, store, Runtime(), display=shown, **settings)
    assert [outcome.state for outcome in outcomes] == ["done", "failed"]
    assert outcomes[1].reason.startswith("ZeroDivisionError: division by zero (fakeworld.py:")

    (slow,) = cells(methods=["Alpha"], seeds=[3], set={"delay": 60})
    store.add([slow])
    folder = store.folder(slow.cell)
    reports = []
    executor = EXECUTORS["process-each"](
        Runtime(), jobs=1, plugins=(FAKES,), report=lambda *at: reports.append(at)
    )
    executor.submit(slow, folder.path)
    end = time.monotonic() + 60
    while folder.status.state != "running" and time.monotonic() < end:
        assert executor.poll() == []
    assert not executor.ready()
    executor.close()
    assert folder.status.state == "interrupted"
    assert not folder.locked
