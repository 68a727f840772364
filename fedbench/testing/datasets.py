"""What every data set must keep to: as far as it can be seen without its images, and with them where they are."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from fedbench.data.dataset import Dataset, Item
from fedbench.data.facts import on_disk
from fedbench.data.parts import PARTS
from fedbench.errors import FedbenchError
from fedbench.testing.base import Checks, Result, moved_generators, run, some, strange_quirks

SOURCES = ("zhou", "official", "own", "built-in")


class DatasetTrial:
    """A data set class under test."""

    def __init__(self, cls: type[Dataset], *, root: Path = Path("data")):
        """`root` is the folder of the datasets; what is not there is checked without images."""
        self.cls, self.name, self.root = cls, cls.name, root

    @cached_property
    def refused(self) -> str:
        """Why it cannot be made of what is in the folder; or ""."""
        try:
            _ = self.dataset
        except FedbenchError as error:
            return str(error)
        return ""

    @cached_property
    def dataset(self) -> Dataset:
        """The data set in the folder, without the images that are missing."""
        return self.cls(self.root, allow_missing=True)


CHECKS: Checks[DatasetTrial] = Checks()


def examine(cls: type[Dataset], *, root: Path = Path("data")) -> Result:
    """All checks of one data set, or those that need no images where it cannot be made."""
    trial = DatasetTrial(cls, root=root)
    result = run(CHECKS, trial)
    if _there(trial):
        return result
    absent = f"not below '{root}'" if cls.image_folders else f"not there: {trial.refused}"
    return replace(result, left_out=f"the others need its images, which are {absent}")


def _there(trial: DatasetTrial) -> bool:
    return not trial.refused


@CHECKS.add()
def it_says_what_it_is(trial: DatasetTrial) -> Iterator[str]:
    if not getattr(trial.cls, "title", ""):
        yield "`title` is empty: what tables call it"
    yield from strange_quirks(trial.cls.quirks)
    if len(trial.cls.published) not in (0, 3):
        yield "`published` must be the numbers of images in train, val and test, or be left out"


@CHECKS.add(about="__init__")
def without_its_files_it_says_how_to_get_them(trial: DatasetTrial) -> Iterator[str]:
    try:
        trial.cls(Path("no such folder"))
    except FedbenchError as error:
        text = str(error)
        if not text.startswith(f"{trial.name}: "):
            yield f"the refusal must begin with '{trial.name}: '; it is: {text}"
        if "\n" in text:
            yield "the refusal has several lines"
        if trial.cls.image_folders and "--data-root" not in text:
            yield f"the refusal does not say where the images are looked for (--data-root): {text}"
        if trial.cls.download not in text:
            yield f"the refusal does not say how to get the images (`download`): {text}"


@CHECKS.add(about="__init__", when=lambda trial: bool(on_disk(trial.cls, trial.root)))
def it_can_be_made_of_what_is_there(trial: DatasetTrial) -> Iterator[str]:
    if trial.refused:
        yield trial.refused


@CHECKS.add(about="__init__", when=_there)
def it_takes_its_quirks_and_refuses_others(trial: DatasetTrial) -> Iterator[str]:
    if trial.dataset.active_quirks:
        yield f"without `quirks` some are switched on: {some(trial.dataset.active_quirks)}"
    made = trial.cls(trial.root, allow_missing=True, quirks=tuple(trial.cls.quirks))
    if made.active_quirks != frozenset(trial.cls.quirks):
        yield "`quirks` must be handed on to Dataset.__init__"
    if made.parts != trial.dataset.parts:
        yield "a quirk changes the parts: then it is another data set, or the split's business"
    try:
        trial.cls(trial.root, allow_missing=True, quirks=("no-such-quirk",))
    except FedbenchError:
        return
    yield "an unknown quirk is accepted: hand `quirks` on to Dataset.__init__"


@CHECKS.add(when=_there)
def class_names_are_ordered_and_unique(trial: DatasetTrial) -> Iterator[str]:
    names = trial.dataset.classnames
    if not isinstance(names, tuple):
        yield f"`classnames` is a {type(names).__name__}; labels are places in a tuple"
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        yield f"{some(twice)} is the name of two classes"
    if len(names) < 2:
        yield f"there are {len(names)} classes"
    if blank := [repr(name) for name in names if name != name.strip() or not name]:
        yield f"{some(blank)}: names have no blanks around them"
    if trial.cls.n_classes and len(names) > trial.cls.n_classes:
        yield f"there are {len(names)} classes; `n_classes` says {trial.cls.n_classes}"
    if trial.dataset.source not in SOURCES:
        yield f"`source` is '{trial.dataset.source}'; it can be {', '.join(SOURCES)}"


@CHECKS.add(when=_there)
def labels_are_in_range_and_no_image_is_in_two_parts(trial: DatasetTrial) -> Iterator[str]:
    dataset = trial.dataset
    if set(dataset.parts) != set(PARTS):
        yield f"its parts are {some(dataset.parts)}; they must be {', '.join(PARTS)}"
        return
    yield from (f"the part '{part}' is empty" for part in ("train", "test") if not dataset.parts[part])
    items = [item for part in dataset.parts.values() for item in part]
    yield from _items(items, classes=len(dataset.classnames))


def _items(items: list[Item], *, classes: int) -> Iterator[str]:
    if wrong := [i for i in items if type(i.label) is not int or not 0 <= i.label < classes]:
        yield f"{len(wrong)} labels are no ints below {classes}; the first: {wrong[0].label!r} of {wrong[0].key}"
    if twice := [key for key, count in Counter(item.key for item in items).items() if count > 1]:
        yield f"{len(twice)} images are listed twice: {some(twice)}"
    if bad := [item.key for item in items if item.key.startswith("/") or "\\" in item.key]:
        yield f"{some(bad)}: keys are relative and have / in them"


@CHECKS.add(about="open", when=_there)
def images_are_rgb_and_fingerprints_stable(trial: DatasetTrial) -> Iterator[str]:
    for part in trial.dataset.parts.values():
        for item in part[:: max(len(part) // 5, 1)]:
            image = trial.dataset.open(item)
            if image.mode != "RGB" or not min(image.size):
                yield f"{item.key} is a {image.mode} image of {image.size}; give RGB"
                return
            if not trial.dataset.fingerprint(item) == trial.dataset.fingerprint(item) != "":
                yield f"the fingerprint of {item.key} is empty, or another one the second time"
                return


@CHECKS.add(about="domain_parts", when=_there)
def domains_divide_the_images(trial: DatasetTrial) -> Iterator[str]:
    dataset = trial.dataset
    try:
        dataset.domain_parts("no such domain")
    except FedbenchError:
        pass
    else:
        yield "a domain that does not exist is no error"
    seen: set[str] = set()
    for domain in dataset.domains:
        parts = dataset.domain_parts(domain)
        items = [item for part in parts.values() for item in part]
        if set(parts) != set(PARTS):
            yield f"the parts of {domain} are {some(parts)}"
        if strange := {item.domain for item in items} - {domain}:
            yield f"{domain} has images of {some(strange)}: set Item.domain"
        if both := seen & {item.key for item in items}:
            yield f"{len(both)} images of {domain} are in another domain too"
        yield from (f"{domain}: {text}" for text in _items(items, classes=len(dataset.classnames)))
        seen |= {item.key for item in items}
    rest = {item.key for part in dataset.parts.values() for item in part} - seen
    if dataset.domains and rest:
        yield f"{len(rest)} images are in no domain: {some(sorted(rest))}"


@CHECKS.add(about="notes", when=_there)
def what_was_left_out_is_said(trial: DatasetTrial) -> Iterator[str]:
    notes = trial.dataset.notes()
    if not all(notes):
        yield "a note is empty"
    if any("missing" in note for note in notes) != bool(trial.dataset.missing):
        yield f"{trial.dataset.missing} images are missing; the notes: {some(notes)}"


@CHECKS.add(about="__init__", when=_there)
def two_constructions_agree(trial: DatasetTrial) -> Iterator[str]:
    with moved_generators() as moved:
        again = trial.cls(trial.root, allow_missing=True)
    if moved:
        yield f"it draws from {some(moved)}: draw from fedbench.seeds.stream"
    if again.classnames != trial.dataset.classnames:
        yield "the second time it has other class names: never go through a set"
    if again.parts != trial.dataset.parts:
        yield "the second time it has other items, or in another order: sort what comes from the file system"
