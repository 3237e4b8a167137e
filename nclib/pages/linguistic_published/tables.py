"""Which models and statistics there are, numbers read off the table of `study.STUDY`, and the printed tables."""

import pandas as pd

from nclib.evidence.permutation import bonferroni

WIDTHS, DEPTHS = [64, 128, 256, 512, 768, 1024], [1, 2, 4, 8, 12]
DECAY = {"d": 5e-4, "L": 0.1}
SHOWN = [  # statistics whose points are shown
    *("cdnv_log10", "gnc2_cv", "uniform_duality", "agreement", "norm_cv", "norm_log_cv", "interference_cv"),
    *("self_duality", "interference_std", "gnc2_uncentered_cv"),
]
NAME = r"^(?P<depth>\d+)x(?P<width>\d+)_(?P<epochs>\d+)(?P<decay>[dL])(?P<shuffle>\d*)@(?P<last>\d+)$"

# +1 where a larger value is nearer to collapse, -1 where a smaller one is, 0 where neither is meant.
TOWARD = {
    "cdnv": -1,
    "cdnv_log10": -1,
    "cdnv_scaled": -1,
    "cdnv_scaled_log10": -1,
    "norm_log_mean": 0,
    "norm_cv": -1,
    "norm_squared_cv": -1,
    "norm_log_cv": -1,
    "norm_log_std": -1,
    "interference_mean": -1,
    "interference_std": -1,
    "interference_cv": 0,
    "interference_excess": -1,
    "gnc2_mean": -1,
    "gnc2_std": -1,
    "gnc2_cv": 1,
    "gnc2_excess": -1,
    "gnc2_uncentered_mean": -1,
    "gnc2_uncentered_std": -1,
    "gnc2_uncentered_cv": 1,
    "self_duality": 1,
    "uniform_duality": -1,
    "duality_std": -1,
    "agreement": 1,
    "null": 0,
}

# property: (statistic, column, R^2 and p as printed). The printed numbers are recalled, not read.
TABLE1 = {
    "NC1": ("mean CDNV", "cdnv", 0.192011, 0.0485),
    "NC2 equinorm": ("CV of log norms", "norm_log_cv", 0.026174, 0.4870),
    "NC2 equiangular": ("CV of interference", "interference_cv", 0.218574, 0.0317),
    "GNC2": ("CV of log-distances, not centered", "gnc2_uncentered_cv", 0.487935, 0.0002),
    "NC3": ("mean cosine", "self_duality", 0.322210, 0.0063),
    "UNC3": ("CV of cosines", "uniform_duality", 0.000036, 0.9784),
    "NC4": ("agreement", "agreement", 0.490278, 0.0001),
}
MORE = {
    "GNC2, as defined": ("CV of log-distances, centered", "gnc2_cv"),
    "NC1, dimensionless": ("mean CDNV × mean squared distance", "cdnv_scaled"),
    "UNC3, spread alone": ("standard deviation of cosines", "duality_std"),
}
RELATIONS = {
    "NC1: log₁₀ mean CDNV": "cdnv_log10",
    "NC1: mean CDNV": "cdnv",
    "NC1, dimensionless: log₁₀": "cdnv_scaled_log10",
    "NC1, dimensionless": "cdnv_scaled",
    "NC2: CV of norms r": "norm_cv",
    "NC2: CV of r²": "norm_squared_cv",
    "NC2: CV of log r": "norm_log_cv",
    "NC2: SD of log r": "norm_log_std",
    "NC2: CV of cosines": "interference_cv",
    "NC2: mean cosine": "interference_mean",
    "NC2: SD of cosines": "interference_std",
    "NC2: SD of cosines × √d": "interference_excess",
    "GNC2: CV": "gnc2_cv",
    "GNC2: mean": "gnc2_mean",
    "GNC2: SD": "gnc2_std",
    "GNC2: SD × 2√d": "gnc2_excess",
    "GNC2, not centered: CV": "gnc2_uncentered_cv",
    "GNC2, not centered: mean": "gnc2_uncentered_mean",
    "GNC2, not centered: SD": "gnc2_uncentered_std",
    "NC3: mean cosine": "self_duality",
    "UNC3: CV of cosines": "uniform_duality",
    "UNC3: SD of cosines": "duality_std",
    "NC4: agreement": "agreement",
    "norms: mean log r": "norm_log_mean",
    "null: 1/√d": "null",
}
MEDIANS = {
    "loss": "loss",
    "cdnv_log10": "log₁₀ CDNV",
    "norm_log_mean": "mean log r",
    "interference_std": "cosine, SD",
    "gnc2_std": "log-distance, SD",
    "self_duality": "NC3",
    "uniform_duality": "UNC3",
    "agreement": "NC4",
}


