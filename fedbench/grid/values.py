"""Values from command lines and suite files, parsed as TOML writes them."""

import re
import tomllib
from itertools import product
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from fedbench.errors import FedbenchError


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
