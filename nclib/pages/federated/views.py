"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges."""

import pandas as pd

MAIN = ("FedAvg", "FedProx", "dense ETF", "sparse ETF")
SETTING = ["arm", "gamma", "beta", "lr"]
TAILS = ("CIFAR-10-LT", "CIFAR-100-LT")
GAMMA, RATE = 3.0, 0.1  # where arms are matched on the mixture
AT = {"mixture": (GAMMA, RATE)} | dict.fromkeys(TAILS, (0.1, 0.03))  # and on images: the authors' length and rate


def main(table):
    """The part that most claims are about: a long tail of images where there is one, else the mixture."""
    return next((part for part in reversed(TAILS) if (table["part"] == part).any()), "mixture")


def own(table):
    """The rows of the page's own small runs."""
    return table[(table["beside"] == "") & ~table["part"].isin(TAILS)]


def results(table, metric, part="mixture"):
    """The rows of one metric of one data set."""
    return table[(table["part"] == part) & (table["metric"] == metric)]


def matched(table, part="mixture"):
    """The rows of the arms at the matched length and rate, one of each of MAIN (on digits there is no other)."""
    rows, (gamma, rate) = table[table["part"] == part], AT.get(part, (None, None))
    if not (rows["gamma"] == gamma).any():
        return rows
    return rows[(rows["lr"] == rate) & rows["gamma"].isin([0.0, gamma]) & rows["arm"].isin(MAIN)]


def best(table, part="mixture", head="main"):
    """{arm: its (gamma, beta, lr)} of the highest mean global accuracy over seeds: chosen on the test set itself."""
    rows = results(table, "global", part)
    rows = rows[(rows["group"] == "all") & (rows["head"] == head) & rows["arm"].isin(MAIN)]
    mean = rows.groupby(SETTING)["value"].mean().reset_index().sort_values("value")
    return {arm: tuple(part.iloc[-1][["gamma", "beta", "lr"]]) for arm, part in mean.groupby("arm")}


def at_best(table, part="mixture"):
    """The rows of each arm at its own best setting."""
    found = best(table, part)
    rows = table[table["part"] == part]
    return rows[pd.MultiIndex.from_frame(rows[SETTING]).isin([(arm, *at) for arm, at in found.items()])]


def accuracies(table):
    """Global accuracy by group at each arm's best, of the classifier ("main") and of the realigned head: of the
    mixture, and each as a `panel` of its own, of the mixture at a scale that is shown beside and of each long tail of
    images that is archived."""
    parts = {
        part if beside in ("", part) else f"{part}, {beside}": at_best(rows, part)
        for (beside, part), rows in table.groupby(["beside", "part"], sort=False)
        if part in ("mixture", *TAILS)
    }
    rows = pd.concat([rows.assign(panel=panel) for panel, rows in parts.items()]).query("metric == 'global'")
    rows = rows[rows["head"].isin(["main", "realigned"])]
    return rows[["panel", "arm", "head", "group", "seed", "value"]]


def curve(table):
    """Global accuracy of the fixed frame against its share of zeros, at the matched length and rate."""
    rows = results(table, "global").query("head == 'main' and group == 'all' and lr == @RATE and gamma == @GAMMA")
    return rows[["beta", "seed", "value"]].sort_values(["beta", "seed"])


def features(table):
    """Sorted magnitudes of features and their deviation within classes, means over seeds, of the matched arms."""
    rows = matched(table).query("metric in ['magnitude', 'deviation']")
    rows = rows[rows["arm"] != "FedProx"]
    return rows.groupby(["arm", "metric", "coordinate"], as_index=False)["value"].mean()


def masks(table):
    """Local accuracy of the matched arms by head, without and with the mask, and what the mask is worth."""
    rows = pd.concat([matched(table, part) for part in ("mixture", "digits")]).query("metric == 'local'")
    wide = rows.pivot_table(index=["part", "arm", "head"], columns="mask", values="value", aggfunc="mean")
    wide.columns = ["all classes", "own classes" if len(wide.columns) > 1 else ""][: len(wide.columns)]
    return wide.assign(worth=wide["own classes"] - wide["all classes"]).round(3)


def norms(table):
    """Norms of the global head against class sizes, of the matched arms."""
    rows = pd.concat([matched(table, part) for part in ("mixture", "digits")]).query("metric == 'norm'")
    rows = rows[rows["arm"] != "FedProx"]
    return rows[["part", "arm", "seed", "n", "value"]]


def maps(table):
    """Cosines between the rows of the classifiers of the matched arms, first seed."""
    rows = matched(table).query("metric == 'cosine'")
    rows = rows[(rows["seed"] == rows["seed"].min()) & (rows["arm"] != "FedProx")]
    return rows[["arm", "class", "other", "value"]]
