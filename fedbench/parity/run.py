"""`bench parity`: every golden file in a folder, against the registered methods."""

from dataclasses import dataclass, field
from pathlib import Path

from fedbench.clip import FrozenCLIP
from fedbench.errors import FedbenchError
from fedbench.method import Method
from fedbench.official import Variant
from fedbench.parity.compare import (
    Check,
    aggregation,
    compare,
    federation,
    personal_parts,
    results,
    single_step,
)
from fedbench.parity.golden import WEIGHTS, GoldenFile, folders, load_clip
from fedbench.registry import METHODS


@dataclass
class Outcome:
    """One file against one method.

    Attributes:
        file: path below the folder that was asked for.
        method: name, "" where no registered method claims the file.
        checks: compared quantities.
        left: recorded quantities that were not compared.
        ignored: hyper-parameters that the file states and the method has not.
        reason: why the file was not compared at all, or "".
        failed: it should have been compared and could not be.
    """

    file: str
    method: str
    checks: list[Check] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    reason: str = ""
    failed: bool = False

    @property
    def passed(self) -> bool:
        return not self.failed and all(check.passed for check in self.checks)


def run(root: Path) -> list[Outcome]:
    """Outcomes of all files in and below `root`.

    Raises:
        FedbenchError: no golden folder there.
    """
    outcomes = []
    for folder in folders(root):
        clip = load_clip(folder)
        for path in sorted(folder.glob("*.npz")):
            if path.name != WEIGHTS:
                outcomes += _file(GoldenFile(path), clip, str(path.relative_to(root)))
    return outcomes


def _file(file: GoldenFile, clip: FrozenCLIP, name: str) -> list[Outcome]:
    if file.path.stem == "aggregation":
        return _aggregation(file, clip, name)
    try:
        claimants = file.methods()
    except FedbenchError as error:
        return [Outcome(name, "", reason=str(error), failed=True)]
    if not claimants:
        return [Outcome(name, "", reason="no registered method claims it")]
    return [_claimed(file, clip, cls, name) for cls in claimants]


def _claimed(file: GoldenFile, clip: FrozenCLIP, cls: type[Method], name: str) -> Outcome:
    assert cls.official is not None
    outcome = Outcome(name, cls.name, ignored=file.ignored(cls))
    if file.path.stem in cls.official.excluded:
        outcome.reason = cls.official.excluded[file.path.stem]
        return outcome
    variants = {"": cls.official.variants[""]} if file.federated else cls.official.variants
    for prefix, variant in variants.items():
        recorded = results(file, prefix, list(variants))
        if not recorded:
            continue
        try:
            ours = (
                federation(file, clip, cls, variant)
                if file.federated
                else single_step(file, clip, cls, prefix, variant)
            )
        except FedbenchError as error:
            outcome.reason, outcome.failed = str(error), True
            return outcome
        noise = file.noise(cls, recorded)
        checks, left = compare(
            {k: v for k, v in recorded.items() if k not in noise}, ours, rounds=cls.official.round_tolerance
        )
        for reason in dict.fromkeys(noise.values()):
            left.append(f"{', '.join(key for key in noise if noise[key] == reason)} ({reason})")
        outcome.checks += checks
        outcome.left += left
    if not outcome.checks:
        outcome.reason, outcome.failed = "it holds no quantity that can be compared", True
    return outcome


def _aggregation(file: GoldenFile, clip: FrozenCLIP, name: str) -> list[Outcome]:
    """Rules are claimed by methods; what nobody claims is listed."""
    outcomes: list[Outcome] = []
    claimed: set[str] = set()
    tags = sorted({key.split("/")[0] for key in file.arrays if key.endswith("/users")})
    for cls in (METHODS[n] for n in METHODS):
        rules: dict[str, Variant] = dict(cls.official.aggregation) if cls.official else {}
        for rule, variant in rules.items():
            method = cls(clip, ["a", "b"], hyper=variant.hyper, quirks=variant.quirks)
            outcome = Outcome(name, cls.name)
            for tag in tags:
                ours = aggregation(file, method, rule, tag)
                outcome.checks += compare({k: x for k, x in file.arrays.items() if k in ours}, ours)[0]
                claimed |= ours.keys()
            outcomes.append(outcome)
        for stem in cls.official.files if cls.official else ():
            if any(key.startswith(f"{stem}/in/client0/") for key in file.arrays):
                ours = personal_parts(file, cls(clip, ["a", "b"]), stem)
                checks, _ = compare({key: file.arrays[key] for key in ours}, ours)
                outcomes.append(Outcome(name, cls.name, checks=checks))
                claimed |= ours.keys()
    inputs = ("in/", "prev_global/", "counts", "hparams_json", "fedotp/in/")
    left = [
        key
        for key in file.arrays
        if key not in claimed and not key.startswith(inputs) and not key.endswith("/users")
    ]
    if left:
        outcomes.append(Outcome(name, "", left=left, reason="rules that no registered method claims"))
    return outcomes
