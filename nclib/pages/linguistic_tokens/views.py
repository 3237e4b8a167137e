"""The table of `study.STUDY` -> classes and names, a row each; what is computed of them; rows that a figure draws."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

PAPER, BOOKS = "paper scale", "books"  # what is archived: all classes, first names
FLOOR = 10
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
NAMES_SHOWN, EXCEPTIONS = 24, ("␣Anna", "␣Tim")
NAME_COLUMNS = [
    *("seed", "token", "count", "cdnv_ratio", "interference_z", "matched_ratio", "matched_z", "null_ratio"),
    *("median_ratio", "partner", "share"),
]
OF_NAME = [name for name in NAME_COLUMNS if name not in ("seed", "token", "partner")]


def measured(table):
    """One row for each class of each run of part "classes", and for each name of each run of part "names".

    Further columns beside those of `classes_of` and NAME_COLUMNS: run, seed, part, beside, profile, width, depth and
    updates of the run. A run of part "names" has a row of its own, without a name, so that one without names is seen.
    `attrs` are those of the table.
    """
    made = {"classes": classes_of, "names": names_back}
    parts = [made[part](rows).assign(part=part) for part, rows in table.groupby("part", sort=False)]
    runs = table.drop_duplicates("run").set_index("run")[["beside", "profile", "width", "depth"]]
    updates = table[table["metric"] == "updates"].set_index("run")["value"].rename("updates")
    found = pd.concat(parts, ignore_index=True).join(runs, on="run").join(updates, on="run")
    found.attrs |= table.attrs
    return found


def names_back(table):
    """The rows of `names_of` that are in a table of `NamesModel`s, after a row for each run without a name."""
    rows = table[table["metric"].isin(OF_NAME)]
    wide = rows.pivot(index=["run", "seed", "token", "partner"], columns="metric", values="value").reset_index()
    runs = table.drop_duplicates("run")[["run", "seed"]].assign(token="", partner="")
    return pd.concat([runs, wide.rename_axis(columns=None)], ignore_index=True).reindex(columns=["run", *NAME_COLUMNS])


def classes(measured, beside=""):
    """The classes of the page's own models, or of archived ones."""
    return of_classes(measured[measured["beside"] == beside])


def of_classes(measured):
    """The rows of part "classes", in the kinds of `classes_of`, which those of names beside them take away."""
    return measured[measured["part"] == "classes"].astype({"id": int, "common": bool, "name": bool})


def names(measured):
    """The names of the page's own models, or where their text tells of nobody those of the archived books."""
    found = measured[(measured["part"] == "names") & (measured["token"] != "")]
    scale = "" if (measured["part"].eq("names") & measured["beside"].eq("")).any() else BOOKS
    return found.loc[found["beside"] == scale, NAME_COLUMNS]


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


def classes_of(table):
    """One row for each run and token: columns run, seed, id, token, kind, name, count, the metrics of split "train" by
    name, those of the others as "<split>_<name>", `common` (seen at least `FLOOR` times) and floor.

    Names are the whole-word tokens of `NAMES`. A validation count is 0 where there is none, other values NaN.
    """
    rows = table[table["id"].notna()]
    column = rows["metric"].where(rows["split"] == "train", rows["split"] + "_" + rows["metric"])
    long = rows.assign(id=rows["id"].astype(int), column=column)
    wide = long.pivot(index=["run", "seed", "id", "token"], columns="column", values="value").reset_index()
    wide = wide.rename_axis(columns=None)
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


def names_of(frame):
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


def first(frame):
    """The tokens of the first seed that occur (all seeds have the same text)."""
    return frame[(frame["seed"] == frame["seed"].min()) & (frame["count"] > 0)]


def frequency(measured):
    """Type, id and count of each token that occurs."""
    return first(classes(measured))[["id", "kind", "count"]].astype({"kind": str})


def shares(measured):
    """Share of each type, percent, `of` the tokens that occur and of the text."""
    by = first(classes(measured)).astype({"kind": pd.CategoricalDtype(KINDS)}).groupby("kind", observed=False)["count"]
    sizes = {"vocabulary": by.size(), "text": by.sum()}
    parts = [(100 * size / size.sum()).rename("percent").reset_index().assign(of=of) for of, size in sizes.items()]
    return pd.concat(parts).astype({"kind": str})


def shuffled(n, counts):
    """CDNV of a class of n samples that has nothing but noise: mean over others k of 1 / (1/n + 1/n_k) - 1/2.

    A class of n samples of noise with variance v has an expected variance v (1 - 1/n), two of them a squared distance
    of v (1/n + 1/n_k); this is the ratio of the expectations, exact for many dimensions (derived).
    """
    return np.mean(1 / (1 / np.asarray(n)[:, None] + 1 / counts) - 0.5, axis=1)


