"""What the figures of the published models draw: summaries, and the models.

`part` is "line", two ends of a least-squares line (or none) with its `r2`, or "models", one row a model.
"""

import math

import pandas as pd

from nclib.pages.linguistic_published.tables import DEPTHS, WIDTHS, shapes, subsets, trend

COLUMNS = ["statistic", "part", "split", "x", "loss", "r2", "parameters"]


def pick(table, statistic, split):
    """{metric: value} of one statistic over one subset, means over the runs in the table."""
    chosen = table[(table["statistic"] == statistic) & (table["split"] == split)]
    return chosen.groupby("metric")["value"].mean()


def line(table, statistic, split):
    """The least-squares line of the loss over the range of the statistic; its R^2."""
    found = pick(table, statistic, split)
    x = found[["low", "high"]].to_numpy()
    values = {"x": x, "loss": found["intercept"] + found["slope"] * x, "r2": found["r"] ** 2}
    return pd.DataFrame({"statistic": statistic, "part": "line", "split": split, **values})


def r2(table, statistic, split):
    """R^2 alone."""
    return pd.DataFrame(
        {"statistic": [statistic], "part": "line", "split": split, "r2": pick(table, statistic, split)["r"] ** 2}
    )


def models(table):
    """A row a model: what its name says, parameters, loss and the statistics that are drawn."""
    rows = table[table["part"] == "points"]
    wide = rows.pivot(index="model", columns="metric", values="value").reset_index()
    return shapes(wide["model"]).join(wide.drop(columns="model"))


def dots(models, statistic, split=""):
    """The models at one statistic."""
    found = models[["loss", "parameters"]].assign(x=models[statistic])
    return found.assign(statistic=statistic, part="models", split=split)


def stacked(parts):
    """The parts in the columns of the module; a line has no parameters, a model no R^2."""
    found = pd.concat(parts).reindex(columns=COLUMNS)
    return found.astype({name: float for name in ("x", "loss", "r2", "parameters")})


def loss(table, *, statistics, split="all"):
    """Loss and some statistics of the models of a subset, with its lines."""
    points = subsets(models(table))[split]
    return stacked([part for name in statistics for part in (dots(points, name), line(table, name, split))])


def duality(table):
    """Loss, NC3 and UNC3 of the models by length of training, with the lines of all and of 1 and of 10 epochs."""
    points, found = models(table), []
    for statistic in ("self_duality", "uniform_duality"):
        found += [dots(points[points["epochs"] == n], statistic, f"epochs {n}") for n in (1, 3, 10)]
        found += [line(table, statistic, split) for split in ("all", "epochs 1", "epochs 10")]
    return stacked(found)


def null(table):
    """Loss and two spreads of cosines of the grid by width, with the lines of each width and of all."""
    grid, found = subsets(models(table))["grid"], []
    grid = grid.assign(interference_excess=grid["interference_std"] * grid["width"] ** 0.5)
    for statistic in ("interference_std", "interference_excess"):
        for d in WIDTHS:
            found += [dots(grid[grid["width"] == d], statistic, f"width {d}"), line(table, statistic, f"width {d}")]
        found += [line(table, statistic, "all"), r2(table, statistic, "within width")]
    return stacked(found)


def trends(table, *, by, statistics, splits):
    """Means by width or by depth, `at`, in some settings; for two spreads that of independent directions, `theory`."""
    at = {"width": WIDTHS, "depth": DEPTHS}[by]
    scale = {"gnc2_std": 0.5, "interference_std": 1.0} if by == "width" else {}
    found = []
    for statistic in statistics:
        for split in splits:
            means = trend(table, statistic, split, by)
            part = pd.DataFrame({"statistic": statistic, "split": split, "at": at, "value": means})
            found.append(part.assign(theory=scale.get(statistic, math.nan) * part["at"] ** -0.5))
    return pd.concat(found)


def within(table, *, statistics):
    """R^2 with the loss over all models, within each width, and over the 10-epoch runs; of the null over all."""
    splits = [*(f"width {d}" for d in WIDTHS), "all", "epochs 10"]
    found = [r2(table, statistic, split) for statistic in statistics for split in splits]
    return pd.concat([*found, r2(table, "null", "all")])[["statistic", "split", "r2"]]
