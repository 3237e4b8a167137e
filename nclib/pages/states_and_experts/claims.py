"""What page 22 holds against a paper on recurrent states and one on routed experts, in a toy. The rules were written
before the runs that they judge, after a trial of one other seed."""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.pages.states_and_experts.views import OURS, PLAIN, experts, half_lives, tests, thresholds

SHORT, LONG, SLIGHT, BALANCED = "short contexts", "long contexts", "slightly balanced", "balanced"
SEVERAL = (BALANCED, SLIGHT, "two experts each")
CHOSEN = 2


def seeds(table):
    """The seeds of a table, in order."""
    return sorted(table["seed"].unique())


def ends(table):
    """(half-life over training length at the shortest, at the longest), each by seed (rows) and dimension."""
    wide = half_lives(table).pivot(index=["seed", "dim"], columns="load", values="value")
    loads = half_lives(table).groupby("dim")["load"]
    found = []
    for pick in (loads.min(), loads.max()):
        values = [wide.loc[at].get(pick[at[1]], np.nan) for at in wide.index]
        found.append(wide.assign(value=values)["value"].unstack().reindex(seeds(table)))
    return found


def by_size(table):
    """The thresholds, by dimension (rows) and seed."""
    return thresholds(table).pivot(index="dim", columns="seed", values="value").reindex(columns=seeds(table))


def linear(table):
    """R^2 of a straight line for the threshold over the dimension, by seed."""
    wide = by_size(table)
    return np.array([np.corrcoef(wide.index.astype(float), wide[seed])[0, 1] ** 2 for seed in wide])


def power(table):
    """The exponent of the threshold over the dimension, by seed."""
    wide = by_size(table)
    if wide.isna().any(axis=None):
        return np.full(wide.shape[1], np.nan)
    return np.array([np.polyfit(np.log(wide.index.astype(float)), np.log(wide[seed]), 1)[0] for seed in wide])


def rise(table, line, load):
    """The error at twice `load` less that at `load`, by seed (rows) and dimension."""
    rows = tests(table).query("metric == 'error' and line == @line")
    wide = rows.pivot(index=["seed", "dim"], columns="load", values="value").reindex(columns=[load, 2 * load])
    return (wide[2 * load] - wide[load]).unstack().reindex(seeds(table))


def missed(metric, relative):
    """table -> the mean distance of what was measured from what is derived, by seed."""

    def ours(table):
        rows = tests(table)
        rows = rows[rows["metric"] == metric]
        off = (rows["value"] - rows["theory"]).abs() / (rows["theory"] if relative else 1.0)
        return off.groupby(rows["seed"]).apply(lambda v: v.mean(skipna=False)).reindex(seeds(table)).to_numpy()

    return ours


def accuracies(table, arm, metric="accuracy"):
    """A metric of merged experts, by seed (rows) and (number, way)."""
    rows = experts(table).query("arm == @arm and metric == @metric and merged.notna()")
    return rows.pivot(index="seed", columns=["merged", "way"], values="value").reindex(seeds(table))


def whole(table, arm):
    """The accuracy with all experts, by seed."""
    rows = experts(table).query("arm == @arm and metric == 'accuracy' and merged.notna()")
    return rows.groupby("seed")["theory"].first().reindex(seeds(table))


def gain(way, over, arm=SLIGHT):
    """table -> accuracy of two merged experts by one way less that by another, by seed."""

    def ours(table):
        wide = accuracies(table, arm)
        return (wide[CHOSEN, way] - wide[CHOSEN, over]).to_numpy()

    return ours


def alignment(table):
    """Accuracy aligned less not aligned, the mean over weights, numbers below four and trainings, by seed."""
    found = []
    for arm in (*SEVERAL, "not balanced"):
        wide = accuracies(table, arm)
        for number in (2, 1):
            found += [wide[number, f"{way}, aligned"] - wide[number, way] for way in ("frequency", "uniform")]
    return sum(found).to_numpy() / len(found)


def halved(table):
    """What a merge to half the experts loses in the paper's way, by seed."""
    wide = accuracies(table, SLIGHT)
    number = wide.columns.get_level_values("merged").max()
    return (whole(table, SLIGHT) - wide[number, OURS]).to_numpy()


def uniform_loses(table):
    """Whether a uniform merge to two loses two points: else there is nothing to be gained."""
    return bool((whole(table, SLIGHT) - accuracies(table, SLIGHT)[CHOSEN, PLAIN]).mean() >= 0.02)


def at_epoch(table, arm, metric, which):
    """A metric at the first or last epoch, by seed."""
    rows = experts(table).query("arm == @arm and metric == @metric and epoch.notna()")
    rows = rows[rows["epoch"] == getattr(rows["epoch"], which)()]
    return rows.groupby("seed")["value"].first().reindex(seeds(table)).to_numpy()


def end(arm, metric):
    """table -> a metric at the last epoch, by seed."""
    return lambda table: at_epoch(table, arm, metric, "max")


def worst(arms, over, under, under_at="max"):
    """table -> the largest ratio, over trainings, of two metrics, the first at the last epoch, by seed."""
    return lambda table: np.max([end(arm, over)(table) / at_epoch(table, arm, under, under_at) for arm in arms], axis=0)


