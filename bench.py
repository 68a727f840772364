"""`python bench.py run quickstart`: the command line of fedbench, from a checkout."""

import os
import sys

# This folder holds `datasets/`, which Hugging Face libraries would take for their own package of that name.
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != _HERE]

try:
    from fedbench.cli import main
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make setup`, use .venv/bin/python"
    )

if __name__ == "__main__":
    main()
