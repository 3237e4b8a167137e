"""What the prose of page 04 quotes of its runs, as text."""

from nclib.glued import MISSING, number
from nclib.pages.minority_collapse import views

WORDS = ("none", "one", "two", "three", "four", "five")


def quoted(table):
    """{key: text}: where the shared vector of the minority vanishes in the layer-peeled model of seven majority
    classes, between which R over R0; and how many networks have the class of 30 images at the larger lambda."""
    return {"peeled-second": second(table), "network-found": found(table)}


def searched(table):
    """{key: text} of the sweep: in how many problems, of how many, the lowest start lies above the closed form, and by
    how much at most."""
    rows = table[(table["part"] == "sweep") & (table["metric"] == "loss")]
    above = (rows["value"] - rows["theory"])[lambda excess: excess > 1e-9]
    return {"searched": f"{len(rows)}", "stuck": f"{len(above)}", "stuck-excess": number(above.max(), ".4f")}


def second(table):
    """The last ratio at which the length is not 0 and the first at which it is, the mean over seeds."""
    rows = table[(table["part"] == "layer-peeled") & (table["metric"] == "length") & (table["K_major"] == 7)]
    length = rows.groupby("R")["value"].mean()
    alive = length[length > 1e-3].index.max()
    dead = length.index[length.index > alive].min() if len(length) else float("nan")
    return f"between {alive:g} and {dead:g}" if dead == dead else MISSING


def found(table):
    """How many networks keep the third class, with a verb."""
    rows = views.network(table)
    rows = rows[(rows["lam"] == rows["lam"].max()) & (rows["i"] == 2)]
    count = int((rows["value"] > rows["theory"] / 2).sum())
    return f"{WORDS[count]} of the {WORDS[len(rows)]} networks {'have' if count > 1 else 'has'}"
