"""Imports run one way (a prediction cannot see the measurement), and figures need no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nclib"
FORBIDDEN = {
    "theory": {"models", "training", "data", "experiments", "results", "collect", "plotting", "claims"},
    "statistics.py": {"metrics", "collect", "theory", "models", "training", "experiments", "plotting", "results"},
    "metrics.py": {"collect", "theory", "models", "training", "experiments", "plotting", "results"},
    **{
        key: {"collect", "theory", "models", "training", "language", "experiments", "plotting", "results", "measuring"}
        for key in ("pairs.py", "conventions.py", "nulls.py", "bootstrap.py", "distributed.py")
    },
    "models": {"theory", "experiments", "plotting", "claims"},
    "training.py": {"theory", "experiments", "plotting", "claims"},
    "language.py": {"theory", "experiments", "plotting", "claims", "measuring"},
    "measuring": {"theory", "experiments", "claims", "language", "training"},
    "plotting": {"torch", "models", "training", "theory", "statistics", "metrics"},
}
VIEWS = {"torch", "models", "training", "theory", "statistics", "metrics", "plotting", "claims"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    """The modules a file imports: of nclib by their second name ("theory"), of others by their first ("torch")."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in full:
            parts = name.split(".")
            yield parts[1] if parts[0] == "nclib" and len(parts) > 1 else parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_law_imports_run_one_way(path):
    forbidden = FORBIDDEN.get(path.relative_to(PACKAGE).parts[0], set())
    if path.stem.endswith("_views"):
        forbidden = forbidden | VIEWS
    if path.name != "__main__.py":
        forbidden = forbidden | {"cli"}
    assert not forbidden & set(imported(path))


@pytest.mark.parametrize("rule", [["check"], ["format", "--check"]], ids=lambda rule: rule[0])
def test_law_ruff_finds_nothing(rule):
    done = subprocess.run([sys.executable, "-m", "ruff", *rule, PACKAGE.parent], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
