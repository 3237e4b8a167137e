"""Features, labels and classifiers from .npz, .npy and .safetensors files, in blocks of rows.

Features are a floating array (..., d) under the key features, H or X; labels an integer array (...) under labels or y;
labels may be words, or ids beyond int64, numbered in the order of numpy.unique. A classifier is weight (K, d), or W,
and bias (K,), or b, which may be missing. A .npy file holds one array. Nothing is unpickled. Only labels and
classifiers are read whole; blocks of features come from a memory map (.npy), from the stream of the archive (.npz,
compressed or not) or from a slice of the file (.safetensors).
"""

from __future__ import annotations

import zipfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nclib._device import check_room

FEATURES, LABELS, WEIGHT, BIAS = ("features", "H", "X"), ("labels", "y"), ("weight", "W"), ("bias", "b")
SUFFIXES = (".npz", ".npy", ".safetensors")
_SAMPLES = 4096  # in a block: eight blocks of the accumulator
_STATISTICS = {"counts", "means", "spread"}


class _Npy:
    """A .npy file."""

    def __init__(self, path):
        self.array = np.load(path, mmap_mode="r", allow_pickle=False)
        self.shape, self.dtype = self.array.shape, self.array.dtype

    def rows(self, start, stop) -> Tensor:
        return _tensor(self.array[start:stop])

    def words(self) -> np.ndarray:
        return np.asarray(self.array)


