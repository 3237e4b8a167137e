"""The runs of page 10, the same at every profile: whoever lacks the authors' files finds them in the archive."""

from nclib.pages.linguistic_published.points import Points
from nclib.pages.linguistic_published.summaries import Summaries
from nclib.runs.arguments import choose
from nclib.runs.study import Study

# A million permutations leave the printed p, from 10^4, as the only one with an error to speak of; they take 3 seconds.
DRAWS = {"smoke": 1_000_000, "laptop": 1_000_000, "paper": 1_000_000}


def parts(profile, *, seed=0):
    """The summaries, and the points of the figures. seed: of the permutations."""
    return {"summaries": [Summaries(seed, choose(profile, DRAWS))], "points": [Points()]}


STUDY = Study("linguistic_published", parts, cost={"paper": "seconds on one core, with the authors' two files"})
