"""docs/store.md and the schema say the same: `python -m fedbench.store.page docs/store.md` rewrites the page in place.

Between `<!-- record.json -->` and the next `<!-- end -->` stand an example of that file and its keys.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedbench.store.schema import GridFile, Part, Record, RoundLine, Status

FILES: dict[str, type[Part]] = {
    "grid.json": GridFile,
    "status.json": Status,
    "rounds.jsonl": RoundLine,
    "record.json": Record,
}


def filled(page: str) -> str:
    """The page with its examples and keys made anew."""
    for name, model in FILES.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, found, rest = page.partition(start)
        if found:
            page = f"{before}{start}{described(model)}{end}{rest.partition(end)[2]}"
    return page


def described(model: type[Part]) -> str:
    """An example of the file in JSON, and a list of the keys that need a word."""
    lines = ",\n ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in example(model).items())
    return f"```json\n{{{lines}}}\n```\n\n{''.join(_keys(model))}"


def example(model: type[Part]) -> dict[str, Any]:
    """What the file holds, from the examples of its fields."""
    return {
        field.alias or name: field.examples[0] if field.examples else example(_part(field.annotation))
        for name, field in model.model_fields.items()
    }


def _keys(model: type[Part], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if field.description:
            yield f"- `{prefix}{field.alias or name}`: {field.description}\n"
        elif not field.examples:
            yield from _keys(_part(field.annotation), f"{prefix}{name}.")


def _part(annotation: Any) -> type[Part]:
    assert issubclass(annotation, Part), f"{annotation} needs an example"
    return annotation


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(filled(file.read_text(encoding="utf-8")), encoding="utf-8")
