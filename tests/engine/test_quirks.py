"""Quirks that are no method's: each changes a cell's outcome in the way it says, and only when it is on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from PIL import Image as PILImage

from fedbench.config import Quirks, RunConfig, Runtime
from fedbench.data.dataset import Item
from fedbench.engine import run_cell
from fedbench.engine.transforms import prepared_view
from fedbench.errors import FedbenchError
from fedbench.named import make_task
from fedbench.registry import DATASETS
from tests.helpers.tinyclip import golden_clip
from tests.helpers.trees import plant
from tests.helpers.worlds import federation, make_method

LODO = {
    "split": "leave-one-domain-out",
    "split_options": {"target": "photo", "shots": 1, "target_eval": "test"},
}
SKEW = {"split": "domain-label-skew", "split_options": {"clients_per_domain": 2}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def run(folder: Path, cache: Path, **changes) -> tuple[dict, list[dict]]:
    """The record and the journal of a cell on the built-in world."""
    values = {
        "method": "CLIP",
        "dataset": "shapes",
        "backbone": "tiny",
        "rounds": 1,
        "local_epochs": 1,
        "views": 0,
    }
    config = RunConfig(**(values | changes))
    folder = folder / config.cell
    folder.mkdir()
    runtime = Runtime(cache_dir=cache, data_root=folder.parent)
    record = run_cell(config, runtime, folder=folder, progress=lambda *_: None).content()
    return record, [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def accuracy(journal: list[dict], column: str) -> float:
    return journal[-1]["metrics"][column]["mean"]


@pytest.mark.slow
def test_unordered_names_take_zero_shot_accuracy_to_chance(tmp_path: Path, cache: Path) -> None:
    record, plain = run(tmp_path, cache, **LODO)
    assert record["protocol"]["client_names"] == ["sketch", "negative", "flat"]
    _, mixed = run(tmp_path, cache, **LODO, quirks=Quirks(split=("unordered-classnames",)))
    assert accuracy(plain, "target") > 40
    assert accuracy(mixed, "target") < 20, "of forty classes, few keep their place"


@pytest.mark.slow
def test_mismatched_labels_take_zero_shot_accuracy_to_chance(tmp_path: Path, cache: Path) -> None:
    (_, plain), (_, mixed) = (
        run(tmp_path, cache, **SKEW, quirks=q) for q in (Quirks(), Quirks(split=("mismatched-labels",)))
    )
    assert accuracy(plain, "local") > 30
    assert accuracy(mixed, "local") < 15


def test_everyone_trains_in_round_zero_only(tmp_path: Path, cache: Path) -> None:
    changes = {"method": "PromptFL", "split": "class-disjoint", "split_options": {"clients": 10, "shots": 1},
               "rounds": 3, "participation": 0.2, "evaluate_every": 3}  # fmt: skip
    (_, plain), (_, all_first) = (
        run(tmp_path, cache, **changes, quirks=q) for q in (Quirks(), Quirks(engine=("round-zero-all",)))
    )
    assert [len(line["participants"]) for line in plain] == [0, 2, 2, 2]
    assert [len(line["participants"]) for line in all_first] == [0, 10, 2, 2]
    assert [line["participants"] for line in all_first[2:]] == [line["participants"] for line in plain[2:]]
    assert all_first[-1]["bytes"] == plain[-1]["bytes"]


def test_names_in_the_order_of_a_set_differ_between_processes() -> None:
    """Three processes: the hash seed decides, which Python draws for each where nobody sets it."""
    office = DATASETS["office_caltech10"].classnames  # type: ignore[attr-defined]
    code = (
        "from types import SimpleNamespace; from fedbench.registry import SPLITS; S = SPLITS['domain-label-skew']; "
        "split = S(S.Options(), ['unordered-classnames-per-process']); "
        f"print('|'.join(split.classnames(SimpleNamespace(classnames={office}), seed=1)))"
    )

    def names(seed: str) -> list[str]:
        env = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()

    first, again, other = names("1"), names("1"), names("2")
    assert first == again != other
    assert sorted(first[0].split("|")) == sorted(other[0].split("|")) == sorted(office)


def test_the_order_of_a_processs_set_is_noted_and_kept() -> None:
    quirks = Quirks(split=("unordered-classnames-per-process",))
    config = RunConfig(method="CLIP", dataset="shapes", backbone="tiny", **LODO, quirks=quirks)
    task = make_task(config, Runtime())
    assert task.notes[-1] == "class names in the order of a process's set, which task.json has"
    assert task.description()["classnames"] == list(set(DATASETS["shapes"](Path()).classnames))


def test_a_cell_hands_its_dataset_the_datasets_quirk(tmp_path: Path) -> None:
    plant("oxford_pets", "oxford_pets/images", tmp_path)
    base = {"method": "PromptFL", "dataset": "oxford_pets", "backbone": "tiny",
            "split_options": {"clients": 2, "shots": 2}}  # fmt: skip
    runtime = Runtime(data_root=tmp_path, allow_missing=True)

    def trained(*quirks: str) -> list[set[str]]:
        tasks = (
            make_task(RunConfig(**base, seed=seed, quirks=Quirks(dataset=quirks)), runtime)
            for seed in (1, 2, 3)
        )
        return [{i.key for client in task.clients for i in client.train} for task in tasks]

    fixed, plain = trained("fixed-shots"), trained()
    assert fixed[0] == fixed[1] == fixed[2]
    assert plain[0] != plain[1] or plain[0] != plain[2]


def test_a_dropped_client_has_no_number_and_counts_in_no_mean(tmp_path: Path, cache: Path) -> None:
    changes = {"method": "PromptFL", "split": "class-disjoint", "split_options": {"clients": 8, "shots": 1}}
    (_, plain), (_, dropped) = (
        run(tmp_path, cache, **changes, quirks=q) for q in (Quirks(), Quirks(method=("drop-client-5",)))
    )
    before, found = plain[0]["metrics"]["local"], dropped[0]["metrics"]["local"]
    assert found["clients"] == [None if k == 5 else x for k, x in enumerate(before["clients"])]
    tested = [x for x in found["clients"] if x is not None]
    assert found["mean"] == pytest.approx(sum(tested) / 7)
    assert dropped[1]["participants"] == [0, 1, 2, 3, 4, 6, 7]


@pytest.mark.slow
def test_the_shared_part_of_pfedpt_is_also_scored_without_prompts(tmp_path: Path, cache: Path) -> None:
    changes = {"split": "class-disjoint", "split_options": {"clients": 10, "shots": 1}, "batch_size": 4}
    _, prompted = run(
        tmp_path, cache, method="pFedPT", hyper={"shared": "none", "prompt_epochs": 1}, **changes
    )
    _, plain = run(tmp_path, cache, **changes)
    found = prompted[-1]["metrics"]
    assert set(found) == {"local", "val", "local/no-prompt", "val/no-prompt"}
    assert found["local/no-prompt"] == plain[-1]["metrics"]["local"], "nothing but zero-shot CLIP is left"
    assert found["local"] != found["local/no-prompt"]


def test_a_federation_samples_everyone_first() -> None:
    method = make_method("PromptFL", golden_clip("federated"))
    first = federation(method, participation=0.34, round_zero_all=True)
    assert first.sample(0) == [0, 1, 2]
    assert first.sample(1) == federation(method, participation=0.34).sample(1)


def test_a_prepared_view_is_the_released_transform() -> None:
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    image = PILImage.fromarray(pixels)
    mean, std = DATASETS["cifar100"].statistics  # type: ignore[attr-defined]
    theirs = T.Compose([T.ToTensor(), T.Normalize(mean, std), T.Resize((224, 224), antialias=False)])(image)
    torch.testing.assert_close(prepared_view(image, 224, mean=mean, std=std), theirs, atol=1e-6, rtol=0)


def test_cifar_preprocess_changes_features_and_augments_nothing(tmp_path: Path, cache: Path) -> None:
    plant("cifar10", "cifar-10-batches-py", tmp_path)
    changes = {"method": "PromptFL", "dataset": "cifar10", "split": "dirichlet", "rounds": 2, "views": None,
               "split_options": {"clients": 2, "min_size": 1, "beta": 100.0}}  # fmt: skip
    with pytest.raises(FedbenchError, match="images are missing"):
        run(tmp_path, cache, **changes)
    runtime = Runtime(cache_dir=cache, data_root=tmp_path, allow_missing=True)
    losses, views = [], []
    for number, quirks in enumerate((Quirks(), Quirks(dataset=("cifar-preprocess",)))):
        config = RunConfig(
            **(changes | {"backbone": "tiny", "batch_size": 4, "quirks": quirks, "local_epochs": 1})
        )
        folder, own = tmp_path / str(number), tmp_path / f"cache{number}"
        folder.mkdir()
        run_cell(
            config, runtime.model_copy(update={"cache_dir": own}), folder=folder, progress=lambda *_: None
        )
        losses.append(
            [json.loads(line)["losses"] for line in (folder / "rounds.jsonl").read_text().splitlines()]
        )
        views.append(sorted(path.name for path in own.glob("features/cifar10/*/*") if path.is_dir()))
    assert losses[0] != losses[1]
    assert views == [
        ["test", "view-00000", "view-00001"],
        ["test"],
    ]


class GreyShapes(DATASETS["shapes"]):  # type: ignore[misc]
    """Shapes with a quirk that changes the images."""

    name = "greyshapes"
    quirks = {"grey": "all images are black"}

    def open(self, item: Item) -> PILImage.Image:
        image: PILImage.Image = super().open(item)
        return PILImage.new("RGB", image.size) if self.quirk("grey") else image


@pytest.mark.slow
def test_a_cell_with_a_datasets_quirk_leaves_nothing_to_one_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS._entries, "greyshapes", GreyShapes)
    changes = {
        "dataset": "greyshapes",
        "split": "class-disjoint",
        "split_options": {"clients": 2, "shots": 1},
    }
    _, grey = run(tmp_path, tmp_path / "one", **changes, quirks=Quirks(dataset=("grey",)))
    _, plain = run(tmp_path, tmp_path / "one", **changes)
    (tmp_path / "again").mkdir()
    _, fresh = run(tmp_path / "again", tmp_path / "fresh", **changes)
    assert accuracy(plain, "local") == accuracy(fresh, "local")
    assert accuracy(grey, "local") < 20 < accuracy(plain, "local")


def test_a_cell_with_an_unknown_quirk_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(
        FedbenchError, match=r"unknown quirk of the engine 'round-zero'; did you mean round-zero-all\?"
    ):
        run(tmp_path, cache, quirks=Quirks(engine=("round-zero",)))


def test_tasks_do_not_see_the_quirks_of_others() -> None:
    base = {"method": "PromptFL", "dataset": "shapes", "backbone": "tiny", **SKEW}
    plain, others = (
        make_task(RunConfig(**base, quirks=quirks), Runtime())
        for quirks in (Quirks(), Quirks(method=("momentum-leak",), engine=("round-zero-all",)))
    )
    assert plain.hash == others.hash
