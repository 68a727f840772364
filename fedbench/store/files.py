"""Files that are never half there: written beside their place, flushed to the disk, then moved."""

import contextlib
import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_text(path: Path, text: str) -> None:
    """Replace the file atomically: a reader, or a crash at any moment, sees the old content or the new.

    Raises:
        OSError: disk full, no permission; the old file is then untouched and nothing is left beside it.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files private; a store is often shared
        os.replace(name, path)
    except BaseException as error:  # Ctrl-C too: leave no litter
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk shows in `write`, which knows no name
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """`write_text` for JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The file's JSON object; None if the file is not there or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def remove_litter(folder: Path) -> None:
    """Delete what killed writers of `write_text` left in the folder."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk (or quota) is behind the error, however libraries have wrapped it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return True
        if "No space left on device" in str(error):  # safetensors and others report it in words only
            return True
        error = error.__cause__ or error.__context__
    return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
