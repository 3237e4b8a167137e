"""Writes tests/conformance.json from the naive oracle. Run by hand, from this folder: python make_conformance.py."""

import json
import random
from decimal import Decimal
from pathlib import Path

import naive

ABOUT = {
    "purpose": "One small problem with every metric in every convention, from loops over samples and pairs in 60-digit "
    "decimal arithmetic, rounded once to float64 (17 significant digits).",
    "features": "H, 20 rows of d = 6, with a common offset of 1000; exact in float32.",
    "labels": "y, 0..4. Imbalanced; class 3 is absent; the means of classes 1 and 2 nearly coincide.",
    "num_classes": "K = 5.",
    "classifier": "weight W (K, d) and bias b (K,).",
    "statistics": "Fields and properties of ClassStatistics; all_means is `means`, centered_means of present classes.",
    "arrays": "Further arguments: present (K,), means and weight (rows of the present classes), gof_gram (a target of "
    "unit Frobenius norm for nc2).",
    "metrics": "A list of calls nclib.metrics.<metric>(*args, **kwargs) = value. An argument is a key of `arrays` or "
    "of `statistics`, or features, classifier.weight, classifier.bias, null, or stats (the ClassStatistics). A kwarg "
    "that is a key of `arrays` stands for it. A PairSummary is [mean, std, min, max, log_mean]; null is NaN.",
    "presets": "For each preset what nclib.conventions.measure(stats, classifier.weight, preset=..., agreement=...) "
    "gives; agreement is ncc_agreement with the bias and `present`, as in `metrics`.",
}
PRESETS = ["textbook", "wu-papyan-2024-05", "wu-papyan-2024-10"]
COUNTS = [7, 2, 5, 0, 6]
CENTERS = [[8, -3, 1, 5, 0, -6], [-7, 4, 2, -1, 9, 3], [-7, 4, 2, -1, 9, 3], [0] * 6, [1, 2, -9, -4, -3, 7]]
GAP = [2**-10, 0, -(2**-10), 2**-11, 0, 2**-10]


def problem():
    """Features on a grid of 2^-12; within each class the noise sums to zero, so that means are exactly as designed."""
    random.seed(20230710)
    H, y = [], []
    for k, n in enumerate(COUNTS):
        noise = [[random.randint(-6000, 6000) / 2**12 for _ in range(6)] for _ in range(n)]
        excess = [sum(column) for column in zip(*noise, strict=True)]
        for i in range(n):
            gap = GAP if k == 2 else [0] * 6
            drift = excess if i == 0 else [0] * 6
            H.append([1000 + c + g + e - x for c, g, e, x in zip(CENTERS[k], gap, noise[i], drift, strict=True)])
            y.append(k)
    order = random.sample(range(len(y)), len(y))
    W = [[(c + random.randint(-40, 40) / 8) / 16 for c in row] for row in CENTERS]
    b = [-1000 * sum(w) + random.randint(-16, 16) / 4 for w in W]
    return [H[i] for i in order], [y[i] for i in order], W, b


def calls():
    matrices = ["means", "centered_means", "weight"]
    yield from (("nc1", ["stats"], {"center": center}) for center in ("class", "sample"))
    yield "nc1_trace_ratio", ["stats"], {}
    yield from (("nc2", [M], {"target": T}) for M in matrices for T in ("etf", "of", "gof_gram"))
    yield from (("nc3", ["weight", M], {}) for M in ("means", "centered_means"))
    yield from (("equinorm_cv", [M], {"log": log}) for M in matrices for log in (False, True))
    yield from (("equiangularity", [M], {}) for M in matrices)
    for metric in ("self_duality", "uniform_duality"):
        yield from ((metric, ["weight", M], {}) for M in ("means", "centered_means"))
    yield from ((metric, ["stats"], {"power": p}) for metric in ("cdnv", "cdnv_summary") for p in (1, 2))
    yield from (("hyperspherical_uniformity", [M], {}) for M in matrices)
    yield from (("interference", [M], {"extremes": extremes}) for M in matrices for extremes in (False, True))
    classifier = ["features", "classifier.weight", "classifier.bias", "all_means"]
    yield "ncc_agreement", classifier, {"present": "present"}
    yield "ncc_agreement", [*classifier[:2], None, "all_means"], {"present": "present"}
    yield from (("effective_rank", [M], {}) for M in ("features", *matrices))


def rounded(x):
    if isinstance(x, dict):
        return {key: rounded(entry) for key, entry in x.items()}
    if isinstance(x, list):
        return [rounded(entry) for entry in x]
    if isinstance(x, Decimal):
        return None if x.is_nan() else float(x)
    return x


def conformance():
    H, y, W, b = problem()
    stats = naive.Statistics(naive.exact(H), y, len(COUNTS))
    fields = (
        "counts",
        "spread",
        "scatter",
        "global_mean",
        "sample_mean",
        "centered_means",
        "within",
        "between",
        "total",
    )
    arrays = {
        "present": [n > 0 for n in COUNTS],
        "means": stats.present_means,
        "weight": naive.exact([W[k] for k in stats.labels]),
        "gof_gram": [[Decimal(4 - i if i == j else 0) / Decimal(30).sqrt() for j in range(4)] for i in range(4)],
    }
    known = {
        **arrays,
        "stats": stats,
        "centered_means": stats.centered_means,
        "all_means": stats.means,
        "features": naive.exact(H),
        "classifier.weight": naive.exact(W),
        "classifier.bias": naive.exact(b),
        None: None,
    }
    metrics = []
    for metric, args, kwargs in calls():
        resolved = {key: arrays.get(value, value) if isinstance(value, str) else value for key, value in kwargs.items()}
        value = getattr(naive, metric)(*(known[a] for a in args), **resolved)
        metrics.append({"metric": metric, "args": args, "kwargs": kwargs, "value": rounded(value)})
    agreement = naive.ncc_agreement(naive.exact(H), naive.exact(W), naive.exact(b), stats.means, arrays["present"])
    presets = {name: naive.measure(stats, naive.exact(W), agreement, name) for name in PRESETS}
    return {
        "about": ABOUT,
        "features": H,
        "labels": y,
        "num_classes": len(COUNTS),
        "classifier": {"weight": W, "bias": b},
        "statistics": rounded({"all_means": stats.means} | {f: getattr(stats, f) for f in fields}),
        "arrays": rounded(arrays),
        "metrics": metrics,
        "presets": rounded(presets),
    }


def text(value, indent=0):
    """JSON with one line a row, so that a change shows in a diff."""
    pad = " " * (indent + 1)
    if isinstance(value, dict) and not ("metric" in value or indent > 2):
        rows = [f"{pad}{json.dumps(key)}: {text(entry, indent + 1)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    if isinstance(value, list) and value and isinstance(value[0], (list, dict)):
        return "[\n" + ",\n".join(pad + text(entry, indent + 1) for entry in value) + "\n" + " " * indent + "]"
    return json.dumps(value, allow_nan=False)


if __name__ == "__main__":
    Path(__file__).with_name("conformance.json").write_text(text(conformance()) + "\n")
