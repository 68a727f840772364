"""`bench data list | verify | prepare | cite`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fedbench.commands.data import data
from fedbench.data.verify import verify
from fedbench.datasets.dtd import DTD
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS
from tests.helpers.trees import domain_folders, plant, zhou


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


@pytest.fixture
def dtd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with a small DTD that is whole."""
    monkeypatch.setattr(DTD, "size", 8)
    monkeypatch.setattr(DTD, "n_classes", 2)
    return plant("dtd", "dtd/images", tmp_path)


def test_list_shows_every_dataset_and_what_is_on_disk(dtd: Path) -> None:
    result = bench("list", "--data-root", dtd)
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split() for line in result.output.splitlines() if line.strip()}
    assert rows["dtd"][1:] == ["2820", "/", "1128", "/", "1692", "2", "complete"]
    assert rows["shapes"][-1] == "built-in"
    assert rows["pacs"][1:] == ["7", "absent"]
    assert rows["folder:PATH"][1:] == ["any"]


def test_list_counts_what_is_missing_and_says_when_nothing_can_be_used(dtd: Path) -> None:
    (dtd / "dtd/images/banded/image_0001.jpg").unlink()
    (dtd / "eurosat/2750").mkdir(parents=True)
    rows = [("banded/image_0000.jpg", 0, "banded"), ("banded/image_0001.jpg", 0, "banded")]
    split = {"train": rows, "val": [], "test": [("zigzagged/image_0000.jpg", 1, "zigzagged")]}
    zhou(dtd / "dtd/split_zhou_DescribableTextures.json", split)
    lines = bench("list", "--data-root", dtd).output.splitlines()
    assert next(line for line in lines if line.startswith(" dtd ")).rstrip().endswith("1 of 3 missing")
    assert next(line for line in lines if line.startswith(" eurosat ")).rstrip().endswith("unusable")
    assert "unusable: eurosat: none of" in " ".join(
        bench("list", "eurosat", "--data-root", dtd).output.split()
    )


def test_the_list_fits_a_narrow_terminal(dtd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedbench.commands.show.PIPE_WIDTH", 80)
    lines = bench("list", "--data-root", dtd).output.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["office_caltech10"] for line in lines)


def test_list_of_a_name_shows_its_layouts_where_to_get_it_and_what_to_cite(dtd: Path) -> None:
    shown = " ".join(bench("list", "dtd", "pacs", "--data-root", dtd).output.split())
    assert "folders dtd/images, dtd/dtd/images" in shown
    assert "on disk dtd/images state complete" in shown
    assert "@inproceedings{cimpoi2014describing," in shown
    assert "domains art_painting, cartoon, photo, sketch" in shown
    assert "PACS.zip, linked in https://domaingeneralization.github.io state absent" in shown


def test_cite_prints_each_entry_once_and_says_where_there_is_none() -> None:
    printed = bench("cite", "cifar10", "cifar100", "folder").output
    assert printed.count("@techreport{krizhevsky2009learning,") == 1
    assert "% folder: nothing to cite" in printed
    assert bench("cite").output.count("@") == len(list(DATASETS)) - 2  # one report of two; the user's folder
    assert str(bench("cite", "dtt").exception) == "unknown dataset 'dtt'; did you mean dtd?"


def test_verify_says_good(dtd: Path) -> None:
    result = bench("verify", "dtd", "--data-root", dtd)
    assert (result.exit_code, result.exception) == (0, None)
    row = next(line.split() for line in result.output.splitlines() if line.startswith(" dtd"))
    assert row[1:3] + row[4:] == ["good", "own", "2", "4", "2", "2", "0", "0"]
    assert row[3] == verify("dtd", dtd).digest
    assert "dtd: the split is fedbench's own, so numbers are not comparable" in result.output


def test_verify_names_missing_and_unreadable_images_and_fails(dtd: Path) -> None:
    (dtd / "dtd/images/banded/image_0001.jpg").unlink()
    (dtd / "dtd/images/banded/image_0000.jpg").write_bytes(b"no image")
    items = {f"{name}/image_000{n}.jpg" for name in ("banded", "zigzagged") for n in range(4)}
    rows = [(key, int(key[0] == "z"), key.split("/")[0]) for key in sorted(items)]
    zhou(
        dtd / "dtd/split_zhou_DescribableTextures.json",
        {"train": rows[:3] + rows[4:5], "val": rows[5:6], "test": rows[3:4] + rows[6:]},
    )
    result = bench("verify", "--data-root", dtd)
    assert result.exit_code == 1
    assert isinstance(result.exception, FedbenchError)
    assert (
        str(result.exception) == "1 of 2 datasets are not as they should be: dtd"
    )  # the other one is shapes
    assert "dtd: 1 images are missing (banded/image_0001.jpg)" in result.output
    assert "dtd: 1 images are unreadable (banded/image_0000.jpg)" in result.output
    row = next(line.split() for line in result.output.splitlines() if line.startswith(" dtd"))
    assert row[1:3] + row[4:] == ["wrong", "CoOp's", "2", "2", "1", "3", "1", "1"]
    assert f"not in {dtd}: caltech101, cifar10," in result.output


