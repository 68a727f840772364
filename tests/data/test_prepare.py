"""`prepare`: torchvision's downloads from a server of our own, interrupted, damaged and absent."""

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torchvision

from fedbench.data.prepare import prepare
from fedbench.datasets.cifar10 import CIFAR10
from fedbench.datasets.dtd import DTD
from fedbench.errors import FedbenchError
from tests.helpers.trees import image, plant


class Server:
    """Serves `content` at any path; `stop_after` bytes of an answer, if set."""

    def __init__(self, content: bytes):
        self.content, self.stop_after, self.ranges = content, 0, True
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def do_GET(self) -> None:
                wanted = self.headers.get("Range", "") if outer.ranges else ""
                outer.asked.append(self.headers.get("Range", "all"))
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                if start >= len(outer.content):
                    self.send_error(416)
                    return
                body = outer.content[start:]
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: outer.stop_after or None])

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


def packed(folder: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    return stream.getvalue()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """torchvision's DTD and CIFAR-10, small and on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    source = tmp_path / "source"
    for name in ("banded", "zigzagged"):
        for index in range(4):
            image(source / f"dtd/images/{name}/{index}.jpg")
    (source / "dtd/labels").mkdir()
    for part in ("train", "val", "test"):
        (source / f"dtd/labels/{part}1.txt").write_text("banded/0.jpg\n")
    served = Server(packed(source / "dtd"))
    monkeypatch.setattr(DTD, "size", 8)
    monkeypatch.setattr(torchvision.datasets.DTD, "_URL", f"{served.url}/dtd.tar.gz")
    monkeypatch.setattr(torchvision.datasets.DTD, "_MD5", hashlib.md5(served.content).hexdigest())
    yield served
    served.http.shutdown()
    served.http.server_close()


def test_downloads_unpacks_and_keeps(server: Server, tmp_path: Path) -> None:
    root = tmp_path / "data"
    dataset = prepare("dtd", root)
    assert (dataset.source, dataset.missing, sum(map(len, dataset.parts.values()))) == ("own", 0, 8)
    asked = len(server.asked)
    assert asked
    prepare("dtd", root)
    assert len(server.asked) == asked  # nothing to do


def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.stop_after = 500
    with pytest.raises(
        FedbenchError, match=r"dtd was not downloaded, .*; run the same command again to go on, or"
    ):
        prepare("dtd", tmp_path / "data")
    server.stop_after = 0
    assert prepare("dtd", tmp_path / "data").missing == 0
    assert server.asked[-1].startswith("bytes=")
    assert server.asked[-1] != "bytes=0-"


def test_a_server_without_ranges_is_asked_for_all_of_it(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    partial = tmp_path / "data/dtd/dtd.tar.gz.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.content[:300])
    assert prepare("dtd", tmp_path / "data").missing == 0


def test_a_complete_part_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    partial = tmp_path / "data/dtd/dtd.tar.gz.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.content)
    assert prepare("dtd", tmp_path / "data").missing == 0


def test_a_wrong_checksum_is_an_error_and_the_next_attempt_starts_anew(
    server: Server, tmp_path: Path
) -> None:
    whole, server.content = server.content, server.content[:-1] + b"x"
    with pytest.raises(
        FedbenchError, match=r"dtd: the download is damaged \(.*\); run the same command again, or"
    ):
        prepare("dtd", tmp_path / "data")
    server.content = whole
    assert prepare("dtd", tmp_path / "data").missing == 0


def test_no_network_is_one_line_that_says_what_to_do(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision.datasets.DTD, "_URL", "http://127.0.0.1:9/dtd.tar.gz")
    with pytest.raises(FedbenchError) as refused:
        prepare("dtd", tmp_path / "data")
    message = str(refused.value)
    assert message.startswith("dtd was not downloaded, no connection: ")
    assert f"the images go to {tmp_path}/data/dtd/images, and split_zhou_DescribableTextures.json" in message
    assert "\n" not in message


def test_cifar_is_downloaded_without_torchvisions_unpickling(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("cifar10", "cifar-10-batches-py", tmp_path / "cifar")
    server.content = packed(tmp_path / "cifar/cifar-10-batches-py")
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{server.url}/cifar-10-python.tar.gz")
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", hashlib.md5(server.content).hexdigest())
    monkeypatch.setattr(CIFAR10, "published", (20, 0, 4))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("unrestricted")

    monkeypatch.setattr(pickle, "load", refuse)
    assert len(prepare("cifar10", tmp_path / "data").parts["train"]) == 20


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("ucf101", "ucf101/UCF-101-midframes"),
        ("stanford_cars", "stanford_cars"),
        ("imagenet", "imagenet/images"),
        ("office_caltech10", "office_caltech_10"),
        ("domainnet", "DomainNet"),
        ("pacs", "pacs/images"),
    ],
)
def test_what_torchvision_cannot_download_is_asked_for(name: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(FedbenchError) as refused:
        prepare(name, tmp_path)
    message = str(refused.value)
    assert message.startswith(f"{name} cannot be downloaded from here; get ")
    assert "https://" in message
    assert f"the images go to {tmp_path}/{place}, and " in message
    assert message.endswith(f"lists that come with them to {tmp_path}/{place.split('/')[0]}")
    assert "\n" not in message


def test_an_incomplete_folder_is_not_downloaded_over(server: Server, tmp_path: Path) -> None:
    image(tmp_path / "data/dtd/images/banded/0.jpg")
    with pytest.raises(
        FedbenchError, match=r"dtd: 7 of 8 images are missing .*; or remove .*/dtd/images and prepare"
    ):
        prepare("dtd", tmp_path / "data")
    assert server.asked == []


def test_every_class_of_torchvision_exists() -> None:
    from fedbench.data.facts import datasets

    names = {dataset.torchvision for dataset in datasets() if dataset.torchvision}
    assert names == {
        "Caltech101", "CIFAR10", "CIFAR100", "DTD", "EuroSAT", "FGVCAircraft", "Flowers102", "Food101",
        "OxfordIIITPet", "SUN397",
    }  # fmt: skip
    assert all(hasattr(torchvision.datasets, name) for name in names)
