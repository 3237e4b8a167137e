"""Tables of `study.STUDY` -> the rows that figures draw and claims judge. `line`: the way of pruning."""

import numpy as np

WEIGHTS = ("round after round", "at once", "at once, a minimum a layer")
DRAWN = ("pqi", "accuracy", "nc1", "between", "rank", "emptiest")
MOMENTS = ("pruned", "accuracy")
FACTOR, POINTS = 2.0, 0.1  # of a warning; of accuracy


def rounds(table):
    """What is drawn of the networks whose weights are pruned, by round."""
    rows = table[table["part"].isin(WEIGHTS) & table["metric"].isin(DRAWN)]
    return rows.assign(line=rows["part"])[["line", "metric", "seed", "round", "value"]]


def units(table):
    """Accuracy of the networks whose units are pruned, by number of units that are kept, with the least rank of Sigma_B
    when the last had gone and the accuracy of the dense network as `theory`."""
    own = table[table["part"].str.startswith("units")]
    at = ["part", "seed", "kept"]
    wide = own[own["kept"].notna()].pivot_table(index=at, columns="metric", values="value", dropna=True).reset_index()
    dense = own[own["metric"] == "dense"].set_index(["part", "seed"])["value"]
    wide["theory"] = [dense.get((part, seed), np.nan) for part, seed in zip(wide["part"], wide["seed"], strict=True)]
    found = wide.assign(line=wide["part"], value=wide["accuracy"])
    return found[["line", "seed", "kept", "rank", "value", "theory"]]


def mended(table):
    """Accuracy of the networks whose units are pruned, by number of units that are kept: "pruned", when the last had
    gone, and "accuracy", trained on. `theory`: that of the dense network, the mean over the seeds."""
    own = table[table["part"].str.startswith("units")]
    rows = own[own["metric"].isin(MOMENTS)]
    dense = own.loc[own["metric"] == "dense", "value"].mean()
    return rows.assign(line=rows["part"], theory=dense)[["line", "metric", "seed", "kept", "value", "theory"]]


def series(table, metric, part=WEIGHTS[0]):
    """A metric by round (rows) and seed (columns): all seeds of the table, NaN where a value is missing."""
    own = table[(table["part"] == part) & (table["metric"] == metric)]
    wide = own.pivot(index="round", columns="seed", values="value")
    return wide.reindex(columns=sorted(table["seed"].unique()))


def first(wide, condition):
    """The first round at which a condition is true, by seed: the round after the last where it never is; NaN for a
    seed with a missing value."""
    found = condition.idxmax().where(condition.any(), wide.index.max() + 1 if len(wide) else np.nan)
    return found.where(wide.notna().all() & bool(len(wide))).astype(float)


def drop(table):
    """The first round with an accuracy more than ten points below that of the dense network."""
    accuracy = series(table, "accuracy")
    return first(accuracy, accuracy < accuracy.iloc[0] - POINTS)


def warning(table, metric):
    """The first round at which a metric warns: NC1 above twice its least value so far, the trace of Sigma_B below half
    of its largest so far, its rank below that of the dense network."""
    wide = series(table, metric)
    if metric == "nc1":
        return first(wide, wide > FACTOR * wide.cummin())
    if metric == "between":
        return first(wide, wide < wide.cummax() / FACTOR)
    return first(wide, wide < wide.iloc[0])


def turns(table):
    """(falls, rises, falls, round of the last turn), by seed, of the PQ Index: before, over and after its greatest
    rise."""
    wide = series(table, "pqi")
    found = [_greatest_rise(wide[seed].to_numpy()) for seed in wide]
    return np.array(found).T


def _greatest_rise(values):
    if not len(values) or not np.isfinite(values).all():
        return (np.nan,) * 4
    rise = values[None, :] - values[:, None]
    i, j = np.unravel_index(np.triu(rise).argmax(), rise.shape)
    return values[0] - values[i], values[j] - values[i], values[j] - values[j:].min(), j
