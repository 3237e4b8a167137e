"""Does collapse come with scale, and with a lower validation loss? Our own grid of language models. Wu & Papyan (2024).

Their grid is six widths times five depths times seven measurements; profile `paper` copies it at a smaller scale. Every
correlation across models stands beside what its null gives and beside the same correlation within models of one width.
"""

import math
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from nclib.claims import Claim, judge
from nclib.experiments.wu2024.language_model import Config
from nclib.experiments.wu2024.over_models import interval
from nclib.results import choose

COST = {"paper": "150 runs, 210 measured models, about 5e17 FLOP: hours of one H200 (estimated)"}
SIZES = {
    "smoke": {"tokens": 40_000, "vocab": 512, "context": 64, "local": 32, "heads": 4, "batch": 512},
    "laptop": {"tokens": 320_000, "vocab": 2048, "context": 64, "local": 32, "heads": 4, "batch": 512},
    "books": {"tokens": 640_000, "vocab": 4096, "context": 128, "local": 64, "heads": 4, "batch": 1024},
    "paper": {"tokens": 20_000_000, "vocab": 8192, "context": 256, "local": 128, "heads": 8, "batch": 8192},
}
CORPORA = {"smoke": "reference", "laptop": "documentation", "paper": "books"}  # what every reader of the lock has
# A wider model needs a lower rate. At `laptop` chosen by the validation loss of three shapes at three rates, before any
# measurement of collapse was looked at; for `books` not tried. At `paper` such a sweep with batches of 16,384 pointed
# to 0.16 / width; for half the batch the square-root rule gives the 0.12 used here, not tried against others.
RATES = {"smoke": (0.1, 1.0), "laptop": (0.1, 1.0), "books": (0.1, 1.0), "paper": (0.12, 1.0)}
WIDTHS = {"smoke": (8, 16), "laptop": (16, 32, 64), "books": (32, 64, 128), "paper": (32, 64, 128, 256, 384, 512)}
DEPTHS = {"smoke": (1, 2), "laptop": (1, 2, 4), "books": (1, 2, 4), "paper": (1, 2, 4, 8, 12)}
ONCE = {"epochs": 1, "measured": (1,), "weight_decay": 5e-4}
DECAYED = {"epochs": 1, "measured": (1,), "weight_decay": 0.1}
THRICE = {"epochs": 3, "measured": (3,), "weight_decay": 5e-4}
SETTINGS = {
    "smoke": (ONCE,),
    "laptop": (ONCE, THRICE),
    "books": (ONCE, THRICE),
    "paper": (
        *(ONCE, DECAYED, THRICE),
        {"epochs": 10, "measured": (6, 10), "weight_decay": 5e-4},
        {"epochs": 10, "measured": (6, 10), "weight_decay": 0.1},
    ),
}


def scale(profile, corpus):
    """Which of the sizes above: the profile's, but at `laptop` the books have their own, a processor's 40 minutes."""
    return "books" if (profile, corpus) == ("laptop", "books") else profile


def size(profile, corpus):
    """The text and batch of the models."""
    return choose(scale(profile, corpus), SIZES)


def rate(profile, width):
    """The learning rate at the start of a run: a / width^b."""
    a, b = RATES[profile]
    return a / width**b


def runs(profile, *, seed=0, corpus=None, widths=None, depths=None, tokens=None, batch=None):
    """Every shape in every setting, the largest shapes last. corpus: as in nclib.data.text.tokens."""
    corpus = corpus or choose(profile, CORPORA)
    at = scale(profile, corpus)
    given = {name: value for name, value in {"tokens": tokens, "batch": batch}.items() if value is not None}
    common = {"corpus": corpus, "seed": seed, **size(profile, corpus), **given}
    shapes = [(width, depth) for width in widths or WIDTHS[at] for depth in depths or DEPTHS[at]]
    return [
        Config(width=width, depth=depth, rate=rate(at, width), **common, **setting)
        for width, depth in sorted(shapes, key=lambda shape: shape[0] ** 2 * shape[1])
        for setting in SETTINGS[at]
    ]


