"""Class statistics of features: a commutative monoid under +, summed in float64 whatever the features are.

Samples enter as deviations from the mean that their class has so far (a new class: from one of its samples), never as
E[h^2] - E[h]^2; shards and ranks are put together by the exact pairwise merge of Chan, Golub and LeVeque (1979). So the
answer does not depend on how the samples were split.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nclib._device import check_room, torch_device
from nclib._files import read, write

_CPU_BLOCK = 256  # rows: three float64 scratch blocks stay in cache, and fresh large temporaries would page-fault
_DEVICE_BLOCK = 2**26  # entries of H that a GPU takes at a time, 1 GB in all: 65,536 rows of 1,024
_PIECE = 64  # sorted rows of one class that one thread of a GPU adds up
_COLUMNS = 128  # of a scatter are multiplied at a time: its lower triangle costs nothing
_WIDE, _MANY = 256, 128  # dimensions and rows from which products of a scatter are what an update costs
_FLUSH = 2048  # rows whose products are summed in float32: a multiple of _CPU_BLOCK
_RANGE = 2.0**-50, 2.0**50  # of entries whose products float32 holds, with 2,048 of them summed


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """First and second moments of features within each of K classes.

    counts   (K,) int64, n_k. A class with count 0 is absent: its mean and spread are zero and are never read.
    means    (K, d) float64, mean_k = sum_i h_ki / n_k.
    spread   (K,) float64, sum_i |h_ki - mean_k|^2: a sum, not a variance.
    scatter  (d, d) float64, sum_k sum_i (h_ki - mean_k)(h_ki - mean_k)^T: a sum pooled over classes; or None.

    Raises ValueError if shapes or dtypes differ from these.

    >>> one = torch.ones(1, dtype=torch.float64)
    >>> stats = ClassStatistics(torch.tensor([2]), 3 * one[None], 8 * one, 8 * one[None])  # of 1 and 5
    >>> float(stats.global_mean), float(stats.within)
    (3.0, 4.0)
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
        H: Tensor,
        y: Tensor,
        num_classes: int,
        *,
        ignore_index: int = -100,
        mask: Tensor | None = None,
        scatter: bool | None = None,
    ) -> ClassStatistics:
        """Statistics of features H (..., d), any float dtype, with labels y (...), any integer dtype.

        Samples labelled `ignore_index` and those where `mask` (...), bool, is False are left out, whatever their
        features hold (and, under the mask, their labels). scatter=None keeps the (d, d) scatter unless d > 1,024 or
        num_classes > d. The result lies on the device of H (on the CPU for MPS).

        Raises ValueError for num_classes < 1, labels outside 0..num_classes-1, features that are NaN or infinite,
        and shapes of H, y and mask that do not match.

        >>> stats = ClassStatistics.from_features([[0.0, 1.0], [2.0, 3.0], [5.0, 2.0]], [0, 0, 1], 2)
        >>> stats.counts.tolist(), stats.means.tolist(), stats.spread.tolist(), stats.scatter.tolist()
        ([2, 1], [[1.0, 2.0], [5.0, 2.0]], [4.0, 0.0], [[2.0, 2.0], [2.0, 2.0]])
        """
        H, y, mask = _tensors(H, y, mask)
        _check_pair(H, y, mask)
        accumulator = StatisticsAccumulator(num_classes, H.shape[-1], device=H.device, scatter=scatter)
        accumulator.update(H, y, ignore_index=ignore_index, mask=mask)
        return accumulator.compute()

    def __add__(self, other: ClassStatistics) -> ClassStatistics:
        """Statistics of both sets of samples together (Chan, Golub, LeVeque 1979). Zero counts are the identity.

        With delta_k = mean_b - mean_a and n = n_a + n_b: mean = mean_a + (n_b/n) delta, and spread and scatter gain
        (n_a n_b / n) |delta|^2 and the same times delta delta^T / |delta|^2.

        Raises ValueError if K, d or the device differ, or if only one side has a scatter.

        >>> a, b = (ClassStatistics.from_features([[h], [h + 2]], [0, 0], 1) for h in (0.0, 4.0))
        >>> float((a + b).means), float((a + b).spread)
        (3.0, 20.0)
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
            scatter=None
            if self.scatter is None
            else self.scatter + other.scatter + _symmetric(delta.mT @ delta.mul(w[:, None])),
        )

    def to(self, device) -> ClassStatistics:
        """The same statistics on another device; MPS has no float64, so asking for it keeps them on the CPU.

        >>> ClassStatistics.from_features([[2.0], [4.0]], [0, 0], 1).to("cpu").means.tolist()
        [[3.0]]
        """
        device = torch_device(device, float64=True)
        scatter = None if self.scatter is None else self.scatter.to(device)
        return ClassStatistics(self.counts.to(device), self.means.to(device), self.spread.to(device), scatter)

    def save(self, path) -> None:
        """Write a safetensors file: under a temporary name beside it, fsync, then rename over `path`.

        >>> import safetensors.torch, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ClassStatistics.from_features([[2.0], [4.0]], [0, 0], 1).save(f"{folder}/a")
        ...     safetensors.torch.load_file(f"{folder}/a")["spread"].tolist()
        [2.0]
        """
        fields = {"counts": self.counts, "means": self.means, "spread": self.spread, "scatter": self.scatter}
        write({name: field for name, field in fields.items() if field is not None}, path)

    @staticmethod
    def load(path) -> ClassStatistics:
        """Read what `save` wrote, on the CPU. Raises ValueError if the file is damaged or holds something else.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ClassStatistics.from_features([[2.0], [4.0]], [0, 0], 1).save(f"{folder}/a")
        ...     ClassStatistics.load(f"{folder}/a").means.tolist()
        [[3.0]]
        """
        return read(path, ClassStatistics)

    @property
    def present(self) -> Tensor:
        """(K,) bool, count > 0.

        >>> ClassStatistics.from_features([[2.0], [4.0]], [0, 2], 3).present.tolist()
        [True, False, True]
        """
        return self.counts > 0

    @property
    def global_mean(self) -> Tensor:
        """(d,) mean of the present class means, each with weight 1/K'.

        >>> stats = ClassStatistics.from_features([[0.0, 1.0], [2.0, 3.0], [5.0, 2.0]], [0, 0, 1], 2)
        >>> stats.global_mean.tolist()  # of (1, 2) and (5, 2)
        [3.0, 2.0]
        """
        origin, offsets, _ = self._offsets()
        return origin + offsets.mean(0)

    @property
    def sample_mean(self) -> Tensor:
        """(d,) mean of all samples, sum_k n_k mean_k / N. Differs from `global_mean` unless classes are balanced.

        >>> stats = ClassStatistics.from_features([[0.0, 1.0], [2.0, 3.0], [5.0, 2.0]], [0, 0, 1], 2)
        >>> stats.sample_mean.mul(3).round(decimals=9).tolist()
        [7.0, 6.0]
        """
        origin, offsets, weights = self._offsets()
        return origin + weights @ offsets

    @property
    def centered_means(self) -> Tensor:
        """(K', d) means of the present classes in label order, minus `global_mean`. Pair it with W[stats.present].

        >>> stats = ClassStatistics.from_features([[0.0, 1.0], [2.0, 3.0], [5.0, 2.0]], [0, 0, 1], 2)
        >>> stats.centered_means.tolist()
        [[-2.0, 0.0], [2.0, 0.0]]
        """
        _, offsets, _ = self._offsets()
        return offsets.sub_(offsets.mean(0))

    @property
    def within(self) -> Tensor:
        """(d, d) Sigma_W = scatter / N: every sample has the same weight.

        >>> stats = ClassStatistics.from_features([[0.0, 1.0], [2.0, 3.0], [5.0, 2.0]], [0, 0, 1], 2)
        >>> stats.within.mul(3).round(decimals=9).tolist()
        [[2.0, 2.0], [2.0, 2.0]]
        """
        return self._scatter() / self._samples()

    @property
    def between(self) -> Tensor:
        """(d, d) Sigma_B = centered_means^T centered_means / K': every present class has the same weight.

        >>> stats = ClassStatistics.from_features([[0.0, 1.0], [2.0, 3.0], [5.0, 2.0]], [0, 0, 1], 2)
        >>> stats.between.tolist()
        [[4.0, 0.0], [0.0, 0.0]]
        """
        M = self.centered_means
        return M.mT @ M / len(M)

    @property
    def total(self) -> Tensor:
        """(d, d) covariance of all samples about `sample_mean`, divided by N.

        Equal to within + between only for balanced classes: here class k weighs n_k / N, in `between` 1/K'.

        >>> stats = ClassStatistics.from_features([[0.0, 1.0], [2.0, 3.0], [5.0, 2.0]], [0, 0, 1], 2)
        >>> stats.total.mul(9).round(decimals=9).tolist()  # 0, 2, 5 have the variance 38/9
        [[38.0, 6.0], [6.0, 6.0]]
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
        means = self.means[self.present]  # a copy
        origin = means[0].clone()
        return origin, means.sub_(origin), self.counts[self.present].double() / N


class StatisticsAccumulator:
    """ClassStatistics in place, batch by batch, for `dim` features and `num_classes` classes.

    An update costs O(rows * dim) however many classes there are, plus 2 * rows * dim^2 with a scatter (scatter=None:
    on unless dim > 1,024 or num_classes > dim), of which a CPU does half. It never waits for a GPU: there bad labels
    and features that are not finite are left out and flagged on the device, and `compute` raises; on the CPU `update`
    raises and changes nothing.

    On a CPU the scatter of 256 or more dimensions is multiplied in float32, unless features are float64: products of
    deviations, summed in float64 every 2,048 rows. Entry (i, j) is right to 1e-7 sqrt(scatter_ii scatter_jj), in
    updates far from the mean so far to 1e-6, and NC1 to far less than 1e-6 unless the within-class variance of some
    direction is less than a 10,000th of the largest. Of features.double() every digit is kept.
    With device="mps" the state is kept on the CPU, as MPS has no float64.

    Raises ValueError for num_classes < 1 or dim < 1, for more of them than fit in memory, and for a device that is not
    there.

    >>> accumulator = StatisticsAccumulator(num_classes=1, dim=1)
    >>> accumulator.update([[0.0], [2.0]], [0, 0])
    >>> accumulator.update([[4.0], [6.0]], [0, 0])
    >>> accumulator.compute().means.tolist(), accumulator.compute().spread.tolist()
    ([[3.0]], [20.0])
    """

    def __init__(self, num_classes: int, dim: int, *, device=None, scatter: bool | None = None):
        for name, value in {"num_classes": num_classes, "dim": dim}.items():
            if not hasattr(value, "__index__"):
                raise ValueError(f"{name}={value!r}, must be a whole number")
            if value < 1:
                raise ValueError(f"{name}={value}, must be at least 1")
        self.num_classes, self.dim = num_classes, dim
        self.device = torch_device(device, float64=True)
        if scatter is None:
            scatter = dim <= 1024 and num_classes <= dim
        self._sorts = _by_sorting(self.device)
        with torch.inference_mode(False):  # a state made in inference mode could not be changed outside of it
            self._allocate(scatter)

    def _allocate(self, scatter):
        num_classes, dim = self.num_classes, self.dim
        # One row more than there are classes: ignored and flagged samples go there, so nothing depends on their number.
        needed = 8 * ((num_classes + 1) * (dim + 3) + dim * dim * bool(scatter))
        check_room(f"num_classes={num_classes}, dim={dim}", needed, self.device)
        rows, double = num_classes + 1, {"dtype": torch.float64, "device": self.device}
        self._counts = torch.zeros(rows, dtype=torch.int64, device=self.device)
        self._means = torch.zeros(rows, dim, **double)
        self._spread = torch.zeros(rows, **double)
        self._scatter = torch.zeros(dim, dim, **double) if scatter else None
        self._slot = torch.zeros(rows, dtype=torch.int64, device=self.device)
        self._scratch = torch.empty(3, 0, dim, **double)
        self._halves, self._pending = None, 0
        self._invalid = torch.zeros((), dtype=torch.bool, device=self.device)

    @torch.inference_mode(False)
    @torch.no_grad()
    def update(self, H: Tensor, y: Tensor, *, ignore_index: int = -100, mask: Tensor | None = None) -> None:
        """Add samples H (..., dim) with labels y (...); without those of `ignore_index` or mask False.

        >>> accumulator = StatisticsAccumulator(2, 1)
        >>> accumulator.update([[1.0], [9.0], [3.0]], [1, -100, 1])
        >>> accumulator.compute().counts.tolist(), accumulator.compute().means.tolist()
        ([0, 2], [[0.0], [2.0]])
        """
        H, y, mask = _tensors(H, y, mask)
        _check_pair(H, y, mask)
        if H.shape[-1] != self.dim:
            raise ValueError(f"H has shape {tuple(H.shape)}, its last dimension must be dim={self.dim}")
        H, y = H.reshape(-1, self.dim).to(self.device), y.reshape(-1).to(self.device, torch.int64)
        if len(y) == 0:
            return
        used = y != ignore_index
        if mask is not None:
            used &= mask.reshape(-1).to(self.device)
        H, y = self._screen(H, y, used, ignore_index)
        if self._sorts:
            block = max(1, _DEVICE_BLOCK // self.dim)
            for h, label in zip(H.split(block), y.split(block), strict=True):
                self._add_sorted(h, label)
            return
        single = self.device.type == "cpu" and H.dtype != torch.float64 and self.dim >= _WIDE and len(y) >= _MANY
        for h, label in zip(H.split(_CPU_BLOCK), y.split(_CPU_BLOCK), strict=True):
            self._add(h, label, single)
        self._flush()

    @torch.inference_mode(False)
    @torch.no_grad()
    def merge(self, stats: ClassStatistics) -> None:
        """Add statistics, as of a saved shard or another rank, exactly as + does.

        Raises ValueError if K or dim differ, or if only one side has a scatter.

        >>> accumulator = StatisticsAccumulator(1, 1)
        >>> accumulator.update([[0.0], [2.0]], [0, 0])
        >>> accumulator.merge(ClassStatistics.from_features([[4.0], [6.0]], [0, 0], 1))
        >>> accumulator.compute().spread.tolist()
        [20.0]
        """
        K = self.num_classes
        state = ClassStatistics(self._counts[:K], self._means[:K], self._spread[:K], self._scatter)
        total = state + stats.to(self.device)
        for field in ("counts", "means", "spread") + ("scatter",) * (self._scatter is not None):
            getattr(state, field).copy_(getattr(total, field))

    @torch.inference_mode(False)
    def compute(self) -> ClassStatistics:
        """The statistics so far; later updates do not change them. Raises ValueError for what a GPU has flagged, and
        for features so large that their squares overflow.

        >>> accumulator = StatisticsAccumulator(1, 2)
        >>> accumulator.update([[1.0, 0.0], [3.0, 4.0]], [0, 0])
        >>> accumulator.compute().scatter.tolist()  # 2 (1, 2)^T (1, 2)
        [[2.0, 4.0], [4.0, 8.0]]
        """
        K = self.num_classes
        if self._invalid:
            raise ValueError(f"y outside 0..{K - 1}, or H with NaN or inf, was given to update (flagged on the device)")
        if not self._spread.isfinite().all():
            raise ValueError("H is so large that squares overflow float64: divide the features by a constant first")
        scatter = None if self._scatter is None else _symmetric(self._scatter)
        return ClassStatistics(self._counts[:K].clone(), self._means[:K].clone(), self._spread[:K].clone(), scatter)

    def _screen(self, H, y, used, ignore_index):
        """Send unused (and, on a GPU, invalid) samples to the extra row, with zero features unless rows are sorted."""
        K = self.num_classes
        in_range = (y >= 0) & (y < K)
        if self.device.type == "cpu" and (used & in_range).all() and H.sum().isfinite():
            return H, y  # one pass; a sum that is not finite may have overflowed, so the rows are looked at
        # The extremes of a row are NaN or infinite if an entry is, and need no temporary the size of H.
        low, high = torch.aminmax(H, dim=1)
        bad = used & ~(in_range & low.isfinite() & high.isfinite())
        if self.device.type != "cpu":
            self._invalid |= bad.any()
        elif bad.any():
            i = int(bad.nonzero()[0])
            if not in_range[i]:
                raise ValueError(f"y[{i}]={int(y[i])}, labels must be 0..{K - 1} or ignore_index={ignore_index}")
            value = float(H[i][H[i].abs().argmax()])  # the arg max of a row with NaN is the NaN
            raise ValueError(f"H[{i}] holds {value}, features must be finite (row {i} of the flattened batch)")
        elif used.all():
            return H, y
        good = used & ~bad
        return H if self._sorts else torch.where(good[:, None], H, 0), torch.where(good, y, K)

    def _add(self, H, y, single):
        """Add one block.

        With m the mean of a class so far, n_a its count, x = h - m, S = sum x over its n_b samples of the block and
        n = n_a + n_b: the mean gains S/n, the spread sum |x|^2 - |S|^2/n and the scatter the sum of x (x - S/n)^T. For
        a new class m is first set to one of its samples. Derived: |S|^2 <= n_b sum |x|^2, so the spread gains at least
        sum |x|^2 / (n_b + 1), and a block of 256 rows costs it at most 2.4 of float64's 16 digits.
        """
        n, K = len(y), len(self._counts)
        order = torch.arange(n, device=y.device)
        self._slot.scatter_(0, y, order)
        one = self._slot[y]  # for each sample, one sample of its class
        # Sums by class, or, with more classes than rows, by that sample: the rows of the others hold 0 and add 0.
        rows, slot = (torch.arange(K, device=y.device), y) if K <= n else (y, one)
        if self._scratch.shape[1] < n:
            self._scratch = self._scratch.new_empty(3, n, self.dim)
        x, S, free = self._scratch[0, :n], self._scratch[1, : len(rows)], self._scratch[2]

        self._start((self._counts[y] == 0) & (one == order), H, y)
        x.copy_(H).sub_(torch.index_select(self._means, 0, y, out=free[:n]))
        S.zero_().index_add_(0, slot, x)
        self._counts.index_add_(0, y, torch.ones_like(y))
        per_n = self._counts[rows].clamp(min=1).double().reciprocal_()
        self._spread.index_add_(0, y, torch.mul(x, x, out=free[:n]).sum(1))
        self._spread.index_add_(0, rows, torch.mul(S, S, out=free[: len(rows)]).sum(1).mul_(per_n), alpha=-1)
        shift = S.mul_(per_n[:, None])
        self._means.index_add_(0, rows, shift)
        if self._scatter is not None:
            z = torch.index_select(shift, 0, slot, out=free[:n])
            self._multiply(x, torch.sub(x, z, out=z), single)

    def _add_sorted(self, H, y):
        """What `_add` does, of a block sorted by class: no two threads of a GPU add to one number, which would be slow
        and in any order. Every shape is fixed by len(y), so that it is not waited for."""
        n, K = len(y), len(self._counts)
        y, order = y.sort(stable=True)
        # As in `_add`, sums by class, or, with more classes than rows, by a class's place among those of the block.
        every = K <= n
        place = y if every else torch.cat([y.new_zeros(1), (y.diff() != 0).cumsum(0)])
        rows = torch.arange(K, device=y.device) if every else torch.full_like(y, K - 1).scatter_(0, place, y)
        starts, *pieces = _segments(place, len(rows))
        n_b, first = starts.diff(), order[starts[:-1].clamp(max=n - 1)]

        m = self._means if every else self._means[rows]
        torch.where(((self._counts[rows] == 0) & (n_b > 0))[:, None], H[first], m, out=m)
        x = m[place]
        torch.sub(H[order], x, out=x)
        if self._scatter is not None:
            x.masked_fill_((y == K - 1)[:, None], 0)
        S = _segment_sums(x, *pieces)
        self._counts.index_add_(0, rows, n_b)
        per_n = self._counts[rows].clamp(min=1).double().reciprocal_()
        self._spread.index_add_(0, rows, _segment_sums(_row_squares(x), *pieces) - _row_squares(S) * per_n)
        m.addcmul_(S, per_n[:, None])
        if not every:
            self._means.index_copy_(0, rows, m)
        if self._scatter is not None:
            add_upper_product(self._scatter, x, x - S.mul_(per_n[:, None])[place])
        for state in (self._counts, self._means, self._spread):
            state[K - 1] = 0  # unused samples may hold anything

    def _multiply(self, x, z, single):
        """The upper triangle of the scatter gains x^T z; of float32 copies, when there are _FLUSH rows of them."""
        if single and self._halves is None:
            self._halves = x.new_empty(2, _FLUSH, self.dim, dtype=torch.float32)
        end = self._pending + len(x)
        if not (single and _fill_float32(self._halves[:, self._pending : end], x, z)):
            add_upper_product(self._scatter, x, z)
            return
        self._pending = end
        if end >= _FLUSH:
            self._flush()

    def _flush(self):
        """The products of the float32 copies so far go to the scatter."""
        if self._pending:
            add_upper_product(self._scatter, *self._halves[:, : self._pending])
            self._pending = 0

    def _start(self, new, H, y):
        """Set the mean of a class to its sample where `new`; the others of a GPU's fixed shape go to the extra row."""
        i = new.nonzero()[:, 0] if new.device.type == "cpu" else slice(None)
        self._means.index_copy_(0, torch.where(new[i], y[i], self.num_classes), H[i].double())
        self._means[self.num_classes] = 0


def _by_sorting(device):
    """Whether sums by class are those of sorted rows: on a CPU an update then takes six to eight times as long."""
    return device.type != "cpu"


def _segments(place, count):
    """Of a sorted `place` (n,), values below `count`: where each value starts, (count + 1,); and, with equal ones cut
    into pieces of at most _PIECE, where each value starts among the pieces, (count + 1,), and where each piece does."""
    n, device = len(place), place.device
    starts = torch.searchsorted(place, torch.arange(count + 1, device=device))
    firsts = torch.nn.functional.pad(((starts.diff() + _PIECE - 1) // _PIECE).cumsum(0), (1, 0))
    piece = torch.arange(n // _PIECE + count + 1, device=device)  # as many as there can be, the last ones empty
    value = torch.searchsorted(firsts, piece, right=True) - 1
    return starts, firsts, (starts[value] + _PIECE * (piece - firsts[value])).clamp(max=n)


def _segment_sums(x, firsts, pieces):
    """Sums of the rows of x by segment, piece by piece: of a class with most of the rows too, many threads add."""
    parts = torch.segment_reduce(x, "sum", offsets=pieces, unsafe=True)
    return torch.segment_reduce(parts, "sum", offsets=firsts, unsafe=True)


def _row_squares(x):
    """|x_i|^2 without a temporary of the size of x."""
    return torch.linalg.vector_norm(x, dim=1).square_()


def _squared_norms(A: Tensor) -> Tensor:
    return torch.linalg.vecdot(A, A)


def _symmetric(A):
    """A with its upper triangle below the diagonal too."""
    return A.triu() + A.triu(1).mT


def _fill_float32(halves, x, z):
    """Copy x and z to `halves`; False where a column of x has squares that float32 may not hold."""
    x, _ = halves[0].copy_(x), halves[1].copy_(z)
    largest = torch.maximum(x.amax(0), -x.amin(0))
    low, high = _RANGE
    return bool(((largest == 0) | (largest > low) & (largest < high)).all())


def add_upper_product(total, x, z) -> None:
    """total += x^T z, in its upper triangle at least; the product in the dtype of x and z.

    >>> total = torch.ones(2, 2)
    >>> add_upper_product(total, torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
    >>> total.triu().tolist()
    [[4.0, 5.0], [0.0, 9.0]]
    """
    step = _COLUMNS if total.device.type == "cpu" else len(total)
    for i in range(0, len(total), step):
        part, left, right = total[i : i + step, i:], x[:, i : i + step].mT, z[:, i:]
        part.addmm_(left, right) if x.dtype == total.dtype else part.add_(left @ right)


def _tensors(H, y, mask):
    """Arrays and lists as tensors."""
    try:
        return torch.as_tensor(H), torch.as_tensor(y), None if mask is None else torch.as_tensor(mask)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"H, y and mask must be tensors or arrays of numbers: {error}") from None


def _check_pair(H, y, mask):
    if H.ndim < 1 or not H.is_floating_point():
        raise ValueError(f"H is {H.dtype} {tuple(H.shape)}, must be a floating tensor (..., d)")
    if H.layout != torch.strided:
        raise ValueError(f"H is {H.layout}, must be dense: H.to_dense()")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"y is {y.dtype}, labels must have an integer dtype")
    if H.shape[:-1] != y.shape:
        raise ValueError(f"y has shape {tuple(y.shape)}, must be {tuple(H.shape[:-1])} for H of {tuple(H.shape)}")
    if mask is not None and (mask.dtype != torch.bool or mask.shape != y.shape):
        raise ValueError(f"mask is {mask.dtype} {tuple(mask.shape)}, must be bool of the shape of y, {tuple(y.shape)}")


def _check_mergeable(a, b):
    if a.means.shape != b.means.shape:
        raise ValueError(
            f"means have shapes {tuple(a.means.shape)} and {tuple(b.means.shape)}, must be the same (K, d)"
        )
    if (a.scatter is None) != (b.scatter is None):
        raise ValueError("scatter is None on one side only: collect both with the same scatter=True or scatter=False")
    if a.means.device != b.means.device:
        raise ValueError(f"means lie on {a.means.device} and {b.means.device}: move one with .to(device) first")
