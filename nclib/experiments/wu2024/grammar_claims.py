"""What is claimed of models of a story grammar; all rules but that of "longer" stood before the models were trained."""

import numpy as np

from nclib.claims import Claim, judge
from nclib.experiments.wu2024.grammar_model import PARTS
from nclib.experiments.wu2024.grammar_table import parts, pick

PAPER = "Wu & Papyan 2024"
OURS = "derived here, our question"
TRAINED = "at least 600 updates in every run"


def _claim(name, statement, relation, reference, tolerance=0.0, precondition=TRAINED, source=OURS, **how):
    parts = f"wu2024.grammar.{name}", PAPER, statement, source, relation, reference, tolerance, None, precondition
    return Claim(*parts, kind="extension", seen="derived", **how)


EXACT = "derived here; checked on every model"
LIMIT = {
    "kl": _claim(
        "excess.kl",
        "Loss minus Bayes loss equals the mean KL(P || p) but for the sampling of the words: largest difference over "
        "all models, in standard errors",
        "<=",
        3.0,
        precondition="",
        source=EXACT,
        every=True,
    ),
    "positive": _claim(
        "excess.positive", "No model beats the Bayes loss: smallest excess, nats", ">=", 0.0, 0.0, "", every=True
    ),
    "width": _claim(
        "excess.width",
        "The mean KL falls with every doubling of the width: its largest ratio to that of the next narrower",
        "<=",
        1.0,
    ),
}
NOISE = {
    "within": _claim(
        "predictions.within",
        "The variance of predictions within classes is that of the perfect model: ratio at the largest width",
        "==",
        1.0,
        0.1,
    ),
    "longer": _claim(
        "predictions.longer",
        "Three times the words bring it nearer to that of the perfect model: distance of the ratio from 1, over that "
        "of the shorter run",
        "<=",
        1.0,
        settled="after: added when the other models had been measured and this one's validation loss was known",
    ),
    "rest": _claim(
        "predictions.rest",
        "The share of it that is not linear in P falls with every doubling of the width: largest ratio",
        "<=",
        1.0,
    ),
    "most": _claim(
        "predictions.most",
        "At the largest width ambiguity is most of the variance of predictions within classes: its share",
        ">=",
        0.5,
    ),
    "features": _claim(
        "features.most",
        "At the largest width ambiguity is most of the variance of features within classes: its share",
        ">=",
        0.5,
    ),
}
DETERMINED = {
    "trace": _claim(
        "determined.trace",
        "Features of determined contexts collapse more than those of ambiguous ones (same words, as many samples): "
        "trace ratio of the former over that of the latter, largest width",
        "<=",
        0.5,
        log=True,
    ),
    "cdnv": _claim("determined.cdnv", "The same for the median CDNV", "<=", 0.5, log=True),
    "width": _claim(
        "determined.width",
        "In determined contexts the trace ratio falls with every doubling of the width: largest ratio",
        "<=",
        1.0,
    ),
    "agreement": _claim(
        "determined.agreement",
        "In determined contexts classifier and nearest class mean agree more often: share minus that of ambiguous ones",
        ">=",
        0.1,
    ),
}
MERGED = {
    "merged": _claim(
        "merged.grows",
        "CDNV of interchangeable words grows with the number of positions: power of it, features of the largest width",
        "==",
        1.0,
        0.2,
    ),
    "others": _claim("merged.others", "That of other pairs of these words does not: power", "==", 0.0, 0.2),
    "trace": _claim("merged.trace", "Their trace ratio does not change: ratio", "==", 1.0, 0.1, ""),
}


def steps(frame):
    """For each seed, the largest ratio of a column to the one before."""
    return (frame.iloc[:, 1:].to_numpy() / frame.iloc[:, :-1].to_numpy()).max(1)


def _within(found):
    """The variance within classes, of `parts`."""
    return found["ambiguity"] + found["rest"]


def power(table, metric):
    """For each seed, the slope of a mean log CDNV of the widest model's features in log positions, least squares."""
    splits = [f"first 1/{part}" for part in PARTS]
    n, value = (
        np.stack([pick(table, name, split=split, layer="features").iloc[:, -1] for split in splits])
        for name in ("samples", metric)
    )
    if not np.isfinite(n[:, 0]).all():  # the numbers of positions, the same for every seed
        return np.full(n.shape[1], np.nan)
    return np.polyfit(np.log(n[:, 0]), value, 1)[0]


def claims(table):
    """The verdicts on a table of `runs`."""
    met = bool(table.loc[table["metric"] == "updates", "value"].min() >= 600)
    loss, kl = pick(table, "excess"), pick(table, "kl")
    predictions, features = parts(table, "predictions"), parts(table, "features")
    exact, more = parts(table, "predictions", "theory"), parts(table, "predictions", longer=True)
    rest = predictions["rest"] / _within(predictions)
    ratio, longer = (_within(some).iloc[:, -1] / _within(exact).iloc[0, 0] for some in (predictions, more))
    own = features["rest"] / _within(features)
    sides = {
        metric: [pick(table, metric, split=f"matched-{side}", layer="features") for side in ("determined", "ambiguous")]
        for metric in ("nc1_trace_ratio", "cdnv_median")
    }
    agreement = [pick(table, "ncc_agreement", split=side, layer="features") for side in ("determined", "ambiguous")]
    last, first = (
        pick(table, "nc1_trace_ratio", split=f"first 1/{part}", layer="predictions", source="theory").iloc[0, 0]
        for part in (1, PARTS[0])
    )
    runs = [{name: pick(table, name, longer=some) for name in ("excess", "kl", "error")} for some in (False, True)]
    z = [((run["excess"] - run["kl"]).abs() / run["error"]).to_numpy().max() for run in runs]
    values = {
        LIMIT["kl"]: float(np.max(z)),
        LIMIT["positive"]: loss.min(axis=1, skipna=False),
        LIMIT["width"]: steps(kl),
        NOISE["within"]: ratio,
        NOISE["longer"]: abs(1 - longer.iloc[0]) / abs(1 - ratio.iloc[0]),
        NOISE["rest"]: steps(rest),
        NOISE["most"]: 1 - rest.iloc[:, -1],
        NOISE["features"]: 1 - own.iloc[:, -1],
        DETERMINED["trace"]: (sides["nc1_trace_ratio"][0] / sides["nc1_trace_ratio"][1]).iloc[:, -1],
        DETERMINED["cdnv"]: (sides["cdnv_median"][0] / sides["cdnv_median"][1]).iloc[:, -1],
        DETERMINED["width"]: steps(sides["nc1_trace_ratio"][0]),
        DETERMINED["agreement"]: (agreement[0] - agreement[1]).iloc[:, -1],
        MERGED["merged"]: power(table, "merged"),
        MERGED["others"]: power(table, "others"),
        MERGED["trace"]: float(last / first),
    }
    return [judge(claim, value, met=met) for claim, value in values.items()]
