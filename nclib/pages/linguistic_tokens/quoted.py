"""What the prose of page 13 quotes of its runs, as text."""

import numpy as np
from scipy.stats import spearmanr

from nclib.glued import MISSING, number
from nclib.pages.linguistic_tokens import views

EXAMPLES = 5
PAIRS = {
    "frequency": ("count", "cdnv"),
    "frequency-equal": ("count", "equal_cdnv"),
    "norm": ("norm", "cdnv"),
    "loss": ("validation_loss", "cdnv"),
    "frequency-duality": ("count", "duality"),
    "frequency-loss": ("count", "validation_loss"),
    "duality-loss": ("duality", "validation_loss"),
}


def quoted(measured):
    """{key: text} of what `views.measured` gives."""
    classes = views.classes(measured)
    return _kinds(classes) | _halves(views.halves(classes)) | _classes(classes) | _names(views.names(measured))


def _kinds(frame):
    """Percent of the classes that occur and of the positions of the text, for words, fragments and punctuation."""
    occur = frame[frame["count"] > 0]
    kinds = dict(zip(views.KINDS, ("words", "words", "punctuation", "fragments"), strict=True))
    by = occur["count"].groupby(occur["kind"].map(kinds).astype(str))
    shares = {"classes": by.size() / len(occur), "text": by.sum() / occur["count"].sum()}
    return {
        f"{of}-{kind}": number(100 * share.get(kind, 0.0), ".0f")
        for of, share in shares.items()
        for kind in ("words", "fragments", "punctuation")
    }


def _halves(halves):
    """Median CDNV of the frequent half over that of the rare, geometric mean over seeds."""
    log = halves.assign(median=np.log(halves["median"]), equal=np.log(halves["equal"]))
    means = log.groupby(["by", "half"])[["median", "equal"]].mean()
    return {
        f"halves-{by}{suffix}": number(np.exp(means.at[(by, "frequent"), column] - means.at[(by, "rare"), column]))
        for by in ("tokens", "classes")
        for column, suffix in (("median", ""), ("equal", "-equal"))
    }


def _classes(frame):
    """Rank correlations, mean over seeds; the mean interference; the tokens of the lowest and the highest CDNV."""
    order = views.common(frame).groupby("token")["cdnv"].mean().sort_values(kind="stable").index
    return {f"rho-{name}": number(_rho(frame, pair)) for name, pair in PAIRS.items()} | {
        "interference": number(frame.groupby("seed")["interference"].mean().mean(), ".4f"),
        "lowest": _listed(order[:EXAMPLES]),
        "highest": _listed(order[::-1][:EXAMPLES]),
    }


def _rho(frame, pair):
    parts = [rows[list(pair)].dropna() for rows in views.by_seed(frame)]
    if any(part.nunique().min() < 2 for part in parts):
        return None
    return float(np.mean([spearmanr(*part.to_numpy().T).statistic for part in parts]))


def _listed(texts):
    return ", ".join(f"“{text}”" for text in texts) or MISSING


def _names(found):
    """Of first names, over names and seeds: geometric means of ratios, mean differences, how many lie below."""
    mean = {name: np.exp(np.log(found[f"{name}_ratio"]).mean()) for name in ("cdnv", "matched", "median")}
    by = found.assign(log=np.log(found["cdnv_ratio"])).groupby("token")["log"].mean()
    once = found.loc[found["cdnv_ratio"] >= 1, "token"].drop_duplicates().str.removeprefix("␣")
    return {f"names-{name}-ratio": number(value) for name, value in mean.items()} | {
        "names": number(found["token"].nunique(), ".0f"),
        "names-below": number(100 * (found["cdnv_ratio"] < 1).mean(), ".0f"),
        "names-above": ", ".join(by.index[by >= 0].str.removeprefix("␣")) or "none",
        "names-once-above": ", ".join(once) or "none",
        "names-interference": number(found["interference_z"].mean(), "+.2f"),
        "names-interference-matched": number(found["matched_z"].mean(), "+.2f"),
    }
