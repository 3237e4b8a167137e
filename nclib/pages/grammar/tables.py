"""What the page on the story grammar shows of its runs, as tables; widths are columns or rows."""

import numpy as np
import pandas as pd

from nclib.glued import number

GROWING = (8, 4, 2, 1)  # the first 1/8, 1/4, ... of the positions, where a metric is measured against their number
LONGER = 3  # times the words, once more at the largest width
LOSSES = {"loss": "loss", "excess": "excess", "KL": "kl"}


def pick(table, metric, *, split="fresh", layer="", source="measured", trained=True, longer=False):
    """The values of a metric as a DataFrame, a row for each seed and a column for each width; of the runs with the
    usual number of words, or of the longer one."""
    words = table["tokens"].max() if longer else table["tokens"].min()
    found = table[table["metric"] == metric]
    fields = {"tokens": words, "split": split, "layer": layer, "source": source}
    found = found[np.logical_and.reduce([found[name] == value for name, value in fields.items()])]
    if source == "measured":
        found = found[found["step"] == (found["epochs"] if trained else 0)]
    return found.pivot(index="seed", columns="width", values="value")


def parts(table, layer, source="measured", trained=True, longer=False):
    """{part: as of `pick`} of the variance of a layer over contexts, "between", "ambiguity" and "rest"."""
    names = ("between", "ambiguity", "rest")
    return {name: pick(table, name, layer=layer, source=source, trained=trained, longer=longer) for name in names}


def summary(table):
    """Means over seeds for every width, of the longer run, of the untrained widest, and of the perfect model: losses in
    nats, and what predictions and features vary by. Variances of predictions are over that of P, of features over
    their own."""
    bayes, total = (pick(table, name, layer="predictions", source="theory") for name in ("bayes", "total"))
    exact = {"loss": bayes, "excess": 0 * bayes, "KL": 0 * bayes, "predictions: |p - P|²": 0 * bayes}
    exact |= {f"predictions: {name}": part / total for name, part in parts(table, "predictions", "theory").items()}
    exact["predictions: noise"] = 0 * bayes
    untrained = _features(table, trained=False)
    frames = {
        "": _trained(table),
        f", {LONGER} × words": _trained(table, longer=True),
        ", untrained": {name: part.iloc[:, -1:] for name, part in untrained.items()},
    }
    found = []
    for name, values in frames.items():
        frame = pd.DataFrame({metric: value.mean() for metric, value in values.items()})
        found.append(frame.set_axis([f"{width}{name}" for width in frame.index]))
    perfect = pd.DataFrame({name: value.mean().iloc[:1].to_numpy() for name, value in exact.items()}, ["perfect"])
    return pd.concat([*found, perfect]).rename_axis("width")


def _trained(table, longer=False):
    total = pick(table, "total", layer="predictions", source="theory", longer=longer)
    values = {name: pick(table, metric, longer=longer) for name, metric in LOSSES.items()}
    for name, part in parts(table, "predictions", longer=longer).items():
        values[f"predictions: {name}"] = part / total
    values["predictions: noise"] = pick(table, "noise", layer="predictions", longer=longer) / total
    values["predictions: |p - P|²"] = pick(table, "distance", layer="predictions", longer=longer) / total
    return values | _features(table, longer=longer)


def _features(table, **which):
    """`parts` of features over their total, and where trained the noise."""
    found = parts(table, "features", **which)
    total = sum(found.values())
    if which.get("trained", True):
        found["noise"] = pick(table, "noise", layer="features", **which)
    return {f"features: {name}": part / total for name, part in found.items()}


def merging(table):
    """Metrics of the perfect model's predictions on growing parts of the text, as text."""
    found = growth(table)
    return found.assign(**{name: found[name].map(lambda value: number(value, ".3g")) for name in found.columns[1:]})


def growth(table):
    """`merging`, as numbers."""
    names = {"samples": "positions", "nc1": "NC1", "nc1_trace_ratio": "trace ratio", "cdnv_mean": "CDNV, mean"}
    names |= {"cdnv_median": "CDNV, median", "merged": "merged pairs, log CDNV", "others": "other pairs, log CDNV"}
    first = table[(table["source"] == "theory") & (table["run"] == table["run"].iloc[0])]
    rows = first[first["split"].str.startswith("first")]
    wide = rows.pivot(index="split", columns="metric", values="value")[list(names)].sort_values("samples")
    return wide.rename(columns=names).astype({"positions": int}).reset_index(drop=True)


def chain(table):
    """Of the text: words that can come, interchangeable pairs, shares of contexts; and of its resampling chain: modes,
    how many of them are 1, the sum of 1/lambda - 1, and how many of the smallest modes make up half of it."""
    first = table[(table["source"] == "theory") & (table["run"] == table["run"].iloc[0])]
    modes = first[first["metric"] == "modes"].sort_values("index")["value"].to_numpy()
    noise = np.sort(1 / modes - 1)[::-1]
    values = first[first["split"] == "fresh"].set_index("metric")["value"]
    return pd.Series(
        {
            "words that can come": int(values["words"]),
            "interchangeable pairs": int(values["pairs"]),
            "share of determined contexts": round(values["determined"], 3),
            "share of contexts whose P comes again": round(values["repeated"], 3),
            "modes": len(modes),
            "modes that are 1": int((modes > 1 - 1e-9).sum()),
            "sum of 1/λ − 1": round(noise.sum(), 1),
            "modes with half of it": int((noise.cumsum() < noise.sum() / 2).sum()) + 1,
        },
        dtype=object,
    ).to_frame("value")
