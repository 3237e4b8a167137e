"""What page 20 holds against papers on merging networks, in a toy. The rules were written before the runs that they
judge, after a trial of one other seed with one and two hidden layers."""

from nclib.evidence.claims import Claim, Headline, at_least, at_most, near
from nclib.pages.averages.views import barrier, one


def ratio(over, under):
    """Of two Series by seed, NaN where one is missing."""
    return (over / under).to_numpy()


def barrier_left(table):
    """The barrier of matched networks over that of unmatched ones, by seed."""
    return ratio(barrier(table, "matched"), barrier(table, "as they are"))


def distance_left(table):
    """The distance of matched networks over that of unmatched ones, by seed."""
    return one(table, metric="distance", way="matched").to_numpy()


def gained(metric):
    """table -> how much matching adds to the alignment, by seed."""
    return lambda table: one(table, metric=metric, way="matched") - one(table, metric=metric, way="as they are")


def largest(table):
    """The number of networks in the largest average."""
    return table["n"].max()


def shrink(way):
    """table -> n times the variance of the largest average over that of the networks, by seed."""
    return lambda table: (one(table, metric="variance", way=way, n=largest(table)) * largest(table)).to_numpy()


def loss(table, way, corrected):
    """Cross-entropy of the largest average, by seed."""
    return one(table, metric="loss", way=way, n=largest(table), corrected=corrected)


def mended(way):
    """table -> the loss of the corrected average over that of the plain one, by seed."""
    return lambda table: ratio(loss(table, way, True), loss(table, way, False))


def duality(way):
    """table -> NC3 of the midpoint less the mean NC3 of the two networks, by seed."""
    return lambda table: (one(table, metric="nc3", way=way) - one(table, metric="nc3", way="ends")).to_numpy()


def at_round(metric, way, which):
    """table -> a metric of the clients at the first or last round, by seed."""
    return lambda table: one(table, part="clients", metric=metric, way=way, round=getattr(table["round"], which)())


ITO = "Ito et al. 2024, abstract (toy)"
LMC, VAR, FED = "collapses.matching", "collapses.variance", "collapses.clients"

HEADLINES = [
    Headline(
        f"{LMC}.barrier",
        "Matching the units removes the barrier between two networks and hardly brings them nearer",
        [
            Claim(f"{LMC}.barrier", "Barrier, matched over as they are", at_most(0.2), barrier_left, log=True),
            Claim(f"{LMC}.distance", "Distance, matched over as they are", at_least(0.8), distance_left),
        ],
        kind="paper",
        of=ITO,
        seen="read",
        note="thresholds are ours",
    ),
    Headline(
        f"{LMC}.singular",
        "Matching aligns the singular directions of the largest singular values rather than the rest",
        [
            Claim(
                f"{LMC}.top",
                "Gain of alignment of the top tenth of the directions less that of the others",
                at_least(0.0),
                lambda table: (gained("top")(table) - gained("bottom")(table)).to_numpy(),
            )
        ],
        kind="paper",
        of=ITO,
        seen="read",
        note="the measure of alignment is ours",
    ),
    Headline(
        f"{VAR}.vanishes",
        "An average of N independent networks has 1/N of their variance, of matched ones more; to give it back lowers "
        "the loss",
        [
            Claim(f"{VAR}.starts", "N times the share that is left, untrained", near(1.0, 0.05), shrink("starts")),
            Claim(f"{VAR}.trained", "The same, trained", near(1.0, 0.1), shrink("trained")),
            Claim(f"{VAR}.kept", "N times the share that is left, matched", at_least(1.2), shrink("matched")),
            Claim(f"{VAR}.mends", "Loss, corrected over plain, as they are", at_most(1.0), mended("trained"), log=True),
            Claim(f"{VAR}.mends-matched", "The same, matched", at_most(1.0), mended("matched"), log=True),
        ],
        kind="extension",
        of="a question of ours, on the vanishing variance problem",
        seen="derived",
    ),
    Headline(
        f"{FED}.start",
        "Clients with a common start keep their variance when they are averaged, whatever their classes",
        [
            Claim(
                f"{FED}.variance",
                "Variance of the average over the clients' at the first round",
                at_least(0.8),
                at_round("variance", "average", "min"),
            ),
            Claim(
                f"{FED}.accuracy",
                "Accuracy of the average less the clients' mean at the last round",
                at_least(0.05),
                lambda table: (
                    at_round("accuracy", "average", "max")(table) - at_round("accuracy", "clients", "max")(table)
                ).to_numpy(),
            ),
        ],
        kind="extension",
        of="a question of ours",
        seen="derived",
    ),
    Headline(
        f"{LMC}.collapse",
        "A midpoint of two networks keeps the duality of classifiers and class means if and only if they are matched",
        [
            Claim(
                f"{LMC}.nc3",
                "NC3 of the midpoint, matched, less that of its ends",
                at_most(0.0, 0.05),
                duality("matched"),
            ),
            Claim(f"{LMC}.nc3-lost", "The same, as they are", at_least(0.05), duality("as they are")),
        ],
        kind="extension",
        of="a question of ours",
        seen="derived",
        note="thresholds are ours",
    ),
]
