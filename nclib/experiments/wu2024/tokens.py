"""Which tokens collapse: each class of a language model against its frequency, and first names. Wu & Papyan (2024).

Their Fig. 4 shows the frequencies of the tokens by type, their Table 5 CDNV and interference of first names.
"""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from nclib import results
from nclib.claims import Claim, judge
from nclib.experiments.wu2024.tokens_model import Config
from nclib.pages._language_models import grid

COST = {"paper": "3 models of 8 x 512, 10 epochs of 20 M tokens, 1.1e17 FLOP: about 20 minutes of one H200 (estimated)"}
FLOOR = 10
SHAPES = {
    "smoke": {"width": 16, "depth": 1, "epochs": 1},
    "laptop": {"width": 64, "depth": 2, "epochs": 1},
    "paper": {"width": 512, "depth": 8, "epochs": 10},
}
KINDS = ("word, lower case", "word, capital", "punctuation, digits, spaces", "fragment, special")
NAMES = frozenset(
    "Aaron Abby Adam Alan Albert Alex Alice Amanda Amy Andrew Andy Anna Anne Annie Anthony Arthur Barbara Becky Ben "
    "Benny Betty Bill Billy Bob Bobby Brian Carl Carol Catherine Charles Charlie Charlotte Chloe Chris Clara Daisy Dan "
    "Daniel David Dorothy Edith Edward Eleanor Elizabeth Ella Ellen Ellie Emily Emma Eric Ethan Eva Eve Fanny Florence "
    "Frances Francis Frank Fred Freddy George Hannah Harry Helen Henry Hugh Isabella Jack Jacob Jake James Jane Jason "
    "Jean Jenny Jerry Jessica Jill Jim Jimmy Joe John Johnny Joseph Josh Julia Kate Katie Kevin Laura Leo Lewis Lila "
    "Lilly Lily Linda Lisa Liz Louisa Louise Lucas Lucy Luke Maggie Margaret Maria Martha Martin Mary Matt Matthew Max "
    "Mia Michael Mike Millie Milly Molly Nancy Nathan Ned Nick Nina Noah Nora Oliver Olivia Oscar Paul Peggy Peter "
    "Philip Polly Rachel Ralph Richard Robert Roger Ron Roy Ruth Ryan Sally Sam Sammy Sara Sarah Simon Sophia Sophie "
    "Stephen Steve Sue Susan Susie Ted Teddy Thomas Tim Timmy Tom Tommy Tony Victor Walter William Zoe".split()
)
MATCHES = 20
NAME_COLUMNS = [
    *("seed", "token", "count", "cdnv_ratio", "interference_z", "matched_ratio", "matched_z", "null_ratio"),
    *("median_ratio", "partner", "share"),
]


def runs(profile, *, seed=0, corpus=None, width=None, depth=None, tokens=None):
    """One model from each of three consecutive seeds. corpus: as in nclib.data.text.tokens."""
    given = {"width": width, "depth": depth, "tokens": tokens}
    corpus = corpus or results.choose(profile, grid.CORPORA)
    size = results.choose(profile, SHAPES) | grid.size(profile, corpus)
    size |= {name: int(value) for name, value in given.items() if value is not None}
    size |= {"rate": grid.rate(profile, size["width"])}
    return [
        Config(corpus=corpus, seed=seed + i, measured=(size["epochs"],), weight_decay=5e-4, floor=FLOOR, **size)
        for i in range(3)
    ]


def kind(token):
    """The type of a token (text as in `tokens_model.shown`), one of `KINDS`.

    A lower-case word starts with a space; a capitalized one may do without, at the start of a line. What has no letter
    is the third type; everything else (parts of words, single bytes, <|endoftext|>) is the last.
    """
    bare = token.removeprefix("␣")
    if not any(letter.isalpha() for letter in bare):
        return KINDS[2]
    if bare.isalpha() and bare[0].isupper() and (token != bare or len(bare) > 1):
        return KINDS[1]
    return KINDS[0] if bare.isalpha() and bare.islower() and token != bare else KINDS[3]


def classes(table):
    """One row for each seed and token: columns seed, id, token, kind, name, count, the metrics of split "train" by
    name, those of the others as "<split>_<name>", `common` (seen at least `floor` times) and floor.

    Names are the whole-word tokens of `NAMES`. A validation count is 0 where there is none, other values NaN. No rows
    for an empty table.
    """
    if table.empty:
        return pd.DataFrame(columns=["seed"])
    keys = ["experiment", "config", "seed", "i", "layer"]
    rows = table[table["metric"].str.endswith("]")]
    parts = rows["metric"].str.extract(r"^(\w+)\[(\d+)\]$")
    column = parts[0].where(rows["split"] == "train", rows["split"] + "_" + parts[0])
    long = rows.assign(i=parts[1].astype(int), column=column)
    wide = long.pivot(index=keys, columns="column", values="value").reset_index()
    wide = wide.rename(columns={"i": "id", "layer": "token"}).rename_axis(columns=None)
    return wide.assign(
        kind=pd.Categorical(wide["token"].map(kind), KINDS),
        name=wide["token"].str.startswith("␣") & wide["token"].str[1:].isin(NAMES),
        common=wide["count"] >= FLOOR,
        floor=FLOOR,
    )


def common(frame):
    """The classes with at least `FLOOR` samples, the only ones whose CDNV is compared."""
    return frame[frame["common"]]


def by_seed(frame):
    """The common classes of each seed."""
    return [rows for _, rows in common(frame).groupby("seed")]


