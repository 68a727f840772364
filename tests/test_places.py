"""Errors name the file and line of whoever wrote the method, not of what it called."""

import importlib.util
import textwrap

import pytest

from fedbench.config import RunConfig
from fedbench.executors.cell import summary
from fedbench.places import defined, innermost
from fedbench.registry import DATASETS, load_plugin

BASE = """
from functools import cached_property
import torch

class Base:
    def run(self):
        return self.step()

    @torch.no_grad()
    def step(self):
        return {}["delat"]
"""
MINE = """
from base_of_mine import Base

class Mine(Base):
    def step(self):
        return super().step()

    @property
    def leaked(self):
        return ()

class Quiet(Base):
    quirks = {}
"""


@pytest.fixture
def classes(tmp_path, monkeypatch):
    (tmp_path / "base_of_mine.py").write_text(BASE)
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location("mine", tmp_path / "mine.py")
    module = importlib.util.module_from_spec(spec)  # as plug-ins are: not in sys.modules
    spec.loader.exec_module(module)
    return module.Mine, module.Quiet


@pytest.mark.parametrize(("which", "place"), [(0, "mine.py:6"), (1, "base_of_mine.py:11")])
def test_the_innermost_frame_in_the_class_file_is_named(classes, which, place):
    cls = classes[which]
    with pytest.raises(KeyError) as caught:
        cls().run()
    assert innermost(caught.value, cls) == place
    assert innermost(caught.value, str) == ""


def test_definitions_are_found_through_properties_decorators_and_bases(classes):
    mine, quiet = classes
    assert defined(mine, "step") == "mine.py:5"
    assert defined(mine, "leaked") == "mine.py:8"
    assert defined(quiet, "step").startswith("base_of_mine.py:")
    assert defined(mine, "nothing") == "mine.py"
    assert defined(str, "nothing") == ""


def test_a_cell_says_where_in_a_plug_ins_data_set_it_failed(tmp_path, plugins):
    plugin = tmp_path / "my_data.py"
    plugin.write_text(
        textwrap.dedent(
            """
            from fedbench.datasets.shapes import Shapes
            from fedbench.registry import DATASETS

            @DATASETS.register("broken-shapes")
            class Broken(Shapes):
                def open(self, item):
                    return {}[item]
            """
        )
    )
    load_plugin(plugin)
    dataset = DATASETS["broken-shapes"](tmp_path)
    with pytest.raises(KeyError) as caught:
        dataset.open("x")
    config = RunConfig(method="CLIP", dataset="broken-shapes", backbone="ViT-B-16:random")
    assert summary(caught.value, config, file="error.txt") == "KeyError: 'x' (my_data.py:8; see error.txt)"
