"""The work of a run: on which device it is done, alone or with others as one batch, and stored at the end."""

import contextlib

import pandas as pd

from nclib.runs import source, store
from nclib.runs.experiment import MissingRun
from nclib.runs.manifest import manifest_of
from nclib.runs.seal import sweep


def device_for(run, device="auto") -> str:
    """Return the device of a run, "cpu" or "cuda"; for "auto" that is a GPU where `run.needs_gpu()`.

    Raises MissingRun where the run needs a GPU and there is none, and ValueError for "cuda" without one.
    """
    gpu = has_gpu(device)
    if device != "auto":
        return device
    if not run.needs_gpu():
        return "cpu"
    if not gpu:
        raise MissingRun("it needs a CUDA GPU, and there is none here (--device cpu does it all the same, slowly)")
    return "cuda"


def has_gpu(device="auto") -> bool:
    """Whether runs that need a GPU get one. Raises ValueError for "cuda" where there is none."""
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device = {device!r}: must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device = 'cuda': no CUDA device is available here; use cpu")
    return device != "cpu" and torch.cuda.is_available()


def get(run, device="auto", root=None) -> pd.DataFrame:
    """Return the table of one run. A run that is not stored is done, and stored below `root` (default: the cache)."""
    found = store.find(run)
    if found is None:
        do([run], device_for(run, device), root)
        found = store.find(run)
    return found[0]


def do(runs, device, root=None) -> None:
    """Do runs of one experiment, several of them together, and store each, with its share of the time.

    Whether the tables can be written is tried before the work begins. The files that let a run go on after a kill are
    removed only when its table is stored; and then what killed processes left of such files, a day or more ago.
    """
    root = root or store.cache_folder()
    for run in runs:
        store.try_place(store.place(run, root))
    with contextlib.ExitStack() as stack:
        manifests = [stack.enter_context(manifest_of(run, device)) for run in runs]
        tables = type(runs[0]).run_together(runs, device) if len(runs) > 1 else [runs[0].run(device)]
    for run, manifest in zip(runs, manifests, strict=True):
        if run.key() != manifest["key"]:
            raise ValueError(f"{run.NAME} {manifest['key']}: the files that it reads were changed while it was done")
    for run, manifest, table in zip(runs, manifests, tables, strict=True):
        seconds = round(manifest["wall_seconds"] / len(runs), 3)
        store.save(
            run, table, manifest | {"data": run.reads(), "code": source.digest(run), "wall_seconds": seconds}, root
        )
        store.unfinished(run.key()).unlink(missing_ok=True)
        run.forget()
    sweep(store.unfinished(runs[0].key()).parent, ".*.part")
