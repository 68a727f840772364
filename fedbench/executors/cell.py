"""Running one cell under its lock, whatever happens inside it."""

import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from fedbench.code import code_of
from fedbench.config import RunConfig, Runtime
from fedbench.errors import FedbenchError
from fedbench.executors.base import Outcome
from fedbench.places import innermost
from fedbench.progress import Progress
from fedbench.registry import BACKBONES, DATASETS, METHODS, SPLITS
from fedbench.store.cells import FINAL, CellFolder
from fedbench.store.files import is_disk_full


def run(config: RunConfig, runtime: Runtime, *, path: Path, progress: Progress) -> Outcome:
    """Run the cell in `path`, or continue it from its checkpoint, and write what became of it.

    An error is the cell's own and is written down; only Ctrl-C and a full disk end more than the cell.

    Raises:
        FedbenchError: the disk is full. The cell stays as it was at its last checkpoint.
    """
    from fedbench.engine import Skipped, run_cell  # here, because it imports torch

    folder = CellFolder(path)
    with folder.lock() as mine:
        if not mine:
            return Outcome(config.cell, "busy")
        status = folder.status
        if status.state in FINAL:  # another `bench run` was faster
            return Outcome(config.cell, status.state, status.reason, ran=False)
        begin = time.monotonic()
        state, reason = "done", ""
        try:
            folder.start(code_of(config))
            folder.finish(run_cell(config, runtime, folder=path, progress=progress))
        except Exception as error:
            if is_disk_full(error):
                raise FedbenchError(
                    f"no space left on the disk of {path.parent.parent} (or the cache), nothing is lost: "
                    "free some space and run the same command again"
                ) from error
            reason = summary(error, config, file="error.txt")
            if isinstance(error, Skipped):
                state = "skipped"
                folder.mark(state, reason)
            else:
                state = "failed"
                folder.fail(reason, traceback.format_exc())
        return Outcome(config.cell, state, reason, time.monotonic() - begin)


def summary(error: Exception, config: RunConfig, *, file: str = "") -> str:
    """The error in one line; one that nobody meant to raise with its place in the method's or data's own file.

    Args:
        file: where its traceback is to be found.
    """
    text = " ".join(str(error).split())
    if isinstance(error, FedbenchError):
        return text
    what = f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
    place = innermost(error, *_parts(config))
    more = "; ".join([*([place] if place else []), *([f"see {file}"] if file else [])])
    return f"{what} ({more})" if more else what


def _parts(config: RunConfig) -> Iterator[type]:
    """The classes that a cell is made of."""
    if config.method in METHODS:
        yield METHODS[config.method]
    if config.split in SPLITS:
        yield SPLITS[config.split]
    if config.dataset in DATASETS:
        yield DATASETS[config.dataset]
    if config.backbone in BACKBONES:
        yield BACKBONES[config.backbone]
