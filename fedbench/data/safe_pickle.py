"""Reading published pickles without running them: containers, text, numbers and plain numpy arrays.

A pickle is a program. What it can call here is our own: stand-ins for numpy's dtype, array and scalar, and
one for bytes that Python 3 wrote for Python 2. numpy's own unpickling stays out, because it trusts the state
it is given (a forged dtype turns bytes into pointers).
"""

import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from fedbench.errors import FedbenchError

PLAIN = re.compile(r"[<>|=]?(?:[iu][1248]|b1|[US][0-9]{1,6}|O[48]?)")
"""Integers, truth values, text, and lists of objects."""
DAMAGED = (
    pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError,
    ValueError, OverflowError, MemoryError, RecursionError, struct.error,
)  # fmt: skip
"""What unpickling raises for damaged or hostile bytes."""


class Refused(pickle.UnpicklingError):
    """The pickle wants something that is not on the list."""


def load(path: Path) -> object:
    """The content of a pickle file: None, bool, int, float, str, bytes, list, tuple, dict, numpy arrays.

    Text of Python 2 is read as Latin-1.

    Raises:
        FedbenchError: the file cannot be read, is damaged, or asks for anything else; nothing of it ran.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Unpickler(file, encoding="latin1").load())
    except Refused as error:
        raise FedbenchError(f"{path} is refused: {error}; get the file from its publisher") from error
    except OSError as error:
        raise FedbenchError(f"{path} cannot be read: {error.strerror}") from error
    except DAMAGED as error:
        what = " ".join(str(error).split())[:120]
        raise FedbenchError(
            f"{path} is damaged, it is no pickle of plain data ({what}); get it again"
        ) from error


class _DType:
    """Stand-in for numpy.dtype: keeps the code and the byte order, refuses fields and objects' flags."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, align: object = False, copy: object = False):
        if not isinstance(code, str) or not PLAIN.fullmatch(code):
            raise Refused(f"it holds an array of type {str(code)[:40]!r}")
        self.code, self.order = code.lstrip("<>|="), "|"

    def __setstate__(self, state: Any) -> None:
        order, subtype, names, fields = state[1:5]
        if order not in ("<", ">", "|", "=") or (subtype, names, fields) != (None, None, None):
            raise Refused("it holds an array of a compound type")
        self.order = order

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """Stand-in for numpy.ndarray. `numpy()` is the array, made of plain bytes or of a list."""

    __slots__ = ("state",)

    def __init__(self, *arguments: object):
        self.state: tuple[Any, ...] | None = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def numpy(self) -> np.ndarray:
        if self.state is None:
            raise ValueError("an array without content")
        _, shape, dtype, fortran, content = self.state
        if not isinstance(dtype, _DType):
            raise ValueError("an array without a type")
        order: Any = "F" if fortran else "C"
        if dtype.code.startswith("O"):
            if not isinstance(content, list):
                raise ValueError("an array of objects that is no list")
            objects = np.empty(len(content), dtype=object)
            objects[:] = [_plain(entry) for entry in content]
            return objects.reshape(shape, order=order)
        raw = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(raw, dtype=dtype.numpy()).reshape(shape, order=order)


class _Call:
    """A callable without attributes, so that a pickle cannot leave anything behind on it."""

    __slots__ = ("_call",)
    _call: Callable[..., object]

    def __init__(self, call: Callable[..., object]):
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: object) -> None:
        raise Refused(f"it sets '{name}' of a function")

    def __call__(self, *arguments: object) -> object:
        return self._call(*arguments)


def _from_buffer(content: object, dtype: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.state = (
        1,
        shape,
        dtype,
        order == "F",
        bytes(content) if isinstance(content, bytearray) else content,
    )
    return array


def _scalar(dtype: object, content: object) -> object:
    """One entry of an array, as Python's own str, bytes, int or bool."""
    if not isinstance(dtype, _DType) or dtype.code.startswith("O"):
        raise Refused("it holds a number of no type")
    raw = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(raw, dtype=dtype.numpy(), count=1)[0].item()  # type: ignore[call-overload]


def _to_bytes(text: object, encoding: object = "utf-8") -> bytes:
    """`_codecs.encode`, by which Python 3 writes bytes for Python 2; only as it does so."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"it asks for the codec {str(encoding)[:40]!r}")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Callable[[], object]] = {
    ("numpy", "ndarray"): lambda: _Call(_Array),
    ("numpy", "dtype"): lambda: _Call(_DType),
    ("_codecs", "encode"): lambda: _Call(_to_bytes),
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    ALLOWED[f"{_core}.multiarray", "_reconstruct"] = lambda: _Call(_Array)
    ALLOWED[f"{_core}.multiarray", "scalar"] = lambda: _Call(_scalar)
    ALLOWED[f"{_core}.numeric", "_frombuffer"] = lambda: _Call(_from_buffer)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], *, encoding: str):
        super().__init__(file, encoding=encoding)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Refused(f"it asks for {module}.{name}, and only lists, text and numbers are read")
        return ALLOWED[module, name]()


def _plain(content: Any, seen: dict[int, Any] | None = None) -> Any:
    """The content with arrays in place of their stand-ins.

    `seen` holds what is converted already, and None for what is being converted: a few bytes can stand for
    lists of lists of the same list, or for a list that holds itself.

    Raises:
        ValueError: something that is neither plain data nor a complete array.
    """
    if content is None or type(content) in (bool, int, float, str, bytes):
        return content
    if isinstance(content, _Array):
        return content.numpy()
    seen = {} if seen is None else seen
    if id(content) in seen:
        if seen[id(content)] is None:
            raise ValueError("it holds a container that holds itself")
        return seen[id(content)]
    seen[id(content)] = None
    plain: Any
    if type(content) in (list, tuple):
        plain = type(content)(_plain(entry, seen) for entry in content)
    elif type(content) is dict:
        plain = {_plain(key, seen): _plain(value, seen) for key, value in content.items()}
    else:
        raise ValueError(f"it holds a {type(content).__name__.lstrip('_')}")
    seen[id(content)] = plain
    return plain
