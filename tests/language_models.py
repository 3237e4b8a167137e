"""Tables of language models made up so that every answer is known."""

import pandas as pd

from nclib.conventions import PRESETS
from nclib.nulls import uniform_directions
from nclib.pages._language_models.language_model import KINDS, at, parameters
from nclib.pages._language_models.models import models
from nclib.runs.study import _with_fields

METRICS = {"classes": 900, "samples": 5000, "cdnv_mean": 2.0, "norm_cv": 0.5, "norm_log_cv": 0.1}
METRICS |= {"interference_std": 0.3, "interference_cv": 40.0, "gnc2_std": 0.1, "gnc2_cv": -0.4, "self_duality": 0.2}
METRICS |= {"duality_std": 0.3, "uniform_duality": 1.5, "ncc_agreement": 0.25}


def run_of(run, losses, metrics, updates=900, beside="", profile="laptop"):
    """The rows of one run. losses: validation after each epoch; metrics: {convention: {metric: value}} or one dict."""
    found = [at({"loss": v}, split="validation").assign(step=e + 1) for e, v in enumerate(losses)]
    for step in run.measured:
        null = uniform_directions(900, run.width)
        rows = [at({"loss": losses[step - 1] - 0.1}), at(dict.fromkeys(null, float("nan")), theory=null)]
        rows += [at(METRICS | metrics.get(preset, metrics), convention=preset) for preset in PRESETS]
        found += [part.assign(step=step) for part in rows]
    sizes = {"updates": updates, "parameters": parameters(run)}
    table = pd.concat([*found, at(sizes).assign(step=run.epochs)], ignore_index=True).astype(KINDS)
    return _with_fields(table, run).assign(part="grid", beside=beside, profile=profile)


def models_of(*tables):
    """The models of such rows."""
    return models(pd.concat(tables, ignore_index=True))
