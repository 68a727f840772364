"""docs/methods.md and docs/datasets.md are what the registries say, and what is shipped points to what is shipped."""

import importlib.util
import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "pages.py"


@pytest.fixture(scope="module")
def pages():
    """The script, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("pages", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES


@pytest.mark.parametrize("name", ["methods.md", "datasets.md"])
def test_the_committed_page_is_current(pages, name):
    path = SCRIPT.parents[1] / "docs" / name
    assert path.read_text() == pages[path](), "run: python scripts/pages.py"


ROOT = SCRIPT.parents[1]
NOT_SHIPPED = re.compile(r"\bspecs? \d|§ ?\d|\bDESIGN\b|\b(FM|SB|H):[\w/]|/shared/|reviews/")
"""References to notes from which fedbench was written, and their abbreviations."""


@pytest.mark.parametrize("folder", ["methods", "datasets", "fedbench", "docs", "scripts"])
def test_nothing_shipped_points_to_what_is_not_shipped(folder):
    texts = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".toml", ".md")]
    assert texts
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in texts
        if (match := NOT_SHIPPED.search(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_the_check_finds_such_references():
    for text in ("spec 4.3-4.4", "FM:170", "H:scripts/domain.sh", "SB:38", "DESIGN section 5", "see § 2.4"):
        assert NOT_SHIPPED.search(text), text
    assert not NOT_SHIPPED.search("federated_main.py:170; a specification; `BACKBONES`: names")


@pytest.mark.parametrize("path", sorted((ROOT / "methods").glob("*.py")), ids=lambda path: path.stem)
def test_a_method_is_at_most_160_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 160, (
        "what is general goes into fedbench/clip/"
    )
