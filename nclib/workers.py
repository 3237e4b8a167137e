"""Many runs on one machine: side by side on a CPU, those that are alike as one batch on a GPU."""

import functools
import itertools
import os
import threading
import time
import traceback
import warnings

from nclib import results

WORTH = 10.0  # seconds of work ahead from which on it pays to start processes for it
FOLDERS = ("NCLIB_BUILD", "NCLIB_CACHE", "NCLIB_RESULTS", "NCLIB_DATA")


def each(configs, device="auto", root=None):
    """Yield the tables of runs in their order, each as by `results.get`.

    On a CPU those that are missing are done side by side, as many as torch has threads, each in a process with one
    thread: for the models of this project that is faster than all threads for one of them. The first is done alone, to
    see whether it is worth it. On a GPU runs that follow one another are done as one if their experiment has
    `together(config)`, the same for both and not None, and `run_together(configs, device) -> tables`. What
    `results.get` raises for a run is raised when its turn comes; the others then stop.
    """
    missing = [config for config in configs if results.folder(config) is None]
    done = _done(missing, device, root)
    for config in configs:
        yield next(done) if config in missing else results.get(config, device, root)


def _done(configs, device, root):
    import torch

    gpu = torch.cuda.is_available() and any(results.device_for(config, device) == "cuda" for config in configs)
    yield from (_in_batches if gpu else _in_processes)(configs, device, root)


def _in_batches(configs, device, root):
    for shared, alike in itertools.groupby(configs, _shared):
        alike = list(alike)
        if shared is not None and len(alike) > 1:
            results.run(alike, results.device_for(alike[0], device), root)
        for config in alike:
            yield results.get(config, device, root)


def _shared(config):
    return getattr(results.experiment(config)[0], "together", lambda config: None)(config)


def _in_processes(configs, device, root):
    import torch

    jobs = min(torch.get_num_threads(), len(configs) - 1)
    for i, config in enumerate(configs):
        start = time.perf_counter()
        yield results.get(config, device, root)
        rest = configs[i + 1 :]
        if jobs > 1 and (time.perf_counter() - start) * len(rest) > WORTH:
            yield from _side_by_side(rest, device, root, jobs)
            return


def _side_by_side(configs, device, root, jobs):
    from joblib import Parallel, delayed, parallel_config

    folders = {name: os.environ.get(name, "") for name in FOLDERS}
    with parallel_config("loky", inner_max_num_threads=1):
        work = Parallel(min(jobs, len(configs)), return_as="generator", batch_size=1)
        done = work(delayed(_attempt)(config, device, root, folders) for config in configs)
        try:
            for found in done:
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            with warnings.catch_warnings(action="ignore"):  # joblib warns of work that is given up
                done.close()


def _attempt(config, device, root, folders):
    """`results.get` in a process of its own, whose folders may be those of earlier work; an error is handed back."""
    _end_with(os.getppid())
    os.environ.update(folders)
    try:
        return results.get(config, device, root)
    except Exception as error:
        error.add_note(traceback.format_exc())
        return error


@functools.cache
def _end_with(parent):
    """End this process, in the middle of its work, when its parent is gone: a killed command leaves nothing running."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
