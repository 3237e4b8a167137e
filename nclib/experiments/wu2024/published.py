"""What 230 published language models show: correlations of collapse with validation loss. Wu & Papyan 2024, Fig. 1 to
3, appendix and Table 1, from the authors' own measurements.

The files are not part of the project, and the table of a run holds summaries alone. In it `layer` is a column of
`published_models`, `split` a subset of the models or a setting of the training, and `metric` one of

    r                       Pearson's r with the validation loss over the models of the subset
    slope, intercept        least squares, loss = intercept + slope x statistic; low, high: the range of the statistic
    p, p_10000              two-sided permutation p of r over 21 runs, of `draws` and of 10^4 permutations
    by_width[i], by_depth[i]    mean over the other of the two, for the i-th width or depth, in one setting
    median                  over the 30 shapes of a setting
    improved                share of 30 shapes that weight decay 0.1 brings nearer to collapse than 5e-4
    between_widths          eta squared: what any function of the width alone can explain of the loss in the grid

Subset "within width" is the grid with the mean of its width taken off the loss and the statistic.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nclib.data import files
from nclib.experiments.wu2024.published_claims import claims
from nclib.experiments.wu2024.published_models import (
    DECAY,
    DEPTHS,
    MAY,
    OCTOBER,
    TOWARD,
    WIDTHS,
    models,
    read,
    setting,
    settings,
    subsets,
)
from nclib.experiments.wu2024.published_table import medians, relations, table1
from nclib.permutation import correlation, permutation_p
from nclib.results import choose

__all__ = ["claims", "medians", "models", "relations", "run", "runs", "subsets", "table1"]

VERSION = 1
COST = {"paper": "seconds on one core, with the authors' two files"}
# A million permutations leave the printed p, from 10^4, as the only one with an error to speak of; they take 3 seconds.
DRAWS = {"smoke": 1_000_000, "laptop": 1_000_000, "paper": 1_000_000}
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


@dataclass(frozen=True)
class Config:
    """seed: of the permutations; draws: their number; may, october: sha256 of the two files."""

    seed: int
    draws: int
    may: str = files.MEASUREMENTS[MAY]
    october: str = files.MEASUREMENTS[OCTOBER]


def runs(profile, *, seed=0):
    """One run, the same at every profile: whoever lacks the authors' files finds it in the archive."""
    return [Config(seed, choose(profile, DRAWS))]


def data(config):
    """The files that a run reads."""
    return {MAY: config.may, OCTOBER: config.october}


def run(config, device):
    """The summaries that the module names. DataError where the authors' files can be neither found nor downloaded."""
    table = read()
    found = [*correlations(table), *trends(table), *decay_effects(table), *permutations(table, config)]
    records = [(layer, split, metric, value) for layer, split, values in found for metric, value in values.items()]
    return pd.DataFrame(records, columns=["layer", "split", "metric", "value"]).assign(step=0, source="measured")


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


def trends(table):
    """(statistic, setting, {metric: value}): medians; in the settings that the figures draw, means by width and by
    depth."""
    for split, part in settings(table).items():
        by = {"width": part.groupby("width").mean(numeric_only=True).loc[WIDTHS]}
        by["depth"] = part.groupby("depth").mean(numeric_only=True).loc[DEPTHS]
        for name in TRENDS:
            means = {f"by_{factor}[{i}]": mean for factor in by for i, mean in enumerate(by[factor][name])}
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


def permutations(table, config):
    """(statistic, "seeds", {metric: p}) over the 21 runs that differ in the order of their data; all statistics see the
    same permutations."""
    seeds = subsets(table)["seeds"]
    names = [name for name in TOWARD if name != "null"]
    found = {
        metric: permutation_p(seeds[names].to_numpy(), seeds["loss"], draws, config.seed)
        for metric, draws in (("p", config.draws), ("p_10000", 10_000))
    }
    for i, name in enumerate(names):
        yield name, "seeds", {metric: p[i] for metric, p in found.items()}
