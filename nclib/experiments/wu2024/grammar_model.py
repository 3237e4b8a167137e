"""One language model trained on stories of a grammar, held against the exact distribution of the next word. Derived.

All measurements are on fresh text, at the positions of `known`: there a model has seen its whole story so far, and the
exact P(. | context) of nclib.data.grammar is the best prediction that there is. A context is *determined* where P is a
single word, *ambiguous* elsewhere. Classes are next words, as in `language_model`.
"""

import functools
from dataclasses import dataclass

import pandas as pd
import torch
from torch.nn import functional as F

from nclib import language_measures, metrics, results
from nclib.data.grammar import Grammar
from nclib.data.text import windows
from nclib.experiments.wu2024 import language_model
from nclib.experiments.wu2024.language_model import EVALUATED, data, needs_gpu  # noqa: F401
from nclib.statistics import ClassStatistics

VERSION = 1
FRESH = 2  # seed of the fresh text; those of training and validation text are 0 and 1
DETERMINED = 1e-9  # nats: an entropy below it is 0 but for rounding
PARTS = (8, 4, 2, 1)  # the first 1/8, 1/4, ... of the positions, where a metric is measured against their number
EQUAL = 1e-9  # 1 - cos^2 of two columns of exact probabilities below which they are proportional
MODE = 1e-10  # eigenvalues of the resampling chain below it are 0 but for rounding


@dataclass(frozen=True)
class Config(language_model.Config):
    """A run of `language_model`; fresh: words of fresh text; floor: the fewest samples of a class that is compared."""

    fresh: int
    floor: int


@functools.lru_cache(maxsize=1)
def truth(fresh, context):
    """(windows (m, T + 1), known (m, T) bool, P (n, V) float64, y (n,)) of the fresh text; P and y at known positions."""
    grammar = Grammar()
    text = grammar.sample(fresh, FRESH)
    found = windows(torch.from_numpy(text), context)
    known = grammar.known(found)
    P = torch.from_numpy(grammar.next_distribution(text)[: known.numel()])[known.flatten()]
    return found, known, P, found[:, 1:][known].long()


def run(config, device):
    """The tidy table of one run: `measure` before training (step 0) and after it, and the exact model's own values."""
    fresh, known, P, y = (found.to(device) for found in truth(config.fresh, config.context))
    net = language_model.model(config).to(device)
    found = [measure(net.eval(), fresh, known, P, y, config).assign(step=0)]
    train = language_model.texts(config)["train"].to(device)
    net, losses = language_model.train(config, device, train, None, ())
    found.append(measure(net.eval(), fresh, known, P, y, config).assign(step=config.epochs))
    found.append(larger(net, fresh, known, P, y, config).assign(step=config.epochs))
    found.append(exact(config, P.device))
    totals = {"updates": len(losses), "parameters": language_model.parameters(config)}
    totals |= {"loss_all": language_measures.cross_entropy(net, fresh, EVALUATED)}
    return pd.concat([*found, results.rows(totals, step=config.epochs)], ignore_index=True)


def measure(net, fresh, known, P, y, config):
    """All numbers of a model. layer "features" or "predictions", the model's distributions p.

    Splits "fresh" (all known positions), "determined", "ambiguous": `excess`. "fresh": `decompose`, `collapse`, and
    distance = E|p - P|^2. "matched-..." and "shuffled-...": `apart`. Metric "ncc_agreement" is NC4.
    """
    H, logits = outputs(net, fresh, known)
    q = logits.log_softmax(1)
    p = q.exp()
    certain = entropy(P) < DETERMINED
    splits = {"fresh": torch.ones_like(certain), "determined": certain, "ambiguous": ~certain}
    found = [results.rows(excess(q[part], P[part], y[part]), split=split) for split, part in splits.items()]
    stats = ClassStatistics.from_features(H, y, config.vocab, scatter=False)
    W = net.classifier.detach()
    for split, part in splits.items():
        share = metrics.ncc_agreement(H[part], W, None, stats.means, stats.present)
        found.append(results.rows({"ncc_agreement": share}, split=split, layer="features"))
    for layer, f in {"features": H, "predictions": p}.items():
        values = decompose(f, P) | collapse(ClassStatistics.from_features(f, y, config.vocab, scatter=False), config.floor)
        found.append(results.rows(values, split="fresh", layer=layer))
    found.append(results.rows({"distance": (p - P).square().sum(1).mean()}, split="fresh", layer="predictions"))
    found += [results.rows(rows, split=split, layer="features") for split, rows in apart(H, y, certain, config).items()]
    return pd.concat(found, ignore_index=True)


