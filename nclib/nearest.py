"""NC4 over many classes: is the class that a classifier chose that of the nearest mean?

The nearest of K means need not be found for that: one mean nearer than that of the chosen class settles it. Most
choices fall to one of the few means that are nearest most often; only those that none of these refutes meet all K. The
answer is that of a full search.

`agreeing` counts as float64 does, and multiplies in float32: a bound on its rounding says which rows that decides, and
the others are done in float64. Where the classifier is nearly a multiple of the means, as at collapse, a choice that is
clear enough is that of the nearest mean too, and no distance is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from nclib._blocks import arg_max, block_size
from nclib.statistics import ClassStatistics

_RUN = 64  # entries of a row of scores that are reduced at once
_FEW = 1 / 16  # of all means are tried first
_CPU_SCORES = 2**21  # entries of a block of scores: larger ones leave the cache
_DEVICE_SCORES = 2**28
_ROWS = 2048  # at most at a time on a CPU, whose features then stay in cache
_EXACT = torch.float32, torch.float16, torch.bfloat16  # features that float32 holds
_LARGE, _SMALL = 1e18, 1e-15  # products of such lengths are within the range of float32


class NearestMean:
    """Compares choices with the nearest mean, over the present classes of `stats`, batch after batch.

    Features are taken in `dtype` on the device of stats, with TF32 and autocast off. The mean nearest to h is the arg
    max of <h - o, m_k> + b_k, m_k the centered means, o the global mean mu_G in `dtype` and
    b_k = <o - mu_G, m_k> - |m_k|^2 / 2: an offset common to all features costs no digits. The first class wins a tie.
    Raises ValueError for statistics of no samples.
    """

    def __init__(self, stats: ClassStatistics, dtype: torch.dtype = torch.float32):
        label, M, self.origin = stats.present.nonzero()[:, 0], stats.centered_means, stats.global_mean.to(dtype)
        self.present = stats.present
        self.row = torch.full_like(stats.counts, -1, dtype=torch.int64)
        self.row[label] = torch.arange(len(label), device=label.device)
        bias = (self.origin - stats.global_mean) @ M.mT - M.square().sum(1) / 2
        more = -len(label) % _RUN  # rows that are never nearest, for _argmax
        self.M, self.bias = F.pad(M.to(dtype), (0, 0, 0, more)), F.pad(bias.to(dtype), (0, more), value=-torch.inf)
        # How often a mean was nearest so far; at first, how often its class occurred.
        self.often = F.pad(stats.counts[label].double(), (0, more), value=-1)
        rounding = M.shape[1] * torch.finfo(dtype).eps  # of a score, relative to |h - o| max |m| + max |b|
        self.slack = rounding * torch.linalg.vector_norm(self.M, dim=1).max(), rounding * bias.abs().max()

    def count(self, H: Tensor, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(samples where the largest logit among present classes is that of the nearest mean, samples compared), int64.

        H (..., d), logits (..., K) over all classes, y (...); samples with an absent class or y < 0 are left out.
        """
        used = ((y >= 0) & self.present.to(y.device)[y.clamp(min=0)]).nonzero(as_tuple=True)
        count = torch.tensor(len(used[0]), device=self.M.device)
        if not count:
            return count, count
        chosen = choice(logits, self.present.to(logits.device))
        return self.agrees(H[used], chosen[used]).sum(), count

    def agrees(self, h: Tensor, chosen: Tensor) -> Tensor:
        """Whether the mean nearest to h (N, d) is that of the present class chosen (N,): (N,) bool."""
        with exact_products(self.M.device):
            x, row = h.to(self.M) - self.origin, self.row[chosen.to(self.M.device)]
            own = (x * self.M[row]).sum(1) + self.bias[row]
            few = self.often.topk(math.ceil(len(self.M) * _FEW / _RUN) * _RUN).indices
            scores = torch.addmm(self.bias[few], x, self.M[few].mT)
            first = _argmax(scores)
            close = own + torch.linalg.vector_norm(x, dim=1) * self.slack[0] + self.slack[1]
            left = (scores.gather(1, first[:, None])[:, 0] <= close).nonzero()[:, 0]
            winner = few[first]
            winner[left] = self._search(x[left])
        self.often += torch.bincount(winner, minlength=len(self.M))
        return winner == row

    def _search(self, x):
        """The row of the nearest mean of each x (n, d), among all."""
        blocks = x.split(rows_at_once(x.device, len(self.M)))
        return torch.cat([_argmax(torch.addmm(self.bias, part, self.M.mT)) for part in blocks])


