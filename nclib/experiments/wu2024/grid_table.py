"""The tables of the page on our own grid: its set-up, its text, and every correlation beside its null."""

import json
import textwrap

import numpy as np
import pandas as pd

from nclib import results
from nclib.data import corpora, text
from nclib.experiments.wu2024.grid import claims, models, signed_r2, within_width

FIELDS = ["corpus", "vocab", "context", "local", "heads", "batch", "rate"]
TRAINING = ["epochs", "step", "weight_decay"]
RELATIONS = {
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


def frames(*tables):
    """{label: models} of (profile, table of `grid.runs`) pairs, without empty tables and without the same grid twice.

    models: those of `grid.models`, with the fields of their configs, nc1_scaled (log of the mean textbook CDNV),
    interference_excess and gnc2_excess (SDs over those of independent directions), nc3 (1 - mean cosine), null
    (1 / sqrt d) and history (the validation losses after each epoch up to the measured one). label: the corpus, the
    number of models, the profile.
    """
    found, seen = {}, set()
    for profile, table in tables:
        if len(table) and seen.isdisjoint(keys := set(table["config"])):
            frame = _widened(table)
            corpus = frame["corpus"].iloc[0]
            found[f"{corpora.TITLES.get(corpus, corpus)}, {len(frame)} models, profile {profile}"] = frame
            seen |= keys
    return found


def _widened(table):
    frame = models(table)
    losses = table[(table["metric"] == "loss") & (table["split"] == "validation")].sort_values("step")
    history = losses.groupby("config")["value"].agg(list)
    fields = table.drop_duplicates("config").set_index("config")[FIELDS]
    return frame.join(fields, on="config").assign(
        corpus=lambda rows: rows["corpus"].map(_name),
        nc1_scaled=np.log(frame["cdnv_mean"]),
        interference_excess=frame["interference_std"] / frame["null_interference_std"],
        gnc2_excess=frame["gnc2_std"] / frame["null_gnc2_std"],
        nc3=1 - frame["self_duality"],
        null=frame["width"] ** -0.5,
        history=[history[run][:step] for run, step in zip(frame["config"], frame["step"], strict=True)],
    )


def _name(corpus):
    return corpus if corpus in corpora.NAMES else "a folder"


def setup(frames):
    """What was trained: a column for each grid."""
    return pd.DataFrame({label: _setup(frame) for label, frame in frames.items()}).rename_axis("")


def _setup(frame):
    settings = frame[TRAINING].drop_duplicates()
    schedules = [
        f"{step} of {epochs}" if step < epochs else f"{epochs}" for epochs, step, _ in settings.itertuples(index=False)
    ]
    return {
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


def texts(frames):
    """A row for each file of each corpus with its sha256, as the runs recorded it; in the first, the numbers of tokens
    and the titles of the corpus's documents, in its order, where it names them and its files are at hand."""
    lines = []
    for label, frame in frames.items():
        sums = {}
        for run in frame["config"]:
            folder = results.entry("wu2024.language_model", run)
            sums |= json.loads((folder / "manifest.json").read_text())["data"] if folder else {}
        corpus = frame["corpus"].iloc[0]
        named = corpus in corpora.NAMES and corpus != "grammar" and text.available(corpus)
        titles = corpora.read(corpus).titles if named else ([], [])
        about = {"tokens": f"{frame['samples'].max():,.0f}"} | dict(zip(PARTS, map(_titles, titles), strict=True))
        for i, (file, digest) in enumerate(sums.items()):
            lines.append({"grid": label, "file": file, "sha256": digest} | (about if i == 0 else {}))
    return pd.DataFrame(lines, columns=["grid", "file", "sha256", "tokens", *PARTS]).fillna("")


def judged(*grids):
    """The claims' values and verdicts on archived grids, a column for each (label, table) that is not empty."""
    found = {
        label: {row["id"].removeprefix("wu2024.grid."): f"{row['ours']:.2f}, {row['verdict']}" for row in claims(table)}
        for label, table in grids
        if len(table)
    }
    return pd.DataFrame(found).rename_axis("claim")


PARTS = ("training documents", "validation documents")


def dropdown(frame, summary):
    """A table as HTML behind a line that opens it, its texts in full."""
    from IPython.display import HTML

    with pd.option_context("display.max_colwidth", None):
        return HTML(f"<details><summary>{summary}</summary>{frame.to_html(index=False, border=0)}</details>")


def _titles(names):
    """How many, and each in at most 40 characters."""
    short = [textwrap.shorten(name, 40, placeholder="…") for name in names]
    return f"{len(short)}: {'; '.join(short)}" if short else "not named"


def relations(frames):
    """R^2 with the validation loss, with the sign of r: a row for each measure, for each grid columns "pooled", "within
    widths" and "within trainings", medians over the models of one width and over those of the same epochs and weight
    decay. Models whose validation loss rose are left out."""
    found = {}
    for label, frame in frames.items():
        kept = frame[~frame["rose"]]
        found[label, "pooled"] = {name: signed_r2(kept[name], kept["validation"]) for name in RELATIONS}
        found[label, "within widths"] = {name: within_width(kept, name) for name in RELATIONS}
        found[label, "within trainings"] = {name: within_width(kept, name, TRAINING) for name in RELATIONS}
        found[label, "within widths"]["null"] = np.nan
    return pd.DataFrame(found)


def shares(frames):
    """The share of the validation loss's variance that lies between the groups of models of one width, one depth, one
    training: what any function of that alone can explain. Models whose validation loss rose are left out."""
    return pd.DataFrame({label: _shares(frame[~frame["rose"]]) for label, frame in frames.items()}).rename_axis(
        "between"
    )


def _shares(kept):
    loss, by = kept["validation"], {"widths": "width", "depths": "depth", "trainings": TRAINING}
    between = {name: kept.groupby(columns)["validation"].transform("mean") for name, columns in by.items()}
    return {name: f"{means.var() / loss.var():.1%}" if len(kept) > 1 else "–" for name, means in between.items()}


def named(relations):
    """`relations` for a reader."""
    shown = relations.rename(index=RELATIONS).rename_axis(index="± R² with the validation loss")
    return shown.map(lambda value: "–" if np.isnan(value) else f"{value:+.2f}".replace("-", "−"))
