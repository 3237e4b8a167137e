"""Examples in docstrings: on every public name of these modules one that asserts a value other than zero, and all hold.

Their guard is that of the modules that a reader calls by hand: metrics, frames, statistics, closed forms.
"""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

from nclib import theory

MODULES = ["nclib.metrics", "nclib.frames", "nclib.statistics", "nclib.theory.certificates"]
MODULES += [f"nclib.theory.{name}" for name in theory.__all__]
ASSERTS = re.compile(r"[1-9]|\bTrue\b|\bFalse\b")


def public(body, before=""):
    """Names of functions and classes, and of the methods and properties of public classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield before + node.name
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{before}{node.name}.")


@pytest.mark.parametrize("name", MODULES)
def test_value_examples_hold_and_every_public_name_has_one(name):
    module = importlib.import_module(name)
    runner, shown = doctest.DocTestRunner(verbose=False), set()
    for test in doctest.DocTestFinder().find(module):
        assert runner.run(test).failed == 0, test.name
        if any(ASSERTS.search(example.want) for example in test.examples):
            shown.add(test.name.removeprefix(f"{name}."))
    assert set(public(ast.parse(Path(module.__file__).read_bytes()).body)) - shown == set()
