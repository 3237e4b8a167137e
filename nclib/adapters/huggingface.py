"""Collapse as a callback of transformers.Trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import TrainerCallback, default_data_collator

from nclib.collect import evaluating, uncompiled
from nclib.conventions import find_preset, measure
from nclib.distributed import distributed_sum, rank, world_size
from nclib.measuring.causal_lm import inputs_of
from nclib.measuring.heads import at_labels, effective, gives, logits_of
from nclib.nearest import NearestMean
from nclib.statistics import ClassStatistics, StatisticsAccumulator


class CollapseCallback(TrainerCallback):
    """Measures a model at each evaluation of a Trainer and logs the numbers under "collapse/".

        trainer = Trainer(model, arguments, ..., callbacks=[CollapseCallback(windows)])

    data        what to measure on: token windows (n, T); a data set of examples with `labels`, collated by the default
                collator; or a DataLoader of batches with `labels`. -100 marks samples to leave out.
    classifier  the name of the module whose rows are the classes and whose input are the features. Default: a language
                model's output embedding, else the last nn.Linear with config.num_labels rows. Its weight is taken with
                its adapter, and the model's logits must be one strictly increasing function of its output.
    shift       whether the class of h_t is label t + 1. Default: as the model's own loss has it, compared with the
                cross-entropies of both; never for an encoder-decoder, which gets the labels as its decoder's input.
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
        shift: bool | None = None,
        preset: str = "textbook",
        log: Callable[[dict], None] | None = None,
    ):
        find_preset(preset)
        self.loader = data if isinstance(data, DataLoader) else _loader(data, batch_size)
        self.classifier, self.shift, self.preset, self.log = classifier, shift, preset, log
        self.statistics: ClassStatistics | None = None

    def on_evaluate(self, args, state, control, model=None, metrics=None, **kwargs) -> None:
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
        head = find_classifier(model, self.classifier)
        with evaluating(model), uncompiled(model), inputs_of(head) as kept:
            W, shift = self._looked_at(model, head, kept)
            accumulator = StatisticsAccumulator(*W.shape, device=W.device)
            for H, _, y in self._samples(model, head, kept, shift):
                accumulator.update(H, y)
            stats = self.statistics = distributed_sum(accumulator.compute())
            nearest = NearestMean(stats, torch.promote_types(W.dtype, torch.float32))
            total = torch.zeros(2, dtype=torch.int64)
            for H, logits, y in self._samples(model, head, kept, shift):
                total += torch.stack(nearest.count(H, logits, y)).cpu()
        if world_size() > 1:
            total = total.to(W.device)
            torch.distributed.all_reduce(total)
        hits, seen = total.tolist()
        return measure(stats, W, preset=self.preset, agreement=hits / seen if seen else None)

    def _looked_at(self, model, head, kept):
        """(the classifier's weight, whether labels are shifted), from the first batch."""
        outputs = []
        handle = head.register_forward_hook(lambda module, args, output: outputs.append(output.detach().clone()))
        try:
            out, y = _forward(model, _few(next(iter(self.loader), None)), loss=self.shift is None)
        finally:
            handle.remove()
        logits = logits_of(out)
        H = at_labels(head, kept[0], y, out) if kept else None
        if not kept or not (H.ndim < kept[0].ndim or gives(outputs[-1], logits)):
            raise ValueError(
                f"{type(model).__name__}: its logits are no increasing function of the output of the classifier, name "
                "it with classifier=, or measure features with nclib.collect(layer=)"
            )
        shift = predicts_next(model, out, y) if self.shift is None else self.shift
        return effective(head, H)[0], shift

    def _samples(self, model, head, kept, shift):
        """Features (..., d), logits (..., K) and labels (...) of this process's batches."""
        for i, batch in enumerate(self.loader):
            if i % world_size() != rank():
                continue
            out, y = _forward(model, batch)
            H, logits = at_labels(head, kept[0], y, out), logits_of(out)
            if H.shape[:-1] != y.shape or logits.shape[:-1] != y.shape:
                raise ValueError(f"labels have shape {tuple(y.shape)}, must be {tuple(H.shape[:-1])} as its features")
            yield (H[:, :-1], logits[:, :-1], y[:, 1:]) if shift else (H, logits, y)


def _few(batch):
    """The first examples of a batch, of about 2,048 tokens: enough to look at, and little beside a large vocabulary."""
    y = batch.get("labels") if isinstance(batch, Mapping) else None
    if not isinstance(y, Tensor) or y.ndim < 2:
        return batch
    n = max(1, 2048 // y.shape[1])
    return {
        key: value[:n] if isinstance(value, Tensor) and value.shape[:1] == y.shape[:1] else value
        for key, value in batch.items()
    }


def _forward(model, batch, *, loss=False):
    """(what the model returns, labels) of a batch; with labels where it needs them, for its loss or its decoder."""
    if not isinstance(batch, Mapping) or "labels" not in batch:
        raise ValueError(f"data gives a {type(batch).__name__} without labels, must give mappings with labels")
    device = next((p.device for p in model.parameters() if p.device.type != "meta"), torch.device("cpu"))
    inputs = {key: torch.as_tensor(value).to(device) for key, value in batch.items()}
    y = inputs["labels"]
    if not (loss and _fits_logits(model, inputs)) and not model.config.is_encoder_decoder:
        inputs = {key: value for key, value in inputs.items() if key != "labels"}
    cache = {"use_cache": False} if hasattr(model.config, "use_cache") and y.ndim > 1 else {}
    return model(**inputs, **cache, return_dict=True), y


def _fits_logits(model, inputs):
    """Whether labels are one a token, so that they may be shifted."""
    ids = inputs.get("input_ids")
    return ids is not None and inputs["labels"].ndim > 1 and inputs["labels"].shape == ids.shape


def predicts_next(model: nn.Module, out, y: Tensor) -> bool:
    """Whether a model's own loss compares the logits of position t with label t + 1, and not with label t.

    Raises ValueError where it returns no loss, and both cross-entropies are the same.
    """
    logits = logits_of(out)
    if model.config.is_encoder_decoder or y.ndim < 2 or logits.shape[:-1] != y.shape:
        return False
    loss = getattr(out, "loss", None)
    here, after = (
        nn.functional.cross_entropy(z.flatten(0, 1).float(), t.flatten(), ignore_index=-100)
        for z, t in ((logits, y), (logits[:, :-1], y[:, 1:]))
    )
    if loss is None or bool(here == after) or not bool((loss + here + after).isfinite()):
        raise ValueError(f"{type(model).__name__} does not say whether it predicts the next token: set shift=")
    return bool((loss - after).abs() < (loss - here).abs())


def find_classifier(model: nn.Module, name: str | None = None) -> nn.Module:
    """The module of the classifier. Raises ValueError where there is none."""
    embedding = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if name is None:
        K = getattr(model.config, "num_labels", None)
        fitting = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == K]
        found = embedding if embedding is not None else fitting[-1] if fitting else None
    else:
        found = dict(model.named_modules()).get(name)
    if getattr(found, "weight", None) is None or found.weight.ndim != 2:
        raise ValueError(f"classifier={name!r}: {type(model).__name__} has no such module with a weight (K, d)")
    return found


def _loader(data, batch_size):
    if isinstance(data, Tensor):
        data = [{"input_ids": window, "labels": window} for window in data.long()]
    return DataLoader(data, batch_size, collate_fn=default_data_collator)
