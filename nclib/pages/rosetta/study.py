"""The runs of page A3: three data sets, of one seed or of three."""

from nclib.pages.rosetta.sets import SETS
from nclib.pages.rosetta.values import Values
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 3}


def parts(profile, *, seed=0):
    """Every data set for consecutive seeds."""
    return {"values": [Values(name, seed + i) for i in range(choose(profile, SEEDS)) for name in SETS]}


STUDY = Study("rosetta", parts, cost={"paper": "seconds on any CPU"})
