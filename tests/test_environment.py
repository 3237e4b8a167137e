"""The environments agree: environment.yml and .binder/ with requirements.lock, the lock with pyproject.toml."""

import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[1]
FILES = ["environment.yml", ".binder/environment.yml"]
CONDA_NAMES = {"matplotlib-base": "matplotlib", "pytorch": "torch", "pytorch-cpu": "torch", "seaborn-base": "seaborn"}
UNPINNED = {"python", "pip", "jupyterlab"}
LOCK = dict(line.lower().split("==") for line in (ROOT / "requirements.lock").read_text().splitlines())
NEEDED = {
    re.match(r"[\w-]+", line)[0]
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
}

each = pytest.mark.parametrize("file", FILES)


def read(file):
    return yaml.safe_load((ROOT / file).read_text())


def specs(file):
    """{PyPI name: strict MatchSpec} of the conda packages."""
    parsed = [MatchSpec(line, strict=True) for line in read(file)["dependencies"] if isinstance(line, str)]
    return {CONDA_NAMES.get(spec.name.normalized, spec.name.normalized): spec for spec in parsed}


def test_law_lock_is_exact_and_names_no_host_or_path():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    assert LOCK["torch"] == "2.13.0"
    assert {name.replace("_", "-") for name in NEEDED} | {"setuptools", "snakemake", "jupyter-book"} <= set(LOCK)


@each
def test_law_environment_has_the_schema_of_conda(file):
    found = read(file)
    assert set(found) == {"name", "channels", "dependencies"} and found["channels"] == ["conda-forge", "nodefaults"]
    assert str(specs(file)["python"].version) == "3.11.*" and "pip" in specs(file)


@each
def test_oracle_conda_versions_are_those_of_the_lock(file):
    versions = {
        name: str(spec.version).removesuffix(".*") for name, spec in specs(file).items() if name not in UNPINNED
    }
    assert versions == {name: LOCK[name] for name in versions}
    assert NEEDED <= set(versions)


def test_oracle_pip_versions_are_those_of_the_lock():
    (pip,) = [entry["pip"] for entry in read("environment.yml")["dependencies"] if isinstance(entry, dict)]
    assert pip[-1] == "--editable ."
    assert {name: LOCK[name] for name, _ in (line.split("==") for line in pip[:-1])} == dict(
        line.split("==") for line in pip[:-1]
    )


def test_law_environment_can_build_and_test_the_book():
    text = (ROOT / "environment.yml").read_text()
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    for package in (
        "jupyter-book",
        "snakemake",
        "pytest-xdist",
        "playwright",
        "sphinx-mathjax-offline",
        "sphinx-proof",
    ):
        assert re.search(rf"- {package}=", text), package
    assert {"sphinx_proof", "sphinx-mathjax-offline"} <= set(config["sphinx"]["extra_extensions"])


def test_law_scripts_can_be_executed():
    assert all(os.access(ROOT / path, os.X_OK) for path in (".ci/run", ".binder/postBuild"))
