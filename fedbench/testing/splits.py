"""What every split must keep to. Nothing here imports torch."""

import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fedbench.config import complete, validated
from fedbench.data.dataset import Dataset, Item
from fedbench.errors import FedbenchError
from fedbench.places import innermost, source
from fedbench.registry import SPLITS, load_plugin
from fedbench.task import Split, Task
from fedbench.testing.base import Checks, Result, moved_generators, run, some, strange_quirks
from fedbench.testing.listed import Listed

MANY = 10_000
"""More clients, shots or images than the listed dataset has."""


class SplitTrial:
    """A split class under test."""

    def __init__(
        self, cls: type[Split], *, dataset: Dataset | None = None, options: Mapping[str, Any] | None = None
    ):
        """
        Args:
            dataset: what to divide; by default a list of images in several classes and domains.
            options: those that differ from the defaults; by default the first of each field's `examples`.
        """
        self.cls, self.name, self.dataset = cls, cls.name, dataset or Listed()
        examples = {key: info.examples[0] for key, info in cls.Options.model_fields.items() if info.examples}
        self.given = examples | dict(options or {})

    def make(
        self, *, seed: int = 1, quirks: tuple[str, ...] = (), dataset: Dataset | None = None, **changes: Any
    ) -> Task:
        """The task of one seed."""
        options = complete(self.cls.Options, self.given | changes, owner=self.name)
        split = self.cls(validated(self.cls.Options, options, where=self.name), quirks)
        task = split.make(dataset or self.dataset, seed=seed)
        if not isinstance(task, Task):
            raise FedbenchError(f"`make` gives a {type(task).__name__}; give a fedbench.task.Task")
        return task

    @cached_property
    def task(self) -> Task:
        """The task of seed 1."""
        return self.make()


CHECKS: Checks[SplitTrial] = Checks()


def examine(cls: type[Split], **settings: Any) -> Result:
    """All checks of one split; `settings` as of `SplitTrial`."""
    return run(CHECKS, SplitTrial(cls, **settings))


@CHECKS.add()
def it_says_what_it_is(trial: SplitTrial) -> Iterator[str]:
    if not trial.cls.__doc__:
        yield "the class has no docstring: what it is, in one line"
    yield from strange_quirks(trial.cls.quirks)
    told = trial.cls.Options.__doc__ or ""
    for key, info in trial.cls.Options.model_fields.items():
        if not info.description and key not in told:
            yield f"the option '{key}' is not explained: Field(description=...)"
        if info.is_required() and key not in trial.given:
            yield f"the option '{key}' has no default and no example: Field(examples=[...])"


@CHECKS.add()
def unknown_options_are_refused(trial: SplitTrial) -> Iterator[str]:
    known = complete(trial.cls.Options, trial.given, owner=trial.name)
    json.dumps(known)
    try:
        trial.cls.Options.model_validate({**known, "no_such_option": 1})
    except ValidationError:
        return
    yield "an option that does not exist is accepted: inherit Options from Split.Options"


@CHECKS.add(about="make")
def the_task_is_a_function_of_data_set_and_seed(trial: SplitTrial) -> Iterator[str]:
    before = dict(trial.dataset.parts)
    with moved_generators() as moved:
        first, again = trial.make(), trial.make()
    if moved:
        yield f"it draws from {some(moved)}: draw from fedbench.seeds.stream(seed, ...)"
    if first.hash != again.hash:
        yield "the same seed gives another task the second time: draw from fedbench.seeds.stream(seed, ...)"
    if dict(trial.dataset.parts) != before:
        yield "it changes the data set that it is given"


def _in_another_process(trial: SplitTrial) -> bool:
    registered = trial.name in SPLITS and SPLITS[trial.name] is trial.cls
    return registered and isinstance(trial.dataset, Listed) and trial.cls.__module__ != "__main__"


@CHECKS.add(about="make", when=_in_another_process)
def another_process_makes_the_same_task(trial: SplitTrial) -> Iterator[str]:
    plugin = str(source(trial.cls)) if trial.cls.__module__.startswith("fedbench_plugin_") else ""
    words = [plugin or trial.cls.__module__, trial.name, json.dumps(trial.given)]
    command = [sys.executable, "-c", "from fedbench.testing.splits import print_hash; print_hash()", *words]
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"  # which orders Python's sets of names
    env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"it cannot be made there: {done.stderr.strip().splitlines()[-1]}"
    elif done.stdout.split()[-1] != trial.task.hash:
        yield "its hash is another one there: never go through a set, sort or use dict.fromkeys"


def print_hash() -> None:
    """In that other process: its arguments are the module or plug-in, the split and its options."""
    module, name, options = sys.argv[1:]
    if module.endswith(".py"):
        load_plugin(Path(module))
    else:
        importlib.import_module(module)
    print(SplitTrial(SPLITS[name], options=json.loads(options)).task.hash)


@CHECKS.add(about="make")
def no_image_has_two_clients(trial: SplitTrial) -> Iterator[str]:
    counts = Counter(item.key for client in trial.task.clients for item in client.train)
    if twice := [key for key, count in counts.items() if count > 1]:
        yield f"{len(twice)} images are trained on twice: {some(twice)}"


@CHECKS.add(about="make")
def clients_have_names_and_images(trial: SplitTrial) -> Iterator[str]:
    yield from _clients(trial.task)


def _clients(task: Task) -> Iterator[str]:
    if not task.clients:
        yield "there are no clients"
    if twice := [name for name, count in Counter(c.name for c in task.clients).items() if count > 1]:
        yield f"two clients are called {some(twice)}: records know clients by their names"
    if empty := [client.name for client in task.clients if not client.train]:
        yield f"{some(empty)} without a training image: refuse such settings with a FedbenchError"


