"""The tables of page 11 for a reader: its set-up, its texts, and every correlation beside its null."""

import textwrap

import pandas as pd

from nclib.data import corpora, text
from nclib.glued import number
from nclib.pages._language_models.language_model import LanguageModel
from nclib.pages.linguistic_scaling import views
from nclib.pages.linguistic_scaling.views import TRAINING
from nclib.runs import store

MEASURES = {
    "nc1": "NC1: log mean CDNV, distance⁴",
    "nc1_scaled": "NC1, dimensionless: log mean CDNV, distance²",
    "norm_cv": "NC2: CV of norms r",
    "norm_log_cv": "NC2: CV of log r",
    "interference_std": "NC2: SD of cosines",
    "interference_excess": "NC2: SD of cosines over its null",
    "gnc2": "GNC2: |CV|",
    "gnc2_std": "GNC2: SD",
    "gnc2_excess": "GNC2: SD over its null",
    "nc3": "NC3: 1 − mean cosine",
    "unc3": "UNC3: CV of cosines",
    "duality_std": "UNC3: SD of cosines",
    "nc4": "NC4: 1 − agreement",
    "null": "null: 1/√d",
}
PARTS = ("training documents", "validation documents")


def setup(models):
    """What was trained: a column for each grid."""
    found = {label: _setup(frame) for label, frame in views.frames(models).items()}
    return pd.DataFrame(found).rename_axis("")


def _setup(frame):
    settings = frame[TRAINING].drop_duplicates()
    schedules = [
        f"{step} of {epochs}" if step < epochs else f"{epochs}" for epochs, step, _ in settings.itertuples(index=False)
    ]
    return {
        "text": corpora.TITLES.get(frame["corpus"].iloc[0], frame["corpus"].iloc[0]),
        "widths": _listed(frame["width"]),
        "layers": _listed(frame["depth"]),
        "heads": _listed(frame["heads"]),
        "parameters": _range(frame["parameters"]),
        "measured after epochs": ", ".join(dict.fromkeys(schedules)),
        "weight decay": _listed(frame["weight_decay"]),
        "training tokens an epoch": f"{frame['samples'].max():,.0f}",
        "vocabulary": _listed(frame["vocab"]),
        "classes that occur": _listed(frame["classes"]),
        "context": _listed(frame["context"]),
        "tokens that local layers see": _listed(frame["local"]),
        "tokens an update": _listed(frame["batch"]),
        "updates of a run": _range(frame["updates"]),
        "first learning rate": ", ".join(
            f"{rate:.2g} (d = {width})" for width, rate in frame.groupby("width")["rate"].first().items()
        ),
        "models whose validation loss rose": f"{frame['rose'].sum()}",
    }


def _listed(column):
    return ", ".join(f"{value:,g}" for value in sorted(column.unique()))


def _range(column):
    low, high = column.min(), column.max()
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def relations(models):
    """`views.relations` of each grid, a row for each measure."""
    found = pd.concat({label: views.relations(frame) for label, frame in views.frames(models).items()}, axis=1)
    shown = found.rename(index=MEASURES).rename_axis(index="± R² with the validation loss")
    return shown.map(lambda value: number(value, "+.2f"))


def shares(models):
    """`views.shares` of each grid in percent."""
    found = pd.DataFrame({label: views.shares(frame) for label, frame in views.frames(models).items()})
    return found.rename_axis("between").map(lambda value: number(value, ".1%"))


def texts(models):
    """A row for each file of each corpus with its sha256, as the runs recorded it; in the first, the numbers of tokens
    and the titles of the corpus's documents, in its order, where it names them and its files are at hand."""
    lines = []
    for label, frame in views.frames(models).items():
        sums = {}
        for run in frame["run"].unique():
            sums |= _recorded(run)
        corpus = frame["corpus"].iloc[0]
        named = corpus in corpora.NAMES and corpus != "grammar" and text.available(corpus)
        titles = corpora.read(corpus).titles if named else ([], [])
        about = {"tokens": f"{frame['samples'].max():,.0f}"} | dict(zip(PARTS, map(_titles, titles), strict=True))
        for i, (file, digest) in enumerate(sums.items()):
            lines.append({"grid": label, "file": file, "sha256": digest} | (about if i == 0 else {}))
    return pd.DataFrame(lines, columns=["grid", "file", "sha256", "tokens", *PARTS]).fillna("")


def _recorded(run):
    """{file: sha256} in the manifest of a stored run."""
    places = (root / LanguageModel.NAME / run for root in (store.archive_folder(), store.cache_folder()))
    return next((store.read(place)[1]["data"] for place in places if place.exists()), {})


def dropdown(frame, summary):
    """A table as HTML behind a line that opens it, its texts in full."""
    from IPython.display import HTML

    with pd.option_context("display.max_colwidth", None):
        return HTML(f"<details><summary>{summary}</summary>{frame.to_html(index=False, border=0)}</details>")


def _titles(names):
    """How many, and each in at most 40 characters."""
    short = [textwrap.shorten(name, 40, placeholder="…") for name in names]
    return f"{len(short)}: {'; '.join(short)}" if short else "not named"
