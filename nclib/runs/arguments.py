"""What a study is asked for: a profile, and overrides as papermill and the command line hand them over."""

import inspect
import json
import math
from numbers import Real

LISTS = ("counts", "depths", "network_counts", "widths")  # overrides that are lists
TEXTS = ("corpus", "data", "model")
DECAYS = ("weight_decay",)  # of networks, which may have none


def choose(value, options, name="profile") -> object:
    """`options[value]`; ValueError where the value of the argument `name` is none of them."""
    if value not in options:
        raise ValueError(f"{name} = {value!r}: must be one of {', '.join(options)}")
    return options[value]


def overrides(function, given) -> dict:
    """Overrides as `function` takes them, those that are None left out: a number > 0, a list of them or text.

    Whole floats count as integers, a number where a list is meant as a list of one, and text such as "[30, 10, 5]" as
    the list. Raises ValueError for a bad one.
    """
    known = inspect.signature(function).parameters
    return {name: _override(name, value, known.get(name)) for name, value in given.items() if value is not None}


def _override(name, value, parameter):
    """An override as the study takes it. parameter: what its `runs` says of it, or None."""
    if name in TEXTS and isinstance(value, str):
        return value
    real = "lam" in name or name in DECAYS or (parameter is not None and isinstance(parameter.default, float))
    low, high = (0, 2**31 - 1) if name == "seed" else (1, math.inf)

    def fits(number):
        if not isinstance(number, Real) or isinstance(number, bool) or not math.isfinite(number):
            return False
        return (
            number > 0 or (number == 0 and name in DECAYS) if real else low <= number <= high and number == int(number)
        )

    read = _read(value)
    alone = not isinstance(read, (list, tuple))
    numbers = [read] if alone else list(read)
    if name in TEXTS or not numbers or not (alone or name in LISTS) or not all(map(fits, numbers)):
        kind = "text" if name in TEXTS else "a number > 0" if real else "a whole number > 0"
        kind = "a number >= 0" if name in DECAYS else kind
        kind = f"a whole number from 0 to {high}" if name == "seed" else kind
        more = ", or a list of such, as [30, 10, 5]" if name in LISTS else ""
        raise ValueError(f"{name} = {value!r}: must be {kind}{more}")
    numbers = [float(number) if real else int(number) for number in numbers]
    return numbers if name in LISTS else numbers[0]


def _read(value):
    """What JSON reads in text, or the text where it is none."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
