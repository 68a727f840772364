"""Every method and every data set has the BibTeX entry of its paper."""

import inspect
import re

import pytest

from fedbench.registry import DATASETS, METHODS

OWN = {
    **{f"method {name}": METHODS[name] for name in METHODS},
    **{
        f"dataset {name}": DATASETS[name] for name in DATASETS if DATASETS[name].n_classes
    },  # not the user's folder
}


def entry(text: str) -> tuple[str, dict[str, str]]:
    """Key and fields of a BibTeX entry whose braces match."""
    found = re.fullmatch(
        r"@(article|inproceedings|misc|techreport)\{([a-z0-9]+),(.*)\}", text, flags=re.DOTALL
    )
    assert found, text
    depth, fields, start = 0, [], 0
    body = found[3]
    for place, letter in enumerate(body):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0, f"a brace closes nothing in {text}"
        if letter == "," and depth == 0:
            fields.append(body[start:place])
            start = place + 1
    assert depth == 0, f"a brace stays open in {text}"
    fields.append(body[start:])
    pairs = [field.partition("=") for field in fields if field.strip()]
    assert all(re.fullmatch(r"\s*\{.*\}\s*", value, flags=re.DOTALL) for _, _, value in pairs), text
    return found[2], {key.strip(): " ".join(value.split())[1:-1] for key, _, value in pairs}


@pytest.mark.parametrize("name", OWN)
def test_the_entry_parses_and_says_who_what_where_and_when(name):
    _, fields = entry(inspect.cleandoc(OWN[name].bibtex))
    assert fields["title"]
    if name == "method FedTV":  # no paper was found
        return
    assert all(", " in author or author.startswith("{") for author in fields["author"].split(" and "))
    assert re.fullmatch(r"(19|20)\d\d", fields["year"])


@pytest.mark.parametrize("name", [name for name in METHODS if name != "FedTV"])
def test_the_entry_is_of_the_paper_that_the_method_names(name):
    _, fields = entry(inspect.cleandoc(METHODS[name].bibtex))
    paper = METHODS[name].paper
    assert paper.endswith(fields["year"])
    title = fields["title"].replace("{", "").replace("}", "").partition(" --")[0]
    assert title.lower() in paper.lower()


def test_a_key_belongs_to_one_entry():
    keys: dict[str, str] = {}
    for cls in OWN.values():
        text = inspect.cleandoc(cls.bibtex)
        assert keys.setdefault(entry(text)[0], text) == text  # CIFAR-10 and CIFAR-100 have one report


@pytest.mark.parametrize(
    "text",
    [
        "@misc{key, title = {A}",
        "@misc{key, title = A}",
        "@book{key, title = {A}}",
        "@misc{, title = {A}}",
        "A. 2020.",
    ],
)
def test_the_check_finds_what_is_no_entry(text):
    with pytest.raises(AssertionError):
        entry(text)