def larger(net, fresh, known, P, y, config):
    """`growth` of the features, in splits "first 1/8", "first 1/4", ..."""
    H, _ = outputs(net, fresh, known)
    found = [results.rows(rows, split=part, layer="features") for part, rows in growth(H, P, y).items()]
    return pd.concat(found, ignore_index=True)


def exact(config, device):
    """What a perfect model's predictions, P itself, would show (source "theory", layer "predictions")."""
    return _exact(config.fresh, config.context, config.vocab, config.floor, device)


@functools.lru_cache(maxsize=1)
def _exact(fresh, context, vocab, floor, device):
    _, _, P, y = (found.to(device) for found in truth(fresh, context))
    certain = entropy(P) < DETERMINED
    bayes = results.rows({"bayes": bayes_loss(P, y), "determined": certain.double().mean()}, split="fresh")
    values = decompose(P, P) | collapse(ClassStatistics.from_features(P, y, vocab, scatter=False), floor)
    values |= {"pairs": len(interchangeable(P)), "modes": resampling(P)[0]}
    found = [bayes, results.rows(values, split="fresh", layer="predictions")]
    found += [results.rows(rows, split=part, layer="predictions") for part, rows in growth(P, P, y).items()]
    return pd.concat(found, ignore_index=True).assign(source="theory")