def running_median(x, y, bins=14, least=3):
    """Medians of y in `bins` equal steps of log x, where at least `least` classes fall: (median of x, of y)."""
    found = [[], []]
    keep = y.notna() & (x > 0)
    x, y = x[keep].to_numpy(), y[keep].to_numpy()
    edge = np.geomspace(x.min(), x.max() * (1 + 1e-9), bins + 1)
    where = np.searchsorted(edge, x, side="right")
    for k in range(1, bins + 1):
        if (where == k).sum() >= least:
            found[0].append(np.median(x[where == k]))
            found[1].append(np.median(y[where == k]))
    return found


def collapse(measured):
    """CDNV against the count of a class, `x`, by part: "class" (first seed), "median" (of every seed, running) and
    "theory", what is predicted for shuffled labels. metric: cdnv, equal_cdnv, permuted_cdnv."""
    found = []
    for panel in ("", PAPER):
        if len(rows := classes(measured, panel)):
            fields = {"panel": panel, "floor": rows["floor"].iloc[0]}
            found += [part.assign(**fields) for part in (*points(rows), *medians(rows), prediction(first(rows)))]
    return pd.concat(found)[["panel", "floor", "part", "metric", "seed", "x", "value"]]


def points(rows):
    """The classes of the first seed."""
    rows = first(rows)
    for metric in ("cdnv", "equal_cdnv"):
        yield pd.DataFrame({"seed": rows["seed"], "x": rows["count"].astype(float), "value": rows[metric]}).assign(
            part="class", metric=metric
        )


def medians(rows):
    """The running medians of every seed."""
    for metric in ("cdnv", "equal_cdnv", "permuted_cdnv"):
        for seed, part in rows.groupby("seed"):
            x, y = running_median(part["count"], part[metric])
            yield pd.DataFrame({"part": "median", "metric": metric, "seed": seed, "x": x, "value": y})


def prediction(rows):
    """What `shuffled` predicts on a grid of counts."""
    x = np.geomspace(rows["count"].min() + 1, rows["count"].max(), 60)
    value = shuffled(x, rows["count"].to_numpy())
    columns = {"part": "theory", "metric": "permuted_cdnv", "seed": rows["seed"].iloc[0]}
    return pd.DataFrame({"x": x, "value": value, **columns})


def caution(measured):
    """By panel: "shuffled", variance of a class over that of all features against its samples, `x`, with the median
    over classes of as many samples and what is predicted; "halves", of `halves`, medians of CDNV from all
    samples ("median") and from equally many ("equal")."""
    frame = classes(measured)
    rows = frame[frame["count"] > 0]
    n, v = rows["count"], rows["permuted_variance"]
    few = rows[n <= 60]
    value = few["permuted_variance"] / ((n * v).sum() / (n - 1).sum())
    median = value.groupby(few["count"]).median()
    grid = np.geomspace(1, 60, 100)
    parts = [
        pd.DataFrame({"part": "class", "x": few["count"].astype(float), "value": value}),
        pd.DataFrame({"part": "median", "x": median.index.astype(float), "value": median.to_numpy()}),
        pd.DataFrame({"part": "theory", "x": grid, "value": (grid - 1) / grid}),
    ]
    left = pd.concat(parts).assign(panel="shuffled", by="", half="", floor=frame["floor"].iloc[0])
    halved = halves(frame)
    right = [halved.assign(part=column, value=halved[column]) for column in ("median", "equal")]
    columns = ["panel", "floor", "part", "by", "half", "x", "value"]
    return pd.concat([left, pd.concat(right).assign(panel="halves", floor=left["floor"].iloc[0])])[columns]


def named(measured):
    """The NAMES_SHOWN most frequent names and the EXCEPTIONS, for every seed; `place` counts from the top."""
    found = names(measured)
    order = found.groupby("token")["count"].first().sort_values(ascending=False, kind="stable").index
    chosen = [token for i, token in enumerate(order) if i < NAMES_SHOWN or token in EXCEPTIONS]
    ratios = ["cdnv_ratio", "matched_ratio", "median_ratio", "null_ratio", "interference_z", "matched_z"]
    rows = found[found["token"].isin(chosen)]
    places = rows["token"].map({token: i for i, token in enumerate(chosen)})
    return rows.assign(place=places.astype(int))[["place", "token", "seed", *ratios, "partner"]]


def story(measured):
    """Of `correlations`: each pair of measures once, every seed."""
    parts = []
    for seed, matrix in correlations(classes(measured)).items():
        for j, k in zip(*np.tril_indices(len(matrix), -1), strict=True):
            first, second = (STORIES[matrix.columns[i]] for i in (k, j))
            parts.append({"seed": seed, "first": first, "second": second, "value": matrix.iloc[j, k]})
    return pd.DataFrame(parts)
