"""Files that appear whole or not at all, and seals that show whether a file still holds what was written.

A seal is a sha256 of the content, kept in the file. A reader reads the bytes once, checks them, and parses the same
bytes.
"""

import glob
import hashlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path

OLD = 86_400.0  # seconds after which a temporary file is one that a killed process left


class Damaged(ValueError):
    """Raised where a file does not hold what was written; the message says why."""


def write_atomic(path, data) -> None:
    """Write bytes to a path so that no reader ever finds a part of them.

    They go to a temporary file beside it, which is synced and renamed. An exception leaves nothing behind; what a
    killed process left there is removed after a day.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, f".{glob.escape(path.name)}.*.part")
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(partial, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sweep(folder, pattern) -> None:
    """Remove the files and folders that match a pattern and that nobody has changed for `OLD` seconds."""
    for left in Path(folder).glob(pattern):
        try:
            if time.time() - left.lstat().st_mtime > OLD:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        except OSError:  # another process removes it, or it is not ours
            continue


def remove(path) -> None:
    """Remove a file or folder. It is renamed first, so that several processes may remove it at once."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True) if aside.is_dir() else aside.unlink(missing_ok=True)


def contents(path) -> bytes:
    """Return the bytes of a file. Raises Damaged where a folder, or something else that is no file, has its name."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(type(error).__name__) from error


def sealed(content, indent=1) -> bytes:
    """Return a dict as JSON bytes, with a digest of itself under "seal"."""
    kept = content | {"seal": digest(content)}
    return json.dumps(kept, indent=indent, sort_keys=True, allow_nan=False).encode() + b"\n"


def unsealed(data, **expected) -> dict:
    """Return the dict that was given to `sealed`. Raises Damaged where the bytes are anything else, or where a field
    differs from `expected`."""
    try:
        content = json.loads(data)
        if content.pop("seal") != digest(content):
            raise ValueError("its seal does not fit")
        belongs(content, expected)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    return content


def belongs(content, expected) -> None:
    """Raise Damaged where a field of a dict differs from `expected`: then the file belongs to something else."""
    for name, value in expected.items():
        if content.get(name) != value:
            raise Damaged(f"its {name} is {content.get(name)!r}, must be {value!r}")


def digest(content) -> str:
    """The sha256, in hexadecimal, of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
