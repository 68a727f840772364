"""`bench list`: what a grid can be made of, with the real registries."""

import resource
import subprocess
import sys
from typing import Annotated, Any, Literal

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from fedbench.commands.details import remarks
from fedbench.commands.fields import described
from fedbench.commands.list import KINDS, list_
from fedbench.commands.show import definitions
from fedbench.errors import FedbenchError
from fedbench.grid.config import GridConfig
from fedbench.grid.suites import names as suite_names
from fedbench.registry import BACKBONES, DATASETS, EXECUTORS, METHODS, SPLITS

NAMES = {
    "methods": list(METHODS),
    "datasets": list(DATASETS),
    "splits": list(SPLITS),
    "backbones": list(BACKBONES),
    "suites": suite_names(),
    "quirks": ["momentum-leak", "unordered-classnames-per-process"],
    "executors": list(EXECUTORS),
}


def bench(*arguments: str, columns: int = 80) -> str:
    result = CliRunner().invoke(list_, arguments, env={"COLUMNS": str(columns)}, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def prose(text: str) -> str:
    """The text without the line breaks that a narrow terminal makes."""
    return " ".join(text.split())


# -- lists ---------------------------------------------------------------------------------------------------


def test_definitions_hang_and_break_no_name(monkeypatch):
    monkeypatch.setenv("COLUMNS", "36")
    rows = [("a", "one-two-three four-five-six seven-eight"), ("a-long-name-of-its-own", "text"), ("bc", "")]
    assert list(definitions(rows, indent=1)) == [
        " a   one-two-three four-five-six",
        "     seven-eight",
        " a-long-name-of-its-own",
        "     text",
        " bc",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_fits_80_columns_with_its_names_whole(kind):
    lines = bench(kind).splitlines()
    assert max(map(len, lines)) <= 80
    firsts = {line.split()[0] for line in lines if line and not line.startswith(" ")}
    assert set(NAMES[kind]) <= firsts
    assert all(line == line.rstrip() for line in lines)


def test_all_kinds_are_listed_without_a_name():
    everything = bench()
    assert max(map(len, everything.splitlines())) <= 80
    assert [line for line in everything.splitlines() if line in KINDS] == list(KINDS)


def test_a_quirk_of_many_is_listed_once_with_its_owners():
    lines = prose(bench("quirks"))
    assert lines.count("one SGD serves all clients") == 1
    assert "(CoOp, FedCoCoOp, FedMaPLe, FedOTP, FedPGP, FedTV, pFedMMA, pFedPT, PromptFL, Prox)" in lines
    assert "round to round (pLoRA)" in lines  # of the same name, and an AdamW


@pytest.mark.parametrize(
    "command", ["list datasets", "list splits", "list executors", "list suites", "data list"]
)
def test_a_list_that_needs_no_torch_does_not_wait_for_it(command):
    code = (
        "import sys; from fedbench.cli import cli; "
        f"cli.main({command.split()!r}, standalone_mode=False); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["False"]
    assert done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["datasets", "splits"])
def test_a_list_is_light(kind):
    code = (
        "import sys; from pathlib import Path; from fedbench.cli import cli; "
        f"cli.main(['list', {kind!r}], standalone_mode=False); "
        "status = Path('/proc/self/status').read_text(); "
        "print(status.partition('VmHWM:')[2].split()[0], file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert int(done.stderr) < 110 * 1024  # KiB
    assert seconds < 2  # 0.5 on a quiet machine; with torch it is 3


# -- one thing whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_whole(name):
    cls, shown = METHODS[name], bench("methods", name)
    text = prose(shown)
    assert text.startswith(f"{name}: {cls.__doc__.splitlines()[0]}")
    assert f"paper {cls.paper}" in text
    assert f"official code {cls.code or 'none'}" in text
    for key, field in cls.Hyper.model_fields.items():
        assert f"\n  {key} " in shown
        assert field.description, f"{name}.{key} says nothing of itself"
        assert prose(field.description) in text
    for quirk, line in cls.quirks.items():
        assert f"{quirk} {line}" in text
    assert prose(cls.bibtex) in text
    assert max(len(line) for line in shown.partition("\n@")[0].splitlines() if "/" not in line) <= 80


def test_a_method_shows_its_tensors_and_payload_on_vit_b_16():
    text = prose(bench("methods", "FedPGP"))
    assert "Tensors on ViT-B-16: 12,416 numbers are trained" in text
    assert "u 16 x 8, personal v 8 x 512, personal context 16 x 512, shared" in text
    assert "8,192 numbers (32.0 KiB) up and as many down personal 4,224 numbers stay" in text
    assert "mu default 0.5, at least 0: weight μ of the contrastive term" in text
    assert "image input its embedding: the image tower is left alone" in text


def test_a_method_of_a_plug_in_is_shown_too(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from fedbench.methods.promptfl import PromptFL\n"
        "from fedbench.registry import METHODS\n"
        '@METHODS.register("MineOfTheList")\n'
        "class Mine(PromptFL):\n"
        '    """One of mine."""\n'
        '    paper = "None"\n'
        '    bibtex = ""\n'
    )
    shown = bench("methods", "MineOfTheList", "--plugin", str(plugin))
    del METHODS._entries["MineOfTheList"]
    assert shown.startswith("MineOfTheList: One of mine.")
    assert "% MineOfTheList: nothing to cite" in shown


def test_a_method_that_cannot_be_made_without_weights_says_so(tmp_path):
    plugin = tmp_path / "heavy.py"
    plugin.write_text(
        "from fedbench.methods.promptfl import PromptFL\n"
        "from fedbench.registry import METHODS\n"
        '@METHODS.register("HeavyOfTheList")\n'
        "class Heavy(PromptFL):\n"
        "    def __init__(self, *args, **kwargs):\n"
        "        super().__init__(*args, **kwargs)\n"
        "        self.length = self.clip.text.embed([320]).norm().item()\n"
    )
    with pytest.raises(FedbenchError, match="HeavyOfTheList: its constructor asks for weights"):
        bench("methods", "HeavyOfTheList", "--plugin", str(plugin))
    del METHODS._entries["HeavyOfTheList"]


def test_a_dataset_whole():
    text = prose(bench("datasets", "office_caltech10"))
    assert "domains amazon, caltech, dslr, webcam" in text
    assert "@inproceedings{gong2012geodesic" in text


@pytest.mark.parametrize("name", list(SPLITS))
def test_a_split_whole(name):
    shown = bench("splits", name)
    for key in SPLITS[name].Options.model_fields:
        assert f"\n  {key} " in shown
    for quirk, line in SPLITS[name].quirks.items():
        assert f"{quirk} {line}" in prose(shown)


@pytest.mark.parametrize("name", suite_names())
def test_a_suite_whole(name):
    shown = bench("suites", name)
    keys = [key for key in GridConfig.model_fields if key != "name"]
    tables = {"set": "", "split_options": "\n  split_options."}
    for key in keys:
        assert f"\n  {key} " in shown or tables.get(key, "nothing else") in shown
    assert f"`bench run {name} --dry-run` names them" in prose(shown)


def test_a_suite_names_its_sources_and_what_will_run():
    text = prose(bench("suites", "fedpgp-table1"))
    assert "CuiTianyu961030/FedPGP, commit d43045b" in text
    assert "cells 120:" in text
    assert "shots 16 # UNKNOWN behind the table: scripts/plot_basetonew_base.sh:38 sweeps 8 and 16." in text
    assert "FedPGP.n_ctx 16 # federated_main.py:438, never overridden." in text


def test_a_suite_of_ones_own_needs_no_comments(tmp_path):
    suite = tmp_path / "mine.toml"
    suite.write_text('methods = ["CLIP"]\ndatasets = ["shapes"]\nbackbone = "tiny"\nseeds = [1]\n')
    assert "cells 1:" in prose(bench("suites", str(suite)))


def test_remarks_belong_to_the_key_below_them():
    head, found = remarks(
        '# Head.\n# More.\n\n# A.\na = 1\nb = 2\n[t.u]\n# C.\n# C too.\n"X.c" = [\n    1,\n]\n'
    )
    assert head == ["Head.", "More."]
    assert found == {"a": "A.", "b": "", "t.u.X.c": "C. C too."}


def test_a_model_of_open_clip_shows_its_weights():
    assert "\n  ViT-B-16:openai\n" in bench("backbones", "ViT-B-16")


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("methods", "FedPGB", "unknown method 'FedPGB'; did you mean FedPGP"),
        ("datasets", "caltech", "unknown dataset 'caltech'; did you mean caltech101"),
        ("splits", "base-to-nowhere", "unknown split 'base-to-nowhere'; did you mean base-to-novel"),
        ("backbones", "tinny", "unknown backbone 'tinny'; did you mean tiny"),
        ("suites", "quickstrat", "unknown suite 'quickstrat'; did you mean quickstart"),
        ("quirks", "momentum-leek", "unknown quirk 'momentum-leek'; did you mean momentum-leak"),
        ("executors", "locale", "unknown executor 'locale'; did you mean local"),
        ("kinds", "x", "unknown kind of list 'kinds'"),
    ],
)
def test_unknown_names_get_the_nearest(kind, name, message):
    with pytest.raises(FedbenchError, match=message):
        CliRunner().invoke(list_, [kind, name], catch_exceptions=False)


# -- citations -----------------------------------------------------------------------------------------------


def test_cite_prints_the_entries_of_all_or_of_those_named():
    assert bench("methods", "--cite").count("\n@") + 1 == len(list(METHODS))
    assert bench("methods", "CoOp", "Prox", "--cite").startswith("@article{zhou2022learning,\n")
    assert bench("datasets", "--cite").count("krizhevsky2009learning") == 1
    for arguments in (["--cite"], ["splits", "--cite"]):
        with pytest.raises(FedbenchError, match="--cite is for methods and datasets"):
            CliRunner().invoke(list_, arguments, catch_exceptions=False)


# -- settings in words ---------------------------------------------------------------------------------------


class Example(BaseModel):
    count: PositiveInt = 3
    share: float = Field(0.8, gt=0, le=1, description="of all")
    kind: Literal["one", "two"] = "one"
    many: tuple[str, ...] = ()
    depth: PositiveInt | None = None
    limit: PositiveFloat | None = 2.5
    below: Annotated[int, Field(lt=5)] = 1
    on: bool = True
    needed: Any


@pytest.mark.parametrize(
    ("name", "words"),
    {
        "count": "default 3, above 0",
        "share": "default 0.8, above 0, at most 1: of all",
        "kind": "default one, one of one, two",
        "many": "default none",
        "depth": "default none, above 0",
        "limit": "default 2.5, above 0, or none",
        "below": "default 1, below 5",
        "on": "default true",
        "needed": "required",
    }.items(),
)
def test_a_setting_in_words(name, words):
    assert described(Example.model_fields[name]) == words
