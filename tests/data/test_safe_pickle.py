"""The restricted unpickler: what published files hold is read; nothing runs, nothing else is made."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedbench.data import safe_pickle
from fedbench.errors import FedbenchError
from tests.helpers.trees import python2_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "file.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "content",
    [
        {"a": [1, 2.5, None, True], b"b": ("x", {"y": ""})},
        np.array(["bird", "wine_glass"]),
        np.array([b"bird", b"wine"]),
        np.array(["bird", "wine_glass"], dtype=object),
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.arange(3, dtype=">i4"),
    ],
    ids=repr,
)
def test_plain_content_comes_back(content: Any, protocol: int, tmp_path: Path) -> None:
    read = safe_pickle.load(written(tmp_path, pickle.dumps(content, protocol=protocol)))
    assert type(read) is type(content)
    if isinstance(content, np.ndarray):
        assert isinstance(read, np.ndarray)
        assert (read.dtype, read.shape, read.tolist()) == (content.dtype, content.shape, content.tolist())
    else:
        assert read == content


def test_pickles_of_python_2_are_read_as_the_standard_library_reads_them(tmp_path: Path) -> None:
    raw = python2_pickle(
        {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2], "name": "\xe9"}
    )
    expected = pickle.loads(raw, encoding="latin1")  # of our own bytes
    read = safe_pickle.load(written(tmp_path, raw))
    assert isinstance(read, dict)
    assert np.array_equal(read.pop("data"), expected.pop("data"))
    assert read == expected == {"labels": [1, 2], "name": "\xe9"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars_become_pythons_own(protocol: int, tmp_path: Path) -> None:
    content = [np.str_("wine glass"), np.bytes_(b"x"), np.int64(-7), np.uint8(200), np.bool_(True)]
    read = safe_pickle.load(written(tmp_path, pickle.dumps(content, protocol=protocol)))
    assert read == ["wine glass", b"x", -7, 200, True]
    assert isinstance(read, list)
    assert [type(entry) for entry in read] == [str, bytes, int, int, bool]


def test_one_array_in_two_places_is_read_twice(tmp_path: Path) -> None:
    array = np.arange(3)
    read = safe_pickle.load(written(tmp_path, pickle.dumps([array, array])))
    assert isinstance(read, list)
    assert [entry.tolist() for entry in read] == [[0, 1, 2], [0, 1, 2]]


class Runs:
    """Unpickled without restriction, it calls `function(*arguments)`."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_a_payload_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    raw = pickle.dumps(({"paths": ["a"]}, Runs(os.system, f"touch {trace}")))
    pickle.loads(raw)  # the payload works
    assert trace.exists()
    trace.unlink()
    with pytest.raises(FedbenchError, match=r"file.pkl is refused: it asks for posix.system") as refused:
        safe_pickle.load(written(tmp_path, raw))
    assert not trace.exists()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("function", "arguments", "asked"),
    [
        (eval, ("1+1",), "eval"),
        (getattr, ("", "join"), "getattr"),
        (np.load, ("x.npy",), "numpy.load"),
        (OrderedDict, (), "OrderedDict"),
        (bytearray, (b"x",), "bytearray"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_other_callables_are_refused_by_name(
    function: Any, arguments: tuple[Any, ...], asked: str, protocol: int, tmp_path: Path
) -> None:
    raw = pickle.dumps(Runs(function, *arguments), protocol=protocol)
    with pytest.raises(FedbenchError, match=rf"is refused: it asks for \S*{asked}"):
        safe_pickle.load(written(tmp_path, raw))


FORGED_DTYPE = (  # an array of objects that has bytes for content: to numpy, pointers
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01\x85"
    b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89U\x08\x41\x41\x41\x41\x41\x41\x41\x41tb."
)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (FORGED_DTYPE, "is damaged"),
        (pickle.dumps(np.zeros(2, dtype=[("a", "O"), ("b", "i4")])), "is refused: it holds an array of type"),
        (pickle.dumps(np.array([1 + 2j])), "is refused: it holds an array of type"),
        (pickle.dumps(np.datetime64("2020-01-01")), "is refused: it holds an array of type"),
        (pickle.dumps({1, 2}), "is damaged, .*it holds a set"),
        (pickle.dumps(np.array([OrderedDict()], dtype=object)), "is refused: it asks for collections"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00base64\x86R.", "is refused: .*codec"),
        (b"\x80\x02cnumpy\ndtype\n}X\x05\x00\x00\x00_callK\x01s\x86b.", "is (refused|damaged)"),
        (b"\x80\x02cnumpy\ndtype\n.", "is damaged, .*it holds a Call"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "is damaged, .*an array without content"),
        (b"\x80\x02]q\x00h\x00a.", "is damaged, .*holds itself"),
        (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "is damaged"),
        (pickle.dumps(list(range(99)))[:-20], "is damaged"),
        (b"", "is damaged"),
        (b"no pickle", "is damaged"),
    ],
)
def test_forged_and_damaged_files_are_refused_in_one_line(raw: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(FedbenchError, match=message) as refused:
        safe_pickle.load(written(tmp_path, raw))
    assert "file.pkl" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_list_of_lists_of_the_same_list_is_read_in_no_time(tmp_path: Path) -> None:
    nested: list[Any] = ["x"]
    for _ in range(60):
        nested = [nested, nested]  # 2 ** 60 entries, if written out
    read = safe_pickle.load(written(tmp_path, pickle.dumps(nested)))
    assert isinstance(read, list)
    assert read[0] is read[1]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedbenchError, match=r"none.pkl cannot be read: No such file"):
        safe_pickle.load(tmp_path / "none.pkl")
