"""What the prose of page 00 quotes of its runs, as text."""

from nclib.glued import number, word
from nclib.pages.original.claims import begins, ends, series, share
from nclib.runs.study import own_runs

TRAIN, TEST = "metric == 'error' and split == 'train'", "metric == 'error' and split == 'test'"
DIGITS = {
    "nc1": ("metric == 'nc1'", "#.2g"),
    "lengths-means": ("metric == 'equinorm_cv' and vectors == 'means'", ".1%"),
    "lengths-classifiers": ("metric == 'equinorm_cv' and vectors == 'classifiers'", ".1%"),
    "angles-means": ("metric == 'equiangularity' and vectors == 'means'", ".3f"),
    "angles-classifiers": ("metric == 'equiangularity' and vectors == 'classifiers'", ".3f"),
    "nc3": ("metric == 'nc3'", ".2f"),
    "ncc-test": ("metric == 'ncc_disagreement' and split == 'test'", ".2%"),
    "ncc-train": ("metric == 'ncc_disagreement' and split == 'train'", ".2%"),
    "test-error": (TEST, ".2%"),
    "loss": ("metric == 'loss' and split == 'train'", "#.2g"),
}


def quoted(table):
    """{key: text}: of each metric the mean over seeds where the terminal phase begins and at the end."""
    table = own_runs(table)
    error, begin = series(table, TRAIN), begins(table)
    first, last = ends(table, TEST)
    found = {
        "epochs": number(error.index.max(), ".0f"),
        "begin-least": number(begin.min(), ".0f"),
        "begin-most": number(begin.max(), ".0f"),
        "test-change": word((last - first).mean(), "falls", "rises", "stays what it is"),
        "train-error-last": number(error.iloc[-1].mean(), ".1%"),
        "relapse": number(error[error.index >= begin.max()].max(axis=None), ".1%"),
        "share": number(share(table).mean(), ".0%"),
    }
    for key, (query, spec) in DIGITS.items():
        first, last = ends(table, query)
        found |= {f"{key}-first": number(first.mean(), spec), f"{key}-last": number(last.mean(), spec)}
    return found
