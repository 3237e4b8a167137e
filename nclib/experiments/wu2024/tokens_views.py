"""What the figures of tokens draw, of `tokens.classes` and the tables made of it."""

import numpy as np
import pandas as pd

PAPER = "archived, profile paper"


def first(frame):
    """The tokens of the first seed that occur (all seeds have the same text)."""
    return frame[(frame["seed"] == frame["seed"].min()) & (frame["count"] > 0)]


def frequency(frame):
    """Type, id and count of each token that occurs."""
    return first(frame)[["id", "kind", "count"]].astype({"kind": str})


def shares(frame):
    """Share of each type, percent, `of` the tokens that occur and of the text."""
    by = first(frame).groupby("kind", observed=False)["count"]
    sizes = {"vocabulary": by.size(), "text": by.sum()}
    parts = [(100 * size / size.sum()).rename("percent").reset_index().assign(of=of) for of, size in sizes.items()]
    return pd.concat(parts).astype({"kind": str})


def shuffled(n, counts):
    """CDNV of a class of n samples that has nothing but noise: mean over others k of 1 / (1/n + 1/n_k) - 1/2.

    A class of n samples of noise with variance v has an expected variance v (1 - 1/n), two of them a squared distance
    of v (1/n + 1/n_k); this is the ratio of the expectations, exact for many dimensions (derived).
    """
    return np.mean(1 / (1 / np.asarray(n)[:, None] + 1 / counts) - 0.5, axis=1)


def running_median(x, y, bins=14, least=3):
    """Medians of y in `bins` equal steps of log x, where at least `least` classes fall: (median of x, of y)."""
    found = [[], []]
    keep = y.notna() & (x > 0)
    x, y = x[keep].to_numpy(), y[keep].to_numpy()
    edge = np.geomspace(x.min(), x.max() * (1 + 1e-9), bins + 1)
    where = np.searchsorted(edge, x, side="right")
    for k in range(1, bins + 1):
        if (where == k).sum() >= least:
            found[0].append(np.median(x[where == k]))
            found[1].append(np.median(y[where == k]))
    return found


def collapse(frame, paper):
    """CDNV against the count of a class, `x`, by part: "class" (first seed), "median" (of every seed, running) and
    "theory", what is predicted for shuffled labels. metric: cdnv, equal_cdnv, permuted_cdnv."""
    found = []
    for panel, rows in {"": frame, PAPER: paper}.items():
        if len(rows):
            fields = {"panel": panel, "floor": rows["floor"].iloc[0]}
            found += [part.assign(**fields) for part in (*points(rows), *medians(rows), prediction(first(rows)))]
    return pd.concat(found)[["panel", "floor", "part", "metric", "seed", "x", "value"]]


def points(rows):
    """The classes of the first seed."""
    rows = first(rows)
    for metric in ("cdnv", "equal_cdnv"):
        yield pd.DataFrame({"seed": rows["seed"], "x": rows["count"].astype(float), "value": rows[metric]}).assign(
            part="class", metric=metric
        )


def medians(rows):
    """The running medians of every seed."""
    for metric in ("cdnv", "equal_cdnv", "permuted_cdnv"):
        for seed, part in rows.groupby("seed"):
            x, y = running_median(part["count"], part[metric])
            yield pd.DataFrame({"part": "median", "metric": metric, "seed": seed, "x": x, "value": y})


def prediction(rows):
    """What `shuffled` predicts on a grid of counts."""
    x = np.geomspace(rows["count"].min() + 1, rows["count"].max(), 60)
    value = shuffled(x, rows["count"].to_numpy())
    columns = {"part": "theory", "metric": "permuted_cdnv", "seed": rows["seed"].iloc[0]}
    return pd.DataFrame({"x": x, "value": value, **columns})


def caution(frame, halves):
    """By panel: "shuffled", variance of a class over that of all features against its samples, `x`, with the median
    over classes of as many samples and what is predicted; "halves", of `tokens.halves`, medians of CDNV from all
    samples ("median") and from equally many ("equal")."""
    rows = frame[frame["count"] > 0]
    n, v = rows["count"], rows["permuted_variance"]
    few = rows[n <= 60]
    value = few["permuted_variance"] / ((n * v).sum() / (n - 1).sum())
    median = value.groupby(few["count"]).median()
    grid = np.geomspace(1, 60, 100)
    parts = [
        pd.DataFrame({"part": "class", "x": few["count"].astype(float), "value": value}),
        pd.DataFrame({"part": "median", "x": median.index.astype(float), "value": median.to_numpy()}),
        pd.DataFrame({"part": "theory", "x": grid, "value": (grid - 1) / grid}),
    ]
    left = pd.concat(parts).assign(panel="shuffled", by="", half="", floor=frame["floor"].iloc[0])
    right = [halves.assign(part=column, value=halves[column]) for column in ("median", "equal")]
    columns = ["panel", "floor", "part", "by", "half", "x", "value"]
    return pd.concat([left, pd.concat(right).assign(panel="halves", floor=left["floor"].iloc[0])])[columns]


def names(found, *, shown, exceptions):
    """Of `names.names`: the most frequent names and the exceptions, for every seed; `place` counts from the top."""
    order = found.groupby("token")["count"].first().sort_values(ascending=False, kind="stable").index
    chosen = [token for i, token in enumerate(order) if i < shown or token in exceptions]
    ratios = ["cdnv_ratio", "matched_ratio", "median_ratio", "null_ratio", "interference_z", "matched_z"]
    rows = found[found["token"].isin(chosen)]
    places = rows["token"].map({token: i for i, token in enumerate(chosen)})
    return rows.assign(place=places.astype(int))[["place", "token", "seed", *ratios, "partner"]]


def correlations(found, labels):
    """Of `tokens.correlations`: each pair of measures once, every seed."""
    parts = []
    for seed, matrix in found.items():
        for j, k in zip(*np.tril_indices(len(matrix), -1), strict=True):
            first, second = (labels[matrix.columns[i]] for i in (k, j))
            parts.append({"seed": seed, "first": first, "second": second, "value": matrix.iloc[j, k]})
    return pd.DataFrame(parts)
