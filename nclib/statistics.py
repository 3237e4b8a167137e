"""Class statistics of features: a commutative monoid under +, in float64 whatever the features are.

Within a block of rows the statistics are two-pass (the class mean first, then the deviations from it); blocks, batches,
shards and ranks are put together by the exact pairwise merge of Chan, Golub and LeVeque (1979), so the answer does not
depend on how the samples were split. No formula here subtracts two large sums, as E[h^2] - E[h]^2 does.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nclib._device import torch_device

_FORMAT = "nclib.ClassStatistics/1"
_CPU_BLOCK = 512  # rows: three float64 scratch blocks stay in cache, and fresh large temporaries would page-fault
_DEVICE_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """First and second moments of features within each of K classes.

    counts   (K,) int64, n_k. A class with count 0 is absent: its mean and spread are zero and are never read.
    means    (K, d) float64, mean_k = sum_i h_ki / n_k.
    spread   (K,) float64, sum_i |h_ki - mean_k|^2: a sum, not a variance.
    scatter  (d, d) float64, sum_k sum_i (h_ki - mean_k)(h_ki - mean_k)^T: a sum pooled over classes; or None.

    Raises ValueError if shapes or dtypes differ from these.
    """

    counts: Tensor
    means: Tensor
    spread: Tensor
    scatter: Tensor | None = None

    def __post_init__(self):
        if self.means.ndim != 2:
            raise ValueError(f"means has shape {tuple(self.means.shape)}, must be (K, d)")
        K, d = self.means.shape
        rules = {"counts": ((K,), torch.int64), "means": ((K, d), torch.float64), "spread": ((K,), torch.float64)}
        if self.scatter is not None:
            rules["scatter"] = ((d, d), torch.float64)
        for name, (shape, dtype) in rules.items():
            field = getattr(self, name)
            if tuple(field.shape) != shape or field.dtype != dtype:
                raise ValueError(f"{name} is {field.dtype} {tuple(field.shape)}, must be {dtype} {shape}")

    @staticmethod
    def from_features(
        H: Tensor, y: Tensor, num_classes: int, *, ignore_index: int = -100, scatter: bool | None = None
    ) -> ClassStatistics:
        """Statistics of features H (..., d), any float dtype, with labels y (...), any integer dtype.

        Samples labelled `ignore_index` are left out, whatever their features hold. scatter=None keeps the (d, d)
        scatter unless d > 1,024 or num_classes > d. The result lies on the device of H (on the CPU for MPS).

        Raises ValueError for num_classes < 1, labels outside 0..num_classes-1, features that are NaN or infinite,
        and shapes of H and y that do not match.
        """
        _check_pair(H, y)
        accumulator = StatisticsAccumulator(num_classes, H.shape[-1], device=H.device, scatter=scatter)
        accumulator.update(H, y, ignore_index=ignore_index)
        return accumulator.compute()

    def __add__(self, other: ClassStatistics) -> ClassStatistics:
        """Statistics of both sets of samples together (Chan, Golub, LeVeque 1979). Zero counts are the identity.

        With delta_k = mean_b - mean_a and n = n_a + n_b: mean = mean_a + (n_b/n) delta, and spread and scatter gain
        (n_a n_b / n) |delta|^2 and the same times delta delta^T / |delta|^2.

        Raises ValueError if K, d or the device differ, or if only one side has a scatter.
        """
        if not isinstance(other, ClassStatistics):
            return NotImplemented
        _check_mergeable(self, other)
        n_a, n_b = self.counts.double(), other.counts.double()
        n = (n_a + n_b).clamp(min=1)
        delta = other.means - self.means
        w = n_a * n_b / n
        return ClassStatistics(
            counts=self.counts + other.counts,
            means=self.means + (n_b / n)[:, None] * delta,
            spread=self.spread + other.spread + w * _squared_norms(delta),
            scatter=None if self.scatter is None else self.scatter + other.scatter + delta.mT @ delta.mul(w[:, None]),
        )

    def to(self, device) -> ClassStatistics:
        """The same statistics on another device; MPS has no float64, so asking for it keeps them on the CPU."""
        device = torch_device(device, float64=True)
        scatter = None if self.scatter is None else self.scatter.to(device)
        return ClassStatistics(self.counts.to(device), self.means.to(device), self.spread.to(device), scatter)

    def save(self, path) -> None:
        """Write a safetensors file: under a temporary name beside it, fsync, then rename over `path`."""
        import safetensors.torch

        path = Path(path)
        data = safetensors.torch.save(_tensors(self), metadata={"format": _FORMAT})
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with open(partial, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @staticmethod
    def load(path) -> ClassStatistics:
        """Read what `save` wrote, on the CPU. Raises ValueError if the file is damaged or holds something else."""
        import safetensors
        import safetensors.torch

        try:
            tensors = safetensors.torch.load(Path(path).read_bytes())
            stats = ClassStatistics(**tensors)
            _check_values(stats)
        except (safetensors.SafetensorError, TypeError, ValueError) as error:
            raise ValueError(
                f"path={str(path)!r} is not a whole file written by ClassStatistics.save: {error}"
            ) from None
        return stats

    @property
    def present(self) -> Tensor:
        """(K,) bool, count > 0."""
        return self.counts > 0

    @property
    def global_mean(self) -> Tensor:
        """(d,) mean of the present class means, each with weight 1/K'."""
        origin, offsets, _ = self._offsets()
        return origin + offsets.mean(0)

    @property
    def sample_mean(self) -> Tensor:
        """(d,) mean of all samples, sum_k n_k mean_k / N. Differs from `global_mean` unless classes are balanced."""
        origin, offsets, weights = self._offsets()
        return origin + weights @ offsets

    @property
    def centered_means(self) -> Tensor:
        """(K', d) means of the present classes in label order, minus `global_mean`. Pair it with W[stats.present]."""
        _, offsets, _ = self._offsets()
        return offsets - offsets.mean(0)

    @property
    def within(self) -> Tensor:
        """(d, d) Sigma_W = scatter / N: every sample has the same weight."""
        return self._scatter() / self._samples()

    @property
    def between(self) -> Tensor:
        """(d, d) Sigma_B = centered_means^T centered_means / K': every present class has the same weight."""
        M = self.centered_means
        return M.mT @ M / len(M)

    @property
    def total(self) -> Tensor:
        """(d, d) covariance of all samples about `sample_mean`, divided by N.

        Equal to within + between only for balanced classes: here class k weighs n_k / N, in `between` 1/K'.
        """
        _, offsets, weights = self._offsets()
        M = offsets - weights @ offsets
        return self._scatter() / self._samples() + M.mT @ (weights[:, None] * M)

    def _samples(self) -> int:
        N = int(self.counts.sum())
        if N == 0:
            raise ValueError("counts are all 0: statistics of no samples have no mean and no covariance")
        return N

    def _scatter(self) -> Tensor:
        if self.scatter is None:
            raise ValueError("scatter is None: collect the statistics with scatter=True to have a within covariance")
        return self.scatter

    def _offsets(self) -> tuple[Tensor, Tensor, Tensor]:
        """Present means as differences from the first one, and n_k / N.

        The differences are exact for close means, so a large common offset of the features costs no digits and equal
        means are centered to exactly zero.
        """
        N = self._samples()
        means = self.means[self.present]
        return means[0], means - means[0], self.counts[self.present].double() / N


