"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges."""

import numpy as np
import pandas as pd

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


def frames(table):
    """The vectors of the first seed, `kind` w or h, measured and `theory`, as matrices of Frobenius norm 1; `n`: the
    samples of the class."""
    table = table[table["part"] == "frames"]
    first, found = table[table["seed"] == table["seed"].min()], []
    for frame, rows in first.groupby("frame", sort=False):
        n = rows[rows["metric"] == "n"].set_index("class")["value"].astype("int64")
        for kind in "wh":
            part = rows.loc[rows["metric"] == kind, ["class", "coordinate", "value", "theory"]]
            part = part.assign(**{of: part[of] / np.linalg.norm(part[of]) for of in ("value", "theory")})
            found.append(part.assign(frame=frame, kind=kind, n=part["class"].map(n)))
    return pd.concat(found)


def network(table):
    """NC1, NC2, NC3 and 1 minus the agreement of NC4, "nc4", at every epoch, training and test images."""
    rows = table[(table["part"] == "network") & (table["metric"] != "error")]
    value = rows["value"].where(rows["metric"] != "nc4", 1 - rows["value"])
    return rows.assign(value=value)[["metric", "split", "seed", "step", "value"]]


def trap(table, name):
    """What each way of computing gives at each x, and the exact value as `theory`."""
    return table.loc[table["trap"] == name, ["metric", "seed", "x", "value", "theory"]]


def conventions(table):
    """The example of the conventions for a reader: metric, convention, value (of the first seed)."""
    rows = table[table["trap"] == "conventions"]
    first = rows[rows["seed"] == rows["seed"].min()]
    lines = [(*MEANING[row.metric], f"{row.value:.4g}") for row in first.itertuples()]
    return pd.DataFrame(lines, columns=["metric", "convention", "value"]).set_index("metric")
