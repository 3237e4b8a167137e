"""Collapse as a callback of transformers.Trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import TrainerCallback, default_data_collator

from nclib.collect import evaluating
from nclib.conventions import find_preset, measure
from nclib.distributed import distributed_sum, rank, world_size
from nclib.measuring.causal_lm import inputs_of
from nclib.nearest import NearestMean
from nclib.statistics import ClassStatistics, StatisticsAccumulator


class CollapseCallback(TrainerCallback):
    """Measures a model at each evaluation of a Trainer and logs the numbers under "collapse/".

        trainer = Trainer(model, arguments, ..., callbacks=[CollapseCallback(windows)])

    data        what to measure on: token windows (n, T); a data set of examples with `labels`, collated by the default
                collator; or a DataLoader of batches with `labels`. -100 marks samples to leave out.
    classifier  the name of the module whose rows are the classes and whose input are the features. Default: a language
                model's output embedding, where the class of h_t is token t + 1; else the last nn.Linear with
                config.num_labels rows.
    log         where the numbers go, besides the dict that `evaluate` returns. Default: an entry of the Trainer's
                log_history; `callback.log = trainer.log` also sends them to its integrations.

    The numbers are those of `nclib.conventions.measure`, NC4 over the same data in a second pass with the model's own
    logits. The model runs in eval mode without gradients, and each module's mode is put back. With several processes
    each takes its part of the batches and all get the same numbers. `statistics` keeps the last ClassStatistics.

    Raises ValueError for a model without such a classifier, and data without labels of the features' shape.
    """

    def __init__(
        self,
        data: Tensor | DataLoader | Iterable,
        *,
        batch_size: int = 8,
        classifier: str | None = None,
        preset: str = "textbook",
        log: Callable[[dict], None] | None = None,
    ):
        find_preset(preset)
        self.loader = data if isinstance(data, DataLoader) else _loader(data, batch_size)
        self.classifier, self.preset, self.log = classifier, preset, log
        self.statistics: ClassStatistics | None = None

    def on_evaluate(self, args, state, control, model=None, metrics=None, **kwargs):
        values = {f"collapse/{key}": value for key, value in self.measure(model).items()}
        if metrics is not None:
            metrics.update(values)
        if self.log is not None:
            self.log(dict(values))
        else:
            state.log_history.append({**values, "epoch": state.epoch, "step": state.global_step})

    @torch.no_grad()
    def measure(self, model: nn.Module) -> dict[str, float]:
        """The numbers of a model, by name."""
        head, shift = find_classifier(model, self.classifier)
        W = head.weight.detach()
        accumulator = StatisticsAccumulator(*W.shape, device=W.device)
        with evaluating(model), inputs_of(head) as kept:
            for H, _, y in self._samples(model, kept, shift):
                accumulator.update(H, y)
            stats = self.statistics = distributed_sum(accumulator.compute())
            nearest = NearestMean(stats, torch.promote_types(W.dtype, torch.float32))
            total = torch.zeros(2, dtype=torch.int64)
            for H, logits, y in self._samples(model, kept, shift):
                total += torch.stack(nearest.count(H, logits, y)).cpu()
        if world_size() > 1:
            total = total.to(W.device)
            torch.distributed.all_reduce(total)
        hits, seen = total.tolist()
        return measure(stats, W, preset=self.preset, agreement=hits / seen if seen else None)

    def _samples(self, model, kept, shift):
        """Features (..., d), logits (..., K) and labels (...) of this process's batches."""
        device = next(model.parameters()).device
        for i, batch in enumerate(self.loader):
            if i % world_size() != rank():
                continue
            if not isinstance(batch, Mapping) or "labels" not in batch:
                raise ValueError(f"data gives a {type(batch).__name__} without labels, must give mappings with labels")
            inputs = {key: value.to(device) for key, value in batch.items()}
            y = inputs.pop("labels")
            logits = model(**inputs, **({"use_cache": False} if shift else {})).logits
            H = kept[0]
            if H.shape[:-1] != y.shape or logits.shape[:-1] != y.shape:
                raise ValueError(f"labels have shape {tuple(y.shape)}, must be {tuple(H.shape[:-1])} as its features")
            yield (H[:, :-1], logits[:, :-1], y[:, 1:]) if shift else (H, logits, y)


def find_classifier(model: nn.Module, name: str | None = None) -> tuple[nn.Module, bool]:
    """(the module of the classifier, whether it predicts the next token). Raises ValueError where there is none."""
    embedding = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if name is None:
        K = getattr(model.config, "num_labels", None)
        fitting = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == K]
        found = embedding if embedding is not None else fitting[-1] if fitting else None
    else:
        found = dict(model.named_modules()).get(name)
    if getattr(found, "weight", None) is None or found.weight.ndim != 2:
        raise ValueError(f"classifier={name!r}: {type(model).__name__} has no such module with a weight (K, d)")
    return found, found is embedding


def _loader(data, batch_size):
    if isinstance(data, Tensor):
        data = [{"input_ids": window, "labels": window} for window in data.long()]
    return DataLoader(data, batch_size, collate_fn=default_data_collator)
