"""What page A3 shows of its runs: table -> rows."""

import numpy as np
import pandas as pd

KINDS = ("as defined", "factor", "square", "center", "weighting", "another quantity")
SETS = ("balanced", "imbalanced", "near collapse")
ABSOLUTE = ("angle.signed_dev",)  # a mean of cosines that cancel: its error is one of a number of order 1
SHOWN = ("NC1", "CDNV", "NC2", "NC3")


def measured(table):
    """The values of formulas, with the value of nclib's number, `own`, and the relative `error`
    of the rule (of `ABSOLUTE` the absolute one); NaN where a value is missing."""
    rows = table[table["source"] == "measured"]
    ours = table[table["source"] == "nclib"].set_index(["seed", "data", "metric"])["value"]
    keys = pd.MultiIndex.from_frame(rows[["seed", "data", "ours"]])
    gap = (rows["value"] - rows["theory"]).abs()
    size = rows["value"].abs().mask(rows["metric"].isin(ABSOLUTE) & rows["value"].notna(), 1.0)
    return rows.assign(own=ours.reindex(keys).to_numpy(), error=gap.where(gap == 0, gap / size))


def errors(table, *families):
    """Errors where a rule applies, by seed, of some families or of all."""
    rows = measured(table)
    rows = rows[rows["theory"].notna() & (rows["family"].isin(families) | (not families))]
    return rows.set_index("seed")[["metric", "error"]]


def called(table, family="NC1"):
    """Every value that goes by a name, a row each, of all seeds."""
    rows = measured(table)
    return rows[rows["family"] == family][["seed", "data", "metric", "value"]]


def span(values):
    """log10 of the largest over the smallest; NaN where one is missing or not positive."""
    values = np.asarray(values, dtype=float)
    return float(np.log10(values.max() / values.min())) if len(values) and (values > 0).all() else np.nan


def spans(table):
    """`span` of what goes by the name NC1, a row each seed and a column each data set."""
    found = called(table).groupby(["seed", "data"])["value"].agg(span).unstack()
    return found.reindex(columns=list(SETS))


def label(codes, name):
    """The first of a formula's codebases, how many more compute it, and its name, without what the family says."""
    first, *others = codes.split(", ")
    short = name if name.startswith(("etf.", "of.", "nc1t.")) else name.partition(".")[2]
    return f"{first}{f' + {len(others)}' if others else ''}: {short}"


def values(table):
    """What each codebase gives on the same features, of the first seed."""
    rows = measured(table)
    rows = rows[(rows["seed"] == rows["seed"].min()) & rows["family"].isin(SHOWN)]
    rows = rows.assign(code=list(map(label, rows["codes"], rows["metric"])))
    return rows[["family", "metric", "code", "kind", "data", "value"]]


def ratios(table):
    """The value over nclib's number, "before", and over that number converted, "after"; NaN without a rule."""
    rows = measured(table)
    rows = rows[(rows["seed"] == rows["seed"].min()) & rows["family"].isin(SHOWN)]
    rows = rows.assign(before=rows["value"] / rows["own"], after=rows["value"] / rows["theory"])
    return rows.loc[rows["kind"] != "as defined", ["family", "metric", "kind", "data", "before", "after"]]
