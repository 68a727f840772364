"""EuroSAT: 10 kinds of land use in satellite images of 64 x 64 pixels."""

from fedbench.data.folders import FolderDataset
from fedbench.registry import DATASETS

NAMES = {
    "AnnualCrop": "Annual Crop Land",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "SeaLake": "Sea or Lake",
}


@DATASETS.register("eurosat")
class EuroSAT(FolderDataset):
    """Labels follow the sorted folders; eight of the ten names are CoOp's, `Forest` and `River` stay."""

    title = "EuroSAT"
    bibtex = """@article{helber2019eurosat,
        author = {Helber, Patrick and Bischke, Benjamin and Dengel, Andreas and Borth, Damian},
        title = {{EuroSAT}: A Novel Dataset and Deep Learning Benchmark for Land Use and Land Cover Classification},
        journal = {IEEE Journal of Selected Topics in Applied Earth Observations and Remote Sensing},
        year = {2019},
    }"""

    image_folders = ("eurosat/2750",)  # CoOp and torchvision
    split_file = "split_zhou_EuroSAT.json"
    size = 27_000
    n_classes = 10
    published = (13_500, 5400, 8100)
    torchvision = "EuroSAT"
    download = "EuroSAT.zip (RGB) from https://github.com/phelber/eurosat"

    def classname(self, folder: str) -> str | None:
        """CoOp's name of a folder."""
        return NAMES.get(folder, folder)