@CHECKS.add(about="make")
def labels_are_in_the_label_space(trial: SplitTrial) -> Iterator[str]:
    yield from _labels(trial.task)


def _labels(task: Task) -> Iterator[str]:
    for where, names, items in _lists(task):
        wrong = [item for item in items if type(item.label) is not int or not 0 <= item.label < len(names)]
        if wrong:
            yield f"{where}: label {wrong[0].label!r} of {wrong[0].key}; labels are ints below {len(names)}"


def _lists(task: Task) -> Iterator[tuple[str, tuple[str, ...], tuple[Item, ...]]]:
    for client in task.clients:
        yield client.name, task.classnames, client.train
    for name, pool in task.pools.items():
        yield f"pool '{name}'", pool.classnames, pool.items


@CHECKS.add(about="make")
def images_keep_their_class(trial: SplitTrial) -> Iterator[str]:
    data = trial.dataset
    parts = [data.parts, *(data.domain_parts(domain) for domain in data.domains)]
    names = {i.key: data.classnames[i.label] for part in parts for items in part.values() for i in items}
    for where, classnames, items in _lists(trial.task):
        if strange := [item.key for item in items if item.key not in names]:
            yield f"{where} has images that the data set has not: {some(strange)}"
        inside = [item for item in items if item.key in names and 0 <= item.label < len(classnames)]
        if wrong := [item for item in inside if classnames[item.label] != names[item.key]]:
            called, right = classnames[wrong[0].label], names[wrong[0].key]
            yield f"{where}: {wrong[0].key} is called '{called}' and is '{right}': relabel it for the label space"


@CHECKS.add(about="make")
def nothing_that_is_trained_on_is_tested_on(trial: SplitTrial) -> Iterator[str]:
    trained = {item.key for client in trial.task.clients for item in client.train}
    for name, pool in trial.task.pools.items():
        if both := [item.key for item in pool.items if item.key in trained]:
            yield f"{len(both)} training images are in the pool '{name}': {some(both)}"


@CHECKS.add(about="make")
def metrics_are_of_rows_that_are_there(trial: SplitTrial) -> Iterator[str]:
    yield from _metrics(trial.task)


def _metrics(task: Task) -> Iterator[str]:
    for name, metric in task.metrics.items():
        if metric.pool not in task.pools:
            yield f"the metric '{name}' is of the pool '{metric.pool}', which is not there"
            continue
        count = len(task.pools[metric.pool].items)
        rows = metric.rows if metric.rows is not None else (tuple(range(count)),) * len(task.clients)
        if len(rows) != len(task.clients):
            yield f"the metric '{name}' has rows for {len(rows)} of {len(task.clients)} clients"
        if any(not 0 <= row < count for own in rows for row in own):
            yield f"the metric '{name}' has rows outside its pool, which has {count} images"
        if any(len(set(own)) < len(own) for own in rows):
            yield f"the metric '{name}' counts a row twice"
        if not all(rows):
            yield f"the metric '{name}' has no row for a client: its accuracy would be undefined"


@CHECKS.add(about="make")
def columns_are_metrics(trial: SplitTrial) -> Iterator[str]:
    task = trial.task
    if not task.columns:
        yield "there is no column for the table"
    if strange := [column for column in task.columns if column not in task.metrics]:
        yield f"{some(strange)} is a column and no metric; metrics: {some(task.metrics)}"
    if task.summary not in ("", "hm"):
        yield f"the summary is '{task.summary}'; it can be 'hm' or ''"


@CHECKS.add(about="make")
def the_record_can_be_written(trial: SplitTrial) -> Iterator[str]:
    json.dumps(trial.task.description())
    if trial.task.protocol != trial.name:
        yield f"the task's protocol is '{trial.task.protocol}': give it `self.name`"
    missing = [note for note in trial.dataset.notes() if note not in trial.task.notes]
    if missing:
        yield f"it does not say what the data set says: {missing[0]}"


@CHECKS.add(about="make")
def what_is_impossible_is_refused_in_one_line(trial: SplitTrial) -> Iterator[str]:
    hostile: dict[str, dict[str, Any]] = {
        "one class": {"dataset": Listed(classes=1)},
        "no training image": {"dataset": Listed(parts=("val", "test"))},
        "no validation image": {"dataset": Listed(parts=("train", "test"))},
        "no test image": {"dataset": Listed(parts=("train", "val"))},
        "no domains": {"dataset": Listed(domains=False)},
    }
    for key, info in trial.cls.Options.model_fields.items():
        if info.annotation in (int, int | None):
            hostile[f"{key}={MANY}"] = {key: MANY}
    for what, changes in hostile.items():
        try:
            task = trial.make(**changes)
        except FedbenchError as error:
            if "\n" in str(error):
                yield f"with {what} the error has several lines"
        except Exception as error:
            text, place = " ".join(str(error).split())[:200], innermost(error, trial.cls)
            yield f"with {what}: {type(error).__name__}: {text} ({place}); raise a FedbenchError that says what works"
        else:
            yield from (f"with {what}: {text}" for text in (*_clients(task), *_labels(task), *_metrics(task)))


@CHECKS.add(about="make", when=lambda trial: bool(trial.cls.quirks))
def tasks_under_each_quirk_are_tasks_too(trial: SplitTrial) -> Iterator[str]:
    for quirk in trial.cls.quirks:
        first, again = trial.make(quirks=(quirk,)), trial.make(quirks=(quirk,))
        if first.hash != again.hash:
            yield f"under '{quirk}' the same seed gives another task the second time"
        yield from (
            f"under '{quirk}': {text}" for text in (*_clients(first), *_labels(first), *_metrics(first))
        )
