"""What page 00 holds against Papyan, Han, Donoho 2020.

The terminal phase begins at the first epoch after which no training image is misclassified. That something falls,
vanishes or stays is the paper's (abstract, read); by how much it has to is ours.
"""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most

PAPER = "Papyan, Han, Donoho 2020"
FITTED = Need(
    "no training error at some epoch of every network",
    lambda table: table.query("metric == 'terminal_epoch'")["run"].nunique() == table["run"].nunique(),
)


def series(table, query):
    """Values of one metric by epoch and seed, of the first part of the table."""
    rows = table[table["part"] == table["part"].iloc[0]].query(query)
    return rows.pivot(index="epoch", columns="seed", values="value")


def begins(table):
    """The first epoch without training error, by seed."""
    return series(table, "metric == 'terminal_epoch'").max()


def ends(table, query):
    """(where the terminal phase begins, at the last epoch): each one value a seed; NaN where it does not begin."""
    values, begin = series(table, query), begins(table)
    first = [values[seed].get(begin.get(seed), np.nan) for seed in values]
    return np.array(first), values.iloc[-1].to_numpy()


def ratio(query):
    """table -> the last value over that at the beginning of the terminal phase."""

    def ours(table):
        first, last = ends(table, query)
        return last / first

    return ours


def change(query):
    """table -> the last value minus that at the beginning of the terminal phase."""

    def ours(table):
        first, last = ends(table, query)
        return last - first

    return ours


def final(query):
    """table -> the last value."""
    return lambda table: ends(table, query)[1]


def share(table):
    """The part of the fall of log NC1, from the untrained to the trained network, that comes in the terminal phase."""
    (first, last), values = ends(table, "metric == 'nc1'"), series(table, "metric == 'nc1'")
    return np.log(last / first) / np.log(last / values.iloc[0].to_numpy())


def falls(name, what, query, limit=1.0, **more):
    """The claim that the ratio of `ratio` is at most `limit`."""
    statement = f"{what}: at the end over at the beginning of the terminal phase"
    said = "falls" if limit == 1 else "falls towards 0"
    return Claim(f"papyan2020.{name}", statement, at_most(limit), ratio(query), log=True, paper_value=said, **more)


def both(name, what, metric):
    """`falls` of class means and of classifiers."""
    return [of_vectors(name, what, metric, of) for of in LONG]


def of_vectors(name, what, metric, of, **more):
    """`falls` of class means or of classifiers."""
    return falls(f"{name}.{of}", f"{what} of {LONG[of]}", f"metric == '{metric}' and vectors == '{of}'", **more)


NINE = "after: with three seeds at laptop the verdict changed with the number of threads, so there are nine"
LENGTHS = "equinorm", "Coefficient of variation of the lengths", "equinorm_cv"
LONG = {"means": "centered class means", "classifiers": "classifiers"}
READ = {"kind": "paper", "of": f"{PAPER}, abstract", "seen": "read", "needs": FITTED}

HEADLINES = [
    Headline(
        "papyan2020.original.terminal",
        "At the end of the terminal phase the training error is effectively zero, the loss has fallen on, and the test "
        "error is not harmed",
        [
            Claim(
                "papyan2020.terminal.error",
                "Share of training images misclassified at the end",
                at_most(0.001),
                final("metric == 'error' and split == 'train'"),
                paper_value="effectively 0",
                every=True,
            ),
            falls("terminal.loss", "Cross-entropy of the training images", "metric == 'loss' and split == 'train'"),
            Claim(
                "papyan2020.test-error",
                "Test error: at the end minus at the beginning of the terminal phase",
                at_most(0.0),
                change("metric == 'error' and split == 'test'"),
                settled=NINE,
                paper_value="falls",
            ),
        ],
        **READ,
    ),
    Headline(
        "papyan2020.original.nc1",
        "NC1: features of a class collapse to their mean",
        [falls("nc1", "Variability within classes over that between them (NC1)", "metric == 'nc1'", limit=0.5)],
        **READ,
        note="at least by half: our threshold",
    ),
    Headline(
        "papyan2020.original.nc2",
        "NC2, NC3: class means and classifiers become equally long, their angles equal and as large as can be, and the "
        "two the same up to scale",
        [
            of_vectors(*LENGTHS, "means"),
            of_vectors(*LENGTHS, "classifiers", settled=NINE),
            *both("equiangular", "Standard deviation of the cosines between pairs", "cosine_std"),
            *both("angle", "Mean of |cos + 1/(K-1)| over pairs", "equiangularity"),
            falls("self-duality", "Distance of W/|W| to M/|M|", "metric == 'nc3'"),
        ],
        **READ,
    ),
    Headline(
        "papyan2020.original.nc4",
        "NC4: the network decides for the class with the nearest class mean",
        [
            Claim(
                "papyan2020.ncc.train",
                "Share of training images decided otherwise, at the end",
                at_most(0.001),
                final("metric == 'ncc_disagreement' and split == 'train'"),
                paper_value="falls towards 0",
            ),
            Claim(
                "papyan2020.ncc.test",
                "Share of test images decided otherwise: at the end minus at the beginning of the terminal phase",
                at_most(0.0),
                change("metric == 'ncc_disagreement' and split == 'test'"),
                paper_value="falls",
                seen="recalled",
            ),
        ],
        **READ,
    ),
    Headline(
        "papyan2020.original.share",
        "Most of the collapse comes after the last training error",
        [
            Claim(
                "papyan2020.share",
                "Part of the fall of log NC1, from start to end of training, that comes in the terminal phase",
                at_least(0.5),
                share,
                settled=NINE,
            )
        ],
        kind="extension",
        of="a question of ours",
        seen="derived",
        needs=FITTED,
    ),
]
