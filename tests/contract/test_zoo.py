"""docs/methods.md and docs/datasets.md are what the registries say."""

import importlib.util
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