ROSE = 0.01  # nats above its best epoch at which a validation loss counts as risen
NAMES = {
    "nc1": "NC1, log of the mean CDNV over distance^4",
    "gnc2": "GNC2, coefficient of variation of the log-distance",
    "unc3": "UNC3, coefficient of variation of the cosines",
    "nc4": "NC4, one minus the agreement",
}


def models(table, convention="textbook"):
    """One row for each measured model: its config, losses, and the metrics of a convention.

    Columns: width, depth, epochs, weight_decay, step (epochs so far), updates, parameters; loss, validation, best (the
    lowest validation loss so far), rose (validation above best by 0.01 nats); the keys of nclib.conventions, those of
    the null as "null_<key>", and nc1, gnc2, unc3, nc4 as `NAMES` says, all falling with collapse.
    """
    runs = table[table["experiment"] == "wu2024.language_model"].groupby("config", sort=False)
    return pd.DataFrame([model for _, rows in runs for model in _measured(rows, convention)])


def _measured(rows, convention):
    """The rows of `models` of one run, one for each epoch after which it was measured."""
    fields = rows.iloc[0][["config", "seed", "width", "depth", "epochs", "weight_decay"]].to_dict()
    totals = rows[rows["metric"].isin(["updates", "parameters"])].set_index("metric")["value"].to_dict()
    validation = rows[(rows["metric"] == "loss") & (rows["split"] == "validation")].set_index("step")["value"]
    for step in sorted(rows.loc[rows["layer"] == convention, "step"].unique()):
        now = rows[(rows["step"] == step) & (rows["split"] == "train")]
        now = now.set_index(["layer", "source", "metric"])["value"].sort_index()
        best, metrics = validation[validation.index <= step].min(), now[convention, "measured"]
        found = {"step": step, "validation": validation[step], "best": best, "rose": validation[step] > best + ROSE}
        found |= {"loss": now["", "measured", "loss"], **metrics}
        found |= {f"null_{metric}": value for metric, value in now["", "theory"].items()}
        found["nc1"] = np.log(now["wu-papyan-2024-10", "measured", "cdnv_mean"])
        found |= {"gnc2": abs(metrics["gnc2_cv"]), "unc3": metrics["uniform_duality"]}
        yield fields | totals | found | {"nc4": 1 - metrics["ncc_agreement"]}


def signed_r2(x, y):
    """r |r|: R^2 with the sign of Pearson's r. NaN where x does not vary."""
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.corrcoef(x, y)[0, 1]
    return float(r * abs(r))


def within_width(frame, metric, by="width"):
    """The median over widths of `signed_r2` with the validation loss among models of one width (of one `by`)."""
    x, loss = frame[metric].to_numpy(), frame["validation"].to_numpy()
    found = [signed_r2(x[rows], loss[rows]) for rows in frame.groupby(by).indices.values() if len(rows) > 2]
    return float(np.median(found)) if found else math.nan


PAPER = "Wu & Papyan 2024"
SCALE = "at least 600 updates in every run, and nine measured models or more whose validation loss has not risen"


def _claim(name, statement, source, relation, reference, paper_value=None, kind="paper", seen="authors' data"):
    parts = f"wu2024.grid.{name}", PAPER, statement, source, relation, reference, 0.0, paper_value, SCALE
    return Claim(*parts, kind=kind, seen=seen)


