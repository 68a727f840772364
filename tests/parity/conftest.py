"""`bench parity` as a user types it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fedbench.cli import main


@dataclass(frozen=True)
class Result:
    """What the command left behind."""

    code: int
    out: str
    err: str

    def line(self, start: str) -> str:
        """The one line of the output that starts so."""
        (found,) = [line for line in self.out.splitlines() if line.startswith(start)]
        return found


@pytest.fixture
def bench_parity(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """`bench_parity(folder, "--json")`, in this process."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(["parity", *map(str, arguments)])
        shown = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Result(caught.value.code, shown.out, shown.err)

    return call
