"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context

import numpy as np
import pandas as pd

from nclib.glued import number


def pairs(table, part="candidates"):
    """A row for each (lam, M, K), and each recorded seed, a column for each metric of the two candidates."""
    rows = table[table["part"] == part]
    return rows.pivot(index=["seed", "lam", "M", "K"], columns="metric", values="value").reset_index()


def candidates(table):
    """Loss of the cross-polytope over the ETF's, and its limit."""
    return pairs(table)[["M", "K", "lam", "ratio", "limit"]]


def losses(table, lam):
    """The two losses at one weight decay, for a reader."""
    found = pairs(table)
    columns = {"M": "M", "K": "K", "etf": "simplex ETF", "cross_polytope": "cross-polytope", "ratio": "ratio"}
    columns["limit"] = "its limit"
    return found.loc[found["lam"] == lam, list(columns)].rename(columns=columns).reset_index(drop=True)


def ends(table):
    """Where each random start ended: its loss over the ETF's, `value`, and the `rank` of its logits."""
    keys = ["depth", "num_classes", "lam", "seed", "i"]
    rows = table[table["part"] == "census"]
    ratio, rank = (rows[rows["metric"] == metric].set_index(keys)["value"] for metric in ("ratio", "rank"))
    return ratio.to_frame().join(rank.rename("rank")).reset_index()


def census(table):
    """Every end, with the cross-polytope's loss over the ETF's as `theory` where there is more than one layer."""
    keys = ["depth", "num_classes", "lam"]
    exact = table[(table["part"] == "census") & table["metric"].isin(["etf", "cross_polytope"])]
    wide = exact.pivot(index=keys, columns="metric", values="value")
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
    found = table[(table["part"] == "census") & (table["metric"] == "logits") & (table["num_classes"] == 6)]
    found = found[(found["lam"] == lam) & found["depth"].isin([1, 2])]
    return found[["depth", "i", "j", "value"]]


def region(table):
    """Where the order of the two candidates is known. By panel: "decays", at each lambda, `x`, of (M, K) whether the
    cross-polytope is `lower` or the ETF, or `nothing` is learned; "every", of (M, K), whether the theorem holds."""
    found = pairs(table, "map")
    nothing = np.minimum(found["etf"], found["cross_polytope"]) > np.log(found["K"].astype(float)) - 1e-12
    order = np.where(nothing, "nothing", np.where(found["ratio"] < 1, "lower", "higher"))
    decays = found.assign(panel="decays", x=found["lam"], order=order)
    every = pd.DataFrame([(M, K) for M in range(1, 7) for K in range(3, 13)], columns=["M", "K"])
    single = every["K"] % 2
    holds = 4 * (every["K"] // 2) ** (every["M"] + 1) <= (every["K"] - 1 - single) ** (every["M"] + 1)
    every = every.assign(panel="every", x=np.nan, order=np.where(holds, "lower", "higher"))
    return pd.concat([decays, every], ignore_index=True)[["panel", "M", "K", "x", "order"]]


def proofs(table, *parts, ends=("at least", "at most")):
    """The certificates of some parts, for a reader; `ends` name the two columns of bounds."""
    rows = table[table["part"].isin(parts) & table["metric"].isin(["lower", "upper", "proved", "boxes"])]
    keys = ["run", "of", "statement"]
    wide = rows.pivot(index=keys, columns="metric", values="value").loc[rows[keys].drop_duplicates().agg(tuple, axis=1)]
    sides = {"lower": ROUND_FLOOR, "upper": ROUND_CEILING}
    bounds = ([outward(value, side) for value in wide[end]] for end, side in sides.items())
    answers = ["yes" if value else "no" for value in wide["proved"]]
    statements = wide.index.get_level_values("statement").str.replace("lambda", "λ").str.replace("alpha", "α")
    shown = {"statement": statements} | dict(zip(ends, bounds, strict=True)) | {"proved": answers}
    return pd.DataFrame(shown | {"boxes": wide["boxes"].astype(int).to_numpy()})


def outward(value, side):
    """A bound in eight digits, rounded to its side; a number that was given, such as 0.12, as it is."""
    if len(repr(value)) < 10:
        return number(value, ".9g")
    rounded = Context(prec=8, rounding=side).create_decimal(value).normalize()
    return f"−{-rounded}" if value < 0 else f"{rounded}"