FROM_FILES = "Fig. 1; value recomputed from the authors' published measurements"
R2 = {"nc1": 0.916, "gnc2": 0.841, "unc3": 0.693, "nc4": 0.891}
RELATED = {
    metric: _claim(
        f"{metric}.loss",
        f"{name}: falls linearly with the validation loss over all models; R^2 with the sign of r",
        f"{FROM_FILES}; that half of the variance is enough is our rule",
        ">=",
        0.5,
        R2[metric],
    )
    for metric, name in NAMES.items()
}
WITHIN = {
    metric: _claim(
        f"{metric}.within-width",
        f"{name}: the same among models of one width, median over widths",
        "our question: a width changes the null of an angle and the loss together",
        ">=",
        0.5,
        kind="extension",
        seen="derived",
    )
    for metric, name in NAMES.items()
}
BEYOND = {
    metric: _claim(
        f"{metric}.beyond-null",
        f"std of the {what}, divided by that of random directions in as many dimensions: "
        "still falls linearly with the validation loss; R^2 with the sign of r",
        "our question; the authors' 230 models give R^2 below 0.1",
        ">=",
        0.5,
        kind="extension",
    )
    for metric, what in {"interference_std": "cosines", "gnc2_std": "log-distances"}.items()
}
ORDER = {
    ("norm_cv", "interference_std"): "equinormness is related to the validation loss less than equiangularity is",
    ("self_duality", "uniform_duality"): "NC3 is related to the validation loss less than UNC3 is",
}
ORDERED = {
    pair: _claim(
        f"{pair[0].replace('_', '-')}.weaker",
        f"{statement}: R^2 of the first minus R^2 of the second",
        "Figs. 2 and 3, captions read: negligible against some",
        "<=",
        0.0,
        "negative",
        seen="read",
    )
    for pair, statement in ORDER.items()
}
# Spearman correlations over the authors' 210 models, recomputed; those of 0.35 and more became claims about the sign.
TRENDS = {
    "validation": ("the validation loss", {"width": -0.73, "depth": -0.48, "epochs": -0.40}),
    "nc1": ("NC1 (log of the mean CDNV)", {"width": -0.58, "depth": -0.49, "epochs": -0.53}),
    "gnc2_std": ("the std of the log-distance", {"width": -0.80, "epochs": -0.42}),
    "uniform_duality": ("UNC3", {"width": -0.58, "epochs": -0.67}),
    "ncc_agreement": ("NC4 agreement", {"width": 0.70, "depth": 0.54}),
    "self_duality": ("NC3 (mean cosine)", {"epochs": 0.72}),
}
TREND = {
    (metric, factor): _claim(
        f"{metric.replace('_', '-')}.{factor}",
        f"{name} {'rises' if rho > 0 else 'falls'} with {factor}: Spearman's rho over all models",
        "appendix figures; value recomputed from the authors' published measurements; at least 0.2 is our rule",
        ">=" if rho > 0 else "<=",
        0.2 if rho > 0 else -0.2,
        rho,
    )
    for metric, (name, factors) in TRENDS.items()
    for factor, rho in factors.items()
}


def claims(table):
    """The verdicts on a table of `runs`, each with its interval over models; those whose loss rose are left out."""
    every = models(table)
    frame = every[~every["rose"]].rename(columns={"epochs": "planned", "step": "epochs"})
    met = len(frame) >= 9 and bool(every["updates"].min() >= 600)
    statistics = [(claim, partial(with_loss, metric)) for metric, claim in RELATED.items()]
    statistics += [(claim, partial(within_width, metric=metric)) for metric, claim in WITHIN.items()]
    statistics += [(claim, partial(over_null, metric)) for metric, claim in BEYOND.items()]
    statistics += [(claim, partial(weaker, *pair)) for pair, claim in ORDERED.items()]
    judged = [judge(claim, interval(frame, of) if met else math.nan, met=met) for claim, of in statistics]
    for pair, claim in TREND.items():
        varies = met and frame[pair[1]].nunique() > 1
        judged.append(judge(claim, interval(frame, partial(trend, *pair)) if varies else math.nan, met=varies))
    return judged


def with_loss(metric, frame):
    """`signed_r2` of a column with the validation loss."""
    return signed_r2(frame[metric], frame["validation"])


def over_null(metric, frame):
    """The same of a column over that of independent directions."""
    return signed_r2(frame[metric] / frame[f"null_{metric}"], frame["validation"])


def weaker(first, second, frame):
    """R^2 of the first column minus that of the second."""
    return abs(with_loss(first, frame)) - abs(with_loss(second, frame))


def trend(metric, factor, frame):
    """Spearman's rho of a column with a factor; NaN where one of them does not vary."""
    ranks = [rankdata(frame[name]) for name in (factor, metric)]
    return math.nan if min(map(np.ptp, ranks)) == 0 else float(np.corrcoef(*ranks)[0, 1])
