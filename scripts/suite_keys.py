"""The table of a suite's keys in docs/adding-a-suite.md, from `GridConfig`. Run `python scripts/suite_keys.py`."""

import json
from pathlib import Path
from typing import Any

from fedbench.config import Training
from fedbench.grid.config import GridConfig

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adding-a-suite.md"
BEGIN, END = "<!-- keys: made by scripts/suite_keys.py -->\n", "<!-- end of keys -->"


def table() -> str:
    """Markdown: a line for each key, with what it may hold, its default and its description."""
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    properties = GridConfig.model_json_schema()["properties"]
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


def page(text: str) -> str:
    """The page's text with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
