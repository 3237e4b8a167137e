"""What page A1 holds against this library: its measures against loops, pieces and conventions, and their time."""

from functools import partial

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.evidence.seeds import by_seed
from nclib.pages.measure import timings
from nclib.pages.measure.views import MAY, OCTOBER, TEXTBOOK, errors, language


def worst(way, reduce):
    """table -> the smallest or largest relative error of the nine traps, by seed."""

    def ours(table):
        found = errors(table)
        return by_seed(found.set_index("seed")[f"{way}_error"], found["seed"].unique(), reduce)

    return ours


def streamed(table):
    """The largest relative difference of any number, by seed."""
    return table.loc[table["metric"] == "streaming", "value"]


def not_centered(table):
    """How far |CV of the log-distance| with means as they are, over that with centered means, is from 1."""
    values, _ = language(table)
    return abs(abs(values[MAY]["gnc2_cv"] / values[TEXTBOOK]["gnc2_cv"]) - 1)


def inner(table):
    """October's mean interference times (K - 1), over the mean squared norm."""
    values, _ = language(table)
    return values[OCTOBER]["interference_mean"] * (values[MAY]["classes"] - 1) / values[MAY]["norm_mean"]


def timed(name, statement, rule, archived):
    """A claim on an archived timing, `archived` giving a Series that is empty without one; it looks at no run."""
    need = Need("archived timings on a CPU (make bench)", lambda table: len(archived()) > 0)
    return Claim(f"wu2024.measure.speed.{name}", statement, rule, lambda table: archived(), needs=need)


def ratio(name, against):
    """The archived ratio of two times."""
    rows, _ = timings.read()
    return rows.loc[(rows["name"] == name) & (rows["against"] == against), "ratio"]


def exponent():
    """Of an update's time in the number of classes."""
    found = timings.slopes(timings.read()[0])
    return found.loc[(found["name"] == "update") & (found["sweep"] == "K"), "slope"]


CHECK = {"kind": "check", "every": True}

HEADLINES = [
    Headline(
        "wu2024.measure.traps",
        "Nine usual ways to compute go wrong, where the library agrees with a loop in float64",
        [
            Claim(
                "wu2024.measure.traps.naive",
                "Relative error of the naive way, the smallest of the nine",
                at_least(0.1),
                worst("naive", "min"),
                settled="after: the data of two traps were made harder when a first trial had shown errors of 2% and "
                "less",
            ),
            Claim(
                "wu2024.measure.traps.ours",
                "Relative error of nclib, the largest of the nine",
                at_most(1e-10),
                worst("ours", "max"),
            ),
        ],
        of="a property of this library",
        seen="derived",
        **CHECK,
    ),
    Headline(
        "wu2024.measure.pieces",
        "Statistics of pieces, in any order and merged in any way, are those of the whole",
        [
            Claim(
                "wu2024.measure.streaming",
                "Batches of 1, 7 and 500 in random order, and three merged shards, against one batch: largest relative "
                "difference of any number",
                at_most(1e-12),
                streamed,
            )
        ],
        of="a property of this library",
        seen="derived",
        **CHECK,
    ),
    Headline(
        "wu2024.measure.presets",
        "The published numbers of May and October 2024 are not what their names say",
        [
            Claim(
                "wu2024.measure.presets.gnc2",
                "GNC2 of one language model: |CV| with means not centered (May) over centered, difference from 1",
                at_least(0.05),
                not_centered,
            ),
            Claim(
                "wu2024.measure.presets.interference",
                "October's mean interference times (K - 1) over the mean squared norm: -1 whatever the angles are",
                near(-1.0, 1e-9),
                inner,
            ),
        ],
        of="Wu & Papyan 2024, definitions in the authors' code",
        seen="read",
        note="the rules are ours; the identity is derived",
        **CHECK,
    ),
    Headline(
        "wu2024.measure.speed",
        "The measures take little more time than the products that they cannot do without",
        [
            *(
                timed(key, f"Time of {name} over that of {against}", at_most(goal), partial(ratio, name, against))
                for key, (name, against, goal) in timings.GOALS.items()
            ),
            timed(
                "growth",
                "Exponent of an update's time in the number of classes, which is 1 for one-hot",
                at_most(0.5),
                exponent,
            ),
        ],
        of="a goal of this library, timed on one thread",
        seen="derived",
        **CHECK,
    ),
]
