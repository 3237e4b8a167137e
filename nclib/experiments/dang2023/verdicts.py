"""The rules by which the two studies of deep linear heads are judged: the same for balanced and imbalanced classes.

Direct optimization must agree with the closed form up to what e^(-2 lam t) leaves at the end, e^(-10) at `laptop` times
constants of order one: 1e-3. Networks, which cannot put their features where they like, must come within 0.1 in the
distances between matrices of unit norm. For scale: the orthogonal frame and the simplex ETF of 10 classes are 0.32
apart, and features that ignore the labels 1 or more.
"""

import numpy as np

from nclib.claims import Claim, by_seed, judge
from nclib.claims import farthest as farthest_from
from nclib.results import indexed

PAPER = "Dang et al. 2023"
DONE = "direct optimization up to 2 lambda t >= 8"
TRAINED = "at least 1,000 optimization steps"
DIRECT = {
    "nc1": ("NC1: features of a class agree; nc1 at the end", "<=", 1e-6, 0),
    "nc2": ("NC2: the Gram matrices of W and of the class means; larger of nc2_W, nc2_H at the end", "<=", 1e-3, 0),
    "nc3": ("NC3: w_k is the predicted multiple of the class mean; larger of nc3, nc3_WH at the end", "<=", 1e-3, 0),
    "lengths": ("Length of every w_k and class mean; largest relative error", "<=", 1e-3, 0),
    "angles": ("Angles between w_j, w_k and between class means; largest error of a cosine", "<=", 1e-3, 0),
    "singular-values": ("Nonzero singular values of every layer; largest relative error", "<=", 1e-3, 0),
    "loss": ("The minimal loss; relative excess at the end", "<=", 1e-3, 0),
    "rate-nc2": ("nc2 and nc3 decay as e^(-2 lambda t): fitted rate / lambda farthest from 2", "==", 2, 0.1),
    "rate-nc1": ("nc1 decays as e^(-6 lambda t): fitted rate / lambda farthest from 6", "==", 6, 0.3),
}
INNER = {
    "inner-layers": ("Every inner layer has the same geometry; largest nc2_W, nc2_H, nc3 there", "<=", 1e-3, 0),
}
# With a bias the part of W_M ... W_m along 1 meets no residual and decays as e^(-lam t) only: e^(-5) at `laptop`. It is
# second order in nc2 but first in nc3; the rule of 1e-3, which a first run failed with 2.5e-3, overlooked it.
INNER_BIAS = {
    "inner-layers": ("Every inner layer has the same geometry; largest nc2_W, nc2_H, nc3 there", "<=", 1e-2, 0),
}
PRODUCT = {
    "rate-nc3": ("nc3_WH decays as e^(-4 lambda t): fitted rate / lambda farthest from 4", "==", 4, 0.2),
}
NETWORK = {
    "nc1": ("Network: nc1 at the end", "<=", 0.01, 0),
    "nc2": ("Network: larger of nc2_W, nc2_H at the end", "<=", 0.1, 0),
    "nc3": ("Network: larger of nc3, nc3_WH at the end", "<=", 0.1, 0),
    "lengths": ("Network: relative error of |w_k| and of class means, mean over classes", "<=", 0.05, 0),
}


SEEN_FIRST = "after: the rates had been seen in trials when this tolerance was written"
SETTLED = dict.fromkeys(("rate-nc1", "rate-nc2", "rate-nc3"), SEEN_FIRST) | {
    "singular-values": "after: restricted to those that do not vanish, since the others only decay, as e^(-lambda t)",
}


def declare(prefix, theorem, rules, precondition, *, every=True, settled=SETTLED):
    """{name: Claim} of rules {name: (statement, relation, reference, tolerance)}.

    every: the theorems are about every minimizer, so about every seed. A rate is fitted over a finite time and is
    judged on average, as are networks, whose nc1 varies by factors.
    """
    return {
        name: Claim(
            id=f"dang2023.{prefix}.{name}",
            paper=PAPER,
            statement=f"{theorem}. {statement}",
            source="rate derived here" if "rate" in name else f"{theorem}: numbering recalled, formula derived",
            relation=relation,
            reference=reference,
            tolerance=tolerance,
            precondition=precondition,
            kind="extension" if "rate" in name else "paper",
            seen="derived" if "rate" in name else "recalled",
            every=every and "rate" not in name,
            log=name == "nc1" and not every,
            settled=settled.get(name, "before"),
        )
        for name, (statement, relation, reference, tolerance) in rules.items()
    }


def part(table, experiment, **fields):
    """The rows of dang2023.<experiment> whose columns have the given values; a tuple holds alternatives."""
    chosen = table[table["experiment"] == f"dang2023.{experiment}"]
    for name, value in fields.items() if len(chosen) else ():  # a table without such runs may lack their columns
        chosen = chosen[chosen[name].isin(value if isinstance(value, tuple) else (value,))]
    return chosen


def last(table):
    """Measured rows at the last step of each run."""
    measured = table[table["source"] == "measured"]
    return measured[measured["step"] == measured.groupby("config")["step"].transform("max")]


