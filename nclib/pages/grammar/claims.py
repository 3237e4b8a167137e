"""What is claimed of models of a story grammar; all rules but that of "longer" stood before the models were trained."""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.pages.grammar.tables import GROWING, parts, pick

TRAINED = Need(
    "at least 600 updates in every run",
    lambda table: table.loc[table["metric"] == "updates", "value"].min() >= 600,
)


def steps(frame):
    """For each seed, the largest ratio of a column to the one before."""
    return (frame.iloc[:, 1:].to_numpy() / frame.iloc[:, :-1].to_numpy()).max(1)


def _within(found):
    """The variance within classes, of `parts`."""
    return found["ambiguity"] + found["rest"]


def power(table, metric):
    """For each seed, the slope of a mean log CDNV of the widest model's features in log positions, least squares."""
    splits = [f"first 1/{part}" for part in GROWING]
    n, value = (
        np.stack([pick(table, name, split=split, layer="features").iloc[:, -1] for split in splits])
        for name in ("samples", metric)
    )
    if not np.isfinite(n[:, 0]).all():  # the numbers of positions, the same for every seed
        return np.full(n.shape[1], np.nan)
    return np.polyfit(np.log(n[:, 0]), value, 1)[0]


def errors(table):
    """The largest difference of excess and mean KL over all models, in standard errors."""
    runs = [{name: pick(table, name, longer=some) for name in ("excess", "kl", "error")} for some in (False, True)]
    return max(((run["excess"] - run["kl"]).abs() / run["error"]).to_numpy().max() for run in runs)


def over_perfect(table, longer=False):
    """The variance of predictions within classes over that of the perfect model, at the largest width."""
    perfect = _within(parts(table, "predictions", "theory")).iloc[0, 0]
    return _within(parts(table, "predictions", longer=longer)).iloc[:, -1] / perfect


def linear(table, layer):
    """The share of ambiguity in the variance within classes, by width."""
    found = parts(table, layer)
    return 1 - found["rest"] / _within(found)


def sides(table, metric, name="matched-{}"):
    """[in determined contexts, in ambiguous ones] of features, by width."""
    return [pick(table, metric, split=name.format(side), layer="features") for side in ("determined", "ambiguous")]


def determined_over_ambiguous(metric):
    """table -> the ratio at the largest width."""

    def ours(table):
        determined, ambiguous = sides(table, metric)
        return (determined / ambiguous).iloc[:, -1]

    return ours


def agreement(table):
    """NC4 in determined contexts less that in ambiguous ones, at the largest width."""
    determined, ambiguous = sides(table, "ncc_agreement", "{}")
    return (determined - ambiguous).iloc[:, -1]


def longer(table):
    """How far the longer run is from the perfect model, over how far the shorter one of its seed is."""
    return abs(1 - over_perfect(table, longer=True).iloc[0]) / abs(1 - over_perfect(table).iloc[0])


def grown(table):
    """The trace ratio of perfect predictions on the whole text over that on its first part."""
    last, first = (
        pick(table, "nc1_trace_ratio", split=f"first 1/{part}", layer="predictions", source="theory").iloc[0, 0]
        for part in (1, GROWING[0])
    )
    return last / first


OURS = {"kind": "extension", "of": "our question", "seen": "derived", "needs": TRAINED}

HEADLINES = [
    Headline(
        "wu2024.grammar.exact",
        "The exact distribution is the one that the words are drawn from",
        [
            Claim(
                "wu2024.grammar.excess.kl",
                "Loss minus Bayes loss equals the mean KL(P || p) but for the sampling of the words: largest "
                "difference over all models, in standard errors",
                at_most(3.0),
                errors,
                every=True,
            )
        ],
        kind="check",
        of="nclib.data.grammar",
        seen="derived",
    ),
    Headline(
        "wu2024.grammar.width",
        "Wider models come nearer to the exact distribution",
        [
            Claim(
                "wu2024.grammar.excess.width",
                "The mean KL at every width over that at half the width: the largest ratio",
                at_most(1.0),
                lambda table: steps(pick(table, "kl")),
            )
        ],
        **OURS,
    ),
    Headline(
        "wu2024.grammar.predictions",
        "Within classes predictions vary as much as those of a perfect model; that, and what features vary, is mostly "
        "ambiguity",
        [
            Claim(
                "wu2024.grammar.predictions.within",
                "Their variance within classes over that of the perfect model, at the largest width",
                near(1.0, 0.1),
                over_perfect,
            ),
            Claim(
                "wu2024.grammar.predictions.longer",
                "Three times the words bring it nearer: distance of the ratio from 1, over that of the shorter run",
                at_most(1.0),
                longer,
                settled="after: added when the other models had been measured and this one's validation loss was known",
            ),
            Claim(
                "wu2024.grammar.predictions.rest",
                "The share of it that is not linear in P, at every width over that at half the width: largest ratio",
                at_most(1.0),
                lambda table: steps(1 - linear(table, "predictions")),
            ),
            Claim(
                "wu2024.grammar.predictions.most",
                "The share of ambiguity in it at the largest width",
                at_least(0.5),
                lambda table: linear(table, "predictions").iloc[:, -1],
            ),
            Claim(
                "wu2024.grammar.features.most",
                "The share of ambiguity in the variance of features within classes at the largest width",
                at_least(0.5),
                lambda table: linear(table, "features").iloc[:, -1],
            ),
        ],
        **OURS,
    ),
    Headline(
        "wu2024.grammar.determined",
        "Where the next word is certain, features collapse more",
        [
            Claim(
                "wu2024.grammar.determined.trace",
                "Trace ratio of determined contexts over that of ambiguous ones (same words, as many samples), "
                "largest width",
                at_most(0.5),
                determined_over_ambiguous("nc1_trace_ratio"),
                log=True,
            ),
            Claim(
                "wu2024.grammar.determined.cdnv",
                "The same for the median CDNV",
                at_most(0.5),
                determined_over_ambiguous("cdnv_median"),
                log=True,
            ),
            Claim(
                "wu2024.grammar.determined.width",
                "The trace ratio of determined contexts at every width over that at half the width: largest ratio",
                at_most(1.0),
                lambda table: steps(sides(table, "nc1_trace_ratio")[0]),
            ),
            Claim(
                "wu2024.grammar.determined.agreement",
                "Share of contexts where classifier and nearest class mean agree: determined less ambiguous ones",
                at_least(0.1),
                agreement,
            ),
        ],
        **OURS,
    ),
    Headline(
        "wu2024.grammar.merged",
        "Words that no model can tell apart make the CDNV grow with the text, but not the trace ratio",
        [
            Claim(
                "wu2024.grammar.merged.grows",
                "CDNV of interchangeable words: power of the number of positions, features of the largest width",
                near(1.0, 0.2),
                lambda table: power(table, "merged"),
                needs=TRAINED,
            ),
            Claim(
                "wu2024.grammar.merged.others",
                "CDNV of other pairs of these words: power of the number of positions",
                near(0.0, 0.2),
                lambda table: power(table, "others"),
                needs=TRAINED,
            ),
            Claim(
                "wu2024.grammar.merged.trace",
                "Trace ratio of the perfect model's predictions on the whole text over that on its first eighth",
                near(1.0, 0.1),
                grown,
            ),
        ],
        kind="extension",
        of="our question",
        seen="derived",
    ),
]
