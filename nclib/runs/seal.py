"""What is read back is what was written: files that appear whole, and one seal for what they hold and whose it is.

A seal is a sha256 of the content. Who reads a file reads its bytes once, checks these, and parses these.
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
    """What was read back is not what was written; the message says why."""


def write_atomic(path, data) -> None:
    """Write bytes to a path: a temporary name beside it, fsync, rename; an exception leaves nothing behind, and what a
    killed process left there is removed after a day."""
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
    """Remove files and folders of a pattern that nobody has written to for `OLD` seconds."""
    for left in Path(folder).glob(pattern):
        try:
            if time.time() - left.lstat().st_mtime > OLD:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        except OSError:  # another process removes it, or it is not ours
            continue


def remove(path) -> None:
    """Remove a file or folder: out of the way by one rename first, so that racing removals are no error."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True) if aside.is_dir() else aside.unlink(missing_ok=True)


def contents(path) -> bytes:
    """The bytes of a file; Damaged where there is something else under its name."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(type(error).__name__) from error


def sealed(content, indent=1) -> bytes:
    """JSON bytes of a dict with a digest of itself under "seal"."""
    kept = content | {"seal": digest(content)}
    return json.dumps(kept, indent=indent, sort_keys=True, allow_nan=False).encode() + b"\n"


def unsealed(data, **expected) -> dict:
    """The dict that `sealed` was given. Damaged where the bytes are anything else, or a field is not as expected."""
    try:
        content = json.loads(data)
        if content.pop("seal") != digest(content):
            raise ValueError("its seal does not fit")
        belongs(content, expected)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    return content


def belongs(content, expected) -> None:
    """Damaged where a field of a dict is not as expected: a file of something else under this name."""
    for name, value in expected.items():
        if content.get(name) != value:
            raise Damaged(f"its {name} is {content.get(name)!r}, must be {value!r}")


def digest(content) -> str:
    """sha256 of what JSON can hold, in hexadecimal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
