"""Class statistics as safetensors files."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import torch

_FORMAT = "nclib.ClassStatistics/1"


def write(tensors: dict[str, torch.Tensor], path) -> None:
    """Under a temporary name beside `path`, fsync, then rename: an interrupted save leaves the old file."""
    import safetensors.torch

    path = Path(path)
    tensors = {name: field.cpu().clone(memory_format=torch.contiguous_format) for name, field in tensors.items()}
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(partial, "xb") as file:
            file.write(safetensors.torch.save(tensors, metadata={"format": _FORMAT}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read(path, make):
    """make(**tensors) of a whole file of possible values; ValueError for any other."""
    import safetensors
    import safetensors.torch

    try:
        tensors = safetensors.torch.load(Path(path).read_bytes())
        stats = make(**tensors)
        _check_values(stats, tensors)
    except (safetensors.SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"path={str(path)!r} is not a whole file written by ClassStatistics.save: {error}") from None
    return stats


def _check_values(stats, tensors):
    for name, field in tensors.items():
        if not field.isfinite().all():
            raise ValueError(f"{name} holds NaN or inf, must be finite")
    if (stats.counts < 0).any() or (stats.spread < 0).any():
        raise ValueError("counts and spread hold a negative number, must be at least 0")
    if stats.means[~stats.present].any() or stats.spread[~stats.present].any():
        raise ValueError("means or spread of a class with count 0 are not 0")
