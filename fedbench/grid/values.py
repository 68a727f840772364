"""Values from command lines and suite files: parsed as TOML writes them, checked against annotations."""

import math
import tomllib
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from fedbench.errors import FedbenchError, unknown


def parse(text: str) -> Any:
    """A value as TOML writes it (`1`, `0.5`, `true`, `"16"`), Python's True/False/None, or the bare text."""
    text = text.strip()
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


def checked(value: Any, annotation: Any, *, where: str) -> Any:
    """`value` if it fits the annotation exactly; an int becomes a float where a float is wanted.

    Raises:
        FedbenchError: it does not fit, or is not finite.
    """
    if value == "none" and type(None) in getattr(annotation, "__args__", ()):
        return None  # TOML has no null
    if isinstance(value, list):
        value = tuple(value)
    try:
        value = TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        raise FedbenchError(f"{where} = {value!r}: {error.errors()[0]['msg'].lower()}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise FedbenchError(f"{where} = {value!r}: input should be a finite number")
    return value


def filled(hyper: type, values: dict[str, Any], *, owner: str) -> dict[str, Any]:
    """All hyper-parameters of the dataclass `hyper`: its defaults, and over them `values`.

    Raises:
        FedbenchError: an unknown key, a wrong type, or a value that the dataclass itself refuses.
    """
    hints = get_type_hints(hyper)
    names = [field.name for field in fields(hyper)]
    for key in values:
        if key not in names:
            raise unknown(f"hyper-parameter of {owner}", key, names)
    given = {key: checked(value, hints[key], where=f"{owner}.{key}") for key, value in values.items()}
    try:
        complete = hyper(**given)
    except ValueError as error:
        raise FedbenchError(f"hyper-parameters of {owner}: {error}") from error
    # Checked again as a whole, so that a default written `1` for a float hashes like 1.0.
    return {name: checked(getattr(complete, name), hints[name], where=f"{owner}.{name}") for name in names}
