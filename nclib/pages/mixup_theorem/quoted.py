"""What the prose of page 14 quotes of its runs, as text."""

from nclib.glued import number
from nclib.pages.mixup_theorem.claims import of
from nclib.pages.mixup_theorem.views import LONGEST


def quoted(table):
    """{key: text} of a table of `study.STUDY`."""
    error, joint = of(table, "error")["value"], of(table, "angle", "joint")["value"]
    laws = of(table, "amplification", "laws")
    laws = laws[laws["num_classes"] == 10].set_index("a")["value"]
    return {
        "error": number(error.max(), ".0e"),
        "features": f"{len(error):,}",
        "slope": number(of(table, "slope")["value"].max(), ".0e"),
        "angle": number(joint.max(), ".0e"),
        "joint-error": number(of(table, "error", "joint")["value"].max(), ".0e"),
        "starts": f"{len(joint)}",
        "amp-near": number(_nearest(laws, 1e3)),
        "amp-far": number(_nearest(laws, 1e12)),
        "bend": number(_bend(table, "cross-entropy"), ".0%"),
        "bend-mse": number(_bend(table, "squared error"), ".0e"),
    }


def _nearest(values, a):
    """The value at the a that is nearest."""
    return values.loc[min(values.index, key=lambda known: abs(known / a - 1))]


def _bend(table, loss):
    """The mean bend of even mixes of ten classes at the largest a."""
    found = of(table, "bend")
    found = found[(found["loss"] == loss) & (found["mix"] == 0.5) & (found["num_classes"] == 10)]
    return found.loc[(found["length"] == LONGEST) & (found["lam_H"] == found["lam_H"].min()), "value"].mean()
