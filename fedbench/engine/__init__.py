"""The engine: one cell, from batches to the record."""

from fedbench.engine.cell import Skipped, run_cell
from fedbench.engine.federation import Federation

__all__ = ["Federation", "Skipped", "run_cell"]
