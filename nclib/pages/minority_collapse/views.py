"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges. `beta`: over the threshold."""

import pandas as pd

SPINODAL = {1: 1.0, 2: 3 * 3**0.5 / 4, 3: 4 ** (1 / 3)}  # where survivors disappear, beta over the threshold, by depth


def overlap(table, part="sweep"):
    """q of each class, measured and predicted, with beta."""
    rows = table[(table["part"] == part) & (table["metric"] == "q")].rename(columns={"value": "q", "q": "grid"})
    return rows[["depth", "seed", "lam", "i", "size", "beta", "theory", "q"]]


def kept(table):
    """Share of the classes alive at the global minimum that survive, by depth, size of the start and seed."""
    rows = table[(table["part"] == "sweep") & (table["metric"] == "kept")]
    sums = rows.groupby(["depth", "start", "seed"])[["value", "theory"]].sum(skipna=False)
    return (sums["value"] / sums["theory"]).rename("value").reset_index()


def landscape(table):
    """By panel: "loss", the loss of a class at q, `x`; "kept", the share of classes kept against the size of the start,
    `x`."""
    curves = table[(table["part"] == "branches") & (table["metric"] == "landscape")]
    curves = curves.assign(panel="loss", x=curves["q"], value=curves["theory"])
    share = kept(table)
    found = pd.concat([curves, share.assign(panel="kept", x=share["start"])])
    return found[["panel", "depth", "ratio", "seed", "x", "value"]]


def branches(table):
    """Both branches by depth, seed and ratio: up, down (measured), q, local, spinodal (theory)."""
    rows = table[(table["part"] == "branches") & table["metric"].isin(["up", "down"])]
    wide = rows.pivot(index=["depth", "seed", "ratio"], columns="metric", values=["value", "theory"]).reset_index()
    names = {"up": ("value", "up"), "down": ("value", "down"), "q": ("theory", "down"), "local": ("theory", "up")}
    found = wide[["depth", "seed", "ratio"]].droplevel(1, axis=1)
    found = found.assign(**{name: wide[column] for name, column in names.items()})
    return found.assign(spinodal=found["depth"].map(SPINODAL).astype("float64"))


def hysteresis(table):
    """`branches` of the depths that have two."""
    found = branches(table)
    return found[found["depth"] > 1]


def phase(table):
    """q of the smaller class of two, and the lambdas at which it is predicted to vanish and its minimum to end."""
    found = overlap(table, "phase").query("i == 1")
    power = (found["depth"] / (found["depth"] + 1)).astype("float64")  # beta grows as lambda^((M+1)/M)
    critical = found["lam"] / found["beta"] ** power
    end = found["depth"].map(SPINODAL).astype("float64") ** power
    found = found.assign(critical=critical, spinodal=critical * end)
    return found[["depth", "seed", "size", "lam", "beta", "q", "critical", "spinodal"]]


def cross_entropy(table):
    """Contrast inside the minority, measured and predicted, and the threshold."""
    rows = table[(table["part"] == "cross-entropy") & (table["metric"] == "contrast")]
    return rows[["nonnegative", "seed", "size", "value", "theory", "threshold"]]


def limits(table):
    """By panel: "seli", distances against lambda, `x`; "peeled", the minority's contrast and length against R over R0,
    `x`."""
    seli = table[(table["part"] == "SELI") & (table["metric"] != "certificate")]
    peeled = table[table["part"] == "layer-peeled"]
    seli, peeled = seli.assign(panel="seli", x=seli["lam"]), peeled.assign(panel="peeled", x=peeled["R"])
    return pd.concat([seli, peeled])[["panel", "metric", "K_major", "R0", "seed", "x", "value"]]


def network(table):
    """q of each class of images, measured and predicted, with beta."""
    rows = table[(table["part"] == "network") & (table["metric"] == "gram_WH") & (table["i"] == table["j"])]
    sizes = [list(map(int, counts.split())) for counts in rows["counts"]]
    # in this order a class at exactly a quarter or the whole of its threshold is not beyond it by rounding
    beta = [sum(n) / n[i] * (sum(n) * lam**2) for n, lam, i in zip(sizes, rows["lam"], rows["i"], strict=True)]
    return rows.assign(beta=beta)[["lam", "seed", "i", "beta", "theory", "value"]]
