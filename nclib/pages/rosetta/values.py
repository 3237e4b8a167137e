"""Every formula that a public codebase computes, on one data set, beside nclib's number converted by the rule."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from nclib import conventions, metrics
from nclib.pages.rosetta import sets
from nclib.pages.rosetta.conversions import CONVERSIONS
from nclib.rosetta import users
from nclib.rosetta.formulas import Measured
from nclib.runs.arguments import choose
from nclib.runs.experiment import Experiment, rows, typed
from nclib.statistics import ClassStatistics


@dataclass(frozen=True)
class Values(Experiment):
    """data: one of `sets.SETS`; seed: of it."""

    NAME: ClassVar[str] = "measure.rosetta"

    data: str
    seed: int

    def __post_init__(self):
        choose(self.data, sets.SETS, "data")

    def run(self, device="cpu"):
        """source "measured": the formula's value, `theory`: nclib's converted, NaN without a rule, with `family`,
        `kind`, `ours` (nclib's number) and the `codes` that compute it; "nclib": its own numbers. On the CPU."""
        H, y, W, b = sets.features(self.data, self.seed)
        stats = ClassStatistics.from_features(H, y, len(W), scatter=True)
        agreement = metrics.ncc_agreement(H, W, b, stats.means, stats.present)
        theirs = conventions.measure(stats, W, preset="all", bias=b, agreement=agreement)
        ours, m = conventions.measure(stats, W, agreement=agreement), Measured(stats, W, b)
        converted = {name: rule.converted(ours, m) for name, rule in CONVERSIONS.items()}
        found = rows({name: theirs[name] for name in CONVERSIONS}, theory=converted, source="measured")
        for column in ("family", "kind", "ours"):
            found[column] = [getattr(CONVERSIONS[name], column) for name in found["metric"]]
        found["codes"] = [", ".join(users(name)) for name in found["metric"]]
        return typed(pd.concat([found, rows(ours, source="nclib")], ignore_index=True))
