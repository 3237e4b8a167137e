"""Loss, class statistics and NC4 agreement of a language model: the class of the feature h_t is the token t + 1.

Models and windows are those of `language`. Every function runs in eval mode without gradients (and puts the mode
back), in the precision of the model, over batches of batch_tokens // T windows, the last one smaller; logits are made
for a block of tokens at a time and never kept. Losses are nats a token, summed in float64 over all targets.

Models are measured in float32. With features in bfloat16, NC4 of two trained models differs by 1.1e-3 and 2.6e-3 of
its value, the largest CDNV by 4e-3 and 1e-3, the mean cosine of class means by 7e-4 and 2e-3; passes would have
changed over had all measures agreed to 1e-3. That is on a CPU (benchmarks/bench_precision.py and its archived table);
TF32 has not been tried.

All raise ValueError for windows that are not ids of the model's vocabulary and a batch smaller than a window.
"""

import torch
from torch.nn import functional as F

from nclib.collect import evaluating
from nclib.nearest import NearestMean, choice, exact_products, rows_at_once
from nclib.statistics import ClassStatistics, StatisticsAccumulator
from nclib.training.language import batch_size


def cross_entropy(model, windows, batch_tokens) -> float:
    """The mean loss over all targets of `windows`."""
    total = 0.0
    with torch.no_grad(), evaluating(model):
        for H, Y in _batches(model, windows, batch_tokens):
            for logits, y in _logits(model.classifier, H, Y):
                total = total + _loss(logits, y)
    return float(total) / _targets(windows)


def statistics(model, windows, num_classes, batch_tokens) -> tuple[ClassStatistics, float]:
    """(class statistics of the features, mean loss) over all targets of `windows`, in one pass.

    Class k holds the features h_t with token t + 1 equal to k: T a window, no token masked (Wu and Papyan 2024,
    section 3). Raises ValueError for targets of num_classes or more, and features that are not finite.
    """
    W, total = model.classifier, 0.0
    accumulator = StatisticsAccumulator(num_classes, W.shape[1], device=W.device)
    with torch.no_grad(), evaluating(model):
        for H, Y in _batches(model, windows, batch_tokens):
            accumulator.update(H, Y)
            for logits, y in _logits(W, H, Y):
                total = total + _loss(logits, y)
    return accumulator.compute(), float(total) / _targets(windows)


def agreement(model, windows, stats, batch_tokens) -> tuple[float, float]:
    """(NC4, mean loss): the share of targets where arg max_c <w_c, h> = arg min_c |h - mu_c|, in [0, 1].

    Both go over the classes present in `stats` (the training pass), and so does the share: targets of other classes
    count in the loss alone (Wu and Papyan 2024, section 3). Compared by nclib.nearest.NearestMean: the first class wins
    a tie. Autocast and the faster products that a program may allow for float32 (TF32) are off.

    Raises ValueError if `stats` has other classes or another dimension than the model, or no target's class is present.
    """
    W = model.classifier.detach()
    if stats.means.shape != W.shape:
        raise ValueError(f"stats has means {tuple(stats.means.shape)}: must be {tuple(W.shape)}, as the classifier")
    stats = stats.to(W.device)
    nearest = NearestMean(stats, torch.promote_types(W.dtype, torch.float32))
    hits, count, total = 0, 0, 0.0
    with torch.no_grad(), evaluating(model), exact_products(W.device):
        for H, Y in _batches(model, windows, batch_tokens):
            chosen = []
            for logits, y in _logits(W, H, Y):
                total = total + _loss(logits, y)
                chosen.append(choice(logits, stats.present))
            known = stats.present[Y]
            hits, count = hits + nearest.agrees(H[known], torch.cat(chosen)[known]).sum(), count + known.sum()
    if not count:
        raise ValueError("windows has no target whose class is present in stats: must have at least one")
    return int(hits) / int(count), float(total) / _targets(windows)


def _targets(windows):
    return len(windows) * (windows.shape[1] - 1)


def _batches(model, windows, batch_tokens):
    """Features (m, d) and next tokens (m,) of the targets of each batch."""
    for ids in windows.to(model.classifier.device).split(batch_size(model, windows, batch_tokens)):
        ids = ids.long()
        yield model.features(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()


def _logits(W, H, Y):
    """Logits (m, V) and next tokens (m,) of blocks of a batch."""
    block = rows_at_once(W.device, len(W))
    for h, y in zip(H.split(block), Y.split(block), strict=True):
        yield F.linear(h, W), y


def _loss(logits, y):
    return F.cross_entropy(logits.float(), y, reduction="none").double().sum()
