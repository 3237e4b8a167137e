"""Tables of `study.STUDY` -> the rows that a figure draws."""

import numpy as np
import pandas as pd

from nclib.glued import number
from nclib.pages.mixup_networks.claims import EVAL, FIXED, GENTLE, MIXUP, PLAIN, SMOOTH, SQUARED, of
from nclib.runs.study import own_runs

CORNERS = np.array([[-(0.75**0.5), -0.5], [0.75**0.5, -0.5], [0.0, 1.0]])
NAMES = {"digits": "digits", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
LARGE = {"resnet18": ", ResNet-18", "wrn16-4": ", WRN-16-4"}
# heading: (metric, format, of which rows)
GEOMETRY = {
    "cosine": ("alignment", ".2f", EVAL),
    "share in the span": ("span", ".2f", EVAL),
    "amplification": ("amplification", ".2f", EVAL),
    "amplification in train mode": ("amplification", ".2f", {"batch_norm": "train"}),
    "distance": ("bend", ".2f", EVAL),
    "slope": ("slope", ".2f", EVAL),
    "error of the closed form": ("fit_error", ".0%", EVAL),
}
CALIBRATION = {
    "test accuracy": ("accuracy", ".1%", {"split": "test"}),
    "confidence minus accuracy": ("overconfidence", "+.3f", {}),
    "calibration error": ("ece", ".3f", {}),
    "with a temperature": ("ece_scaled", ".3f", {}),
    "NC1, clean images": ("nc1", ".3f", {}),
}
METRICS = ("alignment", "span", "amplification", "bend", "slope", "fit_error")


def plane(table):
    """Single features of the first seed's networks, without mixup, with it, with squared error, in the plane of three
    classifiers: `kind`, `mix`, `x`, `y`. kind "theory": the closed form with the fitted a, a line for each pair."""
    table = own_runs(table)
    table = table[(table["seed"] == table["seed"].min()) & table["part"].isin([PLAIN, MIXUP, SQUARED])]
    keys = ["part", "kind", "mix", "point"]
    rows = table[table["metric"].isin(["x", "y"])].assign(mix=lambda rows: rows["mix"].fillna(1.0))
    found = rows.pivot(index=keys, columns="metric", values="value").reset_index()
    return pd.concat([found, *(_theory(table, part) for part in (MIXUP, SQUARED))], ignore_index=True)


def _theory(table, part):
    """The closed form's features in that plane, from its logits; with squared error the segments."""
    rows = table[(table["part"] == part) & (table["batch_norm"] == "eval")]
    t = rows.loc[rows["metric"] == "logit_same", "theory"].iloc[0] * 10 / 9
    z = rows[rows["metric"].str.startswith("logit_") & rows["mix"].notna()]
    z = z.pivot(index="mix", columns="metric", values="theory").reset_index()
    found = []
    for pair, (i, j) in enumerate(((0, 1), (1, 2), (2, 0))):
        weights = [z["mix"], 1 - z["mix"]]
        if part == MIXUP:
            weights = [(z[name] - z["logit_other"]) / t for name in ("logit_i", "logit_j")]
        x, y = (np.outer(weights[0], CORNERS[i]) + np.outer(weights[1], CORNERS[j])).T
        found.append(pd.DataFrame({"part": part, "kind": "theory", "mix": z["mix"], "point": pair, "x": x, "y": y}))
    return pd.concat(found).astype({"point": "Int64"})


def geometry(table):
    """The metrics of METRICS, in eval mode, a row for each network."""
    rows = own_runs(table)
    rows = rows[(rows["batch_norm"] == "eval") & rows["metric"].isin(METRICS)]
    return rows[["part", "metric", "seed", "value", "theory"]]


def odds(table):
    """Mean logits at each weight, without and with mixup, and by the closed form with the fitted a: `gap` z_i - z_j,
    and the `margin` z_i - z_k over the other classes."""
    rows = own_runs(table)
    rows = rows[(rows["batch_norm"] == "eval") & rows["part"].isin([PLAIN, MIXUP, FIXED]) & rows["mix"].notna()]
    keys = ["part", "seed", "mix"]
    wide = rows[rows["metric"].str.startswith("logit_")].pivot(index=keys, columns="metric", values=["value", "theory"])
    found = []
    for metric, other in (("gap", "logit_j"), ("margin", "logit_other")):
        values = {of: wide[of]["logit_i"] - wide[of][other] for of in ("value", "theory")}
        found.append(pd.DataFrame(values).reset_index().assign(metric=metric))
    return pd.concat(found, ignore_index=True)


def price(table):
    """At every scale, column `panel`: the calibration error of each network, and for plain training the one after a
    temperature is fitted; NC1 and test accuracy."""
    table = labelled(table)
    rows = table[table["metric"].isin(["ece", "nc1"]) | ((table["metric"] == "accuracy") & (table["split"] == "test"))]
    rows = pd.concat([rows, table[(table["metric"] == "ece_scaled") & (table["part"] == PLAIN)]])
    return rows[["panel", "part", "metric", "seed", "value"]].reset_index(drop=True)


def labelled(table):
    """The table with a column `panel`, the data and of a large network its name, and with each `part` by its name at
    other profiles than paper."""
    part = table["part"].str.replace(r", (small, [\w-]+|wrn16-4)$", "", regex=True)
    return table.assign(part=part, panel=table["data"].replace(NAMES) + table["model"].map(LARGE).fillna(""))


def scales(table, columns, parts=(PLAIN, MIXUP, GENTLE, SMOOTH, FIXED, SQUARED)):
    """Means over seeds as text, a row for each scale and way of training; columns: `GEOMETRY` or `CALIBRATION`."""
    found = {}
    for panel, rows in labelled(table).groupby("panel", sort=False):
        for part in (part for part in parts if part in set(rows["part"])):
            found[panel, "no mixup" if part == PLAIN else part] = {
                name: number(of(rows, part, metric, **at).mean(), form) for name, (metric, form, at) in columns.items()
            }
    return pd.DataFrame(found).T


def layers(table):
    """`segment_distance` by layer and seed, without mixup, with it, and with squared error."""
    rows = own_runs(table)
    rows = rows[(rows["metric"] == "segment_distance") & rows["part"].isin([PLAIN, MIXUP, SQUARED])]
    return rows[["part", "layer", "seed", "value"]]
