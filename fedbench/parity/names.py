"""The authors' names of our tensors, as `Official.tensors` declares them."""

import re
from collections.abc import Iterable

import numpy as np

from fedbench.errors import FedbenchError
from fedbench.method import Method, Tensors
from fedbench.official import Official


def official(cls: type[Method]) -> Official:
    """What the authors call things, of a method that declares it."""
    assert cls.official is not None
    return cls.official


def official_name(cls: type[Method], name: str) -> tuple[str, int | None]:
    """The authors' name of one of our tensors, and the row of it that ours is.

    Raises:
        FedbenchError: the method declares none.
    """
    names = official(cls).tensors
    if name not in names:
        raise FedbenchError(f"{cls.name}: its `official.tensors` does not name the tensor '{name}'")
    match = re.fullmatch(r"(.*)\[(\d+)\]", names[name])
    return (match[1], int(match[2])) if match else (names[name], None)


def numbered(keys: Iterable[str], pattern: str) -> dict[int, str]:
    """The keys that are `pattern` with a number for its `{}`, by number."""
    shape = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d+)"))
    found = ((shape.fullmatch(key), key) for key in keys)
    return dict(sorted((int(match[1]), key) for match, key in found if match))


def named(cls: type[Method], prefix: str, tensors: Tensors) -> dict[str, np.ndarray]:
    """One client's tensors (1, ...) by the authors' names, copied; rows of one tensor are joined, and given singly."""
    found: dict[str, np.ndarray] = {}
    rows: dict[str, dict[int, np.ndarray]] = {}
    for name, x in tensors.items():
        theirs, row = official_name(cls, name)
        key, value = f"{prefix}/{theirs}", x[0].numpy().copy()  # training goes on in the same memory
        if row is not None:
            rows.setdefault(key, {})[row] = found[f"{key}[{row}]"] = value
        elif key in found:  # stacks that share a name follow one another
            found[key] = np.concatenate([found[key], value])
        else:
            found[key] = value
    return found | {key: np.stack([parts[row] for row in sorted(parts)]) for key, parts in rows.items()}
