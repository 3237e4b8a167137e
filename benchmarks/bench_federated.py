"""Sparse frames against the authors' Adam and against one mask at a time; a round of clients against a loop over them.

Run by `make bench`; the ratio of a row is of the same round, see conftest.py.
"""

import pytest
import torch
from conftest import paired

from nclib import frames
from nclib.pages.federated.speed import Speed
from nclib.pages.sparse_frame.frame import GAMMA, by_adam
from nclib.theory import sparse_frame as sf


@pytest.mark.parametrize(("K", "d"), [(10, 512), (20, 64), (100, 512)])
def test_exact_frame_against_adam(benchmark, K, d):
    """Adam's 10,000 steps, the number of the authors' code; the exact solver has the same mask and its own start."""
    mask = sf.without_singletons(sf.sparse_mask(K, d, 0.6))
    start = GAMMA * frames.simplex_etf(K, d) * mask
    paired(benchmark, lambda: sf.simplex_on_mask(mask), lambda: by_adam(start, mask, GAMMA, 10_000), 2,
           name="sparse frame, exact", against="Adam, 10,000 steps", goal=0.01, K=K, d=d)  # fmt: skip


@pytest.mark.parametrize(("K", "d"), [(5, 8), (10, 32)])
def test_masks_in_a_batch_against_one_after_the_other(benchmark, K, d):
    masks = torch.stack([sf.sparse_mask(K, d, 0.4, seed=i) for i in range(32)])
    paired(benchmark, lambda: sf.nearest_simplexes(masks), lambda: [sf.nearest_simplex(mask) for mask in masks], 5,
           name="32 masks in a batch", against="one after the other", goal=0.7, K=K, d=d)  # fmt: skip


@pytest.mark.parametrize(("clients", "goal"), [(10, 0.4), (40, 0.25)])
def test_clients_in_a_batch_against_a_loop(benchmark, clients, goal):
    run = Speed(clients, 8, 20, 0)
    paired(benchmark, lambda: run.trained(torch.float32, False), lambda: run.trained(torch.float32, True), 7,
           name=f"{clients} clients, batches of 8", against="a loop over torch's layers", goal=goal,
           K=20, d=64, N=clients * 8)  # fmt: skip
