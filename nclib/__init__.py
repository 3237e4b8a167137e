"""Neural collapse: exact statistics and metrics, closed-form theory, models, and the experiments of the book.

What it offers is imported at its first use: who only reads tables of runs does not wait two seconds for torch.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for tools that read the source
    from nclib import frames, metrics
    from nclib.collect import collect
    from nclib.conventions import measure
    from nclib.distributed import distributed_sum
    from nclib.statistics import ClassStatistics, StatisticsAccumulator

__all__ = ["ClassStatistics", "StatisticsAccumulator", "collect", "distributed_sum", "frames", "measure", "metrics"]
__version__ = "0.1.0"
_MODULES = {"conventions", "distributed", "frames", "metrics", "statistics"}
_HOMES = {
    "ClassStatistics": "statistics",
    "StatisticsAccumulator": "statistics",
    "collect": "collect",
    "distributed_sum": "distributed",
    "measure": "conventions",
}


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"nclib.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'nclib' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nclib.{_HOMES[name]}"), name)


def __dir__():
    return sorted({*globals(), *_MODULES, *_HOMES})


class _Package(types.ModuleType):
    """`collect` is the function, also once the import system puts the module of that name here."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value.collect if name == "collect" and isinstance(value, types.ModuleType) else value)


sys.modules[__name__].__class__ = _Package
