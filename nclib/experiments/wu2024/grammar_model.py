"""One language model trained on stories of a grammar, held against the exact distribution of the next word. Derived.

All measurements are on fresh text, at the positions of `Grammar.known`: there a model has seen its whole story so far,
and the exact P(. | context) is the best prediction that there is. A context is *determined* where P is a single word,
*ambiguous* elsewhere. Classes are next words, as in `language_model`.
"""

import functools
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from nclib import metrics, results
from nclib.data.grammar import Grammar
from nclib.data.text import windows
from nclib.experiments.wu2024.model_fields import Fields, data, needs_gpu  # noqa: F401
from nclib.pages._language_models import language_model
from nclib.pages._language_models.language_model import EVALUATED
from nclib.statistics import ClassStatistics

VERSION = 1
FRESH = 2  # seed of the fresh text; those of training and validation text are 0 and 1
DETERMINED = 1e-9  # nats: an entropy below it is 0 but for rounding
PARTS = (8, 4, 2, 1)  # the first 1/8, 1/4, ... of the positions, where a metric is measured against their number
EQUAL = 1e-9  # 1 - cos^2 of two columns of exact probabilities below which they are proportional
MODE = 1e-13  # eigenvalues of the resampling chain below it are 0 but for rounding


@dataclass(frozen=True)
class Config(Fields):
    """A run of `language_model`; fresh: words of fresh text; floor: the fewest samples of a class that is compared."""

    fresh: int
    floor: int


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


def run(config, device):
    """The tidy table of one run: `measure` after training, with updates and parameters, and the `exact` values.

    At step 0 there is `decompose` of the features of the untrained model.
    """
    true = truth(config.fresh, config.context, str(device))
    H, _, _ = outputs(language_model.model(config).to(device).eval(), true)
    found = [results.rows(decompose(H, true), split="fresh", layer="features")]
    train = language_model.texts(config)["train"].to(device)
    net, losses = language_model.train([config], device, train)
    totals = {"updates": len(losses), "parameters": language_model.parameters(config)}
    found += [rows.assign(step=config.epochs) for rows in (measure(net.eval(), true, config), results.rows(totals))]
    return pd.concat([*found, exact(config.fresh, config.context, config.floor, str(device))], ignore_index=True)


def measure(net, true, config):
    """All numbers of a model. layer "features" or "predictions", the model's distributions p; "" for its losses.

    Splits "fresh" (all known positions), "determined", "ambiguous": `excess`, and "ncc_agreement", NC4 with the class
    means of all. "fresh": `decompose`, `noise`, `collapse`, and of predictions distance = E|p - P|^2. Splits
    "matched-..." and "shuffled-...": `apart`. "first 1/8" ...: `growth`. "windows": the loss over all positions.
    """
    H, logits, loss = outputs(net, true)
    q, V, y = logits.log_softmax(1), logits.shape[1], true.y
    splits = {"fresh": y >= 0, "determined": true.determined, "ambiguous": ~true.determined}
    found = [results.rows({"loss": loss}, split="windows")]
    found += [results.rows(values, split=split) for split, values in excess(q, true.P, y, splits).items()]
    p, W = q.exp(), net.classifier.detach()
    for layer, f in {"features": H, "predictions": p}.items():
        values = decompose(f, true) | {"noise": noise(f, true.group)} | collapse(f, y, V, config.floor)
        found.append(results.rows(values, split="fresh", layer=layer))
    distance = p.sub_(true.P).square().sum(1).mean()
    found.append(results.rows({"distance": distance}, split="fresh", layer="predictions"))
    stats = ClassStatistics.from_features(H, y, V, scatter=False)
    values = {
        split: {"ncc_agreement": metrics.ncc_agreement(H[part], W, None, stats.means, stats.present)}
        for split, part in splits.items()
    }
    for rows in (values, apart(H, true, config), growth(H, true)):
        found += [results.rows(row, split=split, layer="features") for split, row in rows.items()]
    return pd.concat(found, ignore_index=True)


@functools.lru_cache(maxsize=1)
def exact(fresh, context, floor, device="cpu"):
    """What a perfect model would show, its predictions being P (source "theory", layer "predictions").

    bayes, its loss; the shares determined, of such contexts, and repeated, of contexts whose P comes again; words that
    can come, pairs of interchangeable ones; modes of the resampling chain; and what `measure` and `growth` give for
    predictions.
    """
    true = truth(fresh, context, device)
    values = {"bayes": bayes_loss(true.P, true.y), "determined": true.determined.double().mean(), "modes": true.modes}
    values["repeated"] = (torch.bincount(true.group)[true.group] > 1).double().mean()
    values |= {"pairs": len(true.pairs), "words": (true.P.amax(0) > 0).sum()}
    values |= decompose(true.P, true) | collapse(true.P, true.y, true.P.shape[1], floor)
    found = [results.rows(values, split="fresh", layer="predictions")]
    for part, rows in growth(true.P, true).items():
        found.append(results.rows(rows, split=part, layer="predictions"))
    return pd.concat(found, ignore_index=True).assign(source="theory")


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


def apart(H, true, config):
    """`collapse` of determined and of ambiguous contexts, with the same words and as many samples of each.

    For each word with at least `floor` samples in both, the first m of both are taken, m the smaller number. Splits
    "matched-determined", "matched-ambiguous"; and as a null "shuffled-determined", "shuffled-ambiguous", for which the
    same 2 m samples of each word are dealt at random.
    """
    y, V = true.y, true.P.shape[1]
    sides = {"determined": true.determined, "ambiguous": ~true.determined}
    count = torch.stack([torch.bincount(y[part], minlength=V) for part in sides.values()]).amin(0)
    take = torch.where(count >= config.floor, count, 0)
    found = {name: first_of_each(y, part.nonzero()[:, 0], take) for name, part in sides.items()}
    both = torch.cat(list(found.values()))
    both = both[torch.randperm(len(both), generator=torch.Generator().manual_seed(config.seed)).to(both.device)]
    dealt = first_of_each(y, both, take)
    samples = {f"matched-{name}": part for name, part in found.items()}
    samples |= {"shuffled-determined": dealt, "shuffled-ambiguous": both[~torch.isin(both, dealt)]}
    return {split: collapse(H[part], y[part], V, config.floor) for split, part in samples.items()}


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
    often = torch.bincount(y[: len(y) // PARTS[0]], minlength=V) > 1
    pairs = true.pairs[often[true.pairs].all(1)]
    merged = torch.zeros(V, V, dtype=torch.bool, device=y.device)
    merged[pairs[:, 0], pairs[:, 1]] = True
    a, b = torch.combinations(pairs.unique(), 2).mT
    same = merged[a, b]
    for part in PARTS:
        n = len(y) // part
        stats = ClassStatistics.from_features(f[:n], y[:n], V, mask=often[y[:n]], scatter=True)
        log, v, count = metrics.cdnv(stats)[a, b].log(), stats.spread / stats.counts, stats.counts
        sampled = ((v[a] + v[b]) / 2 / (v[a] / count[a] + v[b] / count[b])).log()
        values = {"merged": log[same].mean(), "others": log[~same].mean(), "sampled": sampled[same].mean()}
        found[f"first 1/{part}"] = {"samples": n, "nc1": metrics.nc1(stats)} | _summary(stats) | values
    return found
