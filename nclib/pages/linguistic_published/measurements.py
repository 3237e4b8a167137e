"""The 230 models that Wu and Papyan measured: their two files read into one row a model, and what is computed from it.

The files bear the dates of two analyses. May 2024 holds cosines of pairs (interference) and log-distances of class
means as they are; October 2024 holds log-distances of *centered* class means, as the paper defines them. What both
hold is taken from May, for three of Table 1's R^2 differ from October's in the sixth digit. Neither file is part of
the project: `nclib.data.files` finds or downloads them.
"""

import numpy as np
import pandas as pd

from nclib.data import files
from nclib.pages.linguistic_published.tables import setting, shapes

MAY, OCTOBER = "lc-2024_05_18.csv", "lc-2024_10_24.csv"


def read():
    """One row a model: what `shapes` says, parameters (their number), loss (validation cross-entropy, nats a token) and
    the columns that TOWARD of `tables` names. DataError says where the files are to be had.
    """
    may, october = (pd.read_csv(files.authors_measurements(name)) for name in (MAY, OCTOBER))
    both = october.merge(may, on="model", suffixes=("", "_may"), validate="1:1")
    shape = shapes(both["model"]).assign(parameters=both["n_params"], loss=both["val_loss"])
    return pd.concat([shape, statistics(both, shape["width"])], axis=1)


def statistics(both, d):
    """The columns that TOWARD names. both: the two files joined, May's columns with suffix "_may"; d: the widths.

    CV is standard deviation over mean. The null of a pair of independent uniform directions in R^d: cosines have mean 0
    and standard deviation 1 / sqrt d; -log |u - u'| has mean -log(2) / 2 and, to leading order, half that deviation.
    """
    null = 1 / np.sqrt(d)
    # Mean squared distance of two class means, up to C / (C - 1): it makes the CDNV's extra power dimensionless.
    squared_distance = 2 * (both["norms_mean"] ** 2 + both["norms_var"])
    gnc2_std = np.sqrt(both["log_kern_var"])
    columns = {
        "cdnv": both["cdnv_mean"],
        "cdnv_log10": np.log10(both["cdnv_mean"]),
        "cdnv_scaled": both["cdnv_mean"] * squared_distance,
        "cdnv_scaled_log10": np.log10(both["cdnv_mean"] * squared_distance),
        "norm_log_mean": both["norms_log_mean_may"] / 2,
        "norm_cv": np.sqrt(both["norms_var"]) / both["norms_mean"],
        "norm_squared_cv": both["norms_std"] / both["norms_mean_may"],
        "norm_log_cv": both["norms_log_std"] / both["norms_log_mean_may"],
        "norm_log_std": both["norms_log_std"] / 2,
        "interference_mean": both["interfere_mean_may"],
        "interference_std": both["interfere_std"],
        "interference_cv": both["interfere_std"] / both["interfere_mean_may"],
        "interference_excess": both["interfere_std"] / null,
        "gnc2_mean": both["log_kern_mean"],
        "gnc2_std": gnc2_std,
        "gnc2_cv": gnc2_std / both["log_kern_mean"],
        "gnc2_excess": gnc2_std / (null / 2),
        "gnc2_uncentered_mean": both["log_dist_mean"],
        "gnc2_uncentered_std": both["log_dist_std"],
        "gnc2_uncentered_cv": both["log_dist_std"] / both["log_dist_mean"],
        "self_duality": both["sims_mean"],
        "uniform_duality": both["sims_std"] / both["sims_mean"],
        "duality_std": both["sims_std"],
        "agreement": both["matches"] / (both["matches"] + both["misses_may"]),
        "null": null,
    }
    return pd.DataFrame(columns)


def settings(models):
    """{name: 30 rows, one for each depth and width}: the seven combinations of epochs and weight decay of the grid."""
    grid = models[models["shuffle"] == ""]
    by = grid.sort_values(["epochs", "measured", "decay"]).groupby(["epochs", "measured", "decay"], sort=False)
    return {setting(*values): rows for values, rows in by}
