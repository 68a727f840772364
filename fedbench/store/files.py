"""Files that are never half there: written beside their place, then moved. Every file of a store is written here."""

import contextlib
import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def replace(path: Path, content: bytes, *, durable: bool) -> None:
    """Replace the file atomically: a reader, or a crash of the process, sees the old content or the new.

    Args:
        durable: the content is on the disk when this returns, so that a power cut sees one of the two as well.
            It costs a few milliseconds; what can be made again does without.

    Raises:
        OSError: disk full, no permission, no folder. It names the file; the old content is untouched and nothing
            is left beside it.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.chmod(name, shared_mode())  # mkstemp makes files private; a store is often shared
            os.replace(name, path)
        except BaseException:  # Ctrl-C too: leave no litter
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        if durable:
            _sync_folder(path.parent)
    except OSError as error:  # which names nothing (a full disk shows in `write`), or the temporary file
        error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """`replace` with text, durably."""
    replace(path, text.encode(), durable=True)


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """`replace` with JSON, durably. `indent=None` is for what only programs read: one line, keys in their order.

    Raises:
        OSError: as `replace`.
        ValueError: a number is not finite, which JSON cannot say.
    """
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The file's JSON object; None if the file is not there or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def remove(path: Path) -> None:
    """Delete the file if it is there, durably: what comes after does not reach the disk before."""
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def remove_litter(folder: Path) -> None:
    """Delete what killed writers left in the folder."""
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


def shared_mode() -> int:
    """The mode that an ordinarily made file has."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