@torch.no_grad()
def outputs(net, fresh, known):
    """Features (n, d) and logits (n, V) at the known positions, in float64."""
    B = max(1, EVALUATED // known.shape[1])
    parts = zip(fresh.split(B), known.split(B), strict=True)
    H = torch.cat([net.features(ids[:, :-1].long())[some] for ids, some in parts])
    return H.double(), F.linear(H, net.classifier).double()


def entropy(P):
    """Of each row of P (n, V), in nats."""
    return torch.special.entr(P).sum(1)


def bayes_loss(P, y):
    """Mean of -log P(y) over contexts, in nats."""
    return float(-P.gather(1, y[:, None]).log().mean())


def excess(q, P, y):
    """{"loss", "excess", "kl", "error", "share"} of log-predictions q (n, V) with exact P and the words y that came.

    excess is the loss minus that of P on the same words. Its mean over texts is that of kl = mean KL(P || p), a sum
    without sampling of the words; and as what remains has mean 0 given the past, the standard deviation of
    excess - kl is `error` = sqrt(sum_t Var_{P_t} log(P_t / p_t)) / n. loss, excess and kl are nats a word; "share" is
    the number of positions.
    """
    gap = torch.where(P > 0, P.clamp(min=torch.finfo(P.dtype).tiny).log() - q, 0)
    kl = (P * gap).sum(1)
    variance = (P * gap.square()).sum(1) - kl.square()
    loss = -float(q.gather(1, y[:, None]).mean())
    return {
        "loss": loss,
        "excess": loss - bayes_loss(P, y),
        "kl": float(kl.mean()),
        "error": float(variance.clamp(min=0).sum().sqrt()) / len(P),
        "positions": len(P),
    }


def resampling(P):
    """Eigenvalues (m,) in descending order, and vectors (V, m), of D^(-1/2) C D^(-1/2), C = E P P^T, D = diag(E P).

    It is similar to the chain D^(-1) C that goes from a word to another drawn anew in one of its contexts. Modes with
    eigenvalue 0 are left out.
    """
    scale = P.mean(0).sqrt()
    scale = torch.where(scale > 0, 1 / scale, 0)
    A = scale[:, None] * (P.mT @ P / len(P)) * scale
    modes, U = torch.linalg.eigh(A)
    keep = (modes > MODE).nonzero().flip(0)[:, 0]
    return modes[keep].clamp(max=1), U[:, keep]


def decompose(f, P):
    """The variance of f (n, d), any function of the context, over contexts: {"between", "ambiguity", "rest", "total"}.

    Class means are those of expected labels, mu_k = E[P_k f] / E P_k, and classes weigh E P_k. With B^T P the linear
    function of P nearest to f, total = between (of class means) + ambiguity (of B^T P within classes) + rest (of
    f - B^T P, whose class means are all 0): exact for every text, and ambiguity + rest is the variance within classes.
    With g_i the part of E[P f^T] in a mode of `resampling`, between sums |g_i|^2 and ambiguity |g_i|^2 (1/lambda_i - 1).
    """
    modes, U = resampling(P)
    scale = P.mean(0).sqrt()
    f = f - f.mean(0)
    g = (U.mT @ (torch.where(scale > 0, 1 / scale, 0)[:, None] * (P.mT @ f / len(P)))).square().sum(1)
    total, linear = f.square().sum(1).mean(), (g / modes).sum()
    parts = {"between": g.sum(), "ambiguity": linear - g.sum(), "rest": total - linear, "total": total}
    return {name: float(value) for name, value in parts.items()}


def collapse(stats, floor):
    """nc1_trace_ratio, cdnv_mean and cdnv_log_mean over the classes with at least `floor` samples, and their number."""
    kept = at_least(stats, floor)
    cdnv = metrics.cdnv_summary(kept)
    values = {"nc1_trace_ratio": metrics.nc1_trace_ratio(kept), "cdnv_mean": cdnv.mean, "cdnv_log_mean": cdnv.log_mean}
    return values | {"classes": int(kept.present.sum())}


def at_least(stats, floor):
    """The statistics without the classes that have fewer than `floor` samples."""
    few = stats.counts < floor
    return ClassStatistics(
        stats.counts.masked_fill(few, 0),
        stats.means.masked_fill(few[:, None], 0),
        stats.spread.masked_fill(few, 0),
    )


def apart(H, y, certain, config):
    """`collapse` of determined and of ambiguous contexts with the same classes and the same number of samples of each.

    For each word with at least `floor` samples in both, the first m of both are taken, m the smaller number. Splits
    "matched-determined", "matched-ambiguous", and as the null "shuffled-determined", "shuffled-ambiguous": the same
    samples, those of a word dealt anew at random.
    """
    sides = {"determined": certain, "ambiguous": ~certain}
    counts = torch.stack([torch.bincount(y[part], minlength=config.vocab) for part in sides.values()]).amin(0)
    take = torch.where(counts >= config.floor, counts, 0)
    chosen = {name: first_of_each(y, part.nonzero()[:, 0], take) for name, part in sides.items()}
    both = torch.cat(list(chosen.values()))
    both = both[torch.randperm(len(both), generator=torch.Generator().manual_seed(config.seed)).to(both.device)]
    first = first_of_each(y, both, take)
    others = both[~torch.isin(both, first)]
    found = {f"matched-{name}": part for name, part in chosen.items()}
    found |= {"shuffled-determined": first, "shuffled-ambiguous": others}
    return {
        split: collapse(ClassStatistics.from_features(H[part], y[part], config.vocab, scatter=False), config.floor)
        for split, part in found.items()
    }


def first_of_each(y, order, take):
    """The first take[k] of the positions in `order` whose label is k, for every k."""
    labels, at = y[order].sort(stable=True)
    start = torch.bincount(labels, minlength=len(take)).cumsum(0).roll(1)
    start[0] = 0
    rank = torch.arange(len(labels), device=y.device) - start[labels]
    return order[at[rank < take[labels]]]


def interchangeable(P):
    """(pairs, 2) words a < b with P_a / P_b the same in every context of P: equality in the Cauchy-Schwarz inequality."""
    C = P.mT @ P
    square = C.diagonal()
    product = square[:, None] * square
    return ((product > 0) & (product - C.square() < EQUAL * product)).triu(1).nonzero()


def growth(f, P, y):
    """{part: metrics of f} of the first 1/8, 1/4, 1/2 and all positions.

    "samples"; nc1 (with the exact rank of Sigma_B, over all classes that occur), nc1_trace_ratio, cdnv_mean,
    cdnv_log_mean; and of the pairs of `interchangeable` words, and of all other pairs of the same words, the mean of log
    CDNV, "merged" and "others", and "sampled": the former as two classes of one mean give it, where the squared distance
    of the sampled means is v_a / n_a + v_b / n_b. Words with two or more samples in the first part.
    """
    pairs, found, V = interchangeable(P), {}, P.shape[1]
    often = torch.bincount(y[: len(y) // PARTS[0]], minlength=V) > 1
    pairs = pairs[often[pairs].all(1)]
    words = pairs.unique()
    merged = torch.zeros(V, V, dtype=torch.bool, device=y.device)
    merged[pairs[:, 0], pairs[:, 1]] = True
    for part in PARTS:
        n = len(y) // part
        stats = ClassStatistics.from_features(f[:n], y[:n], V, scatter=True)
        cdnv, M = metrics.cdnv_summary(stats), metrics.cdnv(stats)
        a, b = torch.combinations(words, 2).mT
        log, same = M[a, b].log(), merged[a, b]
        v, count = stats.spread / stats.counts, stats.counts
        null = ((v[a] + v[b]) / 2 / (v[a] / count[a] + v[b] / count[b])).log()
        found[f"first 1/{part}"] = {
            "samples": n,
            "nc1": metrics.nc1(stats),
            "nc1_trace_ratio": metrics.nc1_trace_ratio(stats),
            "cdnv_mean": cdnv.mean,
            "cdnv_log_mean": cdnv.log_mean,
            "merged": float(log[same].mean()),
            "sampled": float(null[same].mean()),
            "others": float(log[~same].mean()),
        }
    return found

