"""Mixup: 100,000 closed-form features of K = 100 classes, on one thread. The target is below a second."""

import pytest
import torch
from conftest import alone

from nclib.frames import simplex_etf
from nclib.theory.mixup import feature, logits

COUNT, K, GOAL = 100_000, 100, 1.0  # seconds


@pytest.mark.parametrize("what", ["logits", "features"])
def test_closed_form(benchmark, what):
    """Logits of as many a, from 1e-4 to 1e8; feature vectors of one lam_H. Fails above the target."""
    generator = torch.Generator().manual_seed(0)
    mix, place = torch.rand(2, COUNT, generator=generator, dtype=torch.float64)
    i, j = torch.randint(K, (2, COUNT), generator=generator)
    W, a = simplex_etf(K, K - 1), 10 ** (12 * place - 4)
    call = {"logits": lambda: logits(K, a, mix), "features": lambda: feature(W, i, j, mix, 1e-3)}[what]
    alone(benchmark, call, 5, name=f"100,000 {what}", K=K, N=COUNT, goal=GOAL)
    assert benchmark.extra_info["seconds"] < GOAL