def halves(frame):
    """For each seed, the median CDNV of frequent and rare common classes, halved in two ways.

    by "tokens": frequent classes are the fewest that hold half of the tokens. by "classes": the more frequent half.
    Columns seed, by, half, classes, median (of cdnv), equal (of that from `FLOOR` samples a class).
    """
    found = []
    for rows in by_seed(frame):
        rows = rows.sort_values(["count", "id"], ascending=[False, True])
        before = rows["count"].cumsum() - rows["count"]
        first = {"tokens": before < rows["count"].sum() / 2, "classes": np.arange(len(rows)) < len(rows) / 2}
        for by, frequent in first.items():
            for half, part in (("frequent", rows[frequent]), ("rare", rows[~frequent])):
                fields = {"seed": part["seed"].iloc[0], "by": by, "half": half, "classes": len(part)}
                found.append(fields | {"median": part["cdnv"].median(), "equal": part["equal_cdnv"].median()})
    return pd.DataFrame(found)


def names(frame):
    """One row for each seed and common name: against the average common token, and against tokens as frequent.

    Columns: cdnv_ratio (cdnv2 over its mean over common classes), interference_z (difference to that mean, in standard
    deviations over classes), and both again as matched_*: cdnv2 over the median of, and interference minus the mean
    of, the `MATCHES` other common tokens nearest in log frequency. null_ratio: cdnv_ratio under shuffled labels.
    median_ratio: cdnv_ratio with the median over the other classes in place of the mean; partner: the class with which
    CDNV is largest, and share its part of the sum over all other classes.
    """
    found = []
    for seed, every in frame.groupby("seed"):
        rows, text = common(every).sort_values("id"), every.set_index("id")["token"]
        std, others, pairs = rows["interference"].std(ddof=0), rows[~rows["name"]], (every["count"] > 0).sum() - 1
        means = rows[["cdnv2", "interference", "permuted_cdnv2", "cdnv2_median"]].mean()
        for _, row in rows[rows["name"]].iterrows():
            near = others.iloc[np.argsort(np.abs(np.log(others["count"] / row["count"])), kind="stable")[:MATCHES]]
            found.append(
                {
                    **{"seed": seed, "token": row["token"], "count": row["count"]},
                    "cdnv_ratio": row["cdnv2"] / means["cdnv2"],
                    "interference_z": (row["interference"] - means["interference"]) / std,
                    "matched_ratio": row["cdnv2"] / near["cdnv2"].median(),
                    "matched_z": (row["interference"] - near["interference"].mean()) / std,
                    "null_ratio": row["permuted_cdnv2"] / means["permuted_cdnv2"],
                    "median_ratio": row["cdnv2_median"] / means["cdnv2_median"],
                    "partner": text[row["partner"]],
                    "share": row["cdnv2_largest"] / (row["cdnv2"] * pairs),
                }
            )
    return pd.DataFrame(found, columns=NAME_COLUMNS)


STORIES = {
    "count": "frequency",
    "norm": "norm",
    "duality": "duality",
    "cdnv": "CDNV",
    "interference": "interference",
    "validation_loss": "validation loss",
}


def correlations(frame):
    """{seed: Spearman's rho between the columns of `STORIES` over common classes seen in validation}, as DataFrames."""
    found = {}
    for rows in by_seed(frame):
        values = rows[list(STORIES)].dropna()
        found[int(rows["seed"].iloc[0])] = pd.DataFrame(spearmanr(values).statistic, list(STORIES), list(STORIES))
    return found


CAPTION = "Table 5, from its caption (its numbers were not read)"
FILES = "value recomputed from the authors' published measurements"
TRAINED = "at least 600 updates"


def claim(name, statement, source, relation, reference, precondition=TRAINED, paper_value=None, **how):
    """A claim of the page on tokens: of the paper where its source is, else a question of ours."""
    parts = (
        f"wu2024.tokens.{name}",
        "Wu & Papyan 2024",
        statement,
        source,
        relation,
        reference,
        0.0,
        paper_value,
        precondition,
    )
    kind, seen = ("paper", "read") if CAPTION in source or FILES in source else ("extension", "derived")
    return Claim(*parts, kind=kind, seen=seen, **how)


POSITIVE = claim(
    "interference.positive",
    "The mean cosine between two class means is positive on average",
    f"Table 5, caption: 'not a typo'; {FILES} (12 x 1024, 10 epochs, weight decay 0.1)",
    ">=",
    0.0,
    TRAINED,
    0.000519,
)
RELATED = {
    ("count", "cdnv"): ("frequency.cdnv", "the more frequent a token, the lower its CDNV", -1),
    ("count", "equal_cdnv"): ("frequency.equal", "the same with ten samples of every class", -1),
    ("norm", "cdnv"): ("story.norm", "the longer its centered mean, the lower its CDNV", -1),
    ("duality", "cdnv"): ("story.duality", "the better its mean and weight agree, the lower its CDNV", -1),
    ("validation_loss", "cdnv"): ("story.loss", "the better it is predicted, the lower its CDNV", 1),
}
STORY = {
    pair: claim(
        name,
        f"Of classes with 10 or more samples, {what}: Spearman's rho",
        "our question; at least 0.3 is our rule",
        "<=" if sign < 0 else ">=",
        0.3 * sign,
    )
    for pair, (name, what, sign) in RELATED.items()
}


def claims(table):
    """The verdicts on a table of `runs`."""
    frame = classes(table)
    trained = bool(table.loc[table["metric"] == "updates", "value"].min() >= 600)
    judged = [judge(POSITIVE, frame.groupby("seed")["interference"].mean(), met=trained)]
    for pair, rule in STORY.items():
        rho = [spearmanr(*rows[list(pair)].dropna().to_numpy().T).statistic for rows in by_seed(frame)]
        judged.append(judge(rule, rho, met=trained))
    return judged