class StatisticsAccumulator:
    """ClassStatistics in place, batch by batch, for `dim` features and `num_classes` classes.

    An update costs O(rows * dim) however many classes there are, plus 2 * rows * dim^2 with a scatter (scatter=None:
    on unless dim > 1,024 or num_classes > dim). It never waits for a GPU: there bad labels and features that are not
    finite are left out and flagged on the device, and `compute` raises; on the CPU `update` raises and changes nothing.
    With device="mps" the state is kept on the CPU, as MPS has no float64.

    Raises ValueError for num_classes < 1 or dim < 1, and for a device that is not there.
    """

    def __init__(self, num_classes: int, dim: int, *, device=None, scatter: bool | None = None):
        for name, value in {"num_classes": num_classes, "dim": dim}.items():
            if value < 1:
                raise ValueError(f"{name}={value}, must be at least 1")
        self.num_classes, self.dim = num_classes, dim
        self.device = torch_device(device, float64=True)
        if scatter is None:
            scatter = dim <= 1024 and num_classes <= dim
        # One row more than there are classes: ignored and flagged samples go there, so nothing depends on their number.
        rows, double = num_classes + 1, {"dtype": torch.float64, "device": self.device}
        self._counts = torch.zeros(rows, dtype=torch.int64, device=self.device)
        self._means = torch.zeros(rows, dim, **double)
        self._spread = torch.zeros(rows, **double)
        self._scatter = torch.zeros(dim, dim, **double) if scatter else None
        self._slot = torch.zeros(rows, dtype=torch.int64, device=self.device)
        self._scratch = torch.empty(3, 0, dim, **double)
        self._invalid = torch.zeros((), dtype=torch.bool, device=self.device)

    @torch.no_grad()
    def update(self, H: Tensor, y: Tensor, *, ignore_index: int = -100) -> None:
        """Add samples H (..., dim) with labels y (...); those labelled `ignore_index` are left out."""
        _check_pair(H, y)
        if H.shape[-1] != self.dim:
            raise ValueError(f"H has shape {tuple(H.shape)}, its last dimension must be dim={self.dim}")
        H, y = H.reshape(-1, self.dim).to(self.device), y.reshape(-1).to(self.device, torch.int64)
        if len(y) == 0:
            return
        H, y = self._screen(H, y, ignore_index)
        block = _CPU_BLOCK if self.device.type == "cpu" else _DEVICE_BLOCK
        for h, label in zip(H.split(block), y.split(block), strict=True):
            self._merge(h, label)

    def compute(self) -> ClassStatistics:
        """The statistics so far; later updates do not change them. Raises ValueError for what a GPU has flagged."""
        K = self.num_classes
        if self._invalid:
            raise ValueError(f"y outside 0..{K - 1}, or H with NaN or inf, was given to update (flagged on the device)")
        scatter = None if self._scatter is None else self._scatter.clone()
        return ClassStatistics(self._counts[:K].clone(), self._means[:K].clone(), self._spread[:K].clone(), scatter)

    def _screen(self, H, y, ignore_index):
        """Send ignored (and, on a GPU, invalid) samples to the extra row with zero features."""
        K = self.num_classes
        used = y != ignore_index
        in_range = (y >= 0) & (y < K)
        # The extremes of a row are NaN or infinite if an entry is, and need no temporary the size of H.
        finite = H.amax(1).isfinite() & H.amin(1).isfinite()
        bad = used & ~(in_range & finite)
        if self.device.type == "cpu":
            if bad.any():
                i = int(bad.nonzero()[0])
                if not in_range[i]:
                    raise ValueError(f"y[{i}]={int(y[i])}, labels must be 0..{K - 1} or ignore_index={ignore_index}")
                value = float(H[i][H[i].abs().argmax()])  # the arg max of a row with NaN is the NaN
                raise ValueError(f"H[{i}] holds {value}, features must be finite (row {i} of the flattened batch)")
            if used.all():
                return H, y
        else:
            self._invalid |= bad.any()
        good = used & ~bad
        return torch.where(good[:, None], H, 0), torch.where(good, y, K)

    def _merge(self, H, y):
        """Merge the two-pass statistics of one block into the rows of its classes, all shapes fixed by len(y)."""
        n, K = len(y), len(self._counts)
        if K <= n:
            rows, slot = torch.arange(K, device=y.device), y
        else:  # a class is represented by one of its samples; the rows of the others hold no samples and add zero
            self._slot.scatter_(0, y, torch.arange(n, device=y.device))
            rows, slot = y, self._slot[y]
        if self._scratch.shape[1] < n:
            self._scratch = self._scratch.new_empty(3, n, self.dim)
        x, mean, other = self._scratch[0, :n], self._scratch[1, : len(rows)], self._scratch[2]

        n_b = torch.zeros_like(rows).index_add_(0, slot, torch.ones_like(y))
        x.copy_(H)
        mean.zero_().index_add_(0, slot, x).div_(n_b.clamp(min=1)[:, None])
        x -= torch.index_select(mean, 0, slot, out=other[:n])
        delta = mean.sub_(torch.index_select(self._means, 0, rows, out=other[: len(rows)]))

        n_a = self._counts[rows]
        w = n_b.double() / (n_a + n_b).clamp(min=1)
        self._counts.index_add_(0, rows, n_b)
        self._spread.index_add_(0, y, _squared_norms(x))
        self._spread.index_add_(0, rows, n_a * w * _squared_norms(delta))
        if self._scatter is not None:
            self._scatter.addmm_(x.mT, x)
            self._scatter.addmm_(delta.mT, torch.mul(delta, (n_a * w)[:, None], out=other[: len(rows)]))
        self._means.index_add_(0, rows, delta.mul_(w[:, None]))


