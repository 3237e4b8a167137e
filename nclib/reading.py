"""What the numbers of one measurement say, in a paragraph of plain words whose every statement is computed."""

from __future__ import annotations

import math

from nclib.conventions import find_preset
from nclib.nulls import uniform_directions

DEVIATIONS = 3  # a number is outside its null when it is further out than so many standard deviations over draws
NEAR = 0.98  # a frame is near when the cosine between Gram matrices is this share of the largest possible one

_JUDGED = {
    "interference_mean": ("mean cosine of two classes", "classes point further apart", "classes point more alike"),
    "interference_std": ("spread of the cosines", "angles are more equal", "angles are less equal"),
    "gnc2_mean": (
        "mean log inverse distance",
        "directions cover the sphere better",
        "directions cover the sphere less",
    ),
    "gnc2_std": ("spread of the log distances", "distances are more equal", "distances are less equal"),
    "self_duality": ("cosine of classifier row and class mean", "they point apart", "they point the same way"),
    "duality_std": ("spread of that cosine over classes", "classes differ less", "classes differ more"),
}


def reading(measured: dict[str, float], null: dict[str, float], *, preset: str = "textbook") -> str:
    """A paragraph on `measured` = `conventions.measure(..., preset=preset)` beside its null.

    null = `nulls.uniform_directions(K, d)`, of which K, d and the standard deviations are used. The rules are:

    - variability: tr Sigma_W / tr Sigma_B up to 0.01 is small, up to 0.1 fairly small, from 1 on there is no collapse;
      of one sample a class it is not measurable;
    - geometry: with q = 1 - error^2 / 2, the cosine between Gram matrices, a frame is near when q >= 0.98 q_max, where
      q_max = min(1, sqrt(d / (K-1))) for the simplex ETF of centered means and min(1, sqrt(d / K)) for the orthogonal
      frame of the means as they are; of two that are not near, the nearest has the smaller error. Centered, an
      orthogonal frame is an ETF: when both are near it is the orthogonal frame if q_etf - q_of is below half of
      1 - sqrt((K-1)/K), which an exact ETF has. Being near says little where etf_error is not 3 standard deviations
      below that of centered random directions, which come near for K far above d and for K far below it;
    - a number is outside its null when it is more than 3 standard deviations below the smaller, or above the larger,
      of the expectations for directions as they are and centered.

    In the preset of October 2024 interference is no cosine and is not judged. Derived, except for the names.

    Raises ValueError for an unknown preset, a null without "dimension", or one of another number of classes.
    """
    rule = find_preset(preset)
    for key in ("classes", "dimension"):
        if key not in null:
            raise ValueError(f"null has no {key!r}, must be that of nulls.uniform_directions(K, d)")
    if measured.get("classes") != null["classes"]:
        raise ValueError(f"null is of {null['classes']:g} classes, measured has classes={measured.get('classes')}")
    K, d = int(null["classes"]), int(null["dimension"])
    independent, centered = uniform_directions(K, d), uniform_directions(K, d, centered=True)
    size = f"{K:,} classes in {d:,} dimensions, {int(measured['samples']):,} samples."
    if not math.isfinite(measured["etf_error"]):
        return f"{size} All class means coincide: the classes are not separated, and have no geometry."
    parts = [
        size,
        _variability(measured, rule),
        _geometry(measured, K, d, centered["etf_error"], independent["etf_error_sd"]),
        _norms(measured, rule),
        *_against_null(measured, rule, independent, centered),
        _agreement(measured),
        _missing(measured),
    ]
    return " ".join(part for part in parts if part)


def how_collapsed(measured: dict[str, float], null: dict[str, float]) -> str:
    """One line: how small the variance within classes is, by the rules of `reading`, whether class means are nearer to
    a simplex ETF than 3 standard deviations below directions at random, and whether classifier and means are one."""
    ratio = measured["nc1_trace_ratio"]
    if measured["samples"] == measured["classes"]:
        parts = ["variance within classes not measurable"]
    else:
        named = {0.01: "collapsed within classes", 0.1: "nearly collapsed within classes", 1: "partly collapsed"}
        degree = next((words for most, words in named.items() if ratio <= most and ratio < 1), "not collapsed")
        parts = [f"{degree} (within over between {ratio:.2g})"]
    etf = measured["etf_error"]
    if null and math.isfinite(etf):
        near = etf < null["etf_error"] - DEVIATIONS * null["etf_error_sd"]
        parts.append("means nearer to a simplex ETF than at random" if near else "means no nearer to a simplex ETF")
    if "nc3" in measured and math.isfinite(measured["nc3"]):
        parts.append(f"classifier and means at an angle of {angle(measured['nc3']):.0f} degrees")
    if "ncc_agreement" in measured:
        parts.append(f"nearest mean decides {100 * measured['ncc_agreement']:.3g} % of samples")
    return f"How collapsed: {'; '.join(parts)}."


