"""Large pools are never held whole: the measurement of scripts/evaluation_memory.py, on fewer images."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluation_memory.py"


@pytest.mark.slow
@pytest.mark.timeout(900)  # 75 s of CPU; a busy machine took 206 s
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_memory_does_not_grow_with_the_number_of_test_images() -> None:
    """4,000 images are 188 MiB of pixels and 63 MiB of blocks' inputs more than nothing; 500 an eighth of that."""
    command = [sys.executable, str(SCRIPT), "--counts", "500,4000", "--held", "4"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    few, many = ([int(mib) for mib in re.findall(r"(\d+) MiB", line)] for line in printed.splitlines())
    growth = [after - before for before, after in zip(few, many, strict=True)]
    assert max(growth) < 30, printed
