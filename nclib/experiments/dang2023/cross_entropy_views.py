"""What the figures of cross-entropy and depth draw: table -> rows."""

import numpy as np

from nclib.results import indexed


def cases(table):
    """The table with the weight decay of each row as the column `lam`."""
    return table.assign(lam=table["layer"].str.removeprefix("lam=").astype(float))


def ends(table):
    """Where each random start ended: its loss over the ETF's, `value`, and the `rank` of its logits."""
    keys = ["depth", "num_classes", "lam", "seed", "i"]
    ratio, rank = (indexed(cases(table), metric).set_index(keys)["value"] for metric in ("ratio", "rank"))
    return ratio.to_frame().join(rank.rename("rank")).reset_index()


def candidates(pairs):
    """Of `cross_entropy_candidates.pairs`: loss of the cross-polytope over the ETF's, and its limit."""
    return pairs[["M", "K", "lam", "ratio", "limit"]]


def census(table):
    """Every end, with the cross-polytope's loss over the ETF's as `theory` where there is more than one layer."""
    keys = ["depth", "num_classes", "lam"]
    exact = cases(table).query("source == 'theory' and metric in ('etf', 'cross_polytope')")
    wide = exact.pivot_table(index=keys, columns="metric", values="value")
    theory = (wide["cross_polytope"] / wide["etf"]).rename("theory")
    found = ends(table).join(theory, on=keys)
    return found.assign(theory=np.where(found["depth"] > 1, found["theory"], np.nan))


def rank_and_loss(table, lam):
    """How many starts, `n`, ended at each rank and loss over the ETF's (four digits), K = 6 and one lambda."""
    found = ends(table)
    found = found[(found["num_classes"] == 6) & (found["lam"] == lam)]
    found = found.assign(ratio=found["value"].round(4))
    return found.groupby(["depth", "rank", "ratio"]).size().reset_index(name="n")


def logits(table, lam):
    """Logits of the best start at K = 6 and one lambda, M = 1 and M = 2."""
    found = cases(table)
    found = found[(found["num_classes"] == 6) & (found["lam"] == lam) & found["depth"].isin([1, 2])]
    return indexed(found, "logits")[["depth", "i", "j", "value"]]
