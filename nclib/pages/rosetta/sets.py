"""The three data sets of page A3: (features, labels, classifier, bias) in float64, from formulas and a seed.

Seed 0 of the first two is the data of which values by formulas of another author are kept with the tests; another seed
shifts their phase.
"""

import math

import torch

from nclib import frames
from nclib.runs.arguments import choose

double = torch.float64


def balanced(seed):
    """Four classes of five samples in six dimensions, far from collapse."""
    k, j = _grid(4, 6)
    y = torch.arange(20) % 4
    H = _binary(2 * _wave(k, j, seed)[y] + 1.5 * _within(torch.arange(20) // 4, y, 6, seed), 14)
    W = _binary(0.8 * _wave(k, j, seed) + 0.6 * torch.cos(0.9 * (k + 1) + 0.5 * j) + 0.25, 14)
    return H, y, W, _binary(1.8 * torch.cos(2 * k[:, 0] + 0.3), 14)


def imbalanced(seed):
    """Classes of 12, 6, 0, 3 and 2 samples in eight dimensions, with an offset of 100: class 2 does not occur."""
    k, j = _grid(5, 8)
    counts = torch.tensor([12, 6, 0, 3, 2])
    y = torch.repeat_interleave(torch.arange(5), counts)
    i = torch.cat([torch.arange(n) for n in counts.tolist()])
    H = 100 + _binary(3 * _wave(k, j, seed)[y] + 2 * _within(i, y, 8, seed), 12)
    W = _binary(1.2 * _wave(k, j, seed) + 0.7 * torch.cos(0.9 * (k + 1) + 0.5 * j), 12)
    less = torch.tensor([0, 1, 0, 2, 3])
    return H, y, W, _binary(-100 * W.sum(1) + 0.2 * torch.cos(k[:, 0] + 0.3) - 3 * less, 12)


def collapsed(seed):
    """Ten classes of eight samples near a simplex ETF in 16 dimensions; isotropic noise of variance 1e-8."""
    K, d, n, variance = 10, 16, 8, 1e-8
    generator = torch.Generator().manual_seed(seed)
    M = frames.simplex_etf(K, d)
    H = M.repeat(n, 1) + math.sqrt(variance / d) * torch.randn(K * n, d, generator=generator, dtype=double)
    W = M + 0.03 * torch.randn(K, d, generator=generator, dtype=double)
    return H, torch.arange(K).repeat(n), W, torch.randn(K, generator=generator, dtype=double)


SETS = {"balanced": balanced, "imbalanced": imbalanced, "near collapse": collapsed}


def features(name, seed=0):
    """(H, y, W, b) of a data set of `SETS`; ValueError that lists them for another name."""
    return choose(name, SETS, "data")(seed)


def _grid(K, d):
    return torch.arange(K, dtype=double)[:, None], torch.arange(d, dtype=double)


def _wave(k, j, seed):
    return torch.sin(1.3 * (k + 1) * (j + 1) + seed)


def _within(i, y, d, seed):
    return torch.sin(0.7 * (i[:, None] + 1) * (torch.arange(d, dtype=double) + 2) + 1.1 * y[:, None] + seed)


def _binary(x, digits):
    return torch.round(x * 2**digits) / 2**digits
