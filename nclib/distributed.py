"""Exact sums of class statistics over the processes of torch.distributed, and how torchrun's processes meet."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from nclib._device import torch_device
from nclib.statistics import ClassStatistics

_BLOCK = 8192  # classes gathered at a time: memory is world_size * block * d, not world_size * K * d


def rank(group=None) -> int:
    """This process in the group, 0 where torch.distributed is not initialized."""
    return dist.get_rank(group) if _initialized() else 0


def world_size(group=None) -> int:
    """Processes in the group, 1 where torch.distributed is not initialized."""
    return dist.get_world_size(group) if _initialized() else 1


@contextmanager
def ranks(device="auto") -> Iterator[torch.device]:
    """The device of this process; under torchrun with several processes also torch.distributed (gloo, on GPUs nccl).

    "auto" is a GPU where there is one. Raises ValueError for a device that is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    place = torch_device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield place
        return
    if place.type == "cuda":
        place = torch_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield place
    finally:
        dist.destroy_process_group()


def distributed_sum(stats: ClassStatistics, group=None) -> ClassStatistics:
    """The sum of every rank's statistics, by the exact merge of ClassStatistics.__add__; call it on all ranks.

    Ranks are added in their order on each of them, from the gathered numbers and not by a reduction, so all get the
    same bits, on the device of their own `stats`. Without torch.distributed it returns `stats`.

    Raises ValueError, on every rank, if K, d or the presence of a scatter differ between ranks.
    """
    n = world_size(group)
    if n == 1:
        return stats
    K, d = stats.means.shape
    home, wire = stats.means.device, _wire(stats.means.device, group)
    shape = torch.tensor([K, d, stats.scatter is not None], device=wire)
    shapes = [tuple(row.tolist()) for row in _gather(shape, n, group)]
    if len(set(shapes)) > 1:
        raise ValueError(f"stats has (K, d, scatter) {shapes} on the ranks, must be the same on all")
    scatters = [None] * n if stats.scatter is None else _gather(stats.scatter.to(wire), n, group)
    parts = []
    for block in torch.arange(K).split(_BLOCK):
        k = slice(int(block[0]), int(block[-1]) + 1)
        fields = [_gather(field[k].to(wire), n, group) for field in (stats.counts, stats.means, stats.spread)]
        ranks = [ClassStatistics(*field) for field in zip(*fields, scatters, strict=True)]
        parts.append(functools.reduce(operator.add, ranks).to(home))
        scatters = [None if scatter is None else torch.zeros_like(scatter) for scatter in scatters]
    counts, means, spread = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("counts", "means", "spread")
    )
    scatter = None if stats.scatter is None else sum(part.scatter for part in parts)
    return ClassStatistics(counts, means, spread, scatter)


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def _wire(home: torch.device, group) -> torch.device:
    """Where the backend wants tensors: nccl on a GPU, gloo on the CPU."""
    backend = dist.get_backend(group)
    if backend == "nccl" and home.type != "cuda":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu") if backend == "gloo" else home


def _gather(x: Tensor, n: int, group) -> list[Tensor]:
    out = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(n)]
    dist.all_gather(out, x.contiguous(), group=group)
    return out
