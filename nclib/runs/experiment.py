"""What a run is: a frozen dataclass whose fields define it, and the table of what it measures."""

import dataclasses
import hashlib
import inspect
import json
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

KINDS = ("str", "float64", "Int64", "boolean")


class MissingRun(ValueError):
    """A run that is neither archived nor cached, and that this machine is not meant to do."""


@dataclass(frozen=True)
class Experiment:
    """One run; its fields are what defines it. A subclass is a frozen dataclass with a NAME and `run`.

    NAME is for good: the key of a run is of NAME, VERSION and fields, so file and class may move. VERSION is raised
    when the same fields give other numbers. A field that is added later is made by `later`: at its default it is not in
    the key, so that old keys stay. DISTRIBUTED: whether all processes of torchrun do one run together.
    """

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1
    DISTRIBUTED: ClassVar[bool] = False

    def __init_subclass__(cls, **more):
        """Refuse a field that hides one of the names below."""
        super().__init_subclass__(**more)
        hidden = [name for name in inspect.get_annotations(cls) if hasattr(Experiment, name) and not name.isupper()]
        if hidden:
            raise TypeError(f"{cls.__name__}: a field must not be called {', '.join(hidden)}")

    def run(self, device="cpu") -> pd.DataFrame:
        """The table of what is measured, a DataFrame as `rows` makes them."""
        raise TypeError(f"{type(self).__name__}: has no run")

    def needs_gpu(self) -> bool:
        """Whether a CPU would take hours."""
        return False

    def reads(self) -> dict[str, str]:
        """{file: sha256} of the data that it reads."""
        return {}

    def own(self) -> dict[str, str]:
        """{file: sha256} of the reader's own files that it reads: a part of the key, as a path says nothing of them."""
        return {}

    def at_hand(self) -> dict[str, str | None]:
        """{file: sha256, or None where only the name is known} of other data that it reads, as far as this can be told
        at once: a cached run of other data is done again."""
        return {}

    def together(self) -> object:
        """What runs share that a GPU does as one batch; None where each is done alone."""
        return None

    def forget(self) -> None:
        """Remove what the run keeps to go on from after a kill; called when its table is stored."""

    @classmethod
    def run_together(cls, runs, device) -> list[pd.DataFrame]:
        """The tables of runs that are alike, by `together`."""
        return [run.run(device) for run in runs]

    @classmethod
    def again(cls, parameters) -> "Experiment":
        """The run of a manifest's parameters, in which JSON has made tuples lists."""
        return cls(**{name: _tuples(value) for name, value in parameters.items()})

    def key(self) -> str:
        """sha256 of the canonical JSON of (NAME, VERSION, fields), and of `own` files where there are any: its first 16
        hexadecimal digits."""
        values = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.metadata.get("later") and values[field.name] == field.default:
                del values[field.name]
        defining = [self.NAME, self.VERSION, values, self.own()]
        text = json.dumps(defining if defining[-1] else defining[:-1], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def later(default) -> dataclasses.Field:
    """A field that came after runs had been stored; theirs is the default."""
    return dataclasses.field(default=default, kw_only=True, metadata={"later": True})


def experiments() -> dict[str, type[Experiment]]:
    """{NAME: class} of the experiments that are imported."""
    found, waiting = {}, [Experiment]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found |= {kind.NAME: kind for kind in below if hasattr(kind, "NAME")}
    return found


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def rows(values, *axes, theory=None, **at) -> pd.DataFrame:
    """{metric: number, vector or matrix} as rows of a table: columns metric, value, theory, one for each axis, and
    those of `at`.

    axes      names of the indices of vectors (the first) and matrices (the first two), whole numbers from 0 on; a
              number has none there.
    theory    {metric: what is predicted}, in the same shapes; NaN where nothing is.

    >>> rows({"length": [1.0, 2.0]}, "class", theory={"length": [1.0, 2.5]}, step=10).to_dict("list")
    {'metric': ['length', 'length'], 'value': [1.0, 2.0], 'theory': [1.0, 2.5], 'class': [0, 1], 'step': [10, 10]}
    """
    found = []
    for metric, value in values.items():
        predicted = dict(_entries((theory or {}).get(metric, float("nan"))))
        for index, entry in _entries(value):
            if len(index) > len(axes):
                raise ValueError(f"{metric}: has {len(index)} indices, rows names the axes {axes}")
            known = predicted.get(index, predicted.get((), float("nan")))
            found.append((metric, entry, known, *index, *[pd.NA] * (len(axes) - len(index))))
    frame = pd.DataFrame(found, columns=["metric", "value", "theory", *axes])
    return typed(frame.astype(dict.fromkeys(axes, "Int64")).assign(**at))


def _entries(value, index=()):
    """Yield (index, number) of a number, vector or matrix."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        for i, entry in enumerate(value):
            yield from _entries(entry, (*index, i))
    else:
        yield index, float(value)


def typed(table) -> pd.DataFrame:
    """The table with each column of one of `KINDS`; text that is missing becomes empty. TypeError for other columns."""
    return table.astype({name: kind(table[name]) for name in table}).fillna(
        {name: "" for name in table if kind(table[name]) == "str"}
    )


def kind(column) -> str:
    """Which of `KINDS` a column is to be."""
    types = pd.api.types
    if types.is_bool_dtype(column):
        return "boolean"
    if types.is_integer_dtype(column):
        return "Int64"
    if types.is_float_dtype(column):
        return "float64"
    if all(isinstance(value, str) for value in column.dropna()):
        return "str"
    raise TypeError(
        f"column {column.name!r} holds a {type(column.dropna().iloc[0]).__name__}: must be {', '.join(KINDS)}"
    )
