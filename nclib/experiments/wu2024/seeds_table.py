"""The tables of the page on seeds: one row a model, the paper's Table 1 beside ours, and what the test can see."""

import math

import numpy as np
import pandas as pd
from scipy.stats import norm

from nclib.data import corpora
from nclib.experiments.wu2024.seeds import CONVENTION, DRAWS, PROPERTIES, authors_r, claims, relation
from nclib.pages._language_models.models import models
from nclib.permutation import bonferroni, correlation

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
MORE = {
    "NC1, dimensionless": ("textbook", "cdnv_mean"),
    "GNC2, as defined": ("textbook", "gnc2_cv"),
    "UNC3, spread alone": ("textbook", "duality_std"),
}
COLUMNS = {name: (CONVENTION, metric) for name, (metric, _, _) in PROPERTIES.items()} | MORE
PAPER = "Wu & Papyan, 21 seeds of 2 × 768"
SHOWN = ("NC4", "NC2 equiangularity")


def frames(*tables):
    """{label: models} of (profile, table of `seeds.runs`) pairs, without empty tables and the same seeds twice.

    models: a row for each seed with the columns of STATISTICS, the validation loss, and what `models` has.
    """
    found, seen = {}, set()
    for profile, table in tables:
        if len(table) and seen.isdisjoint(keys := set(table["config"])):
            runs = table.rename(columns={"config": "run"})
            by = {name: models(runs, name) for name in {convention for convention, _ in COLUMNS.values()}}
            points = by["textbook"].assign(
                **{name: by[convention][metric] for name, (convention, metric) in COLUMNS.items()}
            )
            corpus = table["corpus"].iloc[0] if table["corpus"].iloc[0] in corpora.NAMES else "a folder"
            corpus = corpora.TITLES.get(corpus, corpus)
            depth, width = points[["depth", "width"]].iloc[0]
            found[f"{corpus}, {len(points)} seeds of {depth} × {width}, profile {profile}"] = points
            seen |= keys
    return found


def relations(points):
    """r, R^2 and two-sided p with the validation loss; a row for each of STATISTICS, NaN for one that does not vary."""
    found = {name: relation(points[name], points["validation"]) for name in STATISTICS}
    return pd.DataFrame({name: {"r": r, "R²": r**2, "p": p} for name, (r, p) in found.items()}).T


def table1(frames):
    """Table 1: the paper's numbers, then ours for each table of seeds; three more statistics below, without paper."""
    found = {("", "statistic"): STATISTICS}
    shown = {"R²": {}, "r": {}, "p": {}, "7 p": {}}
    for name, (_, r2, p) in PROPERTIES.items():
        for column, text in _cells(authors_r(name), r2, p, 6).items():
            shown[column][name] = text
    found |= {(PAPER, column): values for column, values in shown.items()}
    for label, points in frames.items():
        lines = {name: _cells(row["r"], row["R²"], row["p"], 3) for name, row in relations(points).iterrows()}
        for column in shown:
            found[label, column] = {name: line[column] for name, line in lines.items()}
        for name in MORE:
            found[label, "7 p"][name] = "–"
    return pd.DataFrame(found).reindex(list(STATISTICS)).fillna("–").rename_axis("property")


def _cells(r, r2, p, digits):
    if math.isnan(r):
        return dict.fromkeys(["R²", "r", "p", "7 p"], "–")
    signed = f"{r:+.3f}".replace("-", "−")
    return {"R²": f"{r2:.{digits}f}", "r": signed, "p": f"{p:.4f}", "7 p": f"{bonferroni(p, len(PROPERTIES)):.4f}"}


def spread(frames):
    """What varies between seeds: number of models, updates, lowest and highest validation loss, standard deviation."""
    lines = {PAPER: {"models": "21", "updates": "–", "lowest": "2.2546", "highest": "2.2883", "SD": "0.0098"}}
    for label, points in frames.items():
        loss = points["validation"]
        lines[label] = {"models": f"{len(points)}", "updates": f"{points['updates'].min():,.0f}"}
        lines[label] |= {"lowest": f"{loss.min():.4f}", "highest": f"{loss.max():.4f}", "SD": f"{loss.std():.4f}"}
    return pd.DataFrame(lines).T.rename_axis("validation loss, nats a token")


def permuted(points, draws=DRAWS, seed=0):
    """{property: (r, r* of the permutations (draws,))} of SHOWN, the permutations that `permutation_p` draws."""
    loss = points["validation"].to_numpy()
    shuffled = np.random.default_rng(seed).permuted(np.tile(loss, (draws, 1)), axis=1).T
    varied = [name for name in SHOWN if np.ptp(points[name]) > 0]
    return {name: (correlation(points[name], loss), correlation(shuffled, points[name])) for name in varied}


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


LEVELS = {"0.05": 0.05, "0.05 / 7": 0.05 / len(PROPERTIES)}


def judged(table):
    """The claims' r and verdicts on a table of `seeds.runs`, for a reader; empty for an empty table."""
    rows = claims(table) if len(table) else []
    return pd.DataFrame(
        {
            row["statement"].split(" is ")[0]: {
                "r": f"{row['ours']:+.2f}".replace("-", "−"),
                "interval": " to ".join(f"{end:+.2f}".replace("-", "−") for end in row["interval"] or []),
                "paper's r": f"{row['paper_value']:+.2f}".replace("-", "−"),
                "verdict": row["verdict"],
            }
            for row in rows
        }
    ).T.rename_axis("property")
