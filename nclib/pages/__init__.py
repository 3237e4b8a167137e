"""The pages of the book, a folder each, called as its notebook is without the number: experiments, study, views,
figures, claims. Folders that begin with an underscore hold what pages share."""

import importlib
import pkgutil

from nclib.runs.arguments import choose


def names():
    """The folders of the pages."""
    return [page.name for page in pkgutil.iter_modules(__path__) if page.ispkg and not page.name.startswith("_")]


def studies():
    """{name: Study} of the pages."""
    found = [importlib.import_module(f"{__name__}.{name}.study").STUDY for name in names()]
    return {study.name: study for study in found}


def study(name):
    """The study of a page; ValueError that lists them."""
    return choose(name, studies(), "study")


def experiments():
    """{NAME: class} of the experiments in these folders."""
    from nclib.runs.experiment import Experiment

    modules = [
        importlib.import_module(f"{__name__}.{folder.name}.{module.name}")
        for folder in pkgutil.iter_modules(__path__)
        for module in pkgutil.iter_modules([f"{__path__[0]}/{folder.name}"])
    ]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {one.NAME: one for one in found if issubclass(one, Experiment) and hasattr(one, "NAME")}
