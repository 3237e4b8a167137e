"""NC4 over many classes: is the class that a classifier chose that of the nearest mean?

The nearest of K means need not be found for that: one mean nearer than that of the chosen class settles it. Most
choices fall to one of the few means that are nearest most often; only those that none of these refutes meet all K. The
answer is that of a full search.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch import Tensor

from nclib._pairs import arg_max
from nclib.statistics import ClassStatistics

_RUN = 64  # entries of a row of logits that are reduced at once
_FEW = 64  # at least so many means are tried first, and a sixteenth of all


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
        self.M, self.bias = M.to(dtype), bias.to(dtype)
        self.often = stats.counts[label].double()  # how often a mean was nearest so far; first, the classes' sizes
        rounding = M.shape[1] * torch.finfo(dtype).eps  # of a score, relative to |h - o| max |m| + max |b|
        self.slack = rounding * torch.linalg.vector_norm(self.M, dim=1).max(), rounding * self.bias.abs().max()

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
            few = self.often.topk(min(len(self.M), max(_FEW, len(self.M) // 16))).indices
            best, winner = torch.addmm(self.bias[few], x, self.M[few].mT).max(1)
            close = own + torch.linalg.vector_norm(x, dim=1) * self.slack[0] + self.slack[1]
            left = (best <= close).nonzero()[:, 0]
            winner = few[winner]
            winner[left] = arg_max(x[left], self.M, self.bias)
        self.often += torch.bincount(winner, minlength=len(self.M))
        return winner == row


def choice(logits: Tensor, present: Tensor) -> Tensor:
    """arg max of logits (..., K) over the classes present (K,) bool, the first in a tie: (...) int64."""
    chosen = _argmax(logits)
    absent = (~present[chosen]).nonzero(as_tuple=True)
    chosen[absent] = logits[absent].masked_fill(~present, -torch.inf).argmax(-1)
    return chosen


def _argmax(z):
    """z.argmax(-1): on a CPU torch takes maxima of values several times faster than it finds their places."""
    if z.device.type != "cpu" or z.shape[-1] % _RUN:
        return z.argmax(-1)
    runs = z.unflatten(-1, (-1, _RUN))
    best = runs.amax(-1).argmax(-1, keepdim=True)
    run = runs.gather(-2, best[..., None].expand(*best.shape, _RUN)).squeeze(-2)
    return best[..., 0] * _RUN + run.argmax(-1)


@contextmanager
def exact_products(device):
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
