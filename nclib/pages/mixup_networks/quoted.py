"""What the prose of page 15 quotes of its runs, as text."""

from nclib.glued import number, word
from nclib.pages.mixup_networks.claims import FIXED, MIXUP, PLAIN, SHORT, SQUARED, early, of


def quoted(table):
    """{key: text} of a table of `study.STUDY`."""
    own = table[table["beside"] == ""]

    def mean(part, metric, **at):
        return of(own, part, metric, **at).mean()

    def geometry(part, metric):
        return mean(part, metric, batch_norm="eval")

    named = {"plain": PLAIN, "mixup": MIXUP, "mse": SQUARED}
    layers = (early(own, MIXUP) / early(own, PLAIN)).mean()
    ece = mean(MIXUP, "ece") / mean(PLAIN, "ece")
    return {
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