def worst(table, *metrics, inner=False):
    """For each seed the largest final value of some metrics, of the whole head or of its inner layers."""
    end = last(table)
    end = end[end["metric"].isin(metrics) & ((end["layer"] != "") == inner)]
    return by_seed(end.set_index("seed")["value"], table["seed"].unique())


def paired(table, metric):
    """Measured and theory side by side, the columns `measured` and `theory`, a row for each entry of a metric."""
    same = (table["metric"] == metric) | table["metric"].str.startswith(f"{metric}[")
    keys = ["config", "seed", "layer", "metric"]
    predicted = table[same & (table["source"] == "theory")][[*keys, "value"]].rename(columns={"value": "theory"})
    return last(table[same]).rename(columns={"value": "measured"}).merge(predicted, on=keys)


def error(table, *metrics, relative=True, reduce="max"):
    """For each seed the largest (or mean) error of some metrics against theory."""
    found = []
    for metric in metrics:
        pairs = paired(table, metric).set_index("seed")
        wrong = (pairs["measured"] - pairs["theory"]).abs() / (pairs["theory"].abs() if relative else 1)
        found.append(by_seed(wrong, table["seed"].unique(), reduce))
    return np.max(found, axis=0)


def farthest(table, reference, *metrics):
    """For each seed the fitted rate / lambda of some metrics that is farthest from a reference; NaN without any."""
    rates = last(table)
    rates = rates[rates["metric"].isin([f"rate_{metric}" for metric in metrics])]
    rates = rates.set_index("seed")
    return by_seed(rates["value"] / rates["lam"], table["seed"].unique(), farthest_from(reference))


def done(table):
    """Whether every direct optimization went to 2 lam t >= 8."""
    return bool((2 * table["lam"] * table["steps"] * table["lr"] / (1 - table["momentum"]) >= 8 - 1e-9).all())


def trained(table):
    """Whether every network was trained for 1,000 steps."""
    return bool(table.groupby("config")["step"].max().min() >= 1000)


def direct(claims, table):
    """The verdicts of `claims` on direct optimization."""
    offdiagonal = table[~table["metric"].isin([f"cos_{a}[{k},{k}]" for a in "wh" for k in range(64)])]
    ours = {
        "nc1": lambda: worst(table, "nc1"),
        "nc2": lambda: worst(table, "nc2_W", "nc2_H"),
        "nc3": lambda: worst(table, "nc3", "nc3_WH"),
        "lengths": lambda: error(table, "length_w", "length_h"),
        "angles": lambda: error(offdiagonal, "cos_w", "cos_h", relative=False),
        "singular-values": lambda: singular_values(table),
        "loss": lambda: relative_gap(table),
        "rate-nc2": lambda: farthest(table, 2, "nc2_W", "nc2_H", "nc3"),
        "rate-nc1": lambda: farthest(table, 6, "nc1"),
        "rate-nc3": lambda: farthest(table, 4, "nc3_WH"),
        "inner-layers": lambda: worst(table, "nc2_W", "nc2_H", "nc3", inner=True),
    }
    return [judge(claim, ours[name](), met=done(table)) for name, claim in claims.items()]


def singular_values(table):
    """For each seed the largest relative error of those that do not vanish (the others do so slowly: e^(-lam t))."""
    pairs = paired(table, "singular_value")
    pairs = pairs[pairs["theory"] > 0].set_index("seed")
    return by_seed((pairs["measured"] / pairs["theory"] - 1).abs(), table["seed"].unique())


def relative_gap(table):
    """For each seed the largest final loss gap over the minimal loss."""
    minimum = table[(table["source"] == "theory") & (table["metric"] == "loss")].set_index(["config", "seed"])["value"]
    gaps = last(table)
    gaps = gaps[gaps["metric"] == "loss_gap"].set_index(["config", "seed"])["value"]
    return by_seed(gaps / minimum.groupby(level=[0, 1]).first(), table["seed"].unique())


def network(claims, table):
    """The verdicts of `claims` on networks."""
    ours = {
        "nc1": lambda: worst(table, "nc1"),
        "nc2": lambda: worst(table, "nc2_W", "nc2_H"),
        "nc3": lambda: worst(table, "nc3", "nc3_WH"),
        "lengths": lambda: error(table, "length_w", "length_h", reduce="mean"),
    }
    return [judge(claim, ours[name](), met=trained(table)) for name, claim in claims.items()]


def order(table, metric, sign):
    """For each seed the smallest (v_j / v_k)^sign over classes with n_j > n_k and over runs: above 1 if ordered so."""
    rows = indexed(last(table), metric)
    pairs = rows.merge(rows, on=["config", "seed"], suffixes=("_j", "_k"))
    sizes = zip(pairs["counts_j"], pairs["i_j"], pairs["i_k"], strict=True)
    pairs = pairs[[counts[j] > counts[k] for counts, j, k in sizes]].set_index("seed")
    return by_seed((pairs["value_j"] / pairs["value_k"]) ** sign, table["seed"].unique(), "min")


def uneven(table):
    """Whether every run has classes of different sizes, so that there is an order to be judged."""
    return all(len(set(counts)) > 1 for counts in table["counts"].unique())
