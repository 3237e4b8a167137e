"""Near collapse: the minimizer tied to given features, its linear response, and what becomes of the collapse metrics.

Tirer et al. 2023, Theorems 2.1, 4.1, 4.2, Corollary 2.2, Eq. 5 and Fig. 1; the response for all beta and the laws of
the metrics are derived.
"""

import numpy as np

from nclib.claims import Claim, by_seed, farthest, judge
from nclib.experiments.tirer2023.near_collapse_attenuation import Config as Attenuation
from nclib.experiments.tirer2023.near_collapse_certificate import Config as Certificate
from nclib.experiments.tirer2023.near_collapse_minimizer import Config as Minimizer
from nclib.experiments.tirer2023.near_collapse_response import Config as Response
from nclib.results import choose, indexed

COST = {"paper": "about a minute on one CPU core"}
FIGURE_1 = (0.05, 0.1, 0.2, 0.4, 0.6)  # values of lam_H at lam_W = sqrt 2; not in the text of the paper, ours
PRODUCTS = (0.02, 0.2, 0.36, 4 / 9, 0.5, 0.65, 0.75, 0.92, 0.98)  # further values of lam_W lam_H
CS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01, 1.05, 1.2)
BETAS = (0.25, 1, 3, 10, 30, 100, 1000)
PAIRS = ((0.25, 1.0), (1.0, 10.0))
SIZES = (1e-4, 1e-3, 1e-2, 1e-1)
NOISES = (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0)