def test_verify_compares_with_the_published_counts(dtd: Path) -> None:
    names = ("banded", "zigzagged")
    rows = [(f"{name}/image_000{n}.jpg", names.index(name), name) for name in names for n in range(4)]
    zhou(dtd / "dtd/split_zhou_DescribableTextures.json", {"train": rows[:6], "val": [], "test": rows[6:]})
    finding = verify("dtd", dtd)
    assert finding.faults == ("counts differ from the published 2820 / 1128 / 1692",)
    assert finding.verdict == "wrong"


def test_verify_only_remarks_on_counts_that_are_hearsay(tmp_path: Path) -> None:
    plant("office_caltech10", "office_caltech_10", tmp_path)
    finding = verify("office_caltech10", tmp_path)
    assert (finding.verdict, finding.faults) == ("good", ())
    assert finding.remarks == (
        "counts differ from the published 2025 / 0 / 508",
        "train / test by domain: amazon 40 / 10, caltech 40 / 10, dslr 40 / 10, webcam 40 / 10",
    )


def test_verify_goes_on_after_a_dataset_that_cannot_be_used(dtd: Path) -> None:
    (dtd / "eurosat/2750").mkdir(parents=True)
    result = bench("verify", "eurosat", "dtd", "--data-root", dtd)
    assert result.exit_code == 1
    assert "eurosat: none of 27000 images is in" in result.output
    assert "good" in result.output


def test_verify_of_a_name_that_is_not_on_disk_fails(tmp_path: Path) -> None:
    result = bench("verify", "pacs", "--data-root", tmp_path)
    assert result.exit_code == 1
    assert "pacs: no images: looked for pacs/images or pacs or" in result.output


def test_verify_of_an_unknown_name_says_so(tmp_path: Path) -> None:
    assert (
        str(bench("verify", "dtt", "--data-root", tmp_path).exception)
        == "unknown dataset 'dtt'; did you mean dtd?"
    )


def test_verify_takes_a_folder(tmp_path: Path) -> None:
    domain_folders(tmp_path / "birds", ("day", "night"), ("owl", "hen"))
    result = bench("verify", f"folder:{tmp_path / 'birds'}")
    assert result.exit_code == 0
    assert "train / test by domain: day 8 / 2, night 8 / 2" in result.output


def test_verify_shows_brackets_in_a_folders_name(tmp_path: Path) -> None:
    domain_folders(tmp_path / "a[b]", ("day", "night"), ("owl", "hen"))
    result = bench("verify", "folder:a[b]", "--data-root", tmp_path)
    assert next(line for line in result.output.splitlines() if "good" in line).split()[0] == "folder:a[b]"


def test_verify_of_a_root_that_is_not_there_fails(tmp_path: Path) -> None:
    error = str(bench("verify", "--data-root", tmp_path / "nowhere").exception)
    assert error == (
        f"there is no folder '{tmp_path}/nowhere'; name the folder of the datasets with --data-root"
    )


def test_verify_of_the_real_images(shared: Path) -> None:
    result = bench("verify", "--data-root", shared / "data")
    assert str(result.exception).startswith("7 of 8 datasets are not as they should be: ")
    rows = {
        line.split()[0]: line.split()
        for line in result.output.splitlines()
        if line.startswith(" ") and line.strip()
    }
    assert rows["caltech101"][1:] == [
        "incomplete", "CoOp's", "14b0f8701c986140", "100", "500", "188", "312", "7242", "0",
    ]  # fmt: skip
    assert rows["shapes"][1] == "good"
    assert "not in " in result.output


def test_prepare_says_what_it_did_and_where_the_published_split_goes(dtd: Path) -> None:
    result = bench("prepare", "dtd", "--data-root", dtd)
    assert result.exit_code == 0
    assert result.output.startswith("dtd is complete: 4 / 2 / 2 images in train / val / test, split: own\n")
    assert "put split_zhou_DescribableTextures.json (from https://" in result.output
