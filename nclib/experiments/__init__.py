"""The experiments of the book: a package for each paper, a module for each study or experiment."""

import importlib
import pkgutil


def studies():
    """The names of the studies, "paper.study": the modules that define `runs`."""
    names = [
        f"{paper.name}.{module.name}"
        for paper in pkgutil.iter_modules(__path__)
        for module in pkgutil.iter_modules([f"{__path__[0]}/{paper.name}"])
    ]
    return [name for name in names if hasattr(importlib.import_module(f"{__name__}.{name}"), "runs")]
