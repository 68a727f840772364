"""What is installed: every package of the tree, under its own name, with its data."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_listed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    inside = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "fedbench").rglob("__init__.py")}
    assert listed == inside | {"fedbench.methods", "fedbench.datasets"}


def test_methods_and_datasets_are_no_top_level_names():
    import fedbench.datasets
    import fedbench.methods

    assert Path(fedbench.methods.__file__).parent == ROOT / "methods"
    assert Path(fedbench.datasets.__file__).parent == ROOT / "datasets"


def test_the_lock_names_no_registry():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "index" not in lock
    assert "torch==" in lock
    assert "torchvision==" in lock
