# Every run of a study that is not stored, one job a run. From the top of the checkout:
#   snakemake -s workflow/runs.smk --workflow-profile workflow/profiles/local --config study=linguistic_scaling profile=laptop
# Further settings: device=cpu does without the GPU that a run asks for; seed=3 is the first of the seeds.
import sys
from pathlib import Path

from nclib import pages
from nclib.runs import store

sys.path.insert(0, workflow.basedir)
import warm

STUDY, PROFILE = config.get("study"), config.get("profile", "laptop")
DEVICE = config.get("device", "auto")
PYTHON = warm.python()  # on other machines than this one a run is a process of its own
SEED = ["--seed", config["seed"]] if "seed" in config else []
RUNS = pages.study(STUDY).runs(PROFILE, seed=config.get("seed"))
INDEX = {run.key(): index for index, run in enumerate(RUNS)}


def entry(run):
    """The folder of a run in the store, or where it will be."""
    return store.folder_of(run) or store.place(run, store.root_for(PROFILE))


def gpus(run):
    """1 for a run that needs a GPU, else 0."""
    return int(DEVICE == "cuda" or (DEVICE == "auto" and run.needs_gpu()))


# What is stored is not in the graph at all: no trigger and no mark of an unfinished job can remove it.
PENDING = [manifest for manifest in (entry(run) / "manifest.json" for run in RUNS) if not manifest.exists()]


wildcard_constraints:
    key="[0-9a-f]{16}",


rule all:
    input:
        PENDING,
    localrule: True


# Snakemake makes the folder of the output, and the store takes an entry without a table for a damaged one: rmdir.
rule run:
    output:
        str(store.root_for(PROFILE) / "{experiment}" / "{key}" / "manifest.json"),
    params:
        index=lambda wildcards: INDEX[wildcards.key],
        folder=lambda wildcards, output: str(Path(output[0]).parent),
    resources:
        gpu=lambda wildcards: gpus(RUNS[INDEX[wildcards.key]]),
    shell:
        "rmdir {params.folder:q} 2> /dev/null || : ; {PYTHON:q} -m nclib run {STUDY:q} --profile {PROFILE:q} "
        "--index {params.index:q} --device {DEVICE:q} {SEED:q}"
