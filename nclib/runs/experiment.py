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
    """Raised where a run is neither archived nor cached, and needs a GPU that this machine does not have."""


@dataclass(frozen=True)
class Experiment:
    """One run, defined by its fields. A subclass is a frozen dataclass with a NAME and a method `run`.

    A run is stored under a key that is computed from NAME, VERSION and fields. NAME never changes, so the file and the
    class may be moved. VERSION is raised when the same fields give other numbers. A field that is added once runs are
    stored is declared with `later`: while it has its default it is not part of the key, and the old keys stay valid.
    DISTRIBUTED says whether all processes of torchrun do one run together.
    """

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1
    DISTRIBUTED: ClassVar[bool] = False

    def __init_subclass__(cls, **more):
        """Raise TypeError for a field that has the name of one of the attributes below."""
        super().__init_subclass__(**more)
        hidden = [name for name in inspect.get_annotations(cls) if hasattr(Experiment, name) and not name.isupper()]
        if hidden:
            raise TypeError(f"{cls.__name__}: a field must not be called {', '.join(hidden)}")

    def run(self, device="cpu") -> pd.DataFrame:
        """Return the table of what is measured, a DataFrame as `rows` makes it."""
        raise TypeError(f"{type(self).__name__}: has no run")

    def needs_gpu(self) -> bool:
        """Whether the run would take a CPU hours."""
        return False

    def reads(self) -> dict[str, str]:
        """{file: sha256} of the data that the run reads."""
        return {}

    def own(self) -> dict[str, str]:
        """{file: sha256} of the reader's own files that the run reads. They are part of the key, since a path does not
        say what a file holds."""
        return {}

    def at_hand(self) -> dict[str, str | None]:
        """{file: sha256} of other data that the run reads, where that is known without delay; None for a file of which
        only the name is known. A cached run whose data has changed is done again."""
        return {}

    def together(self) -> object:
        """A value that is the same for all runs that a GPU may do as one batch; None for a run that is done alone."""
        return None

    def forget(self) -> None:
        """Remove the files that let the run go on after a kill. It is called once the table is stored."""

    @classmethod
    def run_together(cls, runs, device) -> list[pd.DataFrame]:
        """Return the tables of `runs`, which have the same `together`. Here they are done one after another."""
        return [run.run(device) for run in runs]

    @classmethod
    def again(cls, parameters) -> "Experiment":
        """Return the run with the parameters of a manifest, in which JSON has turned tuples into lists."""
        return cls(**{name: _tuples(value) for name, value in parameters.items()})

    def key(self) -> str:
        """The first 16 hexadecimal digits of the sha256 of the canonical JSON of (NAME, VERSION, fields).

        Where the run reads `own` files, their checksums are part of that JSON.
        """
        values = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.metadata.get("later") and values[field.name] == field.default:
                del values[field.name]
        defining = [self.NAME, self.VERSION, values, self.own()]
        text = json.dumps(defining if defining[-1] else defining[:-1], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def later(default) -> dataclasses.Field:
    """Declare a field that is added once runs are stored. They count as runs with its default."""
    return dataclasses.field(default=default, kw_only=True, metadata={"later": True})


def experiments() -> dict[str, type[Experiment]]:
    """{NAME: class} of all experiments that have been imported."""
    found, waiting = {}, [Experiment]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found |= {kind.NAME: kind for kind in below if hasattr(kind, "NAME")}
    return found


SINGLE = {bool: "boolean", int: "Int64", float: "float64", str: "str"}  # kinds of columns that repeat one value


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def rows(values, *axes, theory=None, **at) -> pd.DataFrame:
    """Return {metric: number, vector or matrix} as a table with a row for each number.

    Its columns are metric, value, theory, one for each axis, and those of `at`.

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
    columns = [list(column) for column in zip(*found, strict=True)] or [[]] * (3 + len(axes))
    kinds = {"metric": "str", "value": "float64", "theory": "float64"} | dict.fromkeys(axes, "Int64")
    made = {name: pd.array(column, kinds[name]) for name, column in zip(kinds, columns, strict=True)}
    if not all(type(value) in SINGLE for value in at.values()):
        return typed(pd.DataFrame(made).assign(**at))
    # As `typed` would have it; but many tables of a few rows are made, and pandas takes a millisecond for each step.
    made |= {name: pd.array([value] * len(found), SINGLE[type(value)]) for name, value in at.items()}
    return pd.DataFrame(made, copy=False)


def _entries(value, index=()):
    """Yield (index, number) of a number, vector or matrix."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        for i, entry in enumerate(value):
            yield from _entries(entry, (*index, i))
    else:
        yield index, float(value)


def typed(table) -> pd.DataFrame:
    """Return a table with each column converted to one of `KINDS`, and missing text made empty. Raises TypeError for a
    column that is none of them."""
    kinds = {name: kind(table[name]) for name in table}
    return table.astype(kinds).fillna({name: "" for name, found in kinds.items() if found == "str"})


def kind(column) -> str:
    """The one of `KINDS` to which a column is converted. Raises TypeError where there is none."""
    types = pd.api.types
    if types.is_bool_dtype(column):
        return "boolean"
    if types.is_integer_dtype(column):
        return "Int64"
    if types.is_float_dtype(column):
        return "float64"
    if types.infer_dtype(column, skipna=True) in ("string", "empty"):
        return "str"
    raise TypeError(
        f"column {column.name!r} holds a {type(column.dropna().iloc[0]).__name__}: must be {', '.join(KINDS)}"
    )
