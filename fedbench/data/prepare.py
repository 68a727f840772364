"""Downloading datasets, through torchvision where it can."""

import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedbench.data.dataset import Dataset
from fedbench.data.folders import FolderDataset
from fedbench.errors import FedbenchError
from fedbench.registry import DATASETS

CHUNK = 1 << 20
LIST_OF_SPLITS = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"


def prepare(name: str, root: Path) -> Dataset:
    """The dataset, downloaded if its images are not there.

    Raises:
        FedbenchError: unknown name; torchvision cannot download it (says what to fetch, and where to put
            it); no network; a damaged download; images that are there and are not complete.
    """
    cls: type[Dataset] = DATASETS[name]
    if not cls.image_folders or any((root / folder).is_dir() for folder in cls.image_folders):
        return _checked(cls, root)
    if not cls.torchvision:
        raise FedbenchError(f"{name} cannot be downloaded from here; {by_hand(cls, root)}")
    root.mkdir(parents=True, exist_ok=True)
    try:
        with _resuming():
            _download(cls.torchvision, root)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        http = isinstance(error, urllib.error.HTTPError)
        reason = f"the server says: {error}" if http else f"no connection: {getattr(error, 'reason', error)}"
        raise FedbenchError(
            f"{name} was not downloaded, {reason}; run the same command again to go on, or "
            f"do it by "
            f"hand: {by_hand(cls, root)}"
        ) from error
    except (RuntimeError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise FedbenchError(
            f"{name}: the download is damaged ({error}); run the same command again, or do it by hand: "
            f"{by_hand(cls, root)}"
        ) from error
    return _checked(cls, root)


def by_hand(cls: type[Dataset], root: Path) -> str:
    """What to fetch and where to put it."""
    place = root / cls.image_folders[0]
    wanted = f"get {cls.download}; the images go to {place}"
    if not issubclass(cls, FolderDataset):
        return wanted
    split = f"{cls.split_file} (from {LIST_OF_SPLITS}) and " if cls.split_file else ""
    return f"{wanted}, and {split}lists that come with them to {root / Path(cls.image_folders[0]).parts[0]}"


def _checked(cls: type[Dataset], root: Path) -> Dataset:
    """The dataset, if it is whole."""
    try:
        return cls(root)
    except FedbenchError as error:
        there = [root / folder for folder in cls.image_folders if (root / folder).is_dir()]
        if not cls.torchvision or not there:
            raise
        raise FedbenchError(
            f"{error}; or remove {there[0]} and prepare it again (an archive that is there is kept)"
        ) from error


def _download(name: str, root: Path) -> None:
    """Let torchvision download and unpack; it keeps an archive whose checksum is right."""
    from torchvision import datasets
    from torchvision.datasets.utils import download_and_extract_archive

    source: Any = getattr(datasets, name)
    if hasattr(source, "tgz_md5"):
        # CIFAR: constructing torchvision's class would unpickle the files without restriction
        download_and_extract_archive(source.url, str(root), filename=source.filename, md5=source.tgz_md5)
    else:
        source(str(root), download=True)


@contextmanager
def _resuming() -> Iterator[None]:
    """Let torchvision's downloads go on where they stopped; without this it starts a file of gigabytes anew.

    It replaces the one function of torchvision that reads from the network, while the block runs. A
    torchvision without that function downloads in its own way.
    """
    from torchvision.datasets import utils

    original = getattr(utils, "_urlretrieve", None)
    if original is None:
        yield
        return
    utils._urlretrieve = _retrieve
    try:
        yield
    finally:
        utils._urlretrieve = original


def _retrieve(url: str, filename: str | Path, chunk_size: int = CHUNK) -> None:
    """Download a file by way of `<filename>.part`, from the byte where an earlier attempt stopped."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    target, partial = Path(filename), Path(f"{filename}.part")
    start = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "fedbench"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the part is the whole file already, or of another one: the checksum will tell
            raise
        error.close()
        partial.replace(target)
        return
    with response:
        if response.status != 206:
            start = 0  # the server sends all of it
        total = (
            start + int(response.headers["Content-Length"]) if response.headers["Content-Length"] else None
        )
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with partial.open("ab" if start else "wb") as file, Progress(*columns) as bar:
            task = bar.add_task(target.name, total=total, completed=start)
            while chunk := response.read(chunk_size):
                file.write(chunk)
                bar.update(task, advance=len(chunk))
    if total is not None and partial.stat().st_size < total:
        raise ConnectionError(f"{target.name} stopped at {partial.stat().st_size} of {total} bytes")
    partial.replace(target)
