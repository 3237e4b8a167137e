"""A measurement as passes over batches: shared out over ranks, with a progress bar, and resumed after a kill."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from nclib import _files, metrics, nulls
from nclib._progress import bar
from nclib.data.files import sha256
from nclib.distributed import distributed_sum, rank, world_size
from nclib.measuring.features import Samples
from nclib.runs.seal import Damaged
from nclib.statistics import ClassStatistics, StatisticsAccumulator

_FIELDS = ("counts", "means", "spread", "scatter")  # the last may be None
FORMAT = "nclib.measuring/1"
EVERY = 30.0  # seconds between saves


def warn(text) -> None:
    """One line on the standard error, of the first rank."""
    if rank() == 0:
        print(f"nclib: {text}", file=sys.stderr)


class Checkpoint:
    """What passes have summed up so far, in one safetensors file that is always whole; path=None keeps nothing.

    identity is a JSON-able dict that says which measurement it is: input, sizes and options. With several ranks each
    has a file of its own, `path.<rank>-of-<ranks>`. Raises ValueError for a file of another measurement, or damaged.
    """

    def __init__(self, path, identity: dict, *, every: float = EVERY):
        self.path = None if path is None else Path(path)
        if path is not None and world_size() > 1:
            self.path = self.path.with_name(f"{self.path.name}.{rank()}-of-{world_size()}")
        self.identity, self.every, self.saved = json.loads(json.dumps(identity)), every, time.monotonic()
        self.tensors = {} if self.path is None or not self.path.exists() else self._load()

    def _load(self) -> dict[str, Tensor]:
        try:
            tensors, about = _files.load(self.path, format=FORMAT)
        except (Damaged, OSError):
            raise ValueError(f"{self.path}: not a whole checkpoint, remove it to start again") from None
        found = json.loads(about["identity"])
        differs = [key for key in found.keys() | self.identity if found.get(key) != self.identity.get(key)]
        if differs:
            what = f"checkpoint of another measurement, with other {sorted(differs)[0]}"
            raise ValueError(f"{self.path}: {what}; remove it or name another")
        return tensors

    def due(self) -> bool:
        return self.path is not None and time.monotonic() - self.saved >= self.every

    def save(self, tensors: dict[str, Tensor]) -> None:
        _files.save(self.path, tensors, {"format": FORMAT, "identity": json.dumps(self.identity)})
        self.saved = time.monotonic()

    def remove(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class Passes:
    """Passes over numbered batches. Of `count` batches rank r of n does r, r + n, ...; each pass gives what all did.

    A pass that a checkpoint holds, whole or in part, goes on from there.
    """

    def __init__(self, checkpoint: Checkpoint, *, quiet: bool = False):
        self.checkpoint, self.quiet = checkpoint, quiet
        self.tensors = dict(checkpoint.tensors)

    def statistics(self, name, count, batch: Callable, *, num_classes, dim, device) -> ClassStatistics:
        """Statistics of the features and labels (H, y) = batch(i)."""
        accumulator = StatisticsAccumulator(num_classes, dim, device=device)
        if f"{name}.done" in self.tensors:
            accumulator.merge(ClassStatistics(*(self.tensors.get(f"{name}.{field}") for field in _FIELDS)).to(device))

        def state():
            stats = accumulator.compute()
            kept = {f"{name}.{field}": getattr(stats, field) for field in _FIELDS}
            return {key: value for key, value in kept.items() if value is not None}

        self._each(name, count, lambda i: accumulator.update(*batch(i)), state)
        return distributed_sum(accumulator.compute())

    def total(self, name, count, batch: Callable, size, device) -> Tensor:
        """The sum of the vectors (size,) = batch(i), float64 on the CPU."""
        kept = self.tensors.get(f"{name}.total")
        sums = torch.zeros(size, dtype=torch.float64) if kept is None else kept.clone()
        sums = sums.to(device)
        self._each(name, count, lambda i: sums.add_(batch(i)), lambda: {f"{name}.total": sums})
        if world_size() > 1:
            torch.distributed.all_reduce(sums)
        return sums.cpu()

    def _each(self, name, count, work, state):
        key = f"{name}.done"
        done = int(self.tensors.get(key, 0))
        mine = range(rank(), count, world_size())
        for i in bar(mine[done:], hidden=self.quiet or rank() > 0, desc=name, initial=done, total=len(mine)):
            work(i)
            done += 1
            if self.checkpoint.due():
                self.tensors |= state() | {key: torch.tensor(done)}
                self.checkpoint.save(self.tensors)
        if self.checkpoint.path is not None:
            self.tensors |= state() | {key: torch.tensor(done)}


def measure_samples(samples: Samples, K, classifier, passes: Passes, *, device, shuffled=False) -> tuple:
    """(statistics, NC4 agreement or None, statistics under shuffled labels or None) of features in a file.

    classifier is (W, b) or None; agreement is `metrics.ncc_agreement` over the labelled samples, in a second pass.
    """
    shape = {"num_classes": K, "dim": samples.dim, "device": device}
    stats = passes.statistics("statistics", len(samples), samples.block, **shape)
    agreement = None
    if classifier is not None:
        W, b = (None if value is None else value.to(stats.means.device).double() for value in classifier)

        def agreeing(i):
            H, y = samples.block(i)
            H = H[y != -100]
            share = metrics.ncc_agreement(H, W, b, stats.means, stats.present) if len(H) else 0.0
            return torch.tensor([round(share * len(H)), len(H)], device=device)

        hits, seen = passes.total("agreement", len(samples), agreeing, 2, device).tolist()
        agreement = hits / seen
    return stats, agreement, _shuffled(samples, passes, shape) if shuffled else None


def _shuffled(samples, passes, shape):
    other = replace(samples, y=nulls.shuffle(samples.y, 0))
    return passes.statistics("shuffled labels", len(samples), other.block, **shape)


def fingerprint(*paths) -> dict[str, str]:
    """{file: sha256} of files, and of the files in folders: their dates may have been set back."""
    found = {}
    for path in map(Path, filter(None, paths)):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found[str(file.resolve())] = sha256(file)
    return found


def check_output(path, *, inputs=()) -> None:
    """Raises ValueError, before the work, for a path that cannot be written to or that is an input."""
    path = Path(path)
    folder = path.resolve().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"{path}: cannot be written, it must be a file in a folder that exists and is writable")
    if path.resolve() in [Path(other).resolve() for other in inputs if other is not None]:
        raise ValueError(f"{path}: is an input, name another file for the output")
