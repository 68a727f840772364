"""The example of docs/adding-a-method.md is a method that works."""

import re
import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).parents[2] / "docs" / "adding-a-method.md"


def test_the_documented_example_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", DOC.read_text(), flags=re.DOTALL)
    plugin = tmp_path / "anchored.py"
    plugin.write_text(code)
    words = [
        "--plugin",
        str(plugin),
        "--methods",
        "Anchored,PromptFL",
        "--datasets",
        "shapes",
        "--backbone",
        "tiny",
    ]
    settings = ["--set", "Anchored.mu=1", "--seeds", "1", "--rounds", "1", "--views", "0", "--shots", "2"]
    places = ["--out", str(tmp_path / "store"), "--cache-dir", str(tmp_path / "cache"), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "fedbench", "run", *words, *settings, *places],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Anchored" in done.stdout
    (journal,) = (tmp_path / "store").glob("cells/Anchored-*/rounds.jsonl")
    assert '"pull"' in journal.read_text()
