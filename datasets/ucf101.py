"""UCF101: 101 actions, as the middle frame of each video."""

import re

from fedbench.data.dataset import Item
from fedbench.data.folders import FolderDataset, Found
from fedbench.data.parts import cut_val
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

TEST_GROUPS = range(1, 8)
"""Split 01 of the dataset: videos of groups 1 to 7 are for testing."""


@DATASETS.register("ucf101")
class UCF101(FolderDataset):
    """A folder is an action, its words joined by `_` (`Yo_Yo`); labels follow it without `_` and case.

    The official split is by groups of videos that were shot together, which are in the files' names
    (`v_YoYo_g08_c01.jpg`): the lists in `ucfTrainTestlist/` say nothing else, so they are not needed.
    """

    title = "UCF101"
    bibtex = """@techreport{soomro2012ucf101,
        author = {Soomro, Khurram and Zamir, Amir Roshan and Shah, Mubarak},
        title = {{UCF101}: A Dataset of 101 Human Actions Classes from Videos in the Wild},
        number = {CRCV-TR-12-01},
        institution = {University of Central Florida},
        year = {2012},
    }"""

    image_folders = ("ucf101/UCF-101-midframes",)  # CoOp; torchvision has only the videos
    split_file = "split_zhou_UCF101.json"
    size = 13_320
    n_classes = 101
    published = (7639, 1898, 3783)
    download = (
        "UCF-101-midframes.zip, linked in https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md (the "
        "middle frame "
        "of each video as jpg)"
    )

    def classes(self) -> dict[str, list[str]]:
        """Image keys by class, in the order of the dataset's own list."""
        found = super().classes()
        return {name: found[name] for name in sorted(found, key=lambda name: name.replace("_", "").lower())}

    def from_folders(self) -> Found:
        """The official test groups; a fifth of the others for validation."""
        classes = self.classes()
        self.count_found(sum(map(len, classes.values())))
        trainval: list[Item] = []
        test: list[Item] = []
        for label, keys in enumerate(classes.values()):
            for key in keys:
                group = re.search(r"_g(\d\d)_c\d+\.", key)
                if group is None:
                    raise FedbenchError(f"ucf101: '{key}' has no group in its name (v_Action_g01_c01.jpg)")
                (test if int(group[1]) in TEST_GROUPS else trainval).append(Item(key, label))
        train, val = cut_val(self.name, trainval)
        return "official", tuple(classes), {"train": train, "val": val, "test": tuple(test)}
