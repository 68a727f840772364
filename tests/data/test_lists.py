"""Lists that come with datasets: what is read, and what is refused with the file's name."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from fedbench.data.lists import read_columns, read_lines, read_matlab
from fedbench.errors import FedbenchError


def test_lines_are_stripped_and_empty_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeff  a b \r\n\n \u00e9\n".encode())  # with a byte order mark
    assert read_lines(tmp_path / "list.txt") == ["a b", "\u00e9"]


def test_the_last_column_takes_the_rest(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("0001 Cessna 172\n0002  F/A-18\n")
    assert read_columns(tmp_path / "list.txt", 2) == [["0001", "Cessna 172"], ["0002", "F/A-18"]]
    with pytest.raises(FedbenchError, match=r"list.txt, line 2: '0002  F/A-18' has fewer than 3 columns"):
        read_columns(tmp_path / "list.txt", 3)


def test_unreadable_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(FedbenchError, match=r"list.txt is damaged, it is no text"):
        read_lines(tmp_path / "list.txt")
    with pytest.raises(FedbenchError, match=r"none.txt cannot be read: No such file"):
        read_lines(tmp_path / "none.txt")


def test_a_matlab_variable_is_flat(tmp_path: Path) -> None:
    savemat(tmp_path / "list.mat", {"labels": np.array([[3, 1, 2]]), "one": np.array([[7]])})
    assert read_matlab(tmp_path / "list.mat", "labels").tolist() == [3, 1, 2]
    assert read_matlab(tmp_path / "list.mat", "one").tolist() == [7]


@pytest.mark.parametrize("cut", [0, 10, 130, 160])
def test_a_damaged_matlab_file_is_named(cut: int, tmp_path: Path) -> None:
    savemat(tmp_path / "list.mat", {"labels": np.arange(50)})
    (tmp_path / "list.mat").write_bytes((tmp_path / "list.mat").read_bytes()[:cut])
    with pytest.raises(FedbenchError, match=r"list.mat (is damaged, it is no Matlab file|has no variable)"):
        read_matlab(tmp_path / "list.mat", "labels")


def test_a_missing_matlab_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedbenchError, match=r"none.mat is missing"):
        read_matlab(tmp_path / "none.mat", "labels")
