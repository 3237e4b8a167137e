"""What the prose of page 11 quotes of its runs, as text."""

import itertools

from nclib.glued import number
from nclib.pages.linguistic_scaling import views
from nclib.pages.linguistic_scaling.claims import both_decays, by_decay, by_width, largest, measured

COLUMNS = {"pooled": "pooled", "within widths": "widths", "within trainings": "trainings"}
FACTORS = ("width", "depth", "epochs")
KEYS = {  # key: format; those of the archived grid, then those of the page's own
    "paper": dict.fromkeys(["models", "rose", "between-trainings", *(f"steps-{factor}" for factor in FACTORS)], ".0f")
    | dict.fromkeys(["lowest", "highest"], ".2f")
    | {"nc3-epochs": ".0f"}
    | dict.fromkeys([f"{name}-pooled" for name in ("nc1", "gnc2", "nc4", "unc3", "null", "nc1-scaled")], "+.2f")
    | dict.fromkeys([f"{name}-trainings" for name in ("nc1", "gnc2", "nc4", "unc3", "null", "nc1-scaled")], "+.2f")
    | dict.fromkeys(["nc3-trainings", "norm-log-cv-trainings", "unc3-widths"], "+.2f")
    | dict.fromkeys([f"{name}-excess-{of}" for name in ("gnc2", "interference") for of in COLUMNS.values()], "+.2f")
    | {"peak-best": ".0f", "peak-inner": ".3f", "peak-ends": ".3f", "decay-effect": ".2f"}
    | {f"decay-{name}": "+.3f" for name in ("validation", "nc1", "self-duality")},
    "here": dict.fromkeys(["rose", "between-trainings"], ".0f")
    | dict.fromkeys([f"{name}-pooled" for name in ("nc1", "gnc2", "nc4", "unc3")], "+.2f")
    | dict.fromkeys([f"{name}-trainings" for name in ("nc1", "gnc2", "nc4", "unc3", "null", "nc1-scaled")], "+.2f"),
}
BESIDE = {"paper": views.PAPER, "here": ""}


def quoted(models):
    """{key: text} of the models of the archived grid and of the page's own."""
    frames = {who: next(iter(views.frames(models, (beside,)).values()), None) for who, beside in BESIDE.items()}
    values = {who: of_grid(frame) if frame is not None else {} for who, frame in frames.items()}
    return {f"{who}-{key}": number(values[who].get(key), spec) for who in KEYS for key, spec in KEYS[who].items()}


def of_grid(frame):
    """{name: number} of the models of one grid; frame: of `views.frames`.

    models, rose; lowest, highest: of the validation losses; <measure>-pooled, -widths, -trainings: signed R^2 of
    `views.relations`; between-<groups>: percent of the loss's variance, of `views.shares`; steps-<factor>: percent of
    the pairs of models one step of a factor apart in which the larger has the lower loss; nc3-epochs: percent of those
    one step of epochs apart in which NC3 is larger after the longer training. peak-best, peak-inner,
    peak-ends: the width at which NC3 is largest of those inside the range, its value there, the larger of the ends.
    decay-<metric>: median over shapes of what the larger weight decay does in one epoch; decay-effect: the largest of
    these in standard deviations over shapes.
    """
    relations = views.relations(frame)
    found = {
        f"{name.replace('_', '-')}-{short}": relations.at[name, column]
        for column, short in COLUMNS.items()
        for name in relations.index
    }
    found |= {f"between-{name}": 100 * share for name, share in views.shares(frame).items()}
    found |= {f"steps-{factor}": 100 * steps(frame, factor) for factor in FACTORS}
    found |= {"nc3-epochs": 100 * steps(frame.assign(value=-frame["self_duality"]), "epochs", "value")}
    loss, kept = frame["validation"], measured(frame)
    means = by_width(kept).mean()
    if len(means) > 2:
        inside = means.iloc[1:-1]
        found |= {"peak-best": inside.idxmax(), "peak-inner": inside.max(), "peak-ends": means.iloc[[0, -1]].max()}
    if len(shapes := both_decays(frame, 1, 1)):
        light, heavy = (shapes.xs(decay, axis=1, level=1) for decay in sorted(shapes.columns.unique(1)))
        found |= {f"decay-{name.replace('_', '-')}": value for name, value in (heavy - light).median().items()}
        found |= {"decay-effect": largest(by_decay(shapes))}
    return found | {"models": len(frame), "lowest": loss.min(), "highest": loss.max(), "rose": frame["rose"].sum()}


def steps(frame, factor, metric="validation"):
    """The share of the pairs of models, equal in all factors and the weight decay but for one step up in `factor`, in
    which a metric falls; NaN without such a pair."""
    others = [name for name in (*FACTORS, "weight_decay") if name != factor]
    falls = [
        after < before
        for _, part in frame.sort_values(factor).groupby(others)
        for before, after in itertools.pairwise(part[metric])
    ]
    return sum(falls) / len(falls) if falls else float("nan")