def agreeing(H: Tensor, W: Tensor, b: Tensor, means: Tensor, label: Tensor) -> int:
    """Rows h of H (N, d) for which arg max_k (w_k h + b_k) is the label of the nearest mean; the first wins a tie.

    W (K, d), b (K,) and means (K', d) float64, of the classes label (K',). Raises ValueError for an H that is not
    finite.
    """
    origin = means.mean(0)
    centers = means - origin
    offsets = -0.5 * torch.linalg.vecdot(centers, centers)
    o = origin.float().double()  # what float32 features lose exactly: any vector near the means will do
    c, c_near = W @ o + b, offsets + centers @ (o - origin)
    choose, near = _Scores(W, b, c, o), _Scores(centers, offsets, c_near, o)
    twins = _Twins(W, centers, c, c_near, label)
    total, size = 0, block_size(W.device)
    room = torch.empty(max(size, min(_ROWS, size * size // len(W))), W.shape[1], device=W.device)
    with exact_products(W.device):
        for h in H.split(len(room)):
            h = h.to(W.device)
            if not h.sum().isfinite() and not h.isfinite().all():  # a sum may overflow
                raise ValueError("H holds NaN or inf, must be finite")
            x = room[: len(h)].copy_(h if h.dtype in _EXACT else h.double() - o)
            x = x.sub_(o.float()) if h.dtype in _EXACT else x
            chosen, lead, sure = choose.winner(x)
            same = sure & twins.agree(chosen, lead, x, near)
            left = (~same).nonzero()[:, 0]
            nearest, _, known = near.winner(x[left])
            known &= sure[left]
            total += int(same.sum()) + int(((chosen[left] == label[nearest]) & known).sum())
            for part in h[left[~known]].double().split(size):
                total += int((arg_max(part, W, b) == label[arg_max(part - origin, centers, offsets)]).sum())
    return total


class _Scores:
    """<a_k, h> + b_k up to a constant, as <a_k, x> + c_k in float32 with x = h - o, and a bound on its rounding.

    A sum of d products, in any order, is wrong by at most d u / (1 - d u) times the sum of their absolute values, which
    is at most |x| |a_k|; u = 2^-24. Rounding a_k, c_k and x, and adding c_k, make d + 3 of d, and the difference of two
    scores doubles it. What float64 may lose of the scores as given is added: where it decides nothing, neither do we.
    """

    def __init__(self, A: Tensor, b: Tensor, c: Tensor, o: Tensor):
        c, d, more = c - c.mean(), A.shape[1], -len(A) % _RUN if len(A) > 4 * _RUN else 0
        self.A, self.c = F.pad(A.float(), (0, 0, 0, more)), F.pad(c.float(), (0, more), value=-math.inf)
        a, most, far = torch.linalg.vector_norm(A, dim=1).max(), c.abs().max(), o.norm()
        single, double = (1.01 * (d + 3) * torch.finfo(dtype).eps for dtype in (torch.float32, torch.float64))
        tiny = 4 * d * torch.finfo(torch.float32).tiny  # what products too small for float32 lose
        self.slack = (single + double) * a + tiny, single * most + double * (far * a + b.abs().max()) + tiny * (1 + a)
        self.usable = (a < _LARGE) & (most < _LARGE**2)

    def _scores(self, x, k):
        if len(self.A) > _RUN:
            return torch.addmm(self.c[k], x, self.A[k].mT)
        return torch.addmm(self.c[:, None], self.A, x.mT).mT.contiguous()  # few columns are multiplied slowly

    def winner(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each x (n, d): arg max_k; how far, float64, it leads all others at least; whether it surely does."""
        best = second = x.new_full((len(x),), -math.inf)
        arg = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for k in range(0, len(self.A), size := block_size(x.device)):
            scores = self._scores(x, slice(k, k + size))
            place = _argmax(scores)[:, None]
            value = scores.gather(1, place)[:, 0]
            rival = scores.scatter_(1, place, -math.inf).amax(1)
            second = torch.maximum(torch.minimum(best, value), torch.maximum(second, rival))
            arg = torch.where(value > best, place[:, 0] + k, arg)
            best = torch.maximum(best, value)
        length = _lengths(x)
        lead = best.double() - second - self.rounding(length)
        return arg, lead, (lead > 0) & (length < _LARGE) & self.usable

    def rounding(self, length: Tensor) -> Tensor:
        return self.slack[0] * length.clamp(min=_SMALL) + self.slack[1]


class _Twins:
    """Scores <m_k, x> + c'_k that nearly are s > 0 times others, <w_k, x> + c_k, and so have the same arg max.

    With e_k = m_k - s w_k and f_k = c'_k - s c_k, both less their means over k, on which no choice depends: the lead of
    class j over k in the scores of m is that in the scores of w times s, up to 2 max |e| |x| + max f - min f. The s is
    that of least squares. Here all is in float64; 1.01 covers its rounding.
    """

    def __init__(self, W: Tensor, M: Tensor, c: Tensor, c_near: Tensor, label: Tensor):
        self.present = torch.zeros(len(W), dtype=torch.bool, device=W.device)
        self.present[label] = True
        w = W[label]  # a copy
        w.sub_(w.mean(0))
        self.s = torch.linalg.vecdot(w, M).sum() / torch.linalg.vecdot(w, w).sum()
        e, f = w.mul_(-self.s).add_(M), c_near - self.s * c[label]
        self.slack = 2.02 * torch.linalg.vector_norm(e, dim=1).max(), 1.01 * (f.max() - f.min())

    def agree(self, chosen: Tensor, lead: Tensor, x: Tensor, near: _Scores) -> Tensor:
        """(n,) whether the scores `near` of x (n, d) must be largest at chosen (n,), as those of w are by `lead`."""
        length = _lengths(x)
        return self.present[chosen] & (self.s * lead > self.slack[0] * length + self.slack[1] + near.rounding(length))


def _lengths(x):
    return torch.linalg.vector_norm(x, dim=1).double()


def choice(logits: Tensor, present: Tensor) -> Tensor:
    """arg max of logits (..., K) over the classes present (K,) bool, the first in a tie: (...) int64."""
    chosen = _argmax(logits)
    absent = (~present[chosen]).nonzero(as_tuple=True)
    chosen[absent] = logits[absent].masked_fill(~present, -torch.inf).argmax(-1)
    return chosen


def rows_at_once(device, classes) -> int:
    """How many rows of scores over so many classes to make at a time."""
    return max(1, (_CPU_SCORES if device.type == "cpu" else _DEVICE_SCORES) // classes)


def _argmax(z):
    """z.argmax(-1): on a CPU torch takes maxima of values several times faster than it finds their places."""
    if z.device.type != "cpu" or z.shape[-1] % _RUN:
        return z.argmax(-1)
    runs = z.unflatten(-1, (-1, _RUN))
    best = runs.amax(-1).argmax(-1, keepdim=True)
    run = runs.gather(-2, best[..., None].expand(*best.shape, _RUN)).squeeze(-2)
    return best[..., 0] * _RUN + run.argmax(-1)


@contextmanager
def exact_products(device) -> Iterator[None]:
    """No autocast, and matrix products of float32 in float32 whatever the program allows elsewhere."""
    backends = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]
    allowed = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, allowed, strict=True):
            backend.fp32_precision = precision
