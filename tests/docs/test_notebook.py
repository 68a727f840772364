"""The notebook of the documentation runs, says what its text says, and does not flood the reader."""

import json
import re
import runpy
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "your-first-method.ipynb"
SECONDS = 240
"""For all of it: a minute of an idle laptop, and much more where other work runs beside it."""


def outputs(notebook: Any) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def text(output: dict[str, Any]) -> str:
    return "".join(output.get("text", "")) or "".join(output.get("data", {}).get("text/plain", ""))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
def test_the_notebook_runs(tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="nbclient is not installed: pip install '.[dev,notebook]'")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install '.[dev,notebook]'")
    run = runpy.run_path(str(ROOT / "scripts" / "run_notebook.py"))["run"]
    begin = time.monotonic()
    notebook = run(NOTEBOOK, folder=tmp_path, timeout=SECONDS)
    assert time.monotonic() - begin < SECONDS
    lines = [text(output) for output in outputs(notebook)]
    assert (
        sum(line.startswith("[") and "done" in line for line in lines) == 10 + 4
    )  # mu = 0.1 has been run before
    assert sum("have been run before" in line for line in lines) == 1
    assert len(lines) < 14 + 20  # no flood
    assert not [line for line in lines if "Warning" in line or "warn" in line]
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == 3
    assert (tmp_path / "results" / "first-method" / "grid.json").is_file()


def test_the_notebook_is_kept_with_its_outputs_and_without_traces_of_a_machine() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    found = outputs(notebook)
    assert sum("image/png" in output.get("data", {}) for output in found) == 3
    assert not [
        output for output in found if output["output_type"] == "error" or output.get("name") == "stderr"
    ]
    assert not re.search(r"site-packages|/tmp/|/home/|/root/|Warning", json.dumps(found))
    assert NOTEBOOK.stat().st_size < 500_000
