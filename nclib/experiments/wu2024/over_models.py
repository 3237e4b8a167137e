"""How far a statistic of a set of models would move with other models like them: the bootstrap over models."""

import numpy as np

from nclib.claims import Interval

DRAWS = 400
LEVEL = 0.9  # as the rule for values of seeds: either error has 5 %


def interval(frame, statistic, *, seed=0):
    """`statistic(frame)` with its percentile interval over draws of the frame's rows, one a model, with replacement.

    A draw on which the statistic is not defined (one width left, a constant) is left out; where all are, the ends are
    the value itself. Models of a grid are no random sample of models: the interval says how much the value owes to a
    few of them, and nothing of another seed.
    """
    frame = frame.select_dtypes("number")
    value, rng = float(statistic(frame)), np.random.default_rng(seed)
    drawn = [statistic(frame.iloc[rng.integers(len(frame), size=len(frame))]) for _ in range(DRAWS)]
    kept = [found for found in drawn if np.isfinite(found)] or [value]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(kept, [tail, 100 - tail])
    return Interval(value, min(float(low), value), max(float(high), value))
