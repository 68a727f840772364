"""Reading the lists that come with a dataset: text files and Matlab files."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fedbench.errors import FedbenchError


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without surrounding blanks, empty ones left out.

    Raises:
        FedbenchError: the file cannot be read, or is no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors begin with a mark
    except OSError as error:
        raise FedbenchError(f"list {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FedbenchError(f"list {path} is damaged, it is no text ({error}); get it again") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_columns(path: Path, count: int) -> list[list[str]]:
    """The lines of a text file, each as `count` words; the last one takes the rest of the line.

    Raises:
        FedbenchError: the file cannot be read, or a line has fewer words.
    """
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split(maxsplit=count - 1)
        if len(words) < count:
            raise FedbenchError(
                f"list {path}, line {number}: '{line[:60]}' has fewer than {count} columns; get it again"
            )
        rows.append(words)
    return rows


def read_matlab(path: Path, variable: str) -> np.ndarray:
    """One variable of a Matlab file, flat. (entries,)

    Raises:
        FedbenchError: the file cannot be read, is damaged, or does not have the variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    damaged = (MatReadError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, EOFError)
    try:
        content: dict[str, Any] = loadmat(str(path), variable_names=[variable], squeeze_me=True)
    except FileNotFoundError as error:
        raise FedbenchError(f"list {path} is missing; get it from the dataset's publisher") from error
    except (*damaged, struct.error, zlib.error, OSError) as error:
        what = " ".join(str(error).split())[:120]
        raise FedbenchError(f"list {path} is damaged, it is no Matlab file ({what}); get it again") from error
    if variable not in content:
        raise FedbenchError(f"list {path} has no variable '{variable}'; get it again")
    return np.atleast_1d(content[variable])