def angle(nc3: float) -> float:
    """The angle in degrees between W and M as vectors, of nc3 = |W/|W| - M/|M|| = 2 sin(angle / 2)."""
    return math.degrees(2 * math.asin(min(1.0, nc3 / 2)))


def _variability(measured, rule):
    if measured["samples"] == measured["classes"]:
        return "Variance within classes is not measurable: every class has one sample."
    ratio = measured["nc1_trace_ratio"]
    degree = "is small, features of a class are nearly one point" if ratio <= 0.01 else "is fairly small"
    degree = "is not small" if ratio > 0.1 else degree
    degree = "is no smaller than that between them, there is no collapse" if ratio >= 1 else degree
    text = f"Variance within classes {degree} (trace ratio: {ratio:.2g} of that between class means)."
    worst = measured.get("cdnv_max")
    if worst is None:
        return f"{text} Pairs of classes are a sample: how near the closest two come is not known."
    if math.isinf(worst):
        return f"{text} At least two classes have the same mean."
    if rule.cdnv_power == 1 and worst > 1:
        value = f"{worst:.2g}" if worst < 100 else f"{worst:,.0f}"
        return f"{text} The closest pair of classes is not separated (CDNV {value}, above 1)."
    return text


def _geometry(measured, K, d, random_etf, etf_sd):
    etf, of = measured["etf_error"], measured["of_error"]
    q_etf, q_of = 1 - etf**2 / 2, 1 - of**2 / 2
    best_etf, best_of = min(1, math.sqrt(d / (K - 1))), min(1, math.sqrt(d / K))
    floor = math.sqrt(2 - 2 * best_etf)
    near_etf, near_of = q_etf >= NEAR * best_etf, q_of >= NEAR * best_of
    random = f"{random_etf:.4g} for centered directions at random"
    if K > d + 1:
        place = "close to that" if near_etf else "not close to that"
        text = (
            f"A simplex ETF of {K:,} classes does not exist in {d:,} dimensions, "
            f"the smallest etf_error is {floor:.4g}: the measured {etf:.4g} is {place} ({random})."
        )
    else:
        orthogonal = q_etf - q_of < (1 - math.sqrt((K - 1) / K)) / 2 if near_etf and near_of else of < etf
        frame = "an orthogonal frame" if orthogonal and K <= d else "a simplex ETF"
        place = (
            "The class means are near" if near_etf or near_of else "The class means are near no frame, the nearest is"
        )
        text = f"{place} {frame} (etf_error {etf:.2g}, of_error {of:.2g}; {random})."
    if near_etf and etf >= random_etf - DEVIATIONS * etf_sd:
        return f"{text} Directions at random come as near at this size, so this says little."
    return text


def _norms(measured, rule):
    cv = measured["norm_cv"]
    if not math.isfinite(cv):
        return ""
    what = "squared distances" if rule.squared_norms else "distances"
    return f"The {what} of class means from their center differ by {100 * cv:.2g} % (standard deviation over mean)."


def _against_null(measured, rule, independent, centered):
    inside, outside, undefined = [], [], []
    for key, (name, below, above) in _JUDGED.items():
        if key not in measured or (key.startswith("interference") and not rule.cosines):
            continue
        value, expected = measured[key], (independent[key], centered.get(key, independent[key]))
        margin = DEVIATIONS * independent[f"{key}_sd"]
        if not math.isfinite(value):
            undefined.append(name)
        elif min(expected) - margin <= value <= max(expected) + margin:
            inside.append(name)
        else:
            meaning = below if value < min(expected) else above
            null = expected[0] if abs(value - expected[0]) < abs(value - expected[1]) else expected[1]
            outside.append(f"{name} {value:.3g} against {null:.3g} ({meaning})")
    if outside:
        yield f"Outside the null of random directions: {'; '.join(outside)}."
    if inside:
        yield f"Not distinguishable from random directions: {', '.join(inside)}."
    if undefined:
        yield f"Undefined, as class directions coincide or vanish: {', '.join(undefined)}."


def _agreement(measured):
    if "ncc_agreement" not in measured:
        return ""
    share = measured["ncc_agreement"]
    return f"Classifier and nearest class mean agree on {100 * share:.3g} % of samples (NC4)."


def _missing(measured):
    reasons = {
        "nc1": "NC1 with directions (needs the scatter)",
        "self_duality": "self-duality (needs the classifier)",
        "ncc_agreement": "NC4 (needs a second pass with the classifier)",
    }
    missing = [reason for key, reason in reasons.items() if key not in measured]
    return f"Not measured: {', '.join(missing)}." if missing else ""
