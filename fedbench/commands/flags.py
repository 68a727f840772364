"""Flags made from the models that they fill: name, type, bounds, help and shown default are the field's."""

from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fedbench.commands.options import INTEGERS, NAMES

Decorator = Callable[[Any], Any]


class NumberOrWord(click.ParamType):
    """A whole number, or one of some words."""

    name = "number"

    def __init__(self, number: click.ParamType, words: tuple[str, ...]):
        self.number, self.words = number, words

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "|".join(["N", *self.words])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value in self.words else self.number.convert(value, param, ctx)


def flags(model: type[BaseModel], *, without: tuple[str, ...] = ()) -> Decorator:
    """A decorator that gives a command one option for each field of `model` but those in `without`.

    A flag that is not given is None, whatever the field's default, so that a suite's value can be told from it.
    """

    def decorate(command: Any) -> Any:
        for name, field in reversed(model.model_fields.items()):
            if name not in without:
                command = _option(name, field)(command)
        return command

    return decorate


def _option(name: str, field: FieldInfo) -> Decorator:
    flag = f"--{name.replace('_', '-')}"
    text = (field.description or "").strip()
    if field.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    kind = _kind(field.annotation, field.metadata)
    default = _shown(field.default)
    return click.option(
        flag, name, type=kind, default=None, help=f"{text}  [default: {default}]" if default else text
    )


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return "" if default is None else str(default)


def _kind(annotation: Any, metadata: list[Any]) -> click.ParamType:
    """The click type of a field's annotation."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0], list(inner[1:][0].metadata if isinstance(inner[1], FieldInfo) else inner[1:]))
    if origin in (Union, UnionType):
        choices = [arm for arm in inner if arm is not type(None)]
        words = tuple(word for arm in choices if get_origin(arm) is Literal for word in get_args(arm))
        (rest,) = [arm for arm in choices if get_origin(arm) is not Literal]
        return NumberOrWord(_kind(rest, metadata), words) if words else _kind(rest, metadata)
    if origin is Literal:
        return click.Choice(inner)
    if origin is tuple:
        return INTEGERS if inner[0] is int else NAMES
    if annotation is Path:
        return click.Path(path_type=Path)
    if annotation is str:
        return click.STRING
    least, least_open = _bound(metadata, annotated_types.Ge, annotated_types.Gt)
    most, most_open = _bound(metadata, annotated_types.Le, annotated_types.Lt)
    if annotation is int:
        return click.IntRange(min=least, max=most, min_open=least_open, max_open=most_open)
    return click.FloatRange(min=least, max=most, min_open=least_open, max_open=most_open)


def _bound(metadata: list[Any], closed: type, opened: type) -> tuple[Any, bool]:
    """A bound among a field's constraints, and whether it is excluded itself."""
    for constraint in metadata:
        for kind in (closed, opened):
            if isinstance(constraint, kind):
                return getattr(constraint, kind.__name__.lower()), kind is opened
    return None, False
