"""What the figures of the story grammar draw: table -> rows. `longer`: the run with more words."""

import numpy as np
import pandas as pd

PARTS = ("between", "ambiguity", "rest")
COLUMNS = ["metric", "split", "source", "longer", "width", "seed", "value"]


def panels(table, view):
    """The rows that a view gives of the page's own runs, and of those that are archived beside them: `panel` is "", or
    the name of their scale."""
    return pd.concat([view(part).assign(panel=scale) for scale, part in table.groupby("beside")])


def chosen(table, trained=True, longer=False, **fields):
    """The rows with these values of `metric`, `split` and so on, of the runs with the usual number of words or of the
    longer one; of measured ones those at the end of training (or its start)."""
    table = table[table["tokens"] == (table["tokens"].max() if longer else table["tokens"].min())]
    fields = {"split": "fresh", "source": "measured"} | fields
    rows = table[np.logical_and.reduce([table[name] == value for name, value in fields.items()])]
    rows = rows[rows["step"] == (rows["epochs"] if trained else 0)] if fields["source"] == "measured" else rows
    return rows.assign(longer=longer)


def both(table, **fields):
    """`chosen` of the runs with the usual number of words, and of the longer one."""
    return pd.concat([chosen(table, longer=longer, **fields) for longer in (False, True)])


def excess(table):
    """Loss at all positions, "windows", and where the whole story is seen; the Bayes loss; KL and what each kind of
    context contributes to its mean."""
    share = chosen(table, metric="determined", source="theory")["value"].iloc[0]
    found = [both(table, metric="loss", split=split) for split in ("windows", "fresh")]
    found.append(chosen(table, metric="bayes", source="theory").iloc[:1])
    for split, part in {"fresh": 1, "ambiguous": 1 - share, "determined": share}.items():
        rows = both(table, metric="kl", split=split)
        found.append(rows.assign(value=part * rows["value"]))
    return pd.concat(found)[COLUMNS]


def shares(table):
    """The variance of predictions over that of P, and of features over their own, by its three parts, for each bar."""
    widths = sorted(table["width"].unique())
    bars = {f"{width}": {"width": width} for width in widths}
    bars[f"{widths[-1]}, 3 × words"] = {"width": widths[-1], "longer": True}
    more = {
        "predictions": {"perfect": {"width": widths[0], "source": "theory"}},
        "features": {f"{widths[-1]}, untrained": {"width": widths[-1], "trained": False}},
    }
    total, found = chosen(table, metric="total", source="theory")["value"].iloc[0], []
    for layer, extra in more.items():
        for bar, fields in (bars | extra).items():
            parts = [chosen(table, metric=part, layer=layer, **fields)["value"].mean() for part in PARTS]
            values = np.array(parts) / (total if layer == "predictions" else np.sum(parts))
            found.append(pd.DataFrame({"layer": layer, "bar": bar, "part": PARTS, "value": values}))
    return pd.concat(found)


def determined(table):
    """Trace ratio and median CDNV of features by kind of context, and of the same samples dealt at random."""
    splits = [f"{how}-{kind}" for how in ("matched", "shuffled") for kind in ("determined", "ambiguous")]
    metrics = ("nc1_trace_ratio", "cdnv_median")
    return pd.concat([both(table, metric=metric, split=split) for metric in metrics for split in splits])[COLUMNS]


def merged(table):
    """Of the widest model's features and of perfect predictions, `of`, on the first `samples` positions: geometric
    means of CDNV over pairs, and collapse metrics. Means over seeds."""
    rows = table[table["split"].str.startswith("first") & (table["tokens"] == table["tokens"].min())]
    widest = rows[(rows["width"] == rows["width"].max()) & (rows["source"] == "measured")]
    perfect = rows[(rows["source"] == "theory") & (rows["run"] == rows["run"].iloc[0])]
    found = []
    for of, part in {"features": widest, "perfect predictions": perfect}.items():
        mean = part.groupby(["split", "metric"])["value"].mean().unstack().sort_values("samples").set_index("samples")
        mean = mean.assign(**{name: np.exp(mean[name]) for name in ("merged", "others", "sampled")})
        found.append(mean.rename_axis(columns="metric").stack().rename("value").reset_index().assign(of=of))
    shown = ["merged", "others", "sampled"], ["cdnv_mean", "cdnv_median", "nc1_trace_ratio"]
    found = pd.concat(found)
    pairs = found["metric"].isin(shown[0]) | (found["metric"].isin(shown[1]) & (found["of"] != "features"))
    return found[pairs][["of", "metric", "samples", "value"]]
