"""What the prose of page 12 quotes of its runs, as text."""

from nclib.glued import MISSING, number
from nclib.pages.linguistic_seeds import views
from nclib.pages.linguistic_seeds.claims import key

KEYS = {
    "paper": dict.fromkeys(["nc1", "nc1-dimensionless", "nc2-equinormness", "nc2-equiangularity", "nc3", "nc4"], "+.2f")
    | {"gnc2": "+.2f", "gnc2-as-defined": "+.2f", "gnc2-p": ".2f", "sd": ".3f"},
    "here": {"gnc2": "+.2f", "gnc2-as-defined": "+.2f", "sd": ".3f"},
}
BESIDE = {"paper": views.PAPER, "here": ""}


def quoted(points):
    """{key: text} of the archived models and of the page's own."""
    values = {who: of_points(points[points["beside"] == beside]) for who, beside in BESIDE.items()}
    found = {f"{who}-{name}": number(values[who].get(name), spec) for who in KEYS for name, spec in KEYS[who].items()}
    return found | {"paper-strongest": values["paper"].get("strongest", MISSING)}


def of_points(frame):
    """{property: r with the validation loss, <property>-p: its p, sd: of the losses, strongest: the two of the seven
    properties with the largest R^2} of models of one architecture; empty for none."""
    if frame.empty:
        return {}
    found, related = {"sd": frame["validation"].std()}, views.relations(frame)
    for name, row in related.iterrows():
        found |= {key(name): row["r"], f"{key(name)}-p": row["p"]}
    strongest = related.loc[list(views.PROPERTIES), "R²"].nlargest(2)
    return found | {"strongest": " and ".join(strongest.index)}
