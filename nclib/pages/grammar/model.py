"""One language model trained on stories of a grammar, held against the exact distribution of the next word. Derived;
Wu & Papyan (2024) had no text whose next-token distribution is known.

All measurements are on fresh text, at the positions of `Grammar.known`: there a model has seen its whole story so far,
and the exact P(. | context) is the best prediction that there is. A context is *determined* where P is a single word,
*ambiguous* elsewhere. Classes are next words, as in `language_model`.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from nclib import metrics
from nclib.data.grammar import Grammar
from nclib.data.text import windows
from nclib.pages._language_models import language_model
from nclib.pages._language_models.language_model import EVALUATED, LanguageModel
from nclib.pages.grammar.tables import GROWING
from nclib.runs.experiment import rows
from nclib.statistics import ClassStatistics

FRESH = 2  # seed of the fresh text; those of training and validation text are 0 and 1
DETERMINED = 1e-9  # nats: an entropy below it is 0 but for rounding
EQUAL = 1e-9  # 1 - cos^2 of two columns of exact probabilities below which they are proportional
EXAMPLES = 7, 23, 28, 62  # positions of the first fresh story whose distributions are shown
MODE = 1e-13  # eigenvalues of the resampling chain below it are 0 but for rounding


@dataclass(frozen=True)
class GrammarModel(LanguageModel):
    """fresh: words of fresh text; floor: the fewest samples of a class that is compared."""

    NAME: ClassVar[str] = "wu2024.grammar_model"
    DISTRIBUTED: ClassVar[bool] = False

    fresh: int
    floor: int

    def together(self):
        """Each model is trained alone."""
        return None

    def run(self, device="cpu"):
        """`numbers` after training, with updates and parameters, and the `exact` values, whose `source` is "theory".

        At step 0 there is `decompose` of the features of the untrained model.
        """
        true = truth(self.fresh, self.context, str(device))
        H, _, _ = outputs(language_model.model(self).to(device).eval(), true)
        found = [at(decompose(H, true), "fresh", "features").assign(step=0)]
        net, losses = language_model.train([self], device, language_model.texts(self)["train"].to(device))
        totals = at({"updates": len(losses), "parameters": language_model.parameters(self)})
        found += [some.assign(step=self.epochs) for some in (numbers(net.eval(), true, self), totals)]
        found = pd.concat(found).assign(source="measured")
        return pd.concat([found, exact(self.fresh, self.context, self.floor, str(device))], ignore_index=True)


@dataclass(frozen=True, eq=False)
class Truth:
    """windows (m, T + 1) of the fresh text, known (m, T) bool; of the n known positions P (n, V) float64, the next word
    y (n,), whether it is determined (n,), and group (n,), equal where P is; and of P the `resampling` modes (r,) and
    vectors (V, r), and the pairs of `interchangeable` words."""

    windows: Tensor
    known: Tensor
    P: Tensor
    y: Tensor
    determined: Tensor
    group: Tensor
    modes: Tensor
    vectors: Tensor
    pairs: Tensor


@functools.lru_cache(maxsize=1)
def truth(fresh, context, device="cpu"):
    """The `Truth` of a text of `fresh` words, in windows of `context`."""
    grammar = Grammar()
    text = grammar.sample(fresh, FRESH)
    found = windows(torch.from_numpy(text), context)
    known = grammar.known(found)
    P = torch.from_numpy(grammar.next_distribution(text)[: known.numel()])[known.flatten()].to(device)
    y, determined = found[:, 1:][known].long().to(device), torch.special.entr(P).sum(1) < DETERMINED
    return Truth(found.to(device), known.to(device), P, y, determined, groups(P), *resampling(P), interchangeable(P))


def at(values, split="", layer=""):
    """Rows where they stand; `index` is that of a vector."""
    return rows(values, "index", split=split, layer=layer)


def numbers(net, true, run):
    """All numbers of a model. layer "features" or "predictions", the model's distributions p; "" for its losses.

    Splits "fresh" (all known positions), "determined", "ambiguous": `excess`, and "ncc_agreement", NC4 with the class
    means of all. "fresh": `decompose`, `noise`, `collapse`, and of predictions distance = E|p - P|^2. Splits
    "matched-..." and "shuffled-...": `apart`. "first 1/8" ...: `growth`. "windows": the loss over all positions.
    """
    H, logits, loss = outputs(net, true)
    q, V, y = logits.log_softmax(1), logits.shape[1], true.y
    splits = {"fresh": y >= 0, "determined": true.determined, "ambiguous": ~true.determined}
    found = [at({"loss": loss}, "windows")]
    found += [at(values, split) for split, values in excess(q, true.P, y, splits).items()]
    p, W = q.exp(), net.classifier.detach()
    for layer, f in {"features": H, "predictions": p}.items():
        values = decompose(f, true) | {"noise": noise(f, true.group)} | collapse(f, y, V, run.floor)
        found.append(at(values, "fresh", layer))
    distance = p.sub_(true.P).square().sum(1).mean()
    found.append(at({"distance": distance}, "fresh", "predictions"))
    stats = ClassStatistics.from_features(H, y, V, scatter=False)
    values = {
        split: {"ncc_agreement": metrics.ncc_agreement(H[part], W, None, stats.means, stats.present)}
        for split, part in splits.items()
    }
    for some in (values, apart(H, true, run), growth(H, true)):
        found += [at(row, split, "features") for split, row in some.items()]
    return pd.concat(found, ignore_index=True)


@functools.lru_cache(maxsize=1)
def exact(fresh, context, floor, device="cpu"):
    """What a perfect model would show, its predictions being P (source "theory", layer "predictions").

    bayes, its loss; the shares determined, of such contexts, and repeated, of contexts whose P comes again; words that
    can come, pairs of interchangeable ones; modes of the resampling chain; and what `numbers` and `growth` give for
    predictions.
    """
    true = truth(fresh, context, device)
    values = {"bayes": bayes_loss(true.P, true.y), "determined": true.determined.double().mean(), "modes": true.modes}
    values["repeated"] = (torch.bincount(true.group)[true.group] > 1).double().mean()
    values |= {"pairs": len(true.pairs), "words": (true.P.amax(0) > 0).sum()}
    values |= decompose(true.P, true) | collapse(true.P, true.y, true.P.shape[1], floor)
    found = [at(values, "fresh", "predictions")]
    found += [at(some, part, "predictions") for part, some in growth(true.P, true).items()]
    return pd.concat(found, ignore_index=True).assign(step=0, source="theory")


@torch.no_grad()
def outputs(net, true):
    """Features (n, d) and logits (n, V) at the known positions, in float64, and the mean loss over all positions."""
    H, loss, W = [], 0.0, net.classifier
    B = max(1, EVALUATED // true.known.shape[1])
    for ids, known in zip(true.windows.split(B), true.known.split(B), strict=True):
        h = net.features(ids[:, :-1].long())
        loss += float(F.cross_entropy(F.linear(h, W).flatten(0, 1), ids[:, 1:].flatten().long(), reduction="sum"))
        H.append(h[known])
    H = torch.cat(H)
    return H.double(), F.linear(H, W).double(), loss / true.known.numel()


def bayes_loss(P, y):
    """Mean of -log P(y) over contexts, in nats."""
    return float(-P.gather(1, y[:, None]).log().mean())


def excess(q, P, y, splits):
    """{split: {"loss", "excess", "kl", "error", "positions"}} of log-predictions q (n, V) where P is exact and y came.

    excess is the loss minus that of P on the same words, kl the mean of KL(P || p): its expectation given the contexts.
    Given the past, excess - kl has mean 0 at every position, so its standard deviation is error =
    sqrt(sum_t Var_{P_t} log(P_t / p_t)) / n, however the positions depend on each other. Nats a word.
    """
    gap = torch.where(P > 0, P.clamp(min=torch.finfo(P.dtype).tiny).log() - q, 0)
    came, loss = gap.gather(1, y[:, None])[:, 0], -q.gather(1, y[:, None])[:, 0]
    kl, square = torch.linalg.vecdot(P, gap), torch.linalg.vecdot(P, gap.square())
    variance, found = (square - kl.square()).clamp(min=0), {}
    for split, part in splits.items():
        n = int(part.sum())
        means = {name: float(value[part].mean()) for name, value in {"loss": loss, "excess": came, "kl": kl}.items()}
        found[split] = means | {"error": float(variance[part].sum().sqrt()) / n, "positions": n}
    return found


def resampling(P):
    """Eigenvalues (r,), descending, and vectors (V, r) of D^(-1/2) C D^(-1/2), C = E P P^T, D = diag(E P).

    It is similar to the chain D^(-1) C that goes from a word to another drawn anew in one of its contexts. Modes with
    eigenvalue 0 are left out.
    """
    scale = _inverse_root(P)
    modes, U = torch.linalg.eigh(scale[:, None] * (P.mT @ P / len(P)) * scale)
    keep = (modes > MODE).nonzero().flip(0)[:, 0]
    return modes[keep].clamp(max=1), U[:, keep]


def decompose(f, true):
    """The variance of f (n, d), any function of the context, over contexts: {"between", "ambiguity", "rest", "total"}.

    Class means are those of expected labels, mu_k = E[P_k f] / E P_k, and classes weigh E P_k. With B^T P the linear
    function of P nearest to f, total = between (of class means) + ambiguity (of B^T P within classes) + rest (of
    f - B^T P, whose class means are all 0): exact for every text, and ambiguity + rest is the variance within classes.
    With g_i the part of D^(-1/2) E[P f^T] in a mode of `resampling`, f being centered, between is the sum of |g_i|^2
    and ambiguity that of |g_i|^2 (1/lambda_i - 1).
    """
    P, f = true.P, f - f.mean(0)
    g = (true.vectors.mT @ (_inverse_root(P)[:, None] * (P.mT @ f / len(P)))).square().sum(1)
    between, linear, total = g.sum(), (g / true.modes).sum(), f.square().sum(1).mean()
    parts = {"between": between, "ambiguity": linear - between, "rest": total - linear, "total": total}
    return {name: float(value) for name, value in parts.items()}


def groups(P):
    """(n,) the same number for rows of P (n, V) that are equal to 8 digits."""
    weights = torch.rand(P.shape[1], generator=torch.Generator().manual_seed(0), dtype=P.dtype).to(P.device)
    return (P.round(decimals=8) @ weights).round(decimals=9).unique(return_inverse=True)[1]


def noise(f, group):
    """The variance of f (n, d) between contexts of one P, which no function of P has: unbiased in each group of two or
    more, the rest counting as 0. So it is at most the variance of f - E[f | P], and that is at most `rest`."""
    size = torch.bincount(group).to(f.dtype)
    mean = f.new_zeros(len(size), f.shape[1]).index_add_(0, group, f) / size[:, None]
    square = torch.zeros_like(size).index_add_(0, group, (f - mean[group]).square().sum(1))
    return float((square * size / (size - 1).clamp(min=1)).sum() / len(f))


def _inverse_root(P):
    """(E P)^(-1/2), 0 for words that never can come."""
    share = P.mean(0)
    return torch.where(share > 0, share.clamp(min=torch.finfo(P.dtype).tiny).rsqrt(), 0)


def collapse(f, y, V, floor):
    """{"nc1_trace_ratio", "cdnv_mean", "cdnv_median", "classes"} over the classes with at least `floor` samples."""
    return _summary(
        ClassStatistics.from_features(f, y, V, mask=torch.bincount(y, minlength=V)[y] >= floor, scatter=False)
    )


def _summary(stats):
    return {
        "nc1_trace_ratio": metrics.nc1_trace_ratio(stats),
        "cdnv_mean": metrics.cdnv_summary(stats).mean,
        "cdnv_median": float(metrics.pair_quantiles("cdnv", stats, [0.5])[0]),
        "classes": int(stats.present.sum()),
    }


def apart(H, true, run):
    """`collapse` of determined and of ambiguous contexts, with the same words and as many samples of each.

    For each word with at least `floor` samples in both, the first m of both are taken, m the smaller number. Splits
    "matched-determined", "matched-ambiguous"; and as a null "shuffled-determined", "shuffled-ambiguous", for which the
    same 2 m samples of each word are dealt at random.
    """
    y, V = true.y, true.P.shape[1]
    sides = {"determined": true.determined, "ambiguous": ~true.determined}
    count = torch.stack([torch.bincount(y[part], minlength=V) for part in sides.values()]).amin(0)
    take = torch.where(count >= run.floor, count, 0)
    found = {name: first_of_each(y, part.nonzero()[:, 0], take) for name, part in sides.items()}
    both = torch.cat(list(found.values()))
    both = both[torch.randperm(len(both), generator=torch.Generator().manual_seed(run.seed)).to(both.device)]
    dealt = first_of_each(y, both, take)
    samples = {f"matched-{name}": part for name, part in found.items()}
    samples |= {"shuffled-determined": dealt, "shuffled-ambiguous": both[~torch.isin(both, dealt)]}
    return {split: collapse(H[part], y[part], V, run.floor) for split, part in samples.items()}


def first_of_each(y, order, take):
    """The first take[k] of the positions in `order` whose label is k, for every k."""
    labels, at = y[order].sort(stable=True)
    count = torch.bincount(labels, minlength=len(take))
    rank = torch.arange(len(labels), device=y.device) - (count.cumsum(0) - count)[labels]
    return order[at[rank < take[labels]]]


def interchangeable(P):
    """(pairs, 2) words a < b with P_a / P_b the same in every context of P: equality in Cauchy and Schwarz."""
    C = P.mT @ P
    square = C.diagonal()
    product = square[:, None] * square
    return ((product > 0) & (product - C.square() < EQUAL * product)).triu(1).nonzero()


def growth(f, true):
    """{"first 1/8": metrics of f (n, d), ...} of growing parts of the text, over words seen twice or more in the first.

    "samples"; nc1, at the exact rank of Sigma_B; nc1_trace_ratio, cdnv_mean, cdnv_median. Of the pairs of
    `interchangeable` words the mean log CDNV, "merged"; the same of all other pairs of these words, "others"; of the
    former "sampled": what two classes of one mean would show, with v_a / n_a + v_b / n_b for their squared distance.
    """
    y, V, found = true.y, true.P.shape[1], {}
    often = torch.bincount(y[: len(y) // GROWING[0]], minlength=V) > 1
    pairs = true.pairs[often[true.pairs].all(1)]
    merged = torch.zeros(V, V, dtype=torch.bool, device=y.device)
    merged[pairs[:, 0], pairs[:, 1]] = True
    a, b = torch.combinations(pairs.unique(), 2).mT
    same = merged[a, b]
    for part in GROWING:
        n = len(y) // part
        stats = ClassStatistics.from_features(f[:n], y[:n], V, mask=often[y[:n]], scatter=True)
        log, v, count = metrics.cdnv(stats)[a, b].log(), stats.spread / stats.counts, stats.counts
        sampled = ((v[a] + v[b]) / 2 / (v[a] / count[a] + v[b] / count[b])).log()
        values = {"merged": log[same].mean(), "others": log[~same].mean(), "sampled": sampled[same].mean()}
        found[f"first 1/{part}"] = {"samples": n, "nc1": metrics.nc1(stats)} | _summary(stats) | values
    return found


def story(shown=6):
    """What may come at `EXAMPLES`: rows position, context (the five words before), entropy, came, word, p.

    The `shown` likeliest words of each position, in descending order, and `came`, the word of the text.
    """
    grammar, found = Grammar(), []
    ids = grammar.sample(max(EXAMPLES) + 1, FRESH)
    words = np.array(grammar.vocabulary)
    P = grammar.next_distribution(ids)  # row t is that of word t + 1
    for t in EXAMPLES:
        p = P[t - 1]
        fields = {"position": t, "context": " ".join(words[ids[max(0, t - 5) : t]]), "came": words[ids[t]]}
        fields["entropy"] = abs(float((p[p > 0] * np.log(p[p > 0])).sum()))
        found += [fields | {"word": words[k], "p": p[k]} for k in np.argsort(-p, kind="stable")[:shown] if p[k] > 0]
    return pd.DataFrame(found)
