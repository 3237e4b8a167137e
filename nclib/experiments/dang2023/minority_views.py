"""What the figures of minority collapse draw, of the tables that each study makes of its runs."""

import pandas as pd


def overlap(found):
    """Of `minority.overlap_table`: q of each class, measured and predicted, with beta over the threshold."""
    return found[["depth", "seed", "lam", "size", "beta", "theory", "q"]]


def landscape(curves, kept):
    """By panel: "loss", of `minority_landscape.curves`, the loss of a class at q, `x`; "kept", of
    `minority.kept_share`, the share of classes kept against the size of the start, `x`."""
    found = pd.concat([curves.assign(panel="loss", x=curves["q"]), kept.assign(panel="kept", x=kept["start"])])
    return found[["panel", "depth", "ratio", "seed", "x", "value"]]


def hysteresis(found):
    """Of `minority_landscape.branches`: q on both branches and in theory, for the depths that have two."""
    found = found[found["depth"] > 1]
    return found[["depth", "seed", "ratio", "up", "down", "q", "local", "spinodal"]]


def phase(found):
    """Of `minority_phase.minority_table`: q of the smaller class, and where it is predicted to vanish."""
    return found[["depth", "seed", "size", "lam", "q", "critical", "spinodal"]]


def cross_entropy(found):
    """Of `minority_cross_entropy.contrasts`: measured and predicted contrast, and the threshold."""
    return found[["nonnegative", "seed", "size", "value", "theory", "threshold"]]


def limits(vanishing, peeled):
    """By panel: "seli", of `seli.distances`, distances against lambda, `x`; "peeled", of `layer_peeled.contrasts`, the
    minority's contrast and length against R over R0, `x`."""
    vanishing, peeled = vanishing.assign(panel="seli", x=vanishing["lam"]), peeled.assign(panel="peeled", x=peeled["R"])
    lengths = peeled.assign(metric="length", value=peeled["length"])
    found = pd.concat([vanishing, peeled.assign(metric="contrast"), lengths])
    found = found[["panel", "metric", "K_major", "R0", "seed", "x", "value"]]
    return found.astype({"K_major": "Int64"})


def network(found):
    """Of `minority_network.overlaps`: q of each class, measured and predicted, with beta."""
    return found[["lam", "seed", "i", "beta", "theory", "value"]]
