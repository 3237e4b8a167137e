"""Examples in docstrings: on every public name of these modules one that asserts a value other than zero, and all hold.

Their guard is that of the modules that a reader calls by hand: metrics, frames, statistics, closed forms.
"""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

import nclib
from nclib import theory

MODULES = ["nclib.metrics", "nclib.frames", "nclib.statistics", "nclib.theory.certificates"]
MODULES += [f"nclib.theory.{name}" for name in theory.__all__]
ASSERTS = re.compile(r"[1-9]|\bTrue\b|\bFalse\b")

PACKAGE = Path(nclib.__file__).parent


def public(path):
    """{name: node} of the functions and classes of a file, and of the methods and properties of public classes."""
    return dict(_public(ast.parse(Path(path).read_bytes()).body))


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
    assert set(public(module.__file__)) - shown == set()


FUNCTIONS = {
    path: functions
    for path in sorted(PACKAGE.rglob("*.py"))
    if PACKAGE / "pages" not in path.parents
    and (functions := {name: node for name, node in public(path).items() if isinstance(node, ast.FunctionDef)})
}


@pytest.mark.parametrize("path", FUNCTIONS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_law_every_public_function_says_what_type_it_returns(path):
    """A page's own experiments, views, figures and claims need not: what they return is a rule of CONTRIBUTING.md."""
    assert [name for name, node in FUNCTIONS[path].items() if node.returns is None] == []


def test_law_the_types_are_asked_for_everywhere():
    """The rooms of the library by name, so that a path that is left out by mistake is seen."""
    rooms = {path.relative_to(PACKAGE).parts[0] for path in FUNCTIONS}
    assert rooms >= {"adapters", "cli.py", "data", "evidence", "models", "plotting", "runs", "theory", "training"}
