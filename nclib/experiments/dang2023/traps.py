"""How the metrics of collapse break exactly where collapse is reached, each trap shown by running it, and their
conventions on one example.

Each trap is compared with its exact value, and the x axis of its figure is the vector metric "x[i]". Derived: none of
it is in Dang et al. 2023, whose metrics are described in the notebook.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from nclib import metrics
from nclib.claims import Claim, by_seed, judge
from nclib.frames import orthogonal_frame, simplex_etf
from nclib.models import direct_descent
from nclib.results import choose, indexed, rows
from nclib.statistics import ClassStatistics

VERSION = 1
COST = {"paper": "half a minute on any CPU: there is nothing to scale up"}


@dataclass(frozen=True)
class Config:
    """trap: a name of TRAPS. points: how many values of x. seed: of the noise or of the start."""

    trap: str
    points: int
    seed: int


def runs(profile, *, seed=0):
    """Every trap, with one draw of the noise (smoke) or three."""
    points, draws = choose(profile, {"smoke": (7, 1), "laptop": (25, 3), "paper": (25, 3)})
    return [Config(trap, points, seed + i) for trap in TRAPS for i in range(draws)]


def run(config, device):
    """The rows of one trap: `theory` for exact values, `measured` for what a way of computing gives. On the CPU."""
    return TRAPS[config.trap](config, torch.Generator().manual_seed(config.seed))


def pinv(config, generator):
    """Two of K = 10 classes merge: x is their distance, as a fraction of that between the other classes. d = 512.

    Exact: nclib's NC1, at the exact rank. float32: tr(Sigma_W pinv(Sigma_B))/K with torch's default cutoff on float32
    covariances; numpy32, numpy64: the same with numpy's default cutoff, 1e-15 of the largest singular value, on float32
    and float64 covariances (absolute values: some are negative). mean_cdnv and max_cdnv are over pairs of classes.
    """
    K, n, d = 10, 50, 512
    x = torch.logspace(0, -4, config.points // 3 + 1, dtype=torch.float64)
    y = torch.repeat_interleave(torch.arange(K), n)
    normal = {"generator": generator, "dtype": torch.float64}
    noise = 1e-2 * torch.randn(K * n, d, **normal) / d**0.5
    R = torch.linalg.qr(torch.randn(d, K, **normal)).Q.mT
    found = {name: [] for name in ("nc1", "float32", "numpy32", "numpy64", "mean_cdnv", "max_cdnv")}
    for t in x:
        M = R.clone()
        M[9] = M[8] + t * (M[9] - M[8])
        stats = ClassStatistics.from_features(M[y] + noise, y, K)
        W, B = stats.within, stats.between
        cdnv = metrics.cdnv_summary(stats)
        found["nc1"].append(metrics.nc1(stats))
        found["float32"].append((W.float() @ torch.linalg.pinv(B.float())).trace() / K)
        for name, kind in {"numpy32": np.float32, "numpy64": np.float64}.items():
            Sigma_W, Sigma_B = W.numpy().astype(kind), B.numpy().astype(kind)
            found[name].append(abs(np.trace(Sigma_W @ np.linalg.pinv(Sigma_B))) / K)
        found["mean_cdnv"].append(cdnv.mean)
        found["max_cdnv"].append(cdnv.max)
    return _curves(x, found, exact="nc1")


def one_pass(config, generator):
    """tr Sigma_W of one class, relative error; x is the collapse ratio tr Sigma_W / |mean|^2, d = 64, 2,000 samples.

    one_pass: sum_i E[h_i^2] - E[h_i]^2 in float32; two_pass: E|h - E h|^2 in float32; nclib: ClassStatistics in batches
    of 100 merged by +, of the same float32 features. Exact: two passes in float64 over features that were not rounded.
    """
    n, d = 2000, 64
    x = torch.logspace(0, -9, config.points, dtype=torch.float64)
    unit = torch.full((d,), d**-0.5, dtype=torch.float64)
    noise = torch.randn(n, d, generator=generator, dtype=torch.float64) / d**0.5
    found = {name: [] for name in ("one_pass", "two_pass", "nclib")}
    for ratio in x:
        H = unit + ratio.sqrt() * noise
        exact = (H - H.mean(0)).square().sum(1).mean()
        h, y = H.float(), torch.zeros(100, dtype=torch.int64)
        parts = [ClassStatistics.from_features(batch, y, 1) for batch in h.split(100)]
        traces = {
            "one_pass": (h.square().mean(0) - h.mean(0).square()).sum(),
            "two_pass": (h - h.mean(0)).square().sum(1).mean(),
            "nclib": sum(parts[1:], parts[0]).spread[0] / n,
        }
        for name, trace in traces.items():
            found[name].append(abs(trace / exact - 1))
    return _curves(x, found)


def centering(config, generator):
    """NC3 of perfect frames with the wrong centering; x is the number of classes K (the seed changes nothing).

    of: an orthogonal frame, features centered; exactly sqrt(2 - 2 sqrt(1 - 1/K)) (derived). of_right: not centered, 0.
    etf: a simplex ETF whose features carry a common offset as long as a class mean, not centered; exactly
    sqrt(2 - sqrt(2)) for any K (derived). etf_right: centered, 0.
    """
    x = torch.tensor(sorted({10} | {round(2 * 50 ** (i / (config.points - 1))) for i in range(config.points)}))
    found, exact = {name: [] for name in ("of", "of_right", "etf", "etf_right")}, {"of": [], "etf": []}
    for K in x.tolist():
        F, E = orthogonal_frame(K, K + 1), simplex_etf(K, K + 1)
        offset = torch.linalg.svd(E).Vh[-1] * E[0].norm()
        found["of"].append(metrics.nc3(F, F - F.mean(0)))
        found["of_right"].append(metrics.nc3(F, F))
        found["etf"].append(metrics.nc3(E, E + offset))
        found["etf_right"].append(metrics.nc3(E, (E + offset) - (E + offset).mean(0)))
        exact["of"].append(math.sqrt(2 - 2 * math.sqrt(1 - 1 / K)))
        exact["etf"].append(math.sqrt(2 - math.sqrt(2)))
    return pd.concat([_curves(x, found), rows(exact, source="theory")], ignore_index=True)


def dead(config, generator):
    """Gradient descent on the free-features model, K = 4, n = 10, d = 8, M = 1, below and above the weight decay
    sqrt(n)/N = 0.0791 at which the whole network dies (Dang et al. 2023, Theorem 3.1; threshold derived).

    x: iteration. nc1, trace_between = tr Sigma_B and loss, each for "alive" (lam = 0.02) and "dead" (lam = 0.1).
    """
    counts, steps = (10,) * 4, 400
    x = torch.linspace(0, steps, config.points).round().int().tolist()
    y = torch.repeat_interleave(torch.arange(4), 10)
    Y = torch.nn.functional.one_hot(y).double()
    found = {}

    def record(fate, lam, step, state):
        W, H = state.W[0][0], state.H[0]
        stats = ClassStatistics.from_features(H, y, 4)
        loss = (H @ W.T - Y).square().sum() / 80 + lam / 2 * (W.square().sum() + H.square().sum())
        values = {"nc1": metrics.nc1(stats), "trace_between": stats.between.trace(), "loss": loss}
        for name, value in values.items():
            found.setdefault(f"{name}_{fate}", []).append(value)

    for fate, lam in {"alive": 0.02, "dead": 0.1}.items():
        direct_descent(
            counts,
            8,
            1,
            lam_W=lam,
            lam_H=lam,
            steps=steps,
            callback=partial(record, fate, lam),
            record_at=x,
            seeds=(config.seed,),
            std=0.3,
        )
    return _curves(torch.tensor(x), found)


def conventions(config, generator):
    """One imbalanced example, K = 4, n = (60, 30, 15, 5), d = 6: every metric of the notebook in its conventions."""
    counts = torch.tensor([60, 30, 15, 5])
    y = torch.repeat_interleave(torch.arange(4), counts)
    normal = {"generator": generator, "dtype": torch.float64}
    M = orthogonal_frame(4, 6) + 0.2 * torch.randn(4, 6, **normal)
    H = M[y] + 0.1 * torch.randn(len(y), 6, **normal)
    W = M + 0.1 * torch.randn(4, 6, **normal)
    stats = ClassStatistics.from_features(H, y, 4)
    means, centered = stats.means, stats.centered_means
    values = {
        "nc1 class": metrics.nc1(stats),
        "nc1 sample": metrics.nc1(stats, center="sample"),
        "nc1 sum": 4 * metrics.nc1(stats),
        "nc1 trace": metrics.nc1_trace_ratio(stats),
        "nc2 etf": metrics.nc2(centered, "etf"),
        "nc2 of": metrics.nc2(means, "of"),
        "nc2 equinorm": metrics.equinorm_cv(centered),
        "nc2 equiangularity": metrics.equiangularity(centered),
        "nc3 uncentered": metrics.nc3(W, means),
        "nc3 centered": metrics.nc3(W, centered),
        "nc3 squared": metrics.nc3(W, centered) ** 2,
        "nc3 cosine": metrics.self_duality(W, centered),
        "nc4 agreement": metrics.ncc_agreement(H, W, None, means),
        "cdnv mean": metrics.cdnv_summary(stats).mean,
        "cdnv max": metrics.cdnv_summary(stats).max,
        "cdnv power 2": metrics.cdnv_summary(stats, power=2).mean,
    }
    return rows(values)


TRAPS = {f.__name__: f for f in (pinv, one_pass, centering, dead, conventions)}

MEANING = {
    "nc1 class": ("NC1", "tr(Σ_W Σ_B⁺)/K, Σ_B about the mean of the class means (nclib's default)"),
    "nc1 sample": ("NC1", "the same, Σ_B about the mean of all samples (the authors' code)"),
    "nc1 sum": ("NC1", "without the factor 1/K"),
    "nc1 trace": ("NC1", "tr Σ_W / tr Σ_B: no inverse"),
    "nc2 etf": ("NC2", "distance of the normalized Gram of the centered means to the simplex ETF's"),
    "nc2 of": ("NC2", "distance of the normalized Gram of the means, as they are, to the orthogonal frame's"),
    "nc2 equinorm": ("NC2", "coefficient of variation of the lengths of the centered means"),
    "nc2 equiangularity": ("NC2", "mean of |cos + 1/(K−1)| over pairs of centered means"),
    "nc3 uncentered": ("NC3", "|W/|W| − M/|M||, means as they are: for OF and GOF"),
    "nc3 centered": ("NC3", "the same, centered means: for the ETF"),
    "nc3 squared": ("NC3", "its square"),
    "nc3 cosine": ("NC3", "mean cosine of classifier and centered mean: 1 at collapse"),
    "nc4 agreement": ("NC4", "share of samples that classifier and nearest mean label alike: 1 at collapse"),
    "cdnv mean": ("CDNV", "(v_j + v_k)/(2 D²), mean over pairs"),
    "cdnv max": ("CDNV", "the largest pair"),
    "cdnv power 2": ("CDNV", "with D⁴ for D²: no longer free of the features' scale"),
}


def convention_table(table):
    """The example of `conventions` as a table for a reader: metric, convention, value (of the first seed)."""
    first = table[(table["trap"] == "conventions") & (table["seed"] == table["seed"].min())]
    lines = [(*MEANING[row.metric], f"{row.value:.4g}") for row in first.itertuples()]
    return pd.DataFrame(lines, columns=["metric", "convention", "value"]).set_index("metric")


def _curves(x, found, exact=None):
    """Vectors as rows; the one named `exact` is theory."""
    found = {name: [float(value) for value in values] for name, values in found.items()}
    theory = {name: found.pop(name) for name in list(found) if name == exact}
    return pd.concat([rows({"x": x} | theory, source="theory"), rows(found)], ignore_index=True)


def curve(table, trap, metric, source="measured"):
    """A curve of one trap: columns seed, i, value, x."""
    chosen = table[table["trap"] == trap]
    x = indexed(chosen, "x").set_index(["seed", "i"])["value"].rename("x")
    chosen = chosen[chosen["source"] == source]
    return indexed(chosen, metric).set_index(["seed", "i"])[["value"]].join(x).reset_index()


def _claim(name, statement, relation, reference, tolerance=0.0, **how):
    parts = (
        f"dang2023.metrics.{name}",
        "Dang et al. 2023",
        statement,
        "Derived and run here; not a statement of the paper",
    )
    return Claim(*parts, relation, reference, tolerance, **{"kind": "extension", "seen": "derived"} | how)


PINV = _claim(
    "pinv-float32",
    "A float32 pseudo-inverse reports NC1 too small, by this factor, when two classes merge",
    ">=",
    50.0,
    log=True,
)
NUMPY = _claim(
    "pinv-numpy",
    "numpy's default cutoff on float32 covariances: |NC1| too large, by this factor (median)",
    ">=",
    1e3,
    log=True,
)
ONE_PASS = _claim(
    "one-pass",
    "One-pass float32 variance: relative error at collapse ratio 1e-8 and below (worst)",
    ">=",
    0.5,
    log=True,
)
TWO_PASS = _claim(
    "merge",
    "nclib's merged statistics on the same features: relative error (worst)",
    "<=",
    0.0,
    1e-3,
    kind="check",
    every=True,
)
CENTERING = _claim(
    "centering",
    "NC3 of a perfect orthogonal frame of K = 10 classes when its means are centered",
    "==",
    0.3204,
    5e-5,
    every=True,
)
DEAD_NC1 = _claim("dead-nc1", "A dying network looks collapsed: NC1 at the last iteration", "<=", 1e-3, log=True)
DEAD_TRACE = _claim(
    "dead-trace", "and it is dead: tr Sigma_B there, relative to the living network's", "<=", 1e-3, log=True
)


def claims(table):
    """Verdicts on the traps, one value a draw of the noise."""
    last = {name: _last(table, "dead", name) for name in ("nc1_dead", "trace_between_dead", "trace_between_alive")}
    nc1, float32 = _last(table, "pinv", "nc1", "theory"), _last(table, "pinv", "float32")
    numpy32 = curve(table, "pinv", "numpy32").set_index(["seed", "i"])["value"]
    wrong = numpy32 / curve(table, "pinv", "nc1", "theory").set_index(["seed", "i"])["value"]
    small = curve(table, "one_pass", "one_pass").query("x <= 1.001e-8").set_index("seed")["value"]
    merged = curve(table, "one_pass", "nclib").set_index("seed")["value"]
    seeds = table["seed"].unique()
    ten = curve(table, "centering", "of").query("x == 10")
    return [
        judge(PINV, nc1 / float32),
        judge(NUMPY, by_seed(wrong, seeds, "median")),
        judge(ONE_PASS, by_seed(small, seeds)),
        judge(TWO_PASS, by_seed(merged, seeds)),
        judge(CENTERING, ten["value"]),
        judge(DEAD_NC1, last["nc1_dead"]),
        judge(DEAD_TRACE, last["trace_between_dead"] / last["trace_between_alive"]),
    ]


def _last(table, trap, metric, source="measured"):
    """The value at the last x, by seed."""
    return curve(table, trap, metric, source).sort_values("i").groupby("seed").tail(1).set_index("seed")["value"]
