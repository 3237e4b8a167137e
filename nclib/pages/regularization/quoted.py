"""What the prose of page 09 quotes of its runs, as text."""

import numpy as np
import pandas as pd

from nclib.glued import MISSING, number, word
from nclib.pages.regularization.claims import SETTINGS
from nclib.pages.regularization.views import changes, final
from nclib.runs.study import own_runs

CLASSES = 10
PARTS = {"bn": "batch norm, MSE", "ce": "batch norm, CE", "plain": "plain, MSE", "strong": "strong decay, MSE"}
CHANGES = {
    "double-features": "2x features",
    "double-last": "2x last layer",
    "zero-features": "0 features",
    "zero-last": "0 last layer",
}


def quoted(table):
    """{key: text} of a table of `study.STUDY`: NC1 and NC2 over the baseline, geometric means over seeds.

    A count of comparisons has those alone in which all seeds agree. Regimes that a table lacks, as at profile paper,
    have no numbers.
    """
    table = own_runs(table)
    rows = {key: table[table["part"] == part] for key, part in PARTS.items()}
    nc1, nc2 = ({key: _effects(part, metric) for key, part in rows.items()} for metric in ("nc1", "nc2"))
    factors = [("nc1", key, name) for key in nc1 for name in CHANGES] + [("nc2", "bn", name) for name in CHANGES]
    factors += [("nc2", key, "zero-features") for key in ("plain", "strong")]
    found = {
        f"{metric}-{key}-{name}": number(np.exp({"nc1": nc1, "nc2": nc2}[metric][key][CHANGES[name]].mean()))
        for metric, key, name in factors
    }
    return found | _orders(rows) | _verdicts(nc1, nc2) | _strong(rows["strong"], nc1["strong"])


def _effects(rows, metric):
    """`changes`, or one row of NaN where there are no rows."""
    return pd.DataFrame(np.nan, [0], list(CHANGES.values())) if rows.empty else changes(rows, metric)


def _orders(rows):
    """The settings by final NC1, lowest first, with batch normalization."""
    found = {key: rows[key] for key in ("bn", "ce")}
    order = {
        key: [] if part.empty else np.log(final(part, "nc1")).mean().sort_values().index for key, part in found.items()
    }
    return {
        f"order-{key}": ", ".join(name.replace("2x", "2×") for name in names) or MISSING for key, names in order.items()
    }


def _verdicts(nc1, nc2):
    """How many comparisons come out as the paper says in every seed, and the networks without feature decay."""
    nc1, nc2 = ({key: part for key, part in some.items() if part.notna().all(axis=None)} for some in (nc1, nc2))
    matters = [
        (frame[f"{times} features"].abs() > frame[f"{times} last layer"].abs()).all()
        for frame in nc1.values()
        for times in ("2x", "0")
    ]
    signs = [((frame["2x features"] < 0).all(), (frame["0 features"] > 0).all()) for frame in nc1.values()]
    none = np.array([value for frame in nc1.values() for value in frame["0 features"]])
    plain = [frame for key, frame in nc2.items() if key in ("plain", "strong")]
    agree = [(np.sign(frame).sum().abs() == len(frame)).sum() for frame in plain]
    return {
        "comparisons": f"{len(matters)}",
        "matters": f"{sum(matters)}",
        "signs": f"{sum(map(sum, signs))}",
        "without": f"{len(none)}",
        "without-raised": f"{(none > 0).sum()}",
        "nc2-agree": f"{sum(agree)}",
        "nc2-changes": f"{len(plain) * len(CHANGES)}",
    }


def _strong(rows, nc1):
    """Strong decay: images that are not fitted, signs, and whether the seeds agree on which of the two matters more."""
    images = np.nan if rows.empty else CLASSES * rows["samples"].iloc[0]
    wrong = pd.Series(np.nan, sorted(SETTINGS)) if rows.empty else (images * final(rows, "error")).max()
    gap = nc1["0 features"].abs() - nc1["0 last layer"].abs()
    theorem = nc1["2x last layer"].mean() > 0 > nc1["0 last layer"].mean()
    return {
        "images": number(images, ".0f"),
        "wrong": number(wrong.drop("0 features").max(), ".0f"),
        "wrong-without": f"up to {number(most, '.0f')}" if (most := wrong["0 features"]) else "none",
        "strong-double": word(nc1["2x features"].mean(), "lowers", "raises", "leaves"),
        "theorem-signs": "are" if theorem else "are not",
        "gap-least": number(gap.min(), "+.2f"),
        "gap-most": number(gap.max(), "+.2f"),
        "gap-decided": "agree" if gap.min() > 0 or gap.max() < 0 else "disagree",
    }
