"""`bench parity`: every golden file in a folder, against the registered methods."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fedbench.clip import FrozenCLIP
from fedbench.errors import FedbenchError
from fedbench.method import Method
from fedbench.parity.build import build, ignored
from fedbench.parity.compare import Check, Comparison, Numbers, compare, results
from fedbench.parity.golden import GoldenFile, declaring, golden_files, load_clip, one_line
from fedbench.parity.names import official
from fedbench.parity.replay import federation, local_epochs, single_step
from fedbench.parity.server import averages, personal_parts, rules


@dataclass
class FileResult:
    """One file against one method.

    Attributes:
        file: path below the folder that was asked for.
        method: name, "" where no registered method claims the file.
        checks: compared quantities.
        left: recorded quantities that were not compared.
        ignored: hyper-parameters that the file states and the method has not.
        assumed: hyper-parameters that the file does not tell, with the method's own value.
        overruled: sizes that the file states and its tensors contradict; the tensors count.
        reason: why the file, or a part of it, was not compared, or "".
        failed: it should have been compared and could not be.
    """

    file: str
    method: str = ""
    checks: list[Check] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    overruled: list[str] = field(default_factory=list)
    reason: str = ""
    failed: bool = False

    @property
    def passed(self) -> bool:
        return not self.failed and all(check.passed for check in self.checks)

    @property
    def missed(self) -> bool:
        return not all(check.passed for check in self.checks)

    def take(self, comparison: Comparison) -> None:
        """Add what was compared. A quantity that cannot be is a failure of the file."""
        self.checks += comparison.checks
        self.left += comparison.left
        if comparison.misfits:
            more = f" (and {len(comparison.misfits) - 1} more)" if len(comparison.misfits) > 1 else ""
            self.fail(FedbenchError(comparison.misfits[0] + more))

    def fail(self, error: Exception) -> None:
        """The first error is the reason. A method is anyone's code, and its errors are of any type."""
        if not isinstance(error, FedbenchError):
            if os.environ.get("FEDBENCH_DEBUG") == "1":
                raise error
            error = FedbenchError(f"{self.method or 'reading it'} raises {one_line(error)}")
        self.reason, self.failed = self.reason if self.failed else str(error), True


def run(root: Path) -> list[FileResult]:
    """Results of all files in and below `root`. A file that cannot be compared fails alone.

    Raises:
        FedbenchError: no golden file there.
    """
    found: list[FileResult] = []
    for folder, paths in golden_files(root).items():
        names = {path: str(path.relative_to(root)) for path in paths}
        try:
            clip = load_clip(folder)
        except FedbenchError as error:
            found += [FileResult(name, reason=str(error), failed=True) for name in names.values()]
            continue
        for path, name in names.items():
            found += _file(GoldenFile(path), clip, name)
    return found


def _file(file: GoldenFile, clip: FrozenCLIP, name: str) -> list[FileResult]:
    try:
        if file.aggregation:
            return _aggregation(file, clip, name)
        claimants = file.methods()
    except Exception as error:
        result = FileResult(name)
        result.fail(error)
        return [result]
    if not claimants:
        return [FileResult(name, reason="no registered method claims it")]
    return [_claimed(file, clip, cls, name) for cls in claimants]


def _claimed(file: GoldenFile, clip: FrozenCLIP, cls: type[Method], name: str) -> FileResult:
    result = FileResult(name, cls.name)
    if file.path.stem in official(cls).excluded:
        result.reason = official(cls).excluded[file.path.stem]
        return result
    try:
        _compare(file, clip, cls, result)
    except Exception as error:
        result.fail(error)
    return result


def _compare(file: GoldenFile, clip: FrozenCLIP, cls: type[Method], result: FileResult) -> None:
    """All variants of a single-step file, or a federation."""
    declared = official(cls)
    _settings(file, clip, cls, result)
    variants = {"": declared.variants[""]} if file.federated else declared.variants
    for prefix, variant in variants.items():
        recorded = results(file, prefix, list(variants))
        if not recorded:
            continue
        ours = (
            federation(file, clip, cls, variant)
            if file.federated
            else single_step(file, clip, cls, prefix, variant)
        )
        noise = file.noise(cls, recorded)
        sound = {key: value for key, value in recorded.items() if key not in noise}
        result.take(compare(sound, ours, rounds=declared.round_tolerance))
        for reason in dict.fromkeys(noise.values()):
            result.left.append(f"{', '.join(key for key in noise if noise[key] == reason)} ({reason})")
    if not result.checks:
        raise FedbenchError("it holds no quantity that can be compared")


def _settings(file: GoldenFile, clip: FrozenCLIP, cls: type[Method], result: FileResult) -> None:
    """What the file and the method do not both say about hyper-parameters; a method may also refuse the CLIP."""
    built = build(file, cls, clip, official(cls).variants[""])
    if reason := built.method.skip():
        raise FedbenchError(reason)
    result.ignored = ignored(file, cls)
    result.assumed = [f"{key} = {value}" for key, value in built.assumed.items()]
    if file.federated and "local_epochs" not in file.hparams:
        result.assumed.append(f"local_epochs = {local_epochs(file, built.method)}")
    result.overruled = [
        f"{key} = {value}, which is {getattr(built.method.hyper, key)}"
        for key, value in built.overruled.items()
    ]


def _aggregation(file: GoldenFile, clip: FrozenCLIP, name: str) -> list[FileResult]:
    """A result for each server's step and method that follows it, and one for what no method claims."""
    found: list[FileResult] = []
    claimed: set[str] = set()
    for cls in declaring():
        for rule, variant in rules(file, cls).items():
            own = {key for key in file.arrays if key.split("/")[1:2] == [rule]}
            step = partial(averages, file, clip, cls, rule, variant)
            found.append(_step(FileResult(name, cls.name), file, own, step))
            claimed |= own
        for stem in official(cls).files:
            whole = {key for key in file.arrays if key.startswith((f"{stem}/in/", f"{stem}/out/"))}
            if whole:
                own = {key for key in whole if key.startswith(f"{stem}/out/")}
                step = partial(personal_parts, file, clip, cls, stem)
                found.append(_step(FileResult(name, cls.name), file, own, step))
                claimed |= whole
    claimed |= {check.quantity for result in found for check in result.checks}
    inputs = ("in/", "prev_global/", "counts", "hparams_json")
    left = [
        key
        for key in file.arrays
        if key not in claimed and not key.startswith(inputs) and not key.endswith("/users")
    ]
    if left:
        found.append(
            FileResult(name, left=left, reason="no registered method gives a number for a part of it")
        )
    return found or [FileResult(name, reason="it holds no quantity that can be compared", failed=True)]


def _step(result: FileResult, file: GoldenFile, own: set[str], compute: Callable[[], Numbers]) -> FileResult:
    """One server's step: its `own` keys in the file, and those of what the method probes besides."""
    try:
        ours = compute()
        result.take(compare({key: x for key, x in file.arrays.items() if key in own or key in ours}, ours))
    except FedbenchError as error:  # several methods may want what is missing
        result.fail(FedbenchError(f"{result.method}: {error}"))
    except Exception as error:
        result.fail(error)
    return result
