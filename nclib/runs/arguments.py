"""The arguments of a study: its profile, and the overrides that papermill or the command line pass to it."""

import inspect
import json
import math
from numbers import Real

LISTS = ("counts", "depths", "network_counts", "widths")  # overrides that are lists
TEXTS = ("corpus", "data", "model")
DECAYS = ("weight_decay",)  # of networks, which may have none


def choose(value, options, name="profile") -> object:
    """Return `options[value]`. Raises ValueError, which names the argument `name`, where `value` is none of the
    options."""
    if value not in options:
        raise ValueError(f"{name} = {value!r}: must be one of {', '.join(options)}")
    return options[value]


def overrides(function, given) -> dict:
    """Return the overrides in `given` that are not None, in the types that `function` takes.

    An override is a number > 0, a list of such numbers, or text. A whole float becomes an integer; where a list is
    wanted, a number becomes a list of one and text such as "[30, 10, 5]" becomes that list. Raises ValueError for
    anything else.
    """
    known = inspect.signature(function).parameters
    return {name: _override(name, value, known.get(name)) for name, value in given.items() if value is not None}


def _override(name, value, parameter):
    """One override in the type that the study takes. parameter: the parameter of that name, or None."""
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
    """The value that a text holds as JSON, or the text itself where it is no JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
