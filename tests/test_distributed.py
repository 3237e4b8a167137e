"""Exact sums over processes: real processes of gloo, on one machine."""

import functools
import operator

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from nclib import distributed
from nclib.statistics import ClassStatistics


def problem(scatter):
    """20,000 classes or 30 with a scatter, more than are gathered at a time. A far offset, absent classes."""
    g = torch.Generator().manual_seed(0)
    K, d, N = (30, 40, 900) if scatter else (20_000, 3, 30_000)
    H = torch.randn(N, d, generator=g, dtype=torch.float64) + 1000
    return H, torch.randint(0, K - 7, (N,), generator=g), K


def part(rank, size, scatter):
    """Rank 0 has most, the last one nothing."""
    H, y, K = problem(scatter)
    cuts = [len(y)] if size == 1 else [2 * len(y) // 3, *[len(y)] * (size - 2)]
    return ClassStatistics.from_features(H.tensor_split(cuts)[rank], y.tensor_split(cuts)[rank], K, scatter=scatter)


def join(rank, size, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    assert (distributed.rank(), distributed.world_size()) == (rank, size)


def add_on_rank(rank, size, folder):
    join(rank, size, folder)
    for scatter in (True, False):
        distributed._BLOCK = 11 if scatter else 8192
        distributed.distributed_sum(part(rank, size, scatter)).save(f"{folder}/{scatter}-{rank}.safetensors")
    shapes = part(rank, size, True), ClassStatistics.from_features(torch.ones(1, 3), torch.tensor([0]), 2 + rank)
    mixed = ClassStatistics.from_features(torch.ones(1, 3), torch.tensor([0]), 2, scatter=rank == 0)
    for stats, message in [(shapes[1], "(2, 3, 1), (3, 3, 1)"), (mixed, "(2, 3, 1), (2, 3, 0)")]:
        with pytest.raises(ValueError) as error:
            distributed.distributed_sum(stats)
        assert message in str(error.value) and "must be the same on all" in str(error.value)
    group = dist.new_group([0])
    if rank == 0:
        alone = distributed.distributed_sum(shapes[0], group)
        assert torch.equal(alone.means, shapes[0].means)
    dist.destroy_process_group()


def bits(stats, scatter):
    fields = [stats.counts, stats.means, stats.spread] + [stats.scatter] * scatter
    return [field.numpy().tobytes() for field in fields]


def test_law_sum_over_three_processes(tmp_path):
    """The same bits on every rank, those of adding the parts in order, and one pass over all to 1e-12."""
    size = 3
    multiprocessing.spawn(add_on_rank, args=(size, str(tmp_path)), nprocs=size)
    for scatter in (True, False):
        found = [ClassStatistics.load(tmp_path / f"{scatter}-{rank}.safetensors") for rank in range(size)]
        assert all(bits(stats, scatter) == bits(found[0], scatter) for stats in found)
        added = functools.reduce(operator.add, [part(rank, size, scatter) for rank in range(size)])
        assert bits(ClassStatistics(added.counts, added.means, added.spread), False) == bits(found[0], False)
        whole = part(0, 1, scatter)
        for name in ("counts", "means", "spread") + ("scatter",) * scatter:
            torch.testing.assert_close(getattr(found[0], name), getattr(whole, name), rtol=1e-12, atol=1e-11)
        assert found[0].counts.sum() == len(problem(scatter)[1]) and not found[0].present.all()


def test_value_alone():
    stats = part(0, 1, True)
    assert distributed.distributed_sum(stats) is stats
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
