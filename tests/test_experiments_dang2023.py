"""The studies of deep linear heads: the same code for balanced and imbalanced classes, measured beside predicted."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from nclib import data, results
from nclib.experiments.dang2023 import balanced, direct, imbalanced, network, prediction, verdicts
from nclib.statistics import ClassStatistics
from nclib.theory.deep_linear import mse_minimizer

STUDIES = [balanced, imbalanced]
TINY = direct.Config((8, 4, 2), width=6, depth=2, bias=False, lam=5e-3, steps=1000, std=0.35, seeds=(0, 1))
NET = network.Config("digits", tuple(range(2, 12)), 2, False, 1e-3, epochs=3, drop=2, lr=3e-3, width=12, seed=0)


@pytest.fixture(scope="module")
def tiny():
    return direct.run(TINY).assign(config="tiny", **{k: [v] * 1 for k, v in {"x": 0}.items()}, experiment="dang2023.direct")


def collapsed(counts, depth=1, lam=1e-3, d=7, bias=False):
    """(statistics, P, minimizer) of exactly collapsed features in a random basis."""
    target = mse_minimizer(counts, [lam] * depth, lam, bias=bias)
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q[: len(counts)]
    values, V = torch.linalg.eigh(target.gram_H)
    means = V @ torch.diag(values.clamp(min=0).sqrt()) @ V.T @ Q
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    noise = torch.randn(len(y), d, generator=generator, dtype=torch.float64)
    P = prediction.row_ratio(target)[:, None] * means
    return means[y] + 1e-9 * noise, y, P, target
