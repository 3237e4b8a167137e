"""The tables of page 12 for a reader: what varies, the paper's Table 1 beside ours, and what the test can see."""

import math

import pandas as pd
from scipy.stats import norm

from nclib.evidence.permutation import bonferroni
from nclib.pages.linguistic_seeds import views
from nclib.pages.linguistic_seeds.claims import authors_r
from nclib.pages.linguistic_seeds.views import MORE, PROPERTIES

STATISTICS = {
    "NC1": "mean CDNV, distance⁴",
    "NC2 equinormness": "CV of log norms",
    "NC2 equiangularity": "CV of cosines",
    "GNC2": "CV of log-distances, not centered",
    "NC3": "mean cosine",
    "UNC3": "CV of cosines",
    "NC4": "agreement",
    "NC1, dimensionless": "mean CDNV, distance²",
    "GNC2, as defined": "CV of log-distances, centered",
    "UNC3, spread alone": "SD of cosines",
}
PAPER = "Wu & Papyan, 21 seeds of 2 × 768"
LEVELS = {"0.05": 0.05, "0.05 / 7": 0.05 / len(PROPERTIES)}


def table1(points):
    """Table 1: the paper's numbers, then ours for each group of seeds; three more statistics below, without paper."""
    found = {("", "statistic"): STATISTICS}
    shown = {"R²": {}, "r": {}, "p": {}, "7 p": {}}
    for name, (_, r2, p) in PROPERTIES.items():
        for column, text in _cells(authors_r(name), r2, p).items():
            shown[column][name] = text
    found |= {(PAPER, column): values for column, values in shown.items()}
    for label, frame in views.frames(points).items():
        lines = {name: _cells(row["r"], row["R²"], row["p"]) for name, row in views.relations(frame).iterrows()}
        for column in shown:
            found[label, column] = {name: line[column] for name, line in lines.items()}
        for name in MORE:
            found[label, "7 p"][name] = "–"
    return pd.DataFrame(found).reindex(list(STATISTICS)).fillna("–").rename_axis("property")


def _cells(r, r2, p):
    if math.isnan(r):
        return dict.fromkeys(["R²", "r", "p", "7 p"], "–")
    signed = f"{r:+.3f}".replace("-", "−")
    return {"R²": f"{r2:.3f}", "r": signed, "p": f"{p:.4f}", "7 p": f"{bonferroni(p, len(PROPERTIES)):.4f}"}


def spread(points):
    """What varies between seeds: number of models, updates, lowest and highest validation loss, standard deviation."""
    lines = {PAPER: {"models": "21", "updates": "–", "lowest": "2.2546", "highest": "2.2883", "SD": "0.0098"}}
    for label, frame in views.frames(points).items():
        loss = frame["validation"]
        lines[label] = {"models": f"{len(frame)}", "updates": f"{frame['updates'].min():,.0f}"}
        lines[label] |= {"lowest": f"{loss.min():.4f}", "highest": f"{loss.max():.4f}", "SD": f"{loss.std():.4f}"}
    return pd.DataFrame(lines).T.rename_axis("validation loss, nats a token")


def power(r2, n, level):
    """The chance that |r| of n samples is significant where the true squared correlation is r2, two-sided, normal law.

    Fisher's z: atanh r is nearly normal with mean atanh(rho) and standard deviation 1 / sqrt(n - 3); derived.
    """
    mean, edge = math.atanh(math.sqrt(r2)) * math.sqrt(n - 3), norm.ppf(1 - level / 2)
    return float(norm.sf(edge - mean) + norm.cdf(-edge - mean))


def chances(n=21):
    """How likely n seeds are to find each relation, were the authors' R^2 the true one; plainly and corrected."""
    found = {
        name: {"R² (paper)": f"{r2:.3f}"}
        | {f"p ≤ {label}": f"{power(r2, n, level):.0%}" for label, level in LEVELS.items()}
        for name, (_, r2, _) in PROPERTIES.items()
    }
    return pd.DataFrame(found).T.rename_axis(f"chance to find it with {n} seeds")
