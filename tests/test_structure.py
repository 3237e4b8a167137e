"""Imports run one way (a prediction cannot see the measurement), figures need no torch, pages are called as their
notebooks are, and every archived run is found by its key."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nclib import data, pages
from nclib.data import files
from nclib.runs import source, store

PACKAGE = Path(__file__).parents[1] / "nclib"
FORBIDDEN = {
    "theory": {"models", "training", "data", "runs", "collect", "plotting", "evidence"},
    "statistics.py": {"metrics", "collect", "theory", "models", "training", "runs", "plotting", "evidence"},
    "metrics.py": {"collect", "theory", "models", "training", "runs", "plotting", "evidence"},
    **{
        key: {"collect", "theory", "models", "training", "runs", "plotting", "evidence", "measuring"}
        for key in ("pairs.py", "conventions.py", "nulls.py", "bootstrap.py", "distributed.py")
    },
    "models": {"theory", "plotting", "evidence"},
    "training": {"theory", "plotting", "evidence", "measuring"},
    "measuring": {"theory", "evidence", "training"},
    "runs": {"theory", "models", "training", "data", "plotting", "evidence"},
    "evidence": {"theory", "models", "training", "data", "plotting", "torch"},
    "plotting": {"torch", "models", "training", "theory", "statistics", "metrics"},
}
FILES = sorted(PACKAGE.rglob("*.py"))
LISTING = ("cli.py",)  # it lists the studies of the pages
ROOMS = sorted(path for path in (PACKAGE / "pages").iterdir() if path.is_dir() and path.name[0].isalpha())
LOOKING = ("views", "figures", "claims", "quoted")  # what only looks at tables of runs
ASIDE = ("tables", "timings", "__init__")  # what it may use of its room
ROOT_MODULES = 20
ARCHIVED = sorted(path.parent for path in (PACKAGE.parent / "results").glob("*/*/manifest.json"))


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
    if path.name != "__main__.py":
        forbidden = forbidden | {"cli"}
    if path.relative_to(PACKAGE).parts[0] != "pages" and str(path.relative_to(PACKAGE)) not in LISTING:
        forbidden = forbidden | {"pages"}
    assert not forbidden & set(imported(path))


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_law_what_looks_at_tables_reaches_neither_torch_nor_theory(room):
    """Nor does what it imports, but for the package itself and the store, whose manifests name torch's version."""
    for path in (room / f"{name}.py" for name in LOOKING if (room / f"{name}.py").exists()):
        reached = {one: set(imported(one)) for one in source.closure(path)}
        assert {
            one.name
            for one, names in reached.items()
            if names & {"torch", "theory", "models", "training"} and one.parent.name != "runs"
        } == set()
        assert not {one.stem for one in reached if one.parent == room} - {*LOOKING, "tables", "timings", "__init__"}, (
            path
        )


def circles(files):
    """Sets of files that import one another, directly or through others, also inside functions. That a file needs the
    package that it lies in is no import of its own."""
    near = {path: {one for one in source.imported(path) if one != path.parent / "__init__.py"} for path in files}
    reach = {path: set(found) for path, found in near.items()}
    while (wider := {path: found.union(*(near[one] for one in found)) for path, found in reach.items()}) != reach:
        reach = wider
    found = {frozenset(one for one in reach[path] if path in reach[one]) for path in files if path in reach[path]}
    return sorted(found, key=len)


def test_law_no_circles_of_imports():
    assert [{path.name for path in group} for group in circles(FILES)] == []


def test_law_a_page_is_called_as_its_notebook():
    names = {path.stem.partition("-")[2] for path in (PACKAGE.parent / "notebooks").glob("*.ipynb")}
    assert {room.name for room in ROOMS} == {name.replace("-", "_") for name in names}
    assert list(pages.studies()) == pages.names() == [room.name for room in ROOMS]


def test_law_a_name_belongs_to_one_experiment():
    texts = [path.read_text() for path in (PACKAGE / "pages").rglob("*.py")]
    named = [line.partition("= ")[2].strip("\"' ") for text in texts for line in text.splitlines() if " NAME: " in line]
    assert sorted(named) == sorted(pages.experiments())


@pytest.mark.parametrize("name", sorted({folder.parent.name for folder in ARCHIVED}))
def test_law_an_archived_run_is_found_by_the_key_of_its_manifest(name):
    """And each as it was written."""
    for folder in (folder for folder in ARCHIVED if folder.parent.name == name):
        parameters = json.loads((folder / "manifest.json").read_text())["parameters"]
        store.read(folder)
        assert pages.experiments()[name].again(parameters).key() == folder.name


def test_law_archived_runs_on_images_read_those_that_are_pinned():
    """Their files are held to these sums at each load, and a sum is code: with another one cached runs are done again.
    The digits are those of the installed scikit-learn."""
    pinned = files.FASHION_MNIST | files.CIFAR10 | files.CIFAR100 | data.load("digits").sha256
    read = [json.loads((folder / "manifest.json").read_text())["data"] for folder in ARCHIVED]
    found = {pair for one in read for pair in one.items() if pair[0] in pinned}
    assert found and found <= pinned.items()
    experiment = pages.experiments()["papyan2020.network"]
    assert Path(files.__file__) in source.closure(Path(sys.modules[experiment.__module__].__file__))


def test_law_what_reads_tables_and_claims_does_not_wait_for_torch():
    """The package itself, the store, the evidence, the command line; what the package offers is there all the same."""
    code = """if True:
        import sys, nclib, nclib.cli, nclib.evidence.report, nclib.runs.study
        print("torch" in sys.modules)
        import nclib.collect as found
        from nclib.collect import collect, evaluating
        print(found is collect is nclib.collect, {*nclib.__all__, "statistics"} <= set(dir(nclib)))
        print(sorted({getattr(nclib, name).__module__ for name in nclib.__all__ if name not in ("frames", "metrics")}))
        print(nclib.frames.__name__, nclib.metrics.__name__, hasattr(nclib, "none"))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    homes = [f"nclib.{name}" for name in ("collect", "conventions", "distributed", "statistics")]
    assert done.stdout.splitlines() == ["False", "True True", str(homes), "nclib.frames nclib.metrics False"], done


def test_law_the_root_has_few_modules_and_no_experiment_of_another_form():
    assert len(list(PACKAGE.glob("*.py"))) <= ROOT_MODULES


@pytest.mark.parametrize("rule", [["check"], ["format", "--check"]], ids=lambda rule: rule[0])
def test_law_ruff_finds_nothing(rule):
    done = subprocess.run([sys.executable, "-m", "ruff", *rule, PACKAGE.parent], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
