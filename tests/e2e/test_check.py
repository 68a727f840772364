"""`bench check`: which things it checks, what it prints, and how it ends."""

import pytest

from fedbench.cli import main

METHOD = """
from fedbench.methods.promptfl import PromptFL
from fedbench.registry import METHODS

@METHODS.register("Mine")
class Mine(PromptFL):
    '''A shared context, and a loss {what}.'''

    paper = "An example."

    def losses(self, p, batch):
        return {{"ce": super().losses(p, batch)["ce"]{change}}}
"""


@pytest.fixture
def bench(plugins, tmp_path, monkeypatch, capsys):
    """`bench("check", ...)` in this process and an empty folder: exit code, lines on stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        shown = capsys.readouterr()
        return caught.value.code, shown.out.splitlines(), shown.err

    return call


@pytest.fixture
def plugin(tmp_path):
    def write(what, change=""):
        path = tmp_path / "my_method.py"
        path.write_text(METHOD.format(what=what, change=change))
        return str(path)

    return write


def test_a_plug_in_that_keeps_to_the_contract(bench, plugin):
    code, lines, err = bench("check", "--plugin", plugin("as it should be"))
    assert (code, lines, err) == (0, ["Mine: 30 checks passed"], "")


def test_a_loss_without_the_clients_axis_is_said_once_with_file_and_line(bench, plugin):
    code, lines, err = bench("check", "--plugin", plugin("of all clients", ".mean()"))
    assert code == 1
    assert lines == [
        "Mine: losses are one number a client: `losses` (my_method.py:11): the term 'ce' has shape () and must have "
        "(3,), one number a client: sum over images, not over clients"
    ]
    assert err == "error: 1 of 1 checked do not keep to their contract\n"


def test_names_choose_and_datasets_are_looked_for_in_the_data_root(bench, tmp_path):
    code, lines, _ = bench("check", "class-disjoint", "eurosat", "shapes", "--data-root", str(tmp_path / "d"))
    assert code == 0
    assert lines == [
        "class-disjoint: 13 checks passed",
        f"eurosat: 2 checks passed; the others need its images, which are not below '{tmp_path / 'd'}'",
        "shapes: 10 checks passed",
    ]


def test_what_there_is_not_is_refused(bench, tmp_path):
    (tmp_path / "empty.py").write_text("import fedbench.methods.promptfl\n")
    code, lines, err = bench("check", "--plugin", "empty.py")
    assert (code, lines) == (1, [])
    assert err == "error: empty.py registers nothing: name what is to be checked\n"
    assert "did you mean FedPGP" in bench("check", "FedPGPP")[2]
