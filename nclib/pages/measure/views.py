"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges, and the numbers of one measurement."""

import numpy as np
import pandas as pd

PRESETS = TEXTBOOK, MAY, OCTOBER = "textbook", "wu-papyan-2024-05", "wu-papyan-2024-10"
# What a preset has of its own: prefixes of names. Everything else is the same number in all three.
OWN = {
    MAY: ("cdnv_", "gnc2_", "norm_mean", "norm_cv"),
    OCTOBER: ("cdnv_", "interference_"),
}
TRAPS = {
    "one_pass": ("within over between variance", "E[h²] − E[h]² from float32 sums", "deviations, float64 state"),
    "absent_center": ("mean norm of class means", "center over all 1,000 rows", "center over the classes seen"),
    "absent_vote": ("NC4 agreement", "zero rows are candidates", "only classes that were seen are"),
    "cutoff": ("NC1", "float32 pseudo-inverse, default tolerance", "thin SVD at the known rank"),
    "offset": ("mean CDNV", "float32 distances by expansion", "differences from one mean, float64"),
    "origin": ("GNC2 mean", "directions of means as they are", "directions of centered means"),
    "scale": ("CDNV of 2h over CDNV of h", "variance / distance⁴", "variance / distance²"),
    "width": ("spread of cosines, d = 1,024 over 64", "no null", "over that of random directions"),
    "duplicates": ("CDNV of a typical pair", "mean over pairs", "exp of the mean logarithm"),
}
LAYERS = ("nc1", "cdnv_mean", "etf_error", "interference_std")


def layer_values(table, layer="features"):
    """{source: {metric: value}} at one layer of the network of the first seed."""
    rows = table[table["part"] == "network"]
    rows = rows[(rows["seed"] == rows["seed"].min()) & (rows["layer"] == layer)]
    return {source: part.set_index("metric")["value"].to_dict() for source, part in rows.groupby("source")}


def language(table):
    """({preset: {metric: value}}, {metric: value of random directions}) of the language model, at its last epoch."""
    rows = table[table["part"] == "language model"]
    rows = rows[(rows["step"] == rows["step"].max()) & (rows["split"] == "train")]
    measured = rows[rows["convention"].isin(PRESETS)]
    values = {name: part.set_index("metric")["value"].to_dict() for name, part in measured.groupby("convention")}
    null = rows[rows["theory"].notna()].set_index("metric")["theory"].to_dict()
    return {name: values[name] for name in PRESETS}, null


def errors(table):
    """One row for each trap and seed: naive, ours, truth, and the relative errors naive_error and ours_error."""
    rows = table[table["part"] == "traps"]
    wide = rows.pivot(index=["trap", "seed"], columns="metric", values="value").reset_index().rename_axis(columns=None)
    for way in ("naive", "ours"):
        wide[f"{way}_error"] = (wide[way] / wide["truth"] - 1).abs()
    order = {name: i for i, name in enumerate(TRAPS)}
    return wide.sort_values(["trap", "seed"], key=lambda c: c.replace(order))


def layers(table):
    """Four numbers at each layer: measured from every seed; of the first one intervals, "low" and "high", the value
    under shuffled labels, and that of random directions, "theory"."""
    rows = table[(table["part"] == "network") & table["metric"].isin(LAYERS)]
    rows = rows[(rows["source"] == "measured") | (rows["seed"] == rows["seed"].min())]
    return rows[["layer", "metric", "source", "seed", "value"]]


def report(table):
    """Of the last layer of the first seed: measured, interval ("low", "high"), random directions ("theory")."""
    values, sources = layer_values(table), ("measured", "low", "high", "theory")
    rows = [(source, metric, value) for source in sources for metric, value in values.get(source, {}).items()]
    return pd.DataFrame(rows, columns=["source", "metric", "value"]).astype({"value": float})


def disagreement(table):
    """The numbers on which the presets differ, one column a preset, and that of random directions."""
    values, null = language(table)
    keys = [key for key in values[TEXTBOOK] if key.startswith((*OWN[MAY], *OWN[OCTOBER]))]
    frame = pd.DataFrame({name: {key: found[key] for key in keys} for name, found in values.items()})
    return frame.assign(**{"random directions": [null.get(key) for key in keys]}).rename_axis("metric")


def presets(table):
    """What each preset calls by one name; a number that is undefined in a preset is left out."""
    found = disagreement(table).drop(columns="random directions").astype(float)
    found = found[np.isfinite(found).all(axis=1)]
    return found.rename_axis(columns="preset").stack().rename("value").reset_index()


def traps(table):
    """Relative errors of the naive way and of nclib, every draw."""
    found = errors(table)
    number = found["trap"].map({trap: words[0] for trap, words in TRAPS.items()})
    return found.assign(number=number)[["number", "seed", "naive_error", "ours_error"]]


def growth(points, slopes):
    """Seconds against N, K and d, with the fitted exponent of each line."""
    return points.merge(slopes[["name", "sweep", "slope"]], on=["name", "sweep"], how="left")