def runs(profile, *, seed=0, lam_W=2**0.5, beta=100.0, num_classes=4, samples=10, dim=10):
    """The minimizer over c; the response over lam_H (Fig. 1's five values and a grid) and over beta; the metrics over
    lam_H, for two lam_W, two shapes of noise, and over the size of the noise; random problems."""
    few = choose(profile, {"smoke": True, "laptop": False, "paper": False})
    seeds = tuple(range(seed, seed + (1 if few else 3)))
    shape = {"num_classes": num_classes, "samples": samples, "dim": dim}
    cs = CS[1::3] if few else CS
    found = [
        Minimizer(lam_W, tuple(c * c / lam_W for c in cs if c < 1 or tie == 0), tie, seeds=seeds) for tie in (0.0, 1.0)
    ]
    for lam_H in sorted({*figure_1(lam_W), *(product / lam_W for product in PRODUCTS[:: 3 if few else 1])}):
        found.append(Response(lam_W, lam_H, beta, **shape, seeds=seeds))
    lam_H, s = middle(lam_W), (middle(lam_W) / lam_W) ** 0.5
    for ratio in BETAS[:: 3 if few else 1]:
        found.append(Response(lam_W, lam_H, ratio * s, **shape, sizes=SIZES[1:3] if few else SIZES, seeds=seeds))
    noises = NOISES[1::2] if few else NOISES
    for tie in (s, 10 * s):
        found.append(Attenuation(lam_W, lam_H, tie, 1.0, **shape, sizes=noises, seeds=seeds))
    for factor, skew in PAIRS[-1:] if few else PAIRS:
        for c in (0.2, 0.6) if few else (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            lam = factor * lam_W
            found.append(Attenuation(lam, c * c / lam, 1.0, skew, **shape, sizes=(1e-3,), seeds=seeds))
    return [*found, Certificate(2 if few else 15, 4, seeds=seeds)]


def figure_1(lam_W):
    """The lam_H of Fig. 1 at lam_W = sqrt 2: here at any lam_W with the same c."""
    return tuple(2**0.5 / lam_W * lam_H for lam_H in FIGURE_1)


def middle(lam_W):
    """The lam_H in the middle of Fig. 1."""
    return figure_1(lam_W)[2]


PAPER = "Tirer et al. 2023"
READ = "text read, numbering of the first version"


def _claim(name, statement, source, relation, reference, tolerance=0.0, paper_value=None, kind=None):
    parts = f"tirer2023.near-collapse.{name}", PAPER, statement, source, relation, reference, tolerance, paper_value
    derived = source.startswith("derived")
    kind = kind or ("extension" if derived else "paper")
    return Claim(*parts, kind=kind, seen="derived" if derived else "read", every=True)


GEOMETRY = _claim(
    "minimizer",
    "Features of a class agree, Hbar Hbar^T = rho I and W = s Hbar, both 0 where c >= 1; largest entry of a difference",
    f"Theorem 2.1, {READ}",
    "<=",
    0.0,
    1e-7,
)
LOSS = _claim(
    "loss",
    "The minimum of Eq. 1 is c - c^2/2 for c <= 1 and 1/2 beyond; largest difference from the lowest of random starts",
    "derived from Theorem 2.1",
    "<=",
    0.0,
    1e-9,
)
TIED = _claim(
    "tied",
    "Tied to collapsed features H0, the minimizer is H0 with its W; largest entry of a difference, from random starts",
    f"Corollary 2.2, {READ}",
    "<=",
    0.0,
    1e-7,
)
THEOREM = _claim(
    "theorem-4-2",
    "sigma_max(F_kk) = 1, sigma_min(F_kk) = 1 - s/beta, sigma(F_kk') = mu/beta and rank 1; largest error of Eq. 5's "
    "matrices over lam_H",
    f"Theorem 4.2, {READ}",
    "<=",
    0.0,
    1e-12,
)
SPECTRUM = _claim(
    "spectrum",
    "The whole spectrum of F_kk, exact and to first order, with multiplicities; largest error over lam_H and beta",
    "derived; the paper has it in an appendix that was not read",
    "<=",
    0.0,
    1e-10,
)
ALMOST = _claim(
    "almost-all",
    "Almost all singular values of F_kk decrease as lam_H grows; share that falls at every step of Fig. 1",
    "remark on Fig. 1, read; the number derived: all but d of the d n, here one in n = 10",
    "==",
    0.9,
    1e-9,
    "almost all",
)
NONE_RISES = _claim(
    "none-rises",
    "No singular value of F_kk increases as lam_H grows; how many do between the last two values of Fig. 1",
    "the stricter reading of the same remark",
    "<=",
    0,
    kind="extension",
)
PEAK = _claim(
    "peak",
    "The inter-class response is not monotone in lam_H: it is largest at lam_W lam_H = 4/9; value where it is largest",
    "derived from Theorem 4.2",
    "==",
    4 / 9,
    0.05,
)
VOID = _claim(
    "void",
    "Eq. 5 is void for beta < s/2: its largest singular value at beta = s/4, where that of the exact F is 1",
    "derived; the paper asks for beta >> max(1, lam_H)",
    "==",
    3.0,
    1e-9,
)
TRUNCATION = _claim(
    "truncation",
    "The error of Eq. 5 falls as beta^-2; slope of the largest error of a singular value between the last two beta",
    f"Eq. 5 and Theorem 4.1, {READ}",
    "==",
    -2.0,
    0.05,
    -2,
)
QUADRATIC = _claim(
    "quadratic",
    "|H(H0 + dH0) - H - F dH0| is quadratic in |dH0|; slope farthest from 2 over beta",
    f"Theorem 4.1, {READ}; F for all beta derived",
    "==",
    2.0,
    0.05,
    2,
)
LAWS = {
    metric: _claim(
        f"attenuation.{name}",
        f"Near collapse {what}; largest difference of the factor over lam_W, lam_H, beta and shape of the noise",
        "derived",
        "<=",
        0.0,
        1e-3,
    )
    for metric, name, what in (
        ("nc1", "nc1", "the minimizer multiplies NC1 by (1 + s/beta)^-2, whatever the noise"),
        (
            "nc1_trace_ratio",
            "trace-ratio",
            "the trace ratio falls by (1 + s/beta)^-2 in and (1 + lam_H/beta)^-2 off the span",
        ),
        ("nc2", "nc2", "the minimizer multiplies NC2 by 1/(1 + 2 mu/beta)"),
    )
}
CERTIFICATE = _claim(
    "certificate",
    "Where the margin is >= 0 the stationary point is the global minimum: least excess of random starts, relative",
    "derived",
    ">=",
    0.0,
    1e-9,
)


def part(table, name, **fields):
    """The rows of one experiment of the study, with the given values."""
    chosen = table[table["experiment"] == f"tirer2023.near_collapse_{name}"]
    for field, value in fields.items():
        chosen = chosen[chosen[field] == value]
    return chosen


def responses(table, *, swept):
    """Rows of the response over beta (swept), or over lam_H at fixed beta."""
    chosen = part(table, "response")
    return chosen[(chosen["sizes"].map(len) > 0) == swept]


def entries(table, metric, layer, source="measured"):
    """A row for each run, in the order of lam_H and beta; a column for each index of a vector metric."""
    chosen = indexed(table[(table["layer"] == layer) & (table["source"] == source)], metric)
    return chosen.pivot(index=["lam_W", "lam_H", "beta"], columns="i", values="value")


def spectrum_error(table):
    """Largest difference of a singular value, measured minus theory, both orders."""
    found = [
        (entries(table, metric, layer) - entries(table, metric, layer, "theory")).abs().to_numpy().max()
        for metric in ("sigma", "cross")
        for layer in ("exact", "first-order")
    ]
    return np.max(found)


def theorem_error(table):
    """Largest error of the three numbers of Theorem 4.2, and of a second singular value of F_kk' from 0."""
    sigma, cross = entries(table, "sigma", "first-order"), entries(table, "cross", "first-order")
    lam_W, lam_H, beta = (sigma.index.get_level_values(name).to_numpy() for name in sigma.index.names)
    low = 1 - (lam_H / lam_W) ** 0.5 / beta
    mu = 2 * lam_H * (1 - (lam_H * lam_W) ** 0.5)
    extremes = sigma.to_numpy().max(1) - 1, sigma.to_numpy().min(1) - low
    return np.abs([*extremes, cross[0] - mu / beta, cross[1]]).max()


def falls(table):
    """(share of Eq. 5's singular values of F_kk that fall at every step of Fig. 1, number that rise at the last)."""
    sigma = entries(table, "sigma", "first-order")
    steps = sigma[sigma.index.get_level_values("lam_H").isin(figure_1(table["lam_W"].iloc[0]))].diff().iloc[1:]
    return float((steps < -1e-12).all().mean()), int((steps.iloc[-1] > 1e-12).sum())


def peak(table):
    """lam_W lam_H at which the first-order sigma(F_kk') is largest."""
    cross = entries(table, "cross", "first-order")[0]
    lam_W, lam_H, _ = cross.index[cross.to_numpy().argmax()]
    return lam_W * lam_H if cross.notna().all() else float("nan")


def truncation(table):
    """(slope of the largest error of a singular value at the two largest beta, Eq. 5's sigma_max at beta = s/4)."""
    first, exact = (entries(table, "sigma", layer) for layer in ("first-order", "exact"))
    error = (first - exact).abs().max(axis=1)
    betas = error.index.get_level_values("beta").to_numpy()
    slope = np.log(error.iloc[-1] / error.iloc[-2]) / np.log(betas[-1] / betas[-2])
    return float(slope), float(first.iloc[0].max())


def slopes(table):
    """For each seed the slope of log residual against log |dH0|, exact F, farthest from 2 over beta."""
    rows = table[table["layer"] == "exact"]
    x, y = (
        np.log(indexed(rows, metric).pivot(index=["beta", "seed"], columns="i", values="value"))
        for metric in ("size", "residual")
    )
    slope = (y.iloc[:, -1] - y.iloc[:, 0]) / (x.iloc[:, -1] - x.iloc[:, 0])
    return by_seed(slope, rows["seed"].unique(), farthest(2))


def factors(table):
    """Rows of the metrics' factors: `value`, `law` and the `size` of the noise, for each metric, run and seed."""
    rows = part(table, "attenuation")
    law = rows[rows["source"] == "theory"].set_index(["config", "seed", "metric"])["value"].rename("law")
    found = [indexed(rows, metric) for metric in LAWS]
    found = [rows.join(law, on=["config", "seed", "metric"]) for rows in found]
    return [rows.assign(size=[sizes[i] for sizes, i in zip(rows["sizes"], rows["i"], strict=True)]) for rows in found]


def attenuation_errors(rows):
    """For each seed the largest |factor - law| at noise of 1e-3."""
    near = rows[rows["size"] == 1e-3]
    near = near.set_index("seed")
    return by_seed((near["value"] - near["law"]).abs(), rows["seed"].unique())


def gaps(table):
    """For each seed the least gap of a problem with margin >= 0."""
    margin, gap = (
        indexed(part(table, "certificate"), name).set_index(["seed", "i"])["value"] for name in ("margin", "gap")
    )
    return by_seed(gap[~(margin < 0)], gap.index.unique("seed"), "min")


def claims(table):
    """The verdicts on a table of `runs`."""
    free, tied = (part(table, "minimizer", beta=beta) for beta in (0.0, 1.0))
    seeds = table["seed"].unique()
    far = free[free["metric"].str.match(r"(within|gram|duality)\[")].set_index("seed")["value"]
    losses = indexed(free, "loss")
    exact = losses[losses["source"] == "theory"].set_index("i")["value"]
    lowest = losses[losses["source"] == "measured"]
    error = (lowest["value"] - lowest["i"].map(exact)).abs().set_axis(lowest["seed"])
    grid, swept = responses(table, swept=False), responses(table, swept=True)
    share, rising = falls(grid)
    slope, largest = truncation(swept)
    return [
        judge(GEOMETRY, by_seed(far, seeds)),
        judge(LOSS, by_seed(error, seeds)),
        judge(TIED, by_seed(indexed(tied, "distance").set_index("seed")["value"], seeds)),
        judge(THEOREM, theorem_error(grid)),
        judge(SPECTRUM, np.maximum(spectrum_error(grid), spectrum_error(swept))),
        judge(ALMOST, share),
        judge(NONE_RISES, rising),
        judge(PEAK, peak(grid)),
        judge(VOID, largest),
        judge(TRUNCATION, slope),
        judge(QUADRATIC, slopes(swept)),
        *(judge(claim, attenuation_errors(rows)) for claim, rows in zip(LAWS.values(), factors(table), strict=True)),
        judge(CERTIFICATE, gaps(table)),
    ]
