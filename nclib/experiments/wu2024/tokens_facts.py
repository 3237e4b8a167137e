"""What the prose of the page on tokens says of its runs: numbers and words, computed from their tables."""

import numpy as np
from scipy.stats import spearmanr

from nclib.experiments.wu2024 import tokens

EXAMPLES = 5
PAIRS = {
    "frequency": ("count", "cdnv"),
    "frequency_equal": ("count", "equal_cdnv"),
    "norm": ("norm", "cdnv"),
    "alignment": ("duality", "cdnv"),
    "loss": ("validation_loss", "cdnv"),
    "frequency_duality": ("count", "duality"),
    "frequency_loss": ("count", "validation_loss"),
    "duality_loss": ("duality", "validation_loss"),
}


def of_classes(frame):
    """{name: number or words} of the classes of a run; frame: `tokens.classes`.

    classes_<kind>, text_<kind>: percent of the classes that occur and of the positions of the text, for words,
    fragments and punctuation; halves_<by>, halves_<by>_equal: median CDNV of the frequent half over that of the rare
    (`tokens.halves`, geometric mean over seeds); rho_<pair>: Spearman's rho of `PAIRS`, mean over seeds; interference:
    mean over classes and seeds; lowest, highest: tokens whose CDNV, averaged over seeds, is lowest and highest.
    """
    occur = frame[frame["count"] > 0]
    kinds = occur["kind"].map(dict(zip(tokens.KINDS, ("words", "words", "punctuation", "fragments"), strict=True)))
    by = occur["count"].groupby(kinds.astype(str))
    found = {f"classes_{kind}": 100 * n / len(occur) for kind, n in by.size().items()}
    found |= {f"text_{kind}": 100 * n / occur["count"].sum() for kind, n in by.sum().items()}
    found |= _halves(tokens.halves(frame)) | {f"rho_{name}": _rho(frame, pair) for name, pair in PAIRS.items()}
    order = tokens.common(frame).groupby("token")["cdnv"].mean().sort_values(kind="stable").index
    return found | {
        "interference": frame.groupby("seed")["interference"].mean().mean(),
        "lowest": _listed(order[:EXAMPLES]),
        "highest": _listed(order[::-1][:EXAMPLES]),
    }


def _halves(halves):
    log = halves.assign(median=np.log(halves["median"]), equal=np.log(halves["equal"]))
    means = log.groupby(["by", "half"])[["median", "equal"]].mean()
    return {
        f"halves_{by}{suffix}": float(np.exp(means.at[(by, "frequent"), column] - means.at[(by, "rare"), column]))
        for by in ("tokens", "classes")
        for column, suffix in (("median", ""), ("equal", "_equal"))
    }


def _rho(frame, pair):
    parts = [rows[list(pair)].dropna() for rows in tokens.by_seed(frame)]
    return float(np.mean([spearmanr(*part.to_numpy().T).statistic for part in parts]))


def _listed(texts):
    return ", ".join(f"“{text}”" for text in texts)


def of_names(found):
    """{name: number or words} of first names; found: `names.names`.

    names: how many; below: percent of them whose CDNV is below the average token's; ratio, matched, median: geometric
    means over names and seeds of that CDNV over the average's, over that of tokens as frequent, and of the first with
    the median over partners; interference, interference_matched: mean differences in standard deviations; above: the
    names that are on average not below.
    """
    if found.empty:
        return {}
    mean = {name: float(np.exp(np.log(found[f"{name}_ratio"]).mean())) for name in ("cdnv", "matched", "median")}
    by = found.assign(log=np.log(found["cdnv_ratio"])).groupby("token")["log"].mean()
    return {f"names_{name}_ratio": value for name, value in mean.items()} | {
        "names": float(found["token"].nunique()),
        "names_below": 100 * float((found["cdnv_ratio"] < 1).mean()),
        "names_interference": float(found["interference_z"].mean()),
        "names_interference_matched": float(found["matched_z"].mean()),
        "names_above": ", ".join(by.index[by >= 0].str.removeprefix("␣")) or "none",
    }
