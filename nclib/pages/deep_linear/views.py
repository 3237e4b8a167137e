"""Tables of `study.STUDY` -> the rows that a figure draws; those that page 03 draws too are in `_linear_heads`."""

from nclib.pages._linear_heads.views import DIRECT

RATES = ("nc1", "nc3_WH", "nc2_W", "bias_error")


def rates(table):
    """Rates over lambda, fitted and predicted, without and with a bias."""
    rows = table[(table["experiment"] == DIRECT) & (table["beside"] == "")]
    rows = rows[rows["metric"].isin([f"rate_{metric}" for metric in RATES]) & (rows["layer"] == "")]
    rows = rows.assign(metric=rows["metric"].str.removeprefix("rate_"))
    rows = rows.assign(value=rows["value"] / rows["lam"], theory=rows["theory"] / rows["lam"])
    return rows[["bias", "metric", "depth", "seed", "value", "theory"]]


def balance(table):
    """The imbalance of neighbouring layers at each step of each descent, the norm over all pairs: relative to that at
    the start, and predicted where it is."""
    rows = table[(table["experiment"] == "dang2023.balance") & (table["metric"] == "imbalance")]
    squares = rows.assign(value=rows["value"] ** 2, theory=rows["theory"] ** 2)
    found = squares.groupby(["part", "seed", "step"], sort=False)[["value", "theory"]]
    found = found.sum(min_count=1).pow(0.5).reset_index().rename(columns={"part": "line"})
    first = found.groupby(["line", "seed"])["value"].transform("first")
    return found.assign(value=found["value"] / first, theory=found["theory"] / first)
