"""What every registered dataset must keep to: with real images, else on a small tree in the true format."""

import pytest

from fedbench.data.facts import on_disk
from fedbench.registry import DATASETS
from fedbench.testing.datasets import CHECKS, DatasetTrial
from tests.helpers import trees
from tests.helpers.shared import SHARED

DATA = SHARED / "data"


@pytest.fixture(scope="module", params=list(DATASETS))
def trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DatasetTrial:
    """A dataset, and a data root where it is."""
    cls = DATASETS[request.param]
    root = DATA
    if cls.image_folders and not on_disk(cls, DATA):
        assert request.param in trees.TREES, (
            f"plant a small tree of {request.param} in tests/helpers/trees.py"
        )
        root = trees.plant(request.param, cls.image_folders[0], tmp_path_factory.mktemp(request.param))
    return DatasetTrial(cls, root=root)


@pytest.mark.parametrize("check", list(CHECKS), ids=lambda check: check.title)
def test_the_contract(trial: DatasetTrial, check) -> None:
    found = check.problems(trial)
    if found is None:
        assert trial.name == "folder", "every other dataset is there"
    else:
        assert found == []


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_refusal_has_an_address(name: str) -> None:
    download = DATASETS[name].download
    assert not download or "https://" in download
