"""Where in somebody's own file something stands: messages about a method, split or data set name file and line."""

import inspect
import traceback
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType


def defined(cls: type, name: str) -> str:
    """Where the class, or the nearest of its bases, defines `name`: "my_method.py:31"; "" where nothing says so."""
    for base in cls.__mro__:
        contract = inspect.isabstract(base) and base.__module__.startswith("fedbench.")
        if name in vars(base) and not contract:
            code = _code(vars(base)[name])
            return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else _file(base)
    return _file(cls)


def innermost(error: BaseException, *classes: type) -> str:
    """The last place on the way to an error that stands in a file of one of the classes: "my_method.py:31"; or "".

    A class's own file counts before those of its bases.
    """
    passed = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = {file for cls in classes for file in _files(cls)}
    inherited = {file for cls in classes for base in cls.__mro__ for file in _files(base)}
    for files in (own, inherited):
        for file, line in reversed(passed):
            if file in files:
                return f"{Path(file).name}:{line}"
    return ""


def source(cls: type) -> Path | None:
    """The file that a class was written in; None where nothing says so."""
    return next(map(Path, _files(cls)), None)


def _file(cls: type) -> str:
    file = source(cls)
    return file.name if file else ""


def _files(cls: type) -> Iterator[str]:
    """The files of a class's functions. Its module does not tell: a plug-in's or a notebook's cannot be imported."""
    for attribute in vars(cls).values():
        code = _code(attribute)
        if code and not code.co_filename.startswith("<string"):  # made by a decorator
            yield code.co_filename


def _code(attribute: object) -> CodeType | None:
    """The code behind a method, property, class method or static method."""
    for kind, inside in (
        (property, "fget"),
        (cached_property, "func"),
        (classmethod, "__func__"),
        (staticmethod, "__func__"),
    ):
        if isinstance(attribute, kind):
            attribute = getattr(attribute, inside)
    if not isinstance(attribute, FunctionType):
        return None
    function = inspect.unwrap(attribute)
    return function.__code__ if isinstance(function, FunctionType) else None
