"""What 230 published language models show: correlations of collapse with validation loss. Wu & Papyan 2024, Fig. 1 to
3, appendix and Table 1, from the authors' own measurements.

The files are not part of the project, and the table of a run holds summaries alone. In it `statistic` is a column of
`measurements`, `split` a subset of the models or a setting of the training, and `metric` one of

    r                       Pearson's r with the validation loss over the models of the subset
    slope, intercept        least squares, loss = intercept + slope x statistic; low, high: the range of the statistic
    p, p_10000              two-sided permutation p of r over 21 runs, of `draws` and of 10^4 permutations
    by_width, by_depth     mean over the other of the two, for the width or depth number `index`, in one setting
    median                  over the 30 shapes of a setting
    improved                share of 30 shapes that weight decay 0.1 brings nearer to collapse than 5e-4
    r2, r2_low, r2_high     R^2, or the difference of two ("gnc2_cv less interference_cv"), its 5th and 95th percentile
                            over resampled training runs: a run that was measured twice is drawn as one
    between_widths          eta squared: what any function of the width alone can explain of the loss in the grid

Subset "within width" is the grid with the mean of its width taken off the loss and the statistic.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from nclib.data import files
from nclib.evidence.permutation import correlation, permutation_p
from nclib.pages.linguistic_published.measurements import MAY, OCTOBER, read, settings
from nclib.pages.linguistic_published.tables import DECAY, DEPTHS, SHOWN, TOWARD, WIDTHS, setting, subsets
from nclib.runs.experiment import Experiment, rows

DRAWN = ["1 epoch, 0.0005", "3 epochs, 0.0005", "10 epochs, 0.0005", "10 epochs, 0.1"]
TRENDS = [
    *("loss", "cdnv_log10", "cdnv_scaled_log10", "norm_log_mean", "interference_std", "interference_excess"),
    *("gnc2_std", "gnc2_excess", "self_duality", "uniform_duality", "agreement"),
]
POOLED = ("all", "grid", "epochs 1", "epochs 3", "epochs 10")
BY_GROUP = {
    "interference_std": [f"width {d}" for d in WIDTHS],
    "interference_excess": [f"width {d}" for d in WIDTHS],
    "self_duality": ["epochs 1", "epochs 10"],
    "uniform_duality": ["epochs 1", "epochs 10"],
}


RESAMPLED = {  # subset: (statistics, pairs whose R^2 are compared)
    "all": (
        [name for name in SHOWN if name not in ("interference_std", "gnc2_uncentered_cv")],
        [("gnc2_cv", "interference_cv"), ("uniform_duality", "self_duality")],
    ),
    "epochs 10": (["self_duality"], []),
}
RESAMPLES = 2000


@dataclass(frozen=True)
class Summaries(Experiment):
    """seed: of the permutations; draws: their number; may, october: sha256 of the two files."""

    NAME: ClassVar[str] = "wu2024.published"
    VERSION: ClassVar[int] = 2

    seed: int
    draws: int
    may: str = files.MEASUREMENTS[MAY]
    october: str = files.MEASUREMENTS[OCTOBER]

    def reads(self):
        """The authors' two files."""
        return {MAY: self.may, OCTOBER: self.october}

    def run(self, device="cpu"):
        """The summaries that the module names. DataError where the files can be neither found nor downloaded."""
        table = read()
        found = [*correlations(table), *resamples(table, self.seed), *trends(table), *decay_effects(table)]
        found += permutations(table, self)
        return pd.concat(
            [rows(values, "index", statistic=statistic, split=split) for statistic, split, values in found],
            ignore_index=True,
        )


