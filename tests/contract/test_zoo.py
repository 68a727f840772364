"""docs/methods.md is what the registry says."""

from pathlib import Path

from fedbench.zoo import page


def test_the_committed_page_is_current():
    committed = Path(__file__).parents[2] / "docs" / "methods.md"
    assert committed.read_text() == page(), "run: python -m fedbench.zoo > docs/methods.md"
