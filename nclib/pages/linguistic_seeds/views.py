"""The table of `study.STUDY` -> points, a row for each model; their relation to the loss; rows that a figure draws."""

import numpy as np
import pandas as pd

from nclib.evidence.permutation import correlation, permutation_p
from nclib.pages._language_models.models import models

PAPER = "paper scale"  # the archived models
CONVENTION = "wu-papyan-2024-05"
# property: (metric, R^2 in the authors' files, p printed in the paper)
PROPERTIES = {
    "NC1": ("cdnv_mean", 0.192011, 0.0485),
    "NC2 equinormness": ("norm_log_cv", 0.026174, 0.4870),
    "NC2 equiangularity": ("interference_cv", 0.218574, 0.0317),
    "GNC2": ("gnc2_cv", 0.487935, 0.0002),
    "NC3": ("self_duality", 0.322210, 0.0063),
    "UNC3": ("uniform_duality", 0.000036, 0.9784),
    "NC4": ("ncc_agreement", 0.490278, 0.0001),
}
MORE = {
    "NC1, dimensionless": ("textbook", "cdnv_mean"),
    "GNC2, as defined": ("textbook", "gnc2_cv"),
    "UNC3, spread alone": ("textbook", "duality_std"),
}
COLUMNS = {name: (CONVENTION, metric) for name, (metric, _, _) in PROPERTIES.items()} | MORE
DRAWN = ("NC1", "NC2 equinormness", "NC2 equiangularity", "GNC2", "GNC2, as defined", "NC3", "UNC3", "NC4")
SHOWN = ("NC4", "NC2 equiangularity")
DRAWS = 10_000
BINS = 80


def points(table):
    """The models of a table, as `models` makes them, with a further column for each of COLUMNS."""
    by = {name: models(table, name) for name in {convention for convention, _ in COLUMNS.values()}}
    columns = {name: by[convention][metric] for name, (convention, metric) in COLUMNS.items()}
    return by["textbook"].assign(**columns)


def frames(points):
    """{label: points} of the archived models and of the page's own, without those that are not there."""
    scales = [points[points["beside"] == beside] for beside in (PAPER, "")]
    return {_label(frame): frame for frame in scales if len(frame)}


def _label(frame):
    first = frame.iloc[0]
    corpus = first["corpus"] if first["corpus"].isidentifier() else "a folder"
    shape = f"{len(frame)} seeds of {first['depth']} × {first['width']}"
    return f"{corpus}, {shape}, {first['beside'] or 'profile ' + first['profile']}"


def relation(x, loss):
    """Pearson's r of a metric with the validation loss over models, and its two-sided p; NaN where it does not vary."""
    if np.ptp(x) == 0:  # an agreement may be 0 for all models of a few updates
        return np.nan, np.nan
    return correlation(x, loss), permutation_p(x, loss, DRAWS)


def relations(frame):
    """r, R^2 and two-sided p with the validation loss; a row for each of COLUMNS, NaN for one that does not vary."""
    found = {name: relation(frame[name], frame["validation"]) for name in COLUMNS}
    return pd.DataFrame({name: {"r": r, "R²": r**2, "p": p} for name, (r, p) in found.items()}).T


def scatter(points):
    """Eight statistics of each model with its validation loss; `r2` and `p` of its group."""
    found = []
    for label, frame in frames(points).items():
        related = relations(frame)
        for name in DRAWN:
            row = related.loc[name]
            columns = {"value": frame[name], "validation": frame["validation"], "r2": row["R²"], "p": row["p"]}
            found.append(pd.DataFrame({"group": label, "name": name, **columns}))
    return pd.concat(found)


def permuted(frame, draws=DRAWS, seed=0):
    """{property: (r, r* of the permutations (draws,))} of SHOWN, the permutations that `permutation_p` draws."""
    loss = frame["validation"].to_numpy()
    shuffled = np.random.default_rng(seed).permuted(np.tile(loss, (draws, 1)), axis=1).T
    varied = [name for name in SHOWN if np.ptp(frame[name]) > 0]
    return {name: (correlation(frame[name], loss), correlation(shuffled, frame[name])) for name in varied}


def permutations(points, draws=DRAWS):
    """Correlations of permuted losses with each property of SHOWN, counted between `low` and `high`: nearer to 0 than
    the true r, and as far or farther. Of the archived models, else of the page's own."""
    frame, edges, parts = next(iter(frames(points).values())), np.linspace(-1, 1, BINS + 1), []
    for name, (r, others) in permuted(frame, draws).items():
        far = np.abs(others) >= abs(r) - 1e-12
        counts = {side: np.histogram(others[which], edges)[0] for side, which in (("nearer", ~far), ("farther", far))}
        at = {"name": name, "models": len(frame), "r": r, "low": edges[:-1], "high": edges[1:]}
        parts.append(pd.DataFrame(at | counts))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["name"])
