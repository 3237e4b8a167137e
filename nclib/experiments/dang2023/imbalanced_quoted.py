"""What the prose of the page on imbalanced classes quotes of the archived runs at the paper's scale, as text."""

from nclib.experiments.dang2023 import verdicts
from nclib.glued import MISSING, number


def quoted(paper):
    """{key: text}: ranges over the archived networks, for heads of one or three layers ("shallow") and of six ("deep").

    accuracy on the training images; objective over its minimum; nc2-w, nc2-h: distances from the predicted matrices.
    """
    found = {}
    for key, depths in {"shallow": (1, 3), "deep": (6,)}.items():
        rows = verdicts.part(paper, "network") if len(paper) else paper
        rows = rows[rows["depth"].isin(depths)] if len(paper) else rows
        found |= {f"{name}-{key}": text for name, text in _ranges(rows).items()}
    return found


def _ranges(rows):
    if not len(rows):
        return dict.fromkeys(["accuracy", "objective", "nc2-w", "nc2-h"], MISSING)
    last = rows[rows["step"] == rows["step"].max()]
    wide = last[last["metric"].isin(["loss", "nc2_W", "nc2_H"])].pivot(
        index="config", columns=["metric", "source"], values="value"
    )
    accuracy = last.loc[(last["metric"] == "accuracy") & (last["split"] == "train"), "value"]
    return {
        "accuracy": _range(accuracy, ".0%"),
        "objective": _range(wide["loss", "measured"] / wide["loss", "theory"], ".1f"),
        "nc2-w": _range(wide["nc2_W", "measured"], ".2f"),
        "nc2-h": _range(wide["nc2_H", "measured"], ".2f"),
    }


def _range(values, spec):
    low, high = number(values.min(), spec), number(values.max(), spec)
    return f"{low.removesuffix('%')} to {high}"
