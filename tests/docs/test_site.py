"""The website builds without a warning, and fetches nothing from elsewhere when it is read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FETCHING = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(https?:)?//|<link\b[^>]*\bhref=["']?(https?:)?//"""
)
"""Elements by which a browser loads something by itself; a link waits for a click."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built website."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_fetches_nothing(site: Path) -> None:
    pages = {
        path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")
    }
    sources = [
        path.relative_to(ROOT / "docs")
        for path in (ROOT / "docs").rglob("*")
        if path.suffix in (".md", ".ipynb")
    ]
    assert {source.with_suffix(".html").as_posix() for source in sources} | {"index.html"} <= set(pages)
    assert {name: match.group() for name, text in pages.items() if (match := FETCHING.search(text))} == {}


def test_the_reference_is_read_from_the_sources(site: Path) -> None:
    text = (site / "reference" / "api.html").read_text(encoding="utf-8")
    for name in ("run", "plan", "load", "task", "check"):
        assert f'id="fedbench.api.{name}"' in text
    assert "Ctrl-C, or the notebook's stop button" in text


def test_the_readme_is_the_home_page(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="concepts.html"' in text
    assert 'src="images/quickstart.png"' in text