def correlations(table):
    """(statistic, subset, {metric: value}): r in every subset, and the lines that the figures draw."""
    found = subsets(table)
    centered = found["grid"][["width", "loss", *TOWARD]].astype(float)
    groups = found | {"within width": centered - centered.groupby("width").transform("mean")}
    for split, part in groups.items():
        for name in TOWARD:
            if name != "null" or split in POOLED:
                drawn = split in ("all", "seeds") or split in BY_GROUP.get(name, [])
                yield name, split, {"r": correlation(part[name], part["loss"])} | (line(part, name) if drawn else {})
    widths, loss = found["grid"].groupby("width")["loss"], found["grid"]["loss"]
    yield "loss", "grid", {"between_widths": widths.transform("mean").var() / loss.var()}


def line(part, name):
    """The least-squares line of the loss on a statistic, and where it ends."""
    slope, intercept = np.polyfit(part[name], part["loss"], 1)
    return {"slope": slope, "intercept": intercept, "low": part[name].min(), "high": part[name].max()}


def resamples(table, seed):
    """(statistic, subset, {metric: value}): R^2 of the claims with its interval over resampled runs."""
    for split, (names, pairs) in RESAMPLED.items():
        part = subsets(table)[split]
        runs = part["model"].str.partition("@")[0].astype("category").cat.codes.to_numpy()
        drawn = np.random.default_rng(seed).integers(runs.max() + 1, size=(RESAMPLES, runs.max() + 1))
        counts = np.stack([np.bincount(which, minlength=runs.max() + 1) for which in drawn])[:, runs]
        weights = np.concatenate([np.ones((1, len(part))), counts])  # first the models as they are
        r2 = {name: weighted_r2(part[name].to_numpy(float), part["loss"].to_numpy(float), weights) for name in names}
        r2 |= {f"{first} less {second}": r2[first] - r2[second] for first, second in pairs}
        for name, (value, *others) in r2.items():
            low, high = np.quantile(others, [0.05, 0.95])
            yield name, split, {"r2": value, "r2_low": low, "r2_high": high}


def weighted_r2(x, y, weights):
    """R^2 of y (n,) with x (n,), one for each row of weights (B, n)."""
    weights = weights / weights.sum(1, keepdims=True)
    u, v = x - (weights @ x)[:, None], y - (weights @ y)[:, None]
    return (weights * u * v).sum(1) ** 2 / ((weights * u**2).sum(1) * (weights * v**2).sum(1))


def trends(table):
    """(statistic, setting, {metric: value}): medians; in the settings that the figures draw, means by width and by
    depth."""
    for split, part in settings(table).items():
        by = {"width": part.groupby("width").mean(numeric_only=True).loc[WIDTHS]}
        by["depth"] = part.groupby("depth").mean(numeric_only=True).loc[DEPTHS]
        for name in TRENDS:
            means = {f"by_{factor}": by[factor][name] for factor in by}
            yield name, split, (means if split in DRAWN else {}) | {"median": part[name].median()}


def decay_effects(table):
    """(statistic, length of training, {metric: value}): how many of the 30 shapes the larger weight decay improves."""
    found = settings(table)
    for epochs, measured in ((1, 1), (10, 6), (10, 10)):
        small, large = (
            found[setting(epochs, measured, decay)].set_index(["depth", "width"]).sort_index()
            for decay in DECAY.values()
        )
        split = setting(epochs, measured, DECAY["L"]).rpartition(",")[0]
        for name in TRENDS:
            if sign := TOWARD.get(name, -1):
                yield name, split, {"improved": (sign * (large[name] - small[name]) > 0).mean()}


def permutations(table, run):
    """(statistic, "seeds", {metric: p}) over the 21 runs that differ in the order of their data; all statistics see the
    same permutations."""
    seeds = subsets(table)["seeds"]
    names = [name for name in TOWARD if name != "null"]
    found = {
        metric: permutation_p(seeds[names].to_numpy(), seeds["loss"], draws, run.seed)
        for metric, draws in (("p", run.draws), ("p_10000", 10_000))
    }
    for i, name in enumerate(names):
        yield name, "seeds", {metric: p[i] for metric, p in found.items()}
