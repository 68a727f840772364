"""Rewrites the tables in docs/ that follow from the code: `python scripts/tables.py`. A test compares.

Each stands between `<!-- NAME: made by scripts/tables.py -->` and `<!-- end -->`.
"""

import json
import runpy
from pathlib import Path
from typing import Any

from fedbench.config import Training
from fedbench.grid.config import GridConfig
from fedbench.store.files import write_text

ROOT = Path(__file__).resolve().parents[1]


def keys() -> str:
    """Of a suite: a line for each key, with what it may hold, its default and its description."""
    properties = GridConfig.model_json_schema()["properties"]
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key in sorted(properties, key=Training.model_fields.__contains__):  # the knobs of training come last
        schema = properties[key]
        default = schema.get("default")
        shown = "" if default in (None, [], {}, "") else f"`{json.dumps(default)}`"
        lines.append(f"| `{key}` | {_kind(schema)} | {shown} | {schema['description']} |".replace("  ", " "))
    return "\n".join(lines) + "\n"


def _kind(schema: dict[str, Any]) -> str:
    """What a key may hold, in words."""
    if "anyOf" in schema:
        return " or ".join(_kind(arm) for arm in schema["anyOf"] if arm.get("type") != "null")
    if "const" in schema or "enum" in schema:
        return ", ".join(f'`"{word}"`' for word in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        return "list of integers" if schema["items"]["type"] == "integer" else "list of names"
    words = {"string": "text", "boolean": "`true` or `false`", "object": "table"}
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    limits = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return ", ".join([words.get(schema["type"], schema["type"]), *limits])


def floors() -> str:
    """Who imports whom, from the top."""
    house = runpy.run_path(str(ROOT / "tests" / "test_house.py"))
    rows = ["  ".join(floor).replace("__init__", "fedbench") for floor in reversed(house["FLOORS"])]
    return "\n".join(["```", *rows, "```"]) + "\n"


TABLES = {"docs/adding-a-suite.md": ("keys", keys), "docs/architecture.md": ("floors", floors)}
"""Page to the name of its table and what makes it."""


def filled(page: str, text: str) -> str:
    """The page's text with its table as it should be."""
    name, table = TABLES[page]
    begin, end = f"<!-- {name}: made by scripts/tables.py -->\n", "<!-- end -->"
    before, _, rest = text.partition(begin)
    return f"{before}{begin}{table()}{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    for page in TABLES:
        write_text(ROOT / page, filled(page, (ROOT / page).read_text(encoding="utf-8")))
