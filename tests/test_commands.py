"""Every command that a page, the README or a workflow names works: it is run here, or it is said what runs it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from smoke_book import clean_environment

from nclib import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"book/{name}.md" for name in ("index", "rerun", "reading", "cluster"))]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKE = ["make", "--no-print-directory", f"RUN={sys.executable}", "STAMP="]  # with the Python of this test
CONDA, INDEX, CLUSTER = (
    "needs conda and its channels",
    "needs a package index",
    "needs a cluster or several GPUs; a dry run is in test_workflow_runs.py",
)

PROGRAMS = "make|nclib|papermill|snakemake|torchrun|nbstripout|conda|%?pip|source|git clone"

# What is run here, each in a folder of its own; "BUILD" is that folder.
RUN = {
    "make help": [*MAKE, "help"],
    "make lint": [*MAKE, "lint"],
    "make clean": [*MAKE, "clean", "BUILD=BUILD"],
    "make distclean": [*MAKE, "distclean", "BUILD=BUILD", "VENV=BUILD/venv"],
    "make test TESTS=tests/test_readme.py": [*MAKE, "test", "TESTS=tests/test_readme.py", "JOBS=0"],
    "nclib claims": [sys.executable, "-m", "nclib", "claims"],
    "nbstripout --keep-id": [
        *(sys.executable, "-m", "nbstripout", "--keep-id", "--dry-run", "notebooks/01-geometry.ipynb")
    ],
    "papermill --help-notebook notebooks/03-imbalanced-geometry.ipynb": [
        *(sys.executable, "-m", "papermill", "--help-notebook", "notebooks/03-imbalanced-geometry.ipynb")
    ],
    "nclib runs linguistic_scaling --profile paper": [
        sys.executable,
        "-m",
        "nclib",
        "runs",
        "linguistic_scaling",
        "--profile=paper",
    ],
    "nclib runs imbalanced_geometry --profile paper": [
        *(sys.executable, "-m", "nclib", "runs", "imbalanced_geometry", "--profile", "paper")
    ],
    "nclib measure features.npz --classifier W.npz --bootstrap 1000 --null --figure report.png": [
        *(sys.executable, "-m", "nclib", "measure", "BUILD/features.npz", "--classifier", "BUILD/W.npz"),
        *("--bootstrap", "1000", "--null", "--figure", "BUILD/report.png"),
    ],
}
# Dry runs of what takes minutes or changes the checkout: make says what it would do, and each program is there.
DRY = ["make venv", "make lock", "make book", "make serve", "make test", "make test-data", "make bench", "make readme"]
ELSEWHERE = {
    "papermill notebooks/03-imbalanced-geometry.ipynb out.ipynb -p profile smoke -p seed 3": "smoke_book.py",
    "papermill notebooks/03-imbalanced-geometry.ipynb out.ipynb -p profile laptop -p seed 3": "smoke_book.py",
    "papermill notebooks/01-geometry.ipynb out.ipynb -p profile smoke": "smoke_book.py",
    "papermill notebooks/11-linguistic-scaling.ipynb out.ipynb -p profile laptop": "smoke_book.py",
    "nclib measure-lm ./model --text train.txt --validation valid.txt --checkpoint run.ck": "test_measure_lm.py",
    "torchrun --standalone --nproc-per-node 2 -m nclib measure-lm ./model --text train.txt --save part.safetensors": (
        "test_measure_lm.py"
    ),
    "nclib merge a.safetensors b.safetensors --output all.safetensors": "test_measure_cli.py",
    "nclib measure all.safetensors": "test_measure_cli.py",
    "make runs": "test_commands.py",
    "nclib campaign": "test_campaign.py",
    "nclib campaign --list": "test_campaign.py",
    "nclib run": "test_cli.py",
    "nclib run <page> --profile smoke": "test_cli.py",
    "nclib run imbalanced_geometry --profile paper": "test_cli.py",
    "nclib run linguistic_scaling --profile laptop": "test_workflow_runs.py",
    "nclib run linguistic_scaling --profile laptop --index 3": "test_workflow_runs.py",
    "make runs STUDY=linguistic_scaling PROFILE=laptop JOBS=8": "test_workflow_runs.py",
    "snakemake -s workflow/runs.smk --workflow-profile workflow/profiles/local --cores 8 "
    "--config study=linguistic_scaling profile=laptop": "test_workflow_runs.py",
}
NOT_HERE = {
    "git clone <its address>": "needs the address of the repository",
    "pip install": INDEX,
    'pip install -e ".[huggingface]"': INDEX,
    "%pip install git+": INDEX,
    "source .venv/bin/activate": "needs what make venv makes",
    "conda env create -f environment.yml": CONDA,
    "conda activate nclib": CONDA,
    '"$CONDA/bin/conda" env create -f environment.yml': CONDA,
    '"$CONDA/bin/conda" run -n nclib papermill notebooks/01-geometry.ipynb out.ipynb -p profile smoke': CONDA,
    'echo "NCLIB_CHROMIUM=$(command -v google-chrome)" >> "$GITHUB_ENV"': "needs the workflow's machine",
    "torchrun --nproc-per-node 8 -m nclib run linguistic_scaling --profile paper --index 149": CLUSTER,
    "snakemake -s workflow/runs.smk --workflow-profile workflow/profiles/slurm --config study=linguistic_scaling "
    "profile=paper -n": CLUSTER,
    "snakemake -s workflow/runs.smk --workflow-profile workflow/profiles/slurm --config study=linguistic_scaling "
    "profile=paper --default-resources slurm_account=NAME slurm_partition=NAME runtime=240 mem_mb=8000": CLUSTER,
}


def in_pages():
    """The commands in the pages: console blocks without comments, continued lines joined, and in sentences."""
    for page in PAGES:
        text = (ROOT / page).read_text()
        for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    yield " ".join(re.split(r"\s+#\s", line[2:])[0].split())
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        yield from (" ".join(found.split()) for found in re.findall(rf"`((?:{PROGRAMS}) [^`]+)`", prose))


def in_workflows():
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            yield from (step["run"] for step in job["steps"] if "run" in step)


def targets():
    return [f"make {name}" for name in re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)]


def test_law_every_command_is_known_and_no_entry_is_dead():
    named = {*in_pages(), *in_workflows(), *targets()} - {"git clone ADDRESS-OF-THE-REPOSITORY"}
    known = {*RUN, *DRY, *ELSEWHERE, *NOT_HERE} - {"git clone <its address>"}
    assert named - known == set() and known - named == set()
    assert all((ROOT / "tests" / file).exists() for file in ELSEWHERE.values())


@pytest.mark.parametrize("command", RUN)
def test_law_command_runs(command, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "features.npz", features=rng.normal(size=(60, 4)), labels=np.arange(60) % 3)
    np.savez(tmp_path / "W.npz", weight=rng.normal(size=(3, 4)))
    arguments = [part.replace("BUILD/", f"{tmp_path}/").replace("=BUILD", f"={tmp_path}") for part in RUN[command]]
    folders = {f"NCLIB_{kind}": str(tmp_path / kind.lower()) for kind in ("CACHE", "RESULTS", "BUILD")}
    environment = clean_environment(PYTHONPATH=str(ROOT), TQDM_DISABLE="1", **folders)
    if arguments[1:3] == ["-m", "nclib"]:  # as a process it is run in test_odd_machines.py; here without its imports
        for name, value in folders.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["nclib", *arguments[3:]])
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert not done.value.code
        return
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", DRY)
def test_law_command_would_run(command):
    target = command.removeprefix("make ")
    done = subprocess.run([*MAKE, "-n", target], cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0 and (done.stdout.strip() or target == "venv"), done.stderr
    for module in re.findall(r"python\S* -m ([\w.]+)(?= )", done.stdout):
        assert module == "pip" or subprocess.run([sys.executable, "-c", f"import {module}"]).returncode == 0
    for file in re.findall(r"(?<= )(\w+/[\w./-]+\.(?:py|smk))", done.stdout):
        assert (ROOT / file).exists(), file


def test_law_each_figure_name_in_a_shell_rule_is_quoted():
    """A placeholder without :q breaks on a space, and runs what a name holds."""
    for name in ("Snakefile", "runs.smk"):
        shells = re.findall(r"shell:\n((?:        .*\n)+)", (ROOT / "workflow" / name).read_text())
        assert shells and not [part for shell in shells for part in re.findall(r"\{[^}]*\}", shell) if ":q" not in part]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_law_runs_work_in_a_path_with_a_space_an_apostrophe_and_an_umlaut(tmp_path):
    """The checkout, the build folder and a wildcard that would run a command, were it not quoted."""
    checkout = tmp_path / "a b'ü"
    for name in ("nclib", "workflow", "Makefile", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        checkout.mkdir(exist_ok=True)
        copy(ROOT / name, checkout / name)
    environment = clean_environment(PYTHONPATH=str(checkout), TQDM_DISABLE="1", OMP_NUM_THREADS="1")
    command = [*MAKE, "runs", "STUDY=original", "PROFILE=smoke", f"BUILD={checkout / 'build'}"]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((checkout / "build" / "cache").glob("*/*/manifest.json")), os.listdir(checkout)
