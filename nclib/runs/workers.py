"""Many runs on one machine: side by side on a CPU, and on a GPU those that are alike as one batch."""

import contextlib
import functools
import itertools
import multiprocessing
import os
import threading
import time
import traceback
import warnings
from collections.abc import Iterator

import pandas as pd

from nclib.runs import store, work

WORTH = 10.0  # seconds of work ahead from which on it pays to start processes for it
FOLDERS = ("NCLIB_BUILD", "NCLIB_CACHE", "NCLIB_RESULTS", "NCLIB_DATA")


def each(runs, device="auto", root=None) -> Iterator[pd.DataFrame]:
    """Yield the tables of runs in their order. A run that is not stored is done, as by `work.get`.

    On a CPU the missing runs are done side by side, as many at a time as torch has threads, each in a process with one
    thread: for the models of this project that is faster than to give one of them all threads. The first is done alone,
    to see whether other processes are worth their start. On a GPU, runs that follow one another are done as one, by
    `run_together`, where `together()` is the same for all and not None; where one of them diverges, or they do not fit
    into memory together, each is done by itself. What `work.get` raises for a run is raised when its turn comes, and
    the others then stop.
    """
    stored = [store.find(run) for run in runs]
    done = _done([run for run, found in zip(runs, stored, strict=True) if found is None], device, root)
    for found in stored:
        yield next(done) if found is None else found[0]


def _done(runs, device, root):
    import torch

    gpu = torch.cuda.is_available() and any(work.device_for(run, device) == "cuda" for run in runs)
    yield from (_in_batches if gpu else _in_processes)(runs, device, root)


def _in_batches(runs, device, root):
    import torch

    for (_, shared), alike in itertools.groupby(runs, lambda run: (run.NAME, run.together())):
        alike = list(alike)
        if shared is not None and len(alike) > 1:
            with contextlib.suppress(FloatingPointError, torch.OutOfMemoryError):  # then each is done by itself
                work.do(alike, work.device_for(alike[0], device), root)
        for run in alike:
            yield work.get(run, device, root)


def _in_processes(runs, device, root):
    import torch

    jobs = min(torch.get_num_threads(), len(runs) - 1)
    for i, run in enumerate(runs):
        start = time.perf_counter()
        yield work.get(run, device, root)
        rest = runs[i + 1 :]
        if jobs > 1 and (time.perf_counter() - start) * len(rest) > WORTH:
            yield from _side_by_side(rest, device, root, jobs)
            return


def _side_by_side(runs, device, root, jobs):
    from joblib import Parallel, delayed, parallel_config

    folders = {name: os.environ.get(name, "") for name in FOLDERS}
    with parallel_config("loky", inner_max_num_threads=1):
        pool = Parallel(min(jobs, len(runs)), return_as="generator", batch_size=1)
        done = pool(delayed(_attempt)(run, device, root, folders) for run in runs)
        try:
            for found in done:
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            with warnings.catch_warnings(action="ignore"):  # joblib warns of work that is given up
                done.close()


def _attempt(run, device, root, folders):
    """`work.get` in a process of its own, whose folders may be those of earlier work; an error is handed back."""
    end_with(os.getppid())
    os.environ.update(folders)
    try:
        return work.get(run, device, root)
    except Exception as error:
        error.add_note(traceback.format_exc())
        return error


@functools.cache
def end_with(parent) -> None:
    """End this process, in the middle of its work, when its parent is gone: a killed command leaves nothing running."""

    def wait():
        while os.getppid() == parent:
            time.sleep(1)

    _end_after(wait)


def end_with_campaign() -> None:
    """The same for a process that was forked from a server of multiprocessing, whose parent is who asked for it."""
    _end_after(multiprocessing.parent_process().join)


def _end_after(wait):
    threading.Thread(target=lambda: (wait(), os._exit(1)), daemon=True).start()
