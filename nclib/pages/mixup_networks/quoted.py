"""What the prose of page 15 quotes of its runs, as text."""

import numpy as np

from nclib.glued import number, word
from nclib.pages.mixup_networks.claims import (
    EVAL,
    FIXED,
    GENTLE,
    MIXUP,
    PLAIN,
    SHORT,
    SMOOTH,
    SQUARED,
    change,
    early,
    has,
    of,
    ratio,
)
from nclib.pages.mixup_networks.views import labelled
from nclib.runs.study import own_runs

TEST = {"split": "test"}
# key: (number of each seed, format), for each data set of images
IMAGES = {
    "amp-plain": (lambda t: of(t, PLAIN, "amplification", **EVAL), ".2f"),
    "amp-mixup": (lambda t: of(t, MIXUP, "amplification", **EVAL), ".2f"),
    "slope": (lambda t: of(t, MIXUP, "slope", **EVAL), ".2f"),
    "slope-plain": (lambda t: of(t, PLAIN, "slope", **EVAL), ".2f"),
    "fit-error": (lambda t: of(t, MIXUP, "fit_error", **EVAL), ".0%"),
    "fit-error-plain": (lambda t: of(t, PLAIN, "fit_error", **EVAL), ".0%"),
    "nc1-plain": (lambda t: of(t, PLAIN, "nc1"), ".2f"),
    "over-plain": (lambda t: of(t, PLAIN, "overconfidence"), "+.3f"),
    "ece-times": (ratio("ece", MIXUP, PLAIN), ".2f"),
    "ece-gentle": (ratio("ece", GENTLE, PLAIN), ".2f"),
    "ece-smooth": (ratio("ece", SMOOTH, PLAIN), ".2f"),
    "ece-scaled": (lambda t: of(t, PLAIN, "ece_scaled") / of(t, PLAIN, "ece"), ".2f"),
    "nc1-times": (ratio("nc1", MIXUP, PLAIN), ".1f"),
    "accuracy-gain": (lambda t: 100 * change("accuracy", MIXUP, PLAIN, **TEST)(t), "+.1f"),
    "fixed-accuracy": (lambda t: 100 * change("accuracy", FIXED, MIXUP, **TEST)(t), "+.1f"),
    "fixed-alignment": (change("alignment", FIXED, MIXUP, **EVAL), "+.3f"),
    "fixed-span": (change("span", FIXED, MIXUP, **EVAL), "+.3f"),
    "early": (lambda t: early(t, MIXUP) / early(t, PLAIN), ".2f"),
}
NONE = "not known, for no such run is archived"


def listed(parts):
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def on_images(table):
    """{key: text} of what holds on images: a number for each data set, as far as its runs are at hand."""
    known = {
        panel.replace(", ", " with "): rows
        for panel, rows in labelled(table).groupby("panel", sort=False)
        if panel != "digits" and has(MIXUP).met(rows)
    }
    found = {
        f"images-{key}": listed([f"{number(value(rows).mean(), form)} on {name}" for name, rows in known.items()])
        or NONE
        for key, (value, form) in IMAGES.items()
    }
    return found | {"images": listed(list(known)) or "no other data so far"}


def with_nc1(table):
    """Whether amplification falls or rises with the NC1 of plain training, over all data sets at hand."""
    scales = [rows for _, rows in labelled(table).groupby("panel") if has(MIXUP).met(rows)]
    pairs = np.array([[of(t, PLAIN, "nc1").mean(), of(t, MIXUP, "amplification", **EVAL).mean()] for t in scales])
    trend = np.corrcoef(pairs.T)[0, 1] if len(pairs) > 1 else None
    return word(trend, "falls", "rises", "cannot be compared")


def quoted(table):
    """{key: text} of a table of `study.STUDY`."""
    own = own_runs(table)

    def mean(part, metric, **at):
        return of(own, part, metric, **at).mean()

    def geometry(part, metric):
        return mean(part, metric, batch_norm="eval")

    named = {"plain": PLAIN, "mixup": MIXUP, "mse": SQUARED}
    layers = (early(own, MIXUP) / early(own, PLAIN)).mean()
    ece = mean(MIXUP, "ece") / mean(PLAIN, "ece")
    return {
        **on_images(table),
        "nc1-order": with_nc1(table),
        "data": labelled(own)["panel"].iloc[0],
        **{f"amp-{key}": number(geometry(part, "amplification")) for key, part in named.items()},
        "amp-train": number(mean(MIXUP, "amplification", batch_norm="train")),
        **{f"bend-{key}": number(geometry(part, "bend")) for key, part in named.items()},
        "alignment": number(geometry(MIXUP, "alignment")),
        "alignment-plain": number(geometry(PLAIN, "alignment")),
        "alignment-fixed": number(geometry(FIXED, "alignment")),
        "span": number(geometry(MIXUP, "span")),
        "span-fixed": number(geometry(FIXED, "span")),
        "slope": number(geometry(MIXUP, "slope")),
        "slope-plain": number(geometry(PLAIN, "slope")),
        "slope-short": number(geometry(SHORT, "slope")),
        "fit-a": number(geometry(MIXUP, "fit_a"), ",.0f"),
        "fit-error": number(geometry(MIXUP, "fit_error"), ".0%"),
        "fit-error-plain": number(geometry(PLAIN, "fit_error"), ".0%"),
        "ece-times": number(ece, ".1f"),
        "ece-order": word(ece - 1, "smaller", "larger", "the same"),
        "over": number(mean(MIXUP, "overconfidence"), "+.3f"),
        "over-plain": number(mean(PLAIN, "overconfidence"), "+.3f"),
        "nc1-plain": number(mean(PLAIN, "nc1")),
        "nc1-times": number(mean(MIXUP, "nc1") / mean(PLAIN, "nc1"), ".1f"),
        "accuracy": number(100 * mean(MIXUP, "accuracy", split="test"), ".1f"),
        "accuracy-plain": number(100 * mean(PLAIN, "accuracy", split="test"), ".1f"),
        "accuracy-fixed": number(100 * mean(FIXED, "accuracy", split="test"), ".1f"),
        "early": number(layers),
        "early-order": word(layers - 1, "nearer to the segment", "farther from the segment", "as near to it"),
        "fixed-order": word(
            geometry(FIXED, "span") - geometry(MIXUP, "span"), "farther from", "nearer to", "as near to"
        ),
    }
