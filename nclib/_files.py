"""Tensors in sealed safetensors files, and class statistics as such files."""

from __future__ import annotations

import hashlib
import json

import torch

from nclib.runs.seal import Damaged, belongs, contents, write_atomic

_FORMAT = "nclib.ClassStatistics/2"


def save(path, tensors: dict[str, torch.Tensor], about: dict[str, str]) -> None:
    """Write tensors with a dict of texts about them and one seal over both."""
    write_atomic(path, pack(tensors, about))


def load(path, **expected: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """(tensors, about) of a file that `save` wrote. Damaged, without the file's name, for anything else, and where a
    text is not as expected. FileNotFoundError where there is none."""
    tensors, about = unpack(contents(path))
    check(tensors, about, **expected)
    return tensors, about


def check(tensors, about, **expected: str) -> None:
    """Damaged where the seal, which is taken out of `about`, does not fit, or a text is not as expected."""
    belongs(about, expected)
    if about.pop("seal", None) != _seal(tensors, about):
        raise Damaged("its seal does not fit")


def pack(tensors: dict[str, torch.Tensor], about: dict[str, str]) -> bytes:
    """The bytes of a file with tensors and texts."""
    import safetensors.torch

    # A copy where two tensors share memory or one is a part of another: a file holds each by itself.
    tensors = {
        name: tensors[name].detach().cpu().clone(memory_format=torch.contiguous_format) for name in sorted(tensors)
    }
    # One entry, since several come in an order of their own each time.
    text = json.dumps(about | {"seal": _seal(tensors, about)}, sort_keys=True)
    return safetensors.torch.save(tensors, {"sealed": text})


def unpack(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """(tensors, texts with "seal") of a safetensors file, whatever its seal. Damaged for what is none."""
    import safetensors
    import safetensors.torch

    try:
        tensors = safetensors.torch.load(data)  # checks that the header describes these bytes
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = dict(json.loads(header.get("__metadata__", {}).get("sealed", "{}")))
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    return tensors, about


def _seal(tensors, about) -> str:
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        found.update(f"\n{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        found.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def write(tensors: dict[str, torch.Tensor], path) -> None:
    """Class statistics under a temporary name, then renamed: an interrupted save leaves the old file."""
    save(path, tensors, {"format": _FORMAT})


def read(path, make) -> ClassStatistics:  # noqa: F821
    """make(**tensors) of a whole file of possible values; ValueError for any other."""
    try:
        tensors, about = unpack(contents(path))
        stats = make(**tensors)
        _check_values(stats, tensors)
        check(tensors, about, format=_FORMAT)
    except (TypeError, ValueError) as error:
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
