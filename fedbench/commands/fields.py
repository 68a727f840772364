"""A setting in words: its default, what it may be, and what it means, from its pydantic field."""

from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:  # a list of data sets need not wait for it
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

NONE = "or none"
LIMITS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def settings(model: "type[BaseModel]") -> Iterator[tuple[str, str]]:
    """Each setting of a model and what there is to say of it."""
    for name, field in model.model_fields.items():
        yield name, described(field)


def described(field: "FieldInfo") -> str:
    """For example "default 0.8, above 0, at most 1: the mass that is moved"."""
    default = "required" if field.is_required() else f"default {value(field.default)}"
    allowed = [
        words
        for words in _allowed(field.annotation, field.metadata)
        if field.default is not None or words != NONE
    ]
    words = ", ".join([default, *allowed])
    return f"{words}: {field.description}" if field.description else words


def value(x: Any) -> str:
    """A value as `--set` takes it."""
    if x is None or isinstance(x, bool):
        return str(x).lower()
    if isinstance(x, tuple | list):
        return ", ".join(map(value, x)) or "none"
    if isinstance(x, dict):
        return ", ".join(f"{key} = {value(entry)}" for key, entry in x.items()) or "none"
    return str(x)


def _allowed(annotation: Any, metadata: Iterable[Any]) -> Iterator[str]:
    """What a setting may be, as far as its default does not show it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _allowed(arguments[0], arguments[1:])
    elif origin is Literal:
        yield f"one of {', '.join(map(str, arguments))}"
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from [NONE] if argument is NoneType else _allowed(argument, ())
    for limit in metadata:
        yield from (f"{words} {getattr(limit, key)}" for key, words in LIMITS.items() if hasattr(limit, key))
