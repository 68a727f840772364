"""Where real images and recorded numbers are that are too large for the repository."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("FEDBENCH_SHARED") or Path(__file__).parents[3] / "shared")
"""`FEDBENCH_SHARED`, or `shared` beside the checkout. Data sets are in its folder `data`. It may be missing."""
