"""Examples in docstrings: on every public name of these modules one that asserts a value other than zero, and all hold.

Their guard is that of the modules that a reader calls by hand: metrics, frames, statistics, closed forms.
"""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

from nclib import collapses, theory

MODULES = ["nclib.metrics", "nclib.frames", "nclib.statistics", "nclib.theory.certificates"]
MODULES += [f"nclib.theory.{name}" for name in theory.__all__]
ASSERTS = re.compile(r"[1-9]|\bTrue\b|\bFalse\b")


RETURNS = [
    *MODULES,
    "nclib.pairs",
    "nclib.collect",
    "nclib.conventions",
    "nclib.nearest",
    "nclib.scores",
    "nclib.nulls",
]
RETURNS += [f"nclib.collapses.{path.stem}" for path in sorted(Path(collapses.__path__[0]).glob("[a-z]*.py"))]


def public(name):
    """{name: node} of the functions and classes of a module, and of the methods and properties of public classes."""
    return dict(_public(ast.parse(Path(importlib.import_module(name).__file__).read_bytes()).body))


def _public(body, before=""):
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield before + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{before}{node.name}.")


@pytest.mark.parametrize("name", MODULES)
def test_value_examples_hold_and_every_public_name_has_one(name):
    module = importlib.import_module(name)
    runner, shown = doctest.DocTestRunner(verbose=False), set()
    for test in doctest.DocTestFinder().find(module):
        assert runner.run(test).failed == 0, test.name
        if any(ASSERTS.search(example.want) for example in test.examples):
            shown.add(test.name.removeprefix(f"{name}."))
    assert set(public(name)) - shown == set()


@pytest.mark.parametrize("name", RETURNS)
def test_law_every_public_function_says_what_type_it_returns(name):
    functions = {shown: node for shown, node in public(name).items() if isinstance(node, ast.FunctionDef)}
    assert functions and [shown for shown, node in functions.items() if node.returns is None] == []