MAMBA = "Stuffed Mamba, arXiv 2410.07145v4, abstract (toy)"
LI = "Li et al. 2024, M-SMoE, abstract (toy)"
FOUR = Need(
    "four sizes with a threshold",
    lambda table: len(by_size(table)) >= 4 and bool(by_size(table).notna().all(axis=None)),
)
QUESTION = {"kind": "extension", "of": "a question of ours", "seen": "derived"}
STATES, EXPERTS = "collapses.states", "collapses.experts"

HEADLINES = [
    Headline(
        f"{STATES}.forgets",
        "A recurrence learns to forget only if trained beyond a length that is linear in the size of its state; else "
        "it degrades on longer contexts",
        [
            Claim(
                f"{STATES}.keeps",
                "Half-life over training length of d tokens, the smallest of all sizes",
                at_least(1.0),
                lambda table: ends(table)[0].min(axis=1, skipna=False).to_numpy(),
                every=True,
            ),
            Claim(
                f"{STATES}.learns",
                "The same of the longest training length, the largest of all sizes",
                at_most(1.0),
                lambda table: ends(table)[1].max(axis=1, skipna=False).to_numpy(),
                every=True,
            ),
            Claim(
                f"{STATES}.linear",
                "Training length where that ratio is one, over the size of the state: R^2 of a straight line",
                at_least(0.9),
                linear,
                needs=FOUR,
            ),
            Claim(
                f"{STATES}.power", "The same: exponent of the length over the size", near(1.0, 0.15), power, needs=FOUR
            ),
            Claim(
                f"{STATES}.degrades",
                "Trained on d tokens: rise of the error from d to 2 d, the smallest of all sizes",
                at_least(0.1),
                lambda table: rise(table, SHORT, 1).min(axis=1, skipna=False).to_numpy(),
            ),
            Claim(
                f"{STATES}.steady",
                "Trained on 11 d: rise from 16 d to 32 d, the mean over sizes",
                at_most(0.05),
                lambda table: rise(table, LONG, 16).mean(axis=1, skipna=False).to_numpy(),
            ),
        ],
        kind="paper",
        of=MAMBA,
        seen="read",
        note="thresholds are ours; 'linear' is read as an exponent of 1",
    ),
    Headline(
        f"{STATES}.load",
        "The trace ratio of the read-out is the load of the state, and gives its errors",
        [
            Claim(
                f"{STATES}.ratio",
                "Relative distance of the trace ratio from the closed form, the mean over sizes and loads",
                at_most(0.1),
                missed("trace_ratio", True),
            ),
            Claim(
                f"{STATES}.error",
                "Distance of the share of errors from what the ratio gives for normal noise",
                at_most(0.02),
                missed("error", False),
            ),
        ],
        **QUESTION,
    ),
    Headline(
        f"{EXPERTS}.merge",
        "Experts merged by frequency and permutation lose less than those merged uniformly, and have a lower dimension "
        "than before",
        [
            Claim(
                f"{EXPERTS}.merging",
                "Eight experts to two: accuracy in the paper's way less uniform",
                at_least(0.02),
                gain(OURS, PLAIN),
                needs=Need("a uniform merge to two loses two points", uniform_loses),
            ),
            Claim(f"{EXPERTS}.permutation", "Aligned less not aligned, the mean over all", at_least(0.0), alignment),
            Claim(f"{EXPERTS}.redundant", "Merged to half their number: accuracy lost", at_most(0.02), halved),
            Claim(
                f"{EXPERTS}.rank",
                "Stable rank of two merged experts over the mean of the eight",
                at_most(1.0),
                lambda table: accuracies(table, SLIGHT, "stable-rank")[CHOSEN, OURS].to_numpy(),
                log=True,
            ),
        ],
        kind="paper",
        of=LI,
        seen="read",
        note="thresholds are ours, and so is the stable rank as a measure",
    ),
    Headline(
        f"{EXPERTS}.use",
        "Without a load-balancing loss the router sends all to one or two experts",
        [
            Claim(f"{EXPERTS}.unused", "Experts in use, not balanced", at_most(2.0), end("not balanced", "in-use")),
            Claim(
                f"{EXPERTS}.balanced",
                "Experts in use of eight, balanced",
                at_least(6.0),
                end(BALANCED, "in-use"),
                needs=Need("eight experts", lambda table: table["experts"].max() >= 8),
            ),
        ],
        **QUESTION,
    ),
    Headline(
        f"{EXPERTS}.classes",
        "Routed experts are classes: what is routed collapses by expert",
        [
            Claim(
                f"{EXPERTS}.inputs",
                "NC1 of the inputs by expert, trained over untrained, the largest where several are in use",
                at_most(1.0),
                worst(SEVERAL, "nc1-inputs", "nc1-inputs", "min"),
                log=True,
            ),
            Claim(
                f"{EXPERTS}.outputs",
                "NC1 of outputs by expert over that of inputs, the largest likewise",
                at_most(1.0),
                worst(SEVERAL, "nc1-outputs", "nc1-inputs"),
                log=True,
            ),
            Claim(
                f"{EXPERTS}.digits",
                "NC1 of the inputs by digit over that by expert, the largest with one expert each",
                at_most(1.0),
                worst((BALANCED, SLIGHT), "nc1-digits", "nc1-inputs"),
                log=True,
            ),
            Claim(
                f"{EXPERTS}.weight",
                "NC1 of the inputs by expert, slightly balanced over balanced",
                at_most(1.0),
                lambda table: end(SLIGHT, "nc1-inputs")(table) / end(BALANCED, "nc1-inputs")(table),
                log=True,
            ),
        ],
        **QUESTION,
    ),
]
