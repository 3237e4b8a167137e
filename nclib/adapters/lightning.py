"""Collapse as a callback of Lightning's Trainer.

    from nclib.adapters.lightning import CollapseCallback

    trainer = Trainer(callbacks=[CollapseCallback(loader, num_classes=10)])

`CollapseCallback` is `Collapse` with Lightning's Callback as its other base, so it needs one of the packages lightning
and pytorch_lightning; `Collapse` needs neither, and serves a loop of one's own that calls its hooks.

Hooks and their order were read in Lightning 2.6.6 (loops/evaluation_loop.py). An evaluation calls
`on_validation_start`, `on_validation_epoch_start`, those of the batches, `on_validation_epoch_end` and
`on_validation_end`, all in inference mode and after `model.eval()`; of the last two only the first may log. Before the
first epoch the same runs on a few batches with `trainer.sanity_checking`, where nothing is measured.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import torch
from torch import nn
from torch.utils.data import DistributedSampler

from nclib.collect import features_and_logits, first_head
from nclib.conventions import find_preset, measure
from nclib.distributed import distributed_sum, rank, world_size
from nclib.measuring.heads import effective
from nclib.nearest import NearestMean
from nclib.statistics import ClassStatistics, StatisticsAccumulator

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


class Collapse:
    """Measures a LightningModule at the end of each validation (and test) epoch and logs the numbers.

    loader       what to measure on: batches as `nclib.collect` takes them, of training samples where collapse is meant.
                 None: the trainer's own validation (or test) batches.
    num_classes  K.
    model        the name of the submodule that maps x to logits, such as "net"; default: the LightningModule itself,
                 by its `forward`.
    classifier   as in `nclib.collect`; default: found on the first batch.
    prefix       of the names, "collapse/nc1".

    The numbers are those of `nclib.conventions.measure`, NC4 in a second pass with the model's own logits. They are
    logged by `pl_module.log_dict`: `self.log` takes one number and no dict, nor a metric that gives one. Lightning
    keeps what is logged in single precision; `values` holds the last numbers and `statistics` the last ClassStatistics
    as they were computed. The model runs in eval mode, each module's mode is put back. With several processes each
    takes its part of the batches (all of those of a DistributedSampler) and all log the same numbers.

    Raises ValueError for an unknown preset and as `nclib.collect` does.
    """

    def __init__(
        self,
        loader: Iterable | None = None,
        *,
        num_classes: int,
        model: str | None = None,
        classifier: str | None = None,
        preset: str = "textbook",
        prefix: str = "collapse/",
    ):
        super().__init__()
        find_preset(preset)
        self.loader, self.num_classes, self.model, self.classifier = loader, num_classes, model, classifier
        self.preset, self.prefix = preset, prefix
        self.statistics: ClassStatistics | None = None
        self.values: dict[str, float] = {}

    def on_validation_epoch_end(self, trainer, pl_module) -> None:
        """Measures and logs, but for the sanity check before training."""
        if not trainer.sanity_checking:
            self._log(pl_module, trainer.val_dataloaders if self.loader is None else self.loader)

    def on_test_epoch_end(self, trainer, pl_module) -> None:
        """Measures and logs."""
        self._log(pl_module, trainer.test_dataloaders if self.loader is None else self.loader)

    def _log(self, pl_module, loader):
        self.values = self.measure(pl_module, loader)
        named = {f"{self.prefix}{key}": value for key, value in self.values.items()}
        pl_module.log_dict(named, sync_dist=world_size() > 1)

    @torch.no_grad()
    def measure(self, module: nn.Module, loader: Iterable) -> dict[str, float]:
        """The numbers of a module on batches, by name; `statistics` are kept."""
        known = dict(module.named_modules())
        if self.model is not None and self.model not in known:
            raise ValueError(f"model={self.model!r} is no module, must be one such as {[n for n in known if n][:5]}")
        model = module if self.model is None else known[self.model]
        batches = _Part(loader)
        head, H = first_head(model, loader, self.num_classes, self.classifier)
        W = effective(head.module, H)[0] if not head.convolution else head.module.weight.detach().flatten(1)
        accumulator = StatisticsAccumulator(self.num_classes, W.shape[1], device=W.device)
        for H, _, y in features_and_logits(model, batches, head):
            accumulator.update(H, y)
        stats = self.statistics = distributed_sum(accumulator.compute())
        nearest = NearestMean(stats, torch.promote_types(W.dtype, torch.float32))
        total = torch.zeros(2, dtype=torch.int64)
        for H, logits, y in features_and_logits(model, batches, head):
            total += torch.stack(nearest.count(H, logits, y.to(H.device))).cpu()
        if world_size() > 1:
            total = total.to(W.device)
            torch.distributed.all_reduce(total)
        hits, seen = total.tolist()
        return measure(stats, W, preset=self.preset, agreement=hits / seen if seen else None)


class _Part:
    """The batches of this process: every `world_size`-th, or those that a DistributedSampler gives it."""

    def __init__(self, loader):
        self.loader = loader
        self.split = isinstance(getattr(loader, "sampler", None), DistributedSampler)

    def __iter__(self):
        size = 1 if self.split else world_size()
        return (batch for i, batch in enumerate(self.loader) if i % size == rank() % size)


def __getattr__(name: str):
    """`CollapseCallback`, when it is asked for: Lightning takes seconds to import."""
    if name != "CollapseCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for package in _PACKAGES:
        try:
            base = importlib.import_module(package).Callback
        except ModuleNotFoundError as error:
            if error.name not in (package, package.partition(".")[0]):
                raise
        else:
            return globals().setdefault(name, type(name, (Collapse, base), {"__doc__": Collapse.__doc__}))
    raise ImportError("CollapseCallback needs Lightning: pip install lightning, or pytorch-lightning")
