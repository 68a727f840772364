"""Values from command lines and suite files: parsed as TOML writes them, checked by a method's `Hyper`."""

import math
import re
import tomllib
from itertools import product
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from fedbench.errors import FedbenchError, unknown


def parse(text: str) -> Any:
    """A value as TOML writes it (`1`, `0.5`, `true`, `"16"`), Python's True/False/None, or the bare text.

    `0.5,1` and `amazon,webcam` are lists, as in `--seeds 1,2`; a text with a blank after its comma is a sentence.
    """
    text = text.strip()
    if "," in text and not re.search(r"[\s\"'\[\]{}]", text):
        return [parse(part) for part in text.split(",") if part]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lower() in ("none", "null"):
        return None
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = document["value"]
    return value if len(document) == 1 and isinstance(value, int | float | str | list) else text


def assignments(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`("FedPGP.mu=1", "lr=0.01")` as a dictionary; a later pair wins.

    Raises:
        FedbenchError: a pair has no `=` or no key.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise FedbenchError(f"--set takes KEY=VALUE, for example FedPGP.mu=1; got '{pair}'")
        values[key.strip()] = parse(text)
    return values


def combinations(model: type[BaseModel], values: dict[str, Any]) -> list[dict[str, Any]]:
    """The product of all lists that stand where `model` wants one value; a key that takes lists keeps its own.

    Raises:
        FedbenchError: an empty list.
    """
    choices = {}
    for key, value in values.items():
        field = model.model_fields.get(key)
        several = isinstance(value, list) and not (field is not None and _takes_lists(field.annotation))
        if several and not value:
            raise FedbenchError(f"{key} = []: give at least one value")
        choices[key] = value if several else [value]
    return [dict(zip(choices, chosen, strict=True)) for chosen in product(*choices.values())]


def _takes_lists(annotation: Any) -> bool:
    kinds = (annotation, *get_args(annotation))
    return any(kind in (list, tuple) or get_origin(kind) in (list, tuple) for kind in kinds)


def filled(hyper: type[BaseModel], values: dict[str, Any], *, owner: str) -> dict[str, Any]:
    """All hyper-parameters of the model `hyper` as JSON: its defaults, and over them `values`.

    Types are strict, except that an integer is a number and a list a tuple: `mu = true` or `n_ctx = 4.0` is a
    mistake. "none" stands for None, which TOML lacks.

    Raises:
        FedbenchError: an unknown key, a wrong type, or a value that the model refuses.
    """
    for key in values:
        if key not in hyper.model_fields:
            raise unknown(f"hyper-parameter of {owner}", key, hyper.model_fields)
    given = {key: _native(value, hyper.model_fields[key].annotation) for key, value in values.items()}
    try:
        complete = hyper.model_validate(given, strict=True).model_dump()
        # Again, now with the defaults: one written `1` for a float must hash like 1.0.
        complete = hyper.model_validate(complete, strict=True).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join([owner, *map(str, first["loc"])])
        raise FedbenchError(f"{name} = {first['input']!r}: {first['msg'].lower()}") from error
    for key, value in complete.items():
        if isinstance(given.get(key, value), float) and not math.isfinite(given.get(key, value)):
            raise FedbenchError(f"{owner}.{key} = {given[key]!r}: input should be a finite number")
    return complete


def _native(value: Any, annotation: Any) -> Any:
    if value == "none" and type(None) in getattr(annotation, "__args__", ()):
        return None
    return tuple(value) if isinstance(value, list) else value
