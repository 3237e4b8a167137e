"""What page 19 holds against three papers on pruning, in a toy. The rules were written before the runs that they judge,
after trials of one other seed with other widths, depths and numbers of epochs."""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most
from nclib.pages.pruning.views import WEIGHTS, drop, first, series, turns, units, warning

CHANCE, KEPT = 0.1, 24


def lead(metric):
    """table -> rounds by which a metric warns before the accuracy drops, by seed."""
    return lambda table: (drop(table) - warning(table, metric)).to_numpy()


def least_turn(table):
    """The smallest of the three movements of the PQ Index, by seed."""
    return turns(table)[:3].min(axis=0)


def at_the_last_turn(table):
    """How many rounds lie between the last turn of the PQ Index and the drop of accuracy, by seed."""
    return np.abs(turns(table)[3] - drop(table).to_numpy())


def minimum_gain(table):
    """The largest gain of accuracy by a minimum a layer over the rounds, by seed."""
    without, with_it = (series(table, "accuracy", part) for part in WEIGHTS[1:])
    return (with_it - without).max(skipna=False).reindex(without.columns).to_numpy()


def emptiest(table):
    """Weights of the emptiest layer at the last round, by seed."""
    wide = series(table, "emptiest", WEIGHTS[1])
    return wide.min(skipna=False).to_numpy()


def at_empty(part):
    """table -> accuracy where a layer is empty for the first time without a minimum, by seed."""

    def ours(table):
        wide = series(table, "emptiest", WEIGHTS[1])
        rounds, accuracy = first(wide, wide == 0), series(table, "accuracy", part)
        return np.array([accuracy[seed].get(rounds[seed], np.nan) for seed in accuracy])

    return ours


def of_units(table, part):
    """The rows of one way of removing units, at `KEPT` of them, by seed."""
    rows = units(table).query("line == @part and kept == @KEPT").set_index("seed")
    return rows.reindex(sorted(table["seed"].unique()))


def behind(part):
    """table -> accuracy of the dense network less that of the pruned one, trained on, by seed."""

    def ours(table):
        rows = of_units(table, part)
        return (rows["theory"] - rows["value"]).to_numpy(float)

    return ours


def mended(table):
    """By how much units in cycles end above units at once, by seed."""
    return behind("units at once")(table) - behind("units in five cycles")(table)


def disagree(table):
    """The share of pruned networks for which recovery, within a point of the dense one, is not what the rank says, by
    seed."""
    rows, expected = units(table), table[table["part"].str.startswith("units")].groupby("seed")["kept"].nunique()
    wrong = ((rows["value"] >= rows["theory"] - 0.01) != (rows["rank"] >= 9)).astype(float)
    wrong = wrong.where(rows[["value", "theory", "rank"]].notna().all(axis=1))
    by = wrong.groupby(rows["seed"])
    seeds = sorted(table["seed"].unique())
    whole = by.count().reindex(seeds) == 2 * expected.reindex(seeds)
    return by.mean().reindex(seeds).where(whole).to_numpy()


EMPTIED = Need("a layer without a weight in every seed", lambda table: bool((emptiest(table) == 0).all()))
UNEMPTIED = "after: a seed in which no layer is emptied has no such accuracy, and counted as a failure"
DIAO, GUPTA, CHEN = "Diao et al. 2023", "Gupta et al. 2022", "Chen et al. 2024"
PQI, GMP, CRIC = "collapses.pqi", "collapses.layer-collapse", "collapses.units"

HEADLINES = [
    Headline(
        f"{PQI}.turns",
        "Along iterative pruning the PQ Index falls, rises and falls again, the last time where the network collapses",
        [
            Claim(f"{PQI}.down-up-down", "The smallest of the three movements", at_least(0.01), least_turn, every=True),
            Claim(f"{PQI}.last", "Rounds from the last turn to a loss of ten points", at_most(2.0), at_the_last_turn),
        ],
        kind="paper",
        of=f"{DIAO}, abstract (toy)",
        seen="read",
        note="thresholds are ours",
    ),
    Headline(
        f"{GMP}.minimum",
        "Pruned globally and at once, a layer is emptied, and a minimum a layer prevents the collapse",
        [
            Claim(
                f"{GMP}.empty", "Weights left in the emptiest layer at its least", at_most(0.0), emptiest, every=True
            ),
            Claim(
                f"{GMP}.chance",
                "Accuracy where a layer is first empty",
                at_most(0.15),
                at_empty(WEIGHTS[1]),
                settled=UNEMPTIED,
                needs=EMPTIED,
            ),
            Claim(
                f"{GMP}.cured",
                "Accuracy at that sparsity with a minimum: at least three times chance",
                at_least(3 * CHANCE),
                at_empty(WEIGHTS[2]),
                settled=UNEMPTIED,
                needs=EMPTIED,
            ),
            Claim(f"{GMP}.gain", "The largest gain by a minimum, over all sparsities", at_least(0.2), minimum_gain),
        ],
        kind="paper",
        of=f"{GUPTA}, abstract (toy)",
        seen="read",
        note="thresholds are ours",
    ),
    Headline(
        f"{CRIC}.irreversible",
        "Units removed at once leave a loss that training does not mend; removed in corrective cycles they do not",
        [
            Claim(
                f"{CRIC}.at-once",
                "24 of 128 units kept, removed at once: accuracy below the dense network's",
                at_least(0.05),
                behind("units at once"),
            ),
            Claim(
                f"{CRIC}.cycles",
                "The same in five cycles",
                at_most(0.01),
                behind("units in five cycles"),
            ),
            Claim(f"{CRIC}.mended", "Accuracy in cycles less accuracy at once", at_least(0.0), mended),
        ],
        kind="paper",
        of=f"{CHEN}, abstract (toy)",
        seen="read",
        note="thresholds are ours",
    ),
    Headline(
        f"{CRIC}.rank",
        "A network recovers if and only if the class means keep rank K - 1 in every layer",
        [Claim(f"{CRIC}.iff", "Share of pruned networks where that is wrong", at_most(0.0), disagree, every=True)],
        kind="extension",
        of="a question of ours",
        seen="derived",
    ),
    Headline(
        "collapses.pruning.warns",
        "NC1, the trace and the rank of the class means all warn of the collapse, before the accuracy drops",
        [
            Claim("collapses.pruning.nc1", "Rounds by which NC1 doubles earlier", at_least(1.0), lead("nc1")),
            Claim("collapses.pruning.trace", "The same of tr Sigma_B, which halves", at_least(1.0), lead("between")),
            Claim("collapses.pruning.rank", "The same of the rank, which falls", at_least(1.0), lead("rank")),
            Claim(
                "collapses.pruning.nc1-pqi",
                "Rounds by which NC1 warns earlier than the last turn of the PQ Index",
                at_least(1.0),
                lambda table: turns(table)[3] - warning(table, "nc1").to_numpy(),
            ),
        ],
        kind="extension",
        of="a question of ours",
        seen="derived",
    ),
]
