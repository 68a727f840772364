"""Run docs/notebooks/*.ipynb in place, so that readers see what they give: `python scripts/run_notebook.py`.

In an empty folder and home, as a reader would. Pictures are kept small, since the notebooks are in the repository.
"""

import base64
import io
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
WIDTH, COLOURS = 900, 200


def run(path: Path, *, folder: Path, timeout: float) -> nbformat.NotebookNode:
    """The notebook with its outputs. Each cell has `timeout` seconds.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    environment = {**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", record_timing=False)
    client.execute(cwd=str(folder), env=environment)
    return notebook


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Smaller pictures; nothing of the lines that were written over until they were empty."""
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if output.get("data") != {"text/plain": ""}]
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _smaller(output.data["image/png"])


def _smaller(png: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize(
            (WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS
        )
    buffer = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(path, folder=Path(folder), timeout=600)
        tidy(notebook)
        nbformat.write(notebook, path)
