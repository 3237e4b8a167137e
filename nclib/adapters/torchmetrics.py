"""Collapse as a torchmetrics metric."""

from __future__ import annotations

import functools
import math
import operator

import torch
from torch import Tensor
from torchmetrics import Metric

from nclib.conventions import find_preset, measure
from nclib.statistics import ClassStatistics, StatisticsAccumulator

_FIELDS = ("counts", "means", "spread", "scatter", "invalid")


class NeuralCollapse(Metric):
    """The numbers of `nclib.conventions.measure` for features H (..., dim) with labels y (...), batch by batch.

        metric = NeuralCollapse(num_classes=10, dim=512)
        metric.update(H, y);  metric.compute()["nc1"]

    `compute` gives {name: float64 scalar}; where fewer than two classes have been seen, as in one batch of `forward`,
    every number is NaN. `statistics` gives the ClassStatistics, for numbers that need a classifier. Under
    torch.distributed both are of all ranks together, by the exact merge. State is float64 and stays so under .half(),
    .to(dtype) and set_dtype; it costs num_classes * dim numbers, and dim^2 with a scatter (scatter=None: unless
    dim > 1,024 or num_classes > dim). In a MetricCollection, presets of one size share their state.

    Samples labelled `ignore_index` are left out. Other keyword arguments are those of torchmetrics.Metric.

    Raises ValueError as `StatisticsAccumulator` and `measure` do.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = True  # batches do not add up to the state by one reduction a tensor

    def __init__(self, num_classes: int, dim: int, *, preset="textbook", scatter=None, ignore_index=-100, **kwargs):
        super().__init__(**kwargs)
        find_preset(preset)
        self.num_classes, self.dim, self.preset, self.ignore_index = num_classes, dim, preset, ignore_index
        accumulator = StatisticsAccumulator(num_classes, dim, scatter=scatter)
        self.scatter_kept = accumulator._scatter is not None
        for field in _FIELDS:
            state = getattr(accumulator, f"_{field}")
            # No reduction: ranks are stacked, and merged when the statistics are asked for.
            self.add_state(field, torch.zeros(0) if state is None else state, dist_reduce_fx=None)
        self._accumulator: StatisticsAccumulator | None = None

    def update(self, H: Tensor, y: Tensor) -> None:
        """Add features H (..., dim), any floating dtype, with labels y (...), any integer dtype."""
        accumulator = self._bound()
        accumulator.update(H, y, ignore_index=self.ignore_index)

    def compute(self) -> dict[str, Tensor]:
        """{name: float64 scalar} on the device of the state."""
        stats = self.statistics()
        if int(stats.present.sum()) > 1:
            values = measure(stats, preset=self.preset)
        else:
            two = ClassStatistics.from_features(torch.eye(2, self.dim), torch.arange(2), 2, scatter=self.scatter_kept)
            values = dict.fromkeys(measure(two, preset=self.preset), math.nan)
        return {
            name: torch.tensor(value, dtype=torch.float64, device=self.counts.device) for name, value in values.items()
        }

    def statistics(self) -> ClassStatistics:
        """The statistics of this rank, within `compute` and between `sync` and `unsync` of all ranks."""
        ranks = self.counts.reshape(-1, self.num_classes + 1)
        parts = []
        for r in range(len(ranks)):
            accumulator = self._bound({field: self._of_rank(field, r) for field in _FIELDS})
            parts.append(accumulator.compute())
        self._accumulator = None
        return functools.reduce(operator.add, parts)

    def merge_state(self, incoming_state: dict[str, Tensor] | NeuralCollapse) -> None:
        """Add another metric of the same size, or its states by name, exactly as the statistics do.

        Raises ValueError for another kind, another size, and states that were flagged.
        """
        if isinstance(incoming_state, NeuralCollapse):
            stats, updates = incoming_state.statistics(), incoming_state.update_count
        elif isinstance(incoming_state, dict) and set(_FIELDS) <= set(incoming_state):
            other = NeuralCollapse(self.num_classes, self.dim, scatter=self.scatter_kept)
            stats, updates = other._bound({field: incoming_state[field] for field in _FIELDS}).compute(), 1
        else:
            raise ValueError(
                f"incoming_state is a {type(incoming_state).__name__}, must be a NeuralCollapse or its states"
            )
        self._bound().merge(stats)
        self._update_count += updates
        self._computed = None

    def set_dtype(self, dst_type) -> NeuralCollapse:
        """Nothing: the state stays float64."""
        return self

    def _of_rank(self, field, r):
        state = getattr(self, field)
        return state[r] if self.counts.ndim == 2 else state

    def _bound(self, state=None) -> StatisticsAccumulator:
        """An accumulator in place on the state, which torchmetrics replaces when it resets, moves or loads it."""
        state = state or {field: getattr(self, field) for field in _FIELDS}
        device = state["counts"].device
        if self._accumulator is None or self._accumulator.device != device:
            self._accumulator = StatisticsAccumulator(
                self.num_classes, self.dim, device=device, scatter=self.scatter_kept
            )
        for field in _FIELDS:
            if field != "scatter" or self.scatter_kept:
                setattr(self._accumulator, f"_{field}", state[field])
        return self._accumulator

    def _apply(self, fn, exclude_state=""):
        """Move the state where `fn` moves tensors, without its dtype; it stays where it is for MPS, without float64."""
        device = fn(torch.zeros(1)).device

        def move(t):
            return t if device.type == "mps" else t.to(device)

        return super()._apply(move, exclude_state)