def shapes(models):
    """What the names of models say, a row each: model, depth (layers), width d, epochs of the run's schedule,
    `measured` after how many of them, weight decay, and `shuffle`, text that is "" for the 210 models of the grid."""
    run = models.str.extract(NAME)
    shape = pd.DataFrame({"model": models}).join(run[["depth", "width", "epochs"]].astype(int))
    return shape.assign(measured=run["last"].astype(int) + 1, decay=run["decay"].map(DECAY), shuffle=run["shuffle"])


def subsets(models):
    """{name: rows}: all 230; the grid of 210, each of its widths, each number of epochs; the 21 runs of one shape."""
    grid = models[models["shuffle"] == ""]
    one = (models["depth"] == 2) & (models["width"] == 768) & (models["epochs"] == 1) & (models["decay"] == DECAY["d"])
    return (
        {"all": models, "grid": grid}
        | {f"width {width}": grid[grid["width"] == width] for width in WIDTHS}
        | {f"epochs {epochs}": grid[grid["epochs"] == epochs] for epochs in (1, 3, 10)}
        | {"seeds": models[one]}
    )


def setting(epochs, measured, decay):
    """The name of a setting, "6 of 10 epochs, 0.1"."""
    count = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    return f"{measured} of {count}, {decay:g}" if measured < epochs else f"{count}, {decay:g}"


def value(table, statistic, split, metric="r"):
    """One number of the summaries, the mean over the runs in the table."""
    chosen = table[(table["statistic"] == statistic) & (table["split"] == split) & (table["metric"] == metric)]
    if chosen.empty:
        raise ValueError(f"{metric} of {statistic!r} over {split!r}: not in the table")
    return float(chosen["value"].mean())


def trend(table, statistic, split, by):
    """The means by "width" or "depth" of a statistic in a setting, smallest first."""
    chosen = table[(table["statistic"] == statistic) & (table["split"] == split) & (table["metric"] == f"by_{by}")]
    return chosen.sort_values("index")["value"].to_numpy()


def table1(table):
    """Table 1 of the paper beside the same numbers from the authors' files, and three lines that the paper lacks."""
    lines = []
    for name, (statistic, layer, *printed) in (TABLE1 | MORE).items():
        r, p = value(table, layer, "seeds"), value(table, layer, "seeds", "p")
        lines.append(
            {
                "property": name,
                "statistic": statistic,
                "R² (paper)": f"{printed[0]:.6f}" if printed else "–",
                "R²": f"{r * r:.6f}",
                "r": f"{r:+.3f}",
                "p (paper)": f"{printed[1]:.4f}" if printed else "–",
                "p, 10⁴": f"{value(table, layer, 'seeds', 'p_10000'):.4f}",
                "p, 10⁶": f"{p:.5f}",
                "7 p": f"{bonferroni(p, len(TABLE1)):.4f}" if printed or layer == "gnc2_cv" else "–",
            }
        )
    return pd.DataFrame(lines).set_index("property")


def relations(table):
    """R^2 with the loss: all models, the grid, its 10-epoch runs, the grid within widths; and r width by width.

    "within widths" takes the mean of its width off the loss and the statistic; the last column is the range of r over
    the six widths. The last row is what a statistic would reach that is a function of the width and of nothing else.
    """
    pooled = {"all 230": "all", "210 of the grid": "grid", "120 of 10 epochs": "epochs 10"}
    lines = {}
    for name, layer in RELATIONS.items():
        r = table[(table["statistic"] == layer) & (table["metric"] == "r")].groupby("split")["value"].mean()
        inside = r[r.index.str.startswith("width ")]
        lines[name] = {label: f"{r[split] ** 2:.3f}" for label, split in pooled.items()} | {
            "within widths": f"{r['within width'] ** 2:.3f}" if len(inside) else "–",
            "r, width by width": f"{inside.min():+.2f} to {inside.max():+.2f}" if len(inside) else "–",
        }
    return pd.DataFrame(lines).T.rename_axis("R² with validation loss")


def medians(table):
    """Medians over the 30 shapes, a row a setting."""
    chosen = table[(table["metric"] == "median") & table["statistic"].isin(MEDIANS)]
    wide = chosen.pivot_table(index="split", columns="statistic", values="value", sort=False)[list(MEDIANS)]
    return wide.rename(columns=MEDIANS).rename_axis(index="epochs, weight decay", columns=None).round(3)