class _Npz:
    """One array of a .npz file, read forward as a stream: going back starts the archive's member again."""

    def __init__(self, path, key):
        self.files = ExitStack()
        archive = self.files.enter_context(zipfile.ZipFile(path))
        self.stream = self.files.enter_context(archive.open(f"{key}.npy"))
        version = np.lib.format.read_magic(self.stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        self.shape, columns_first, self.dtype = read_header(self.stream)
        self.start = self.stream.tell()
        if self.dtype.hasobject:
            raise ValueError("holds python objects")
        self.array = None
        if columns_first:
            check_room(f"{path}: {key} {self.shape}", prod(self.shape) * self.dtype.itemsize)
            data = np.frombuffer(self._bytes(0, prod(self.shape)), self.dtype)
            self.array = data.reshape(self.shape[::-1]).T

    def __del__(self):
        self.files.close()

    def _bytes(self, start, stop):
        self.stream.seek(self.start + start * self.dtype.itemsize)
        data = self.stream.read((stop - start) * self.dtype.itemsize)
        if len(data) < (stop - start) * self.dtype.itemsize:
            raise ValueError("ends early")
        return data

    def rows(self, start, stop) -> Tensor:
        stop = min(stop, self.shape[0])
        if self.array is not None:
            return _tensor(self.array[start:stop])
        row = prod(self.shape[1:])
        return _tensor(np.frombuffer(self._bytes(start * row, stop * row), self.dtype).reshape(-1, *self.shape[1:]))

    def words(self) -> np.ndarray:
        if self.array is not None:
            return np.asarray(self.array)
        return np.frombuffer(self._bytes(0, prod(self.shape)), self.dtype).reshape(self.shape)


class _Safetensors:
    """One tensor of a .safetensors file."""

    def __init__(self, path, key):
        import safetensors

        self.slice = safetensors.safe_open(path, "pt").get_slice(key)
        self.shape, self.dtype = tuple(self.slice.get_shape()), self.slice[:0].dtype

    def rows(self, start, stop) -> Tensor:
        rows = self.slice[start:stop]
        return rows.float() if rows.is_floating_point() and rows.element_size() == 1 else rows  # float8: no arithmetic


@dataclass(frozen=True)
class Samples:
    """Features of one file with d on `axis`, and their labels y of the shape of the other axes, in blocks along the
    first dimension. notes: what a reader must know of the labels."""

    path: Path
    array: _Npy | _Npz | _Safetensors
    y: Tensor
    axis: int = -1
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        return self.array.shape[self.axis]

    @property
    def step(self) -> int:
        """Rows of a block along the first dimension."""
        return max(1, _SAMPLES // (prod(self.array.shape[1:]) // self.dim))

    def __len__(self) -> int:
        """Number of blocks."""
        return -(-self.array.shape[0] // self.step)

    def block(self, i) -> tuple[Tensor, Tensor]:
        """Features (n, ..., d) and labels (n, ...) of block i. ValueError names the first row with NaN or infinity."""
        rows = slice(i * self.step, (i + 1) * self.step)
        try:
            H = self.array.rows(rows.start, rows.stop)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{self.path}: damaged, {error}") from None
        H = H.movedim(self.axis, -1)
        y = self.y[rows]
        bad = ~(H.isfinite().all(-1) | (y == -100))
        if bad.any():
            place = bad.nonzero()[0].tolist()
            place[0] += rows.start
            raise ValueError(f"{self.path}: features of sample {place} hold NaN or inf, must be finite")
        return H, y


def read_samples(path, labels=None, *, feature_axis=None, ignore_index=-100) -> Samples:
    """Open features and labels of one file, or features of `path` and labels of the file `labels`.

    feature_axis: the axis of d, by default the last; it must be said of four dimensions or more, where sizes do not
    tell channels from pixels. Labels `ignore_index` become -100.

    Raises ValueError for a file that is missing, damaged or of another kind, keys that are missing or ambiguous,
    features that are not a floating (..., d) and labels that are neither integers nor words of shape (...).
    """
    path = Path(path)
    array = _find(path, FEATURES)
    kind = array.dtype
    if not (kind.is_floating_point if isinstance(kind, torch.dtype) else kind.kind == "f" and kind.itemsize <= 8):
        raise ValueError(f"{path}: features are {array.dtype}, must be float16, bfloat16, float32 or float64")
    if len(array.shape) < 2 or 0 in array.shape:
        raise ValueError(f"{path}: features have shape {array.shape}, must be (N, d) or (..., d), not empty")
    own = path.suffix != ".npy" and _named(path, LABELS)
    if labels is None and not own:
        raise ValueError(f"{path}: holds no {' or '.join(LABELS)}, name a file of labels with --labels")
    if labels is not None and own:
        raise ValueError(f"{path}: holds {own[0]}, and --labels names others; only one of them is allowed")
    source = Path(labels or path)
    axis = _axis(path, tuple(array.shape), tuple(_find(source, LABELS).shape), feature_axis)
    y, notes = _labels(source, tuple(size for i, size in enumerate(array.shape) if i != axis), path)
    y = y.long()
    return Samples(path, array, torch.where(y == ignore_index, -100, y), axis, notes)


def _axis(path, shape, labels, axis):
    n = len(shape)
    if axis is None and n >= 4:
        if len(labels) == 1:
            raise ValueError(f"{path}: features {shape} with labels {labels}: average over positions first, to (N, d)")
        raise ValueError(
            f"{path}: features have shape {shape}, say with --feature-axis which axis is d: 1 for channels first, "
            f"{n - 1} for channels last"
        )
    if axis is not None and not (1 <= axis < n or -n < axis < 0):
        raise ValueError(f"--feature-axis {axis}: must be from 1 to {n - 1} for features of shape {shape}")
    return n - 1 if axis is None else axis % n


def _labels(path, shape, of) -> tuple[Tensor, dict[str, str]]:
    array = _find(path, LABELS)
    kind = "" if isinstance(array, _Safetensors) else array.dtype.kind
    if tuple(array.shape) == shape and kind in ("U", "S", "u"):
        check_room(f"{path}: labels {shape}", 2 * prod(shape) * array.dtype.itemsize)
        words = array.words()
        if kind != "u" or words.max() > np.iinfo(np.int64).max:
            names, y = np.unique(words, return_inverse=True)
            listed = ", ".join(f"{i} {name}" for i, name in enumerate(names.tolist()[:20]))
            more = f", ... ({len(names)} in all)" if len(names) > 20 else ""
            return torch.from_numpy(y.reshape(array.shape)), {"labels": listed + more}
    y = _whole(path, LABELS, shape, of)
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"{path}: labels are {y.dtype}, must be integers")
    return y, {}


def dense(samples: Samples) -> Samples:
    """Samples whose labels are 0..n-1 in their order, where ids are so sparse that most classes would be empty: more
    than 100,000 and than ten for each that occurs. Absent classes take no part, so no number changes."""
    used = samples.y != -100
    ids, y = samples.y[used].unique(return_inverse=True)
    if not len(ids) or ids[0] < 0 or ids[-1] < max(100_000, 10 * len(ids)):
        return samples
    labels = samples.y.clone()
    labels[used] = y
    note = {"labels": f"{len(ids)} ids from {int(ids[0])} to {int(ids[-1])}, numbered 0 to {len(ids) - 1} in order"}
    return Samples(samples.path, samples.array, labels, samples.axis, samples.notes | note)


def void_label(samples: Samples) -> int | None:
    """A label that looks like a mark for "no class": the largest, alone behind a gap as long as all others; or None."""
    ids = samples.y[samples.y != -100].unique()
    if len(ids) < 3 or ids[-1] - ids[-2] <= max(10, int(ids[-2] - ids[0]) + 1):
        return None
    return int(ids[-1])


def number_of_classes(samples: Samples, num_classes=None) -> int:
    """`num_classes`, by default the largest label + 1. Raises ValueError for labels outside it, or none but -100."""
    y = samples.y
    used = y[y != -100]
    if not len(used):
        raise ValueError(f"{samples.path}: no sample has a label other than -100")
    K = int(used.max()) + 1 if num_classes is None else num_classes
    bad = ((y < 0) | (y >= K)) & (y != -100)
    if bad.any():
        place = bad.nonzero()[0].tolist()
        raise ValueError(
            f"{samples.path}: label {int(y[tuple(place)])} of sample {place}, must be 0..{K - 1}, or -100 for none"
        )
    return K


def read_classifier(path) -> tuple[Tensor, Tensor | None]:
    """W (K, d) and b (K,), or None, of a .npz or .safetensors file with weight [and bias], or a .npy file (W alone)."""
    path = Path(path)
    W = _whole(path, WEIGHT)
    b = _whole(path, BIAS) if path.suffix != ".npy" and _named(path, BIAS) else None
    if W.ndim != 2 or not W.is_floating_point():
        raise ValueError(f"{path}: weight is {W.dtype} {tuple(W.shape)}, must be floating (K, d)")
    if b is not None and (tuple(b.shape) != (len(W),) or not b.is_floating_point()):
        raise ValueError(f"{path}: bias is {b.dtype} {tuple(b.shape)}, must be floating {(len(W),)}")
    for name, value in {"weight": W, "bias": b}.items():
        if value is not None and not value.isfinite().all():
            raise ValueError(f"{path}: {name} holds NaN or inf, must be finite")
    return W, b


def is_statistics(path) -> bool:
    """Whether a file is what `ClassStatistics.save` writes."""
    path = Path(path)
    return path.suffix == ".safetensors" and _STATISTICS <= set(_keys(path))


def _tensor(array: np.ndarray) -> Tensor:
    native = array.dtype.newbyteorder("=")
    if native.kind in "u" and native.itemsize > 1:  # torch has no arithmetic for them
        native = np.dtype(np.int64)
    return torch.from_numpy(np.array(array, dtype=native))


def _keys(path: Path) -> list[str]:
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: must be a file {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
        if path.suffix == ".safetensors":
            import safetensors

            with safetensors.safe_open(path, "pt") as file:
                return list(file.keys())
        return []
    except Exception as error:  # safetensors raises its own, and zipfile several
        raise ValueError(f"{path}: not a whole {path.suffix} file, {error}") from None


def _named(path: Path, names) -> list[str]:
    """Those of `names` that a file holds. Raises ValueError for more than one."""
    found = [key for key in _keys(path) if key in names]
    if len(found) > 1:
        raise ValueError(f"{path}: holds {' and '.join(found)}, must hold one of {', '.join(names)}")
    return found


def _find(path: Path, names):
    """The array of a file under one of `names`."""
    keys = _keys(path)
    found = None if path.suffix == ".npy" else _named(path, names)
    if found == []:
        raise ValueError(f"{path}: holds {', '.join(keys) or 'nothing'}, must hold one of {', '.join(names)}")
    try:
        if found is None:
            return _Npy(path)
        return (_Npz if path.suffix == ".npz" else _Safetensors)(path, found[0])
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole {path.suffix} file of numbers, {error}") from None


def _whole(path: Path, names, shape=None, of=None) -> Tensor:
    """An array of a file, in memory. shape: what it must have to belong to the file `of`."""
    array = _find(path, names)
    if not array.shape:
        raise ValueError(f"{path}: {names[0]} is a single number, must be an array")
    if shape is not None and tuple(array.shape) != tuple(shape):
        raise ValueError(f"{path}: {names[0]} have shape {tuple(array.shape)}, must be {tuple(shape)} as {of} has")
    check_room(f"{path}: {names[0]} {tuple(array.shape)}", 16 * prod(array.shape))
    try:
        return array.rows(0, array.shape[0])
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {names[0]} cannot be read, {error}") from None
