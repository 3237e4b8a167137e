"""One language model, measured class by class: a row of the table for each token and metric.

The training is that of `LanguageModel`. `id` is the token's number in the vocabulary, `token` its text (`shown`).
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib import metrics
from nclib.data import text
from nclib.pages._language_models import language_model
from nclib.pages._language_models.language_model import EVALUATED, LanguageModel
from nclib.runs.experiment import rows
from nclib.statistics import StatisticsAccumulator
from nclib.training import language_measures

COLUMNS = ["metric", "value", "theory", "id", "step", "token", "split"]


@dataclass(frozen=True)
class TokensModel(LanguageModel):
    """A run of `LanguageModel`; floor: the samples that split "equal" takes from each class that has them."""

    NAME: ClassVar[str] = "wu2024.tokens_model"
    DISTRIBUTED: ClassVar[bool] = False

    floor: int

    def together(self):
        """Each is trained alone."""
        return None

    def run(self, device="cpu"):
        """The metrics of each class at the end of training. Rows of absent classes (and NaN) are left out.

        split "train": count of every token, `by_class` and `partners` of all positions. "permuted": variance, cdnv and
        cdnv2 under shuffled labels. "equal": cdnv and norm from `floor` samples of each class that has so many.
        "validation": count, mean loss and accuracy of the positions whose next token is the class. Without an index:
        the two losses, updates, parameters.
        """
        strings = text.tokens(self.corpus, self.vocab, limit=self.tokens).strings
        windows = {split: found.to(device) for split, found in language_model.texts(self).items()}
        net, losses = language_model.train([self], device, windows["train"])
        net.eval()
        W = net.classifier.detach()
        stats, loss = language_measures.statistics(net, windows["train"], self.vocab, EVALUATED)
        permuted, equal = controls(net, windows["train"], stats.counts, self)
        validation = predictions(net, windows["validation"], self)
        totals = {"loss": loss, "updates": len(losses), "parameters": language_model.parameters(self)}
        held_out = float((validation["loss"].nan_to_num() * validation["count"]).sum() / validation["count"].sum())
        shuffled, even = by_class(permuted, W), by_class(equal, W)
        of_classes = {
            "train": {"count": stats.counts.double()} | by_class(stats, W) | partners(stats),
            "permuted": {name: shuffled[name] for name in ("variance", "cdnv", "cdnv2")},
            "equal": {name: even[name] for name in ("cdnv", "norm")},
            "validation": validation,
        }
        found = [rows(totals, "id", split="train"), rows({"loss": held_out}, "id", split="validation")]
        found += [rows(values, "id", split=split).dropna(subset="value") for split, values in of_classes.items()]
        table = pd.concat(found, ignore_index=True)
        texts = table["id"].map(dict(enumerate(map(shown, strings)))).fillna("").astype("str")
        return table.assign(step=self.epochs, token=texts).astype({"step": "Int64"})[COLUMNS]


def shown(token):
    """The text of a token for the eye and for CSV: ␣ a leading space, ↵ a line end, \\x.. what is unseen."""
    token = token.replace("\n", "↵")
    spaces = len(token) - len(token.lstrip(" "))
    return "␣" * spaces + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in token[spaces:])


def by_class(stats, W):
    """Each class's part in the metrics of NC1 to NC3, (K,) float64, NaN where it is absent. W: (K, d).

    variance = spread_k / n_k; norm = |m_k|, m_k = mu_k - mu_G; cdnv and cdnv2: mean over the other present classes of
    the CDNV of power 1 and 2; interference and log_distance: mean over them of cos(m_k, m_j) and of -log |u_k - u_j|,
    u = m/|m|; duality = cos(w_k, m_k).
    """
    M, present = stats.centered_means, stats.present
    rows = {
        "variance": (stats.spread / stats.counts)[present],
        "norm": M.norm(dim=1),
        "interference": metrics.interference_rows(M),
        "log_distance": metrics.log_distance_rows(M),
        "duality": F.cosine_similarity(W[present].double(), M, dim=1),
    }
    spread_out = {name: torch.full_like(stats.spread, torch.nan) for name in rows}
    for name, values in rows.items():
        spread_out[name][present] = values
    return spread_out | {"cdnv": metrics.cdnv_rows(stats, 1), "cdnv2": metrics.cdnv_rows(stats, 2)}


def partners(stats):
    """What the mean of a class's CDNV of power 2 is made of, (K,) float64, NaN for absent classes.

    cdnv2_median and cdnv2_largest: over the other present classes; partner: the class of the largest. Holds (K, K).
    """
    pairs = metrics.cdnv(stats, 2)
    largest, partner = pairs.nan_to_num(nan=-1.0).max(1)
    found = {"cdnv2_median": pairs.nanmedian(1).values, "cdnv2_largest": largest, "partner": partner.double()}
    return {name: torch.where(stats.present, values, torch.nan) for name, values in found.items()}


@torch.no_grad()
def controls(net, windows, counts, config):
    """(statistics under shuffled labels, statistics of `floor` samples of each class with so many), in one pass."""
    y = windows[:, 1:].flatten().long()
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(config.seed)).to(y.device)
    shuffled = y[order].view(len(windows), -1)
    chosen = first_of_each(y[order], counts, config.floor)
    mask = torch.zeros_like(y, dtype=torch.bool)
    mask[order[chosen]] = True
    both = [StatisticsAccumulator(config.vocab, config.width, device=windows.device) for _ in range(2)]
    B = EVALUATED // config.context
    for ids, labels, some in zip(windows.split(B), shuffled.split(B), mask.view_as(shuffled).split(B), strict=True):
        H = net.features(ids[:, :-1].long())
        both[0].update(H, labels)
        both[1].update(H, ids[:, 1:], mask=some)
    return [accumulator.compute() for accumulator in both]


def first_of_each(y, counts, n):
    """Positions of the first n samples in y of each class that has at least n."""
    sorted_y, position = y.sort(stable=True)
    start = counts.cumsum(0) - counts
    rank = torch.arange(len(y), device=y.device) - start[sorted_y]
    return position[(rank < n) & (counts[sorted_y] >= n)]


@torch.no_grad()
def predictions(net, windows, config):
    """{"count", "loss", "accuracy"} of each next token, (V,) float64: NaN loss and accuracy where it never comes."""
    count, loss, hits = torch.zeros(3, config.vocab, dtype=torch.float64, device=windows.device)
    for ids in windows.split(config.batch // config.context):
        ids = ids.long()
        logits, y = net(ids[:, :-1]).flatten(0, 1).float(), ids[:, 1:].flatten()
        count.index_add_(0, y, torch.ones_like(y, dtype=torch.float64))
        loss.index_add_(0, y, F.cross_entropy(logits, y, reduction="none").double())
        hits.index_add_(0, y, (logits.argmax(1) == y).double())
    return {"count": count, "loss": loss / count, "accuracy": hits / count}
