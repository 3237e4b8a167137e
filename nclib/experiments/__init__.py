"""The experiments of the book: a package for each paper, a module for each study or experiment."""

import importlib
import pkgutil

from nclib import pages


def studies():
    """The names of the studies: "paper.study" for the modules that define `runs`, that of the page for the others."""
    names = [
        f"{paper.name}.{module.name}"
        for paper in pkgutil.iter_modules(__path__)
        for module in pkgutil.iter_modules([f"{__path__[0]}/{paper.name}"])
    ]
    return [name for name in names if hasattr(importlib.import_module(f"{__name__}.{name}"), "runs")] + list(
        pages.studies()
    )