def _squared_norms(A: Tensor) -> Tensor:
    return torch.linalg.vecdot(A, A)


def _check_pair(H, y):
    if H.ndim < 1 or not H.is_floating_point():
        raise ValueError(f"H is {H.dtype} {tuple(H.shape)}, must be a floating tensor (..., d)")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"y is {y.dtype}, labels must have an integer dtype")
    if H.shape[:-1] != y.shape:
        raise ValueError(f"y has shape {tuple(y.shape)}, must be {tuple(H.shape[:-1])} for H of {tuple(H.shape)}")


def _check_mergeable(a, b):
    if a.means.shape != b.means.shape:
        raise ValueError(
            f"means have shapes {tuple(a.means.shape)} and {tuple(b.means.shape)}, must be the same (K, d)"
        )
    if (a.scatter is None) != (b.scatter is None):
        raise ValueError("scatter is None on one side only: collect both with the same scatter=True or scatter=False")
    if a.means.device != b.means.device:
        raise ValueError(f"means lie on {a.means.device} and {b.means.device}: move one with .to(device) first")


def _tensors(stats):
    fields = {"counts": stats.counts, "means": stats.means, "spread": stats.spread, "scatter": stats.scatter}
    return {
        name: field.cpu().clone(memory_format=torch.contiguous_format)
        for name, field in fields.items()
        if field is not None
    }


def _check_values(stats):
    for name, field in _tensors(stats).items():
        if not field.isfinite().all():
            raise ValueError(f"{name} holds NaN or inf, must be finite")
    if (stats.counts < 0).any() or (stats.spread < 0).any():
        raise ValueError("counts and spread hold a negative number, must be at least 0")
    if stats.means[~stats.present].any() or stats.spread[~stats.present].any():
        raise ValueError("means or spread of a class with count 0 are not 0")
