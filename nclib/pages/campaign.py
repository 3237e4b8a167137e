"""All runs of profile `paper` that need a GPU and are not archived, in an order of value, several at a time.

Each task is a process of its own, and ends when the campaign is gone, however that ended. A run that is stopped goes on
from its checkpoint when the campaign is called again. The processes are forked from one that has imported the pages and
torch and has no GPU yet: of many short runs the imports would take most of the time.
"""

import functools
import math
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from nclib import pages
from nclib.data import DataError, files, load, text
from nclib.runs import store, workers
from nclib.runs.seal import Damaged

# study, and which of its runs; what comes first is what a page gains most by.
QUEUE = (
    ("imbalanced_geometry", lambda run: True),
    ("regularization", lambda run: run.loss == "mse" and run.seed == 0),
    ("regularization", lambda run: run.seed == 0),
    ("regularization", lambda run: True),
    ("original", lambda run: run.data == "cifar10" and run.seed == 0),
    ("original", lambda run: True),
    # first the one that says whether large models need a warm-up, see WARMUPS of nclib/pages/_language_models/grid.py
    ("linguistic_scaling", lambda run: (run.width, run.depth, run.epochs) == (512, 8, 1) and run.weight_decay < 0.1),
    ("linguistic_scaling", lambda run: run.depth <= 8 and run.epochs <= 3),
    ("linguistic_scaling", lambda run: run.depth <= 8),
    ("linguistic_tokens", lambda run: run.NAME == "wu2024.names_model"),
    ("linguistic_tokens", lambda run: True),
    ("grammar", lambda run: True),
    ("deep_linear", lambda run: getattr(run, "model", "") == "mlp"),
    ("deep_linear", lambda run: True),
    ("depth", lambda run: True),
    ("dual_head", lambda run: run.needs_gpu() and run.seed == 0),
    ("dual_head", lambda run: True),
    ("federated", lambda run: run.NAME == "xiao2024.image_loop"),
    ("mixup_networks", lambda run: run.seed == 0),
    ("mixup_networks", lambda run: True),
    ("linguistic_scaling", lambda run: True),
)

# Minutes of a run that shares one H200 with two others, by experiment and model, where no run of its kind is archived:
# guesses, from 7 seconds an epoch of ResNet-18 on CIFAR-10 as archived.
GUESSED = {
    ("papyan2020.network", "resnet18"): 43.0,
    ("dang2023.network", "mlp"): 2.0,
    ("dang2023.network", "resnet18"): 24.0,
    ("fisher2024.network", "resnet18"): 7.0,
    ("yang2024.network", ""): 30.0,
    ("xiao2024.image_loop", ""): 12.0,
}
GRACE = 20.0  # seconds that runs have to keep their state
IMAGES = {
    "cifar10": ("cifar-10-batches-bin", files.CIFAR10),
    "cifar100": ("cifar-100-binary", files.CIFAR100),
    "fashion-mnist": ("fashion-mnist", files.FASHION_MNIST),
}


class Task(NamedTuple):
    """Runs of a study by their places in its list: one, or several that a GPU trains as one batch."""

    study: str
    indices: tuple
    runs: tuple

    @property
    def options(self):
        """The task as options of `nclib run`."""
        return [self.study, *[word for index in self.indices for word in ("--index", str(index))]]


def pending(profile="paper", queue=QUEUE, together=True):
    """The tasks of the queue that are not stored, each run once: those that need a GPU, and at other profiles all.

    After what the queue chooses come the other runs of its studies. Runs of one entry that are alike, by their
    `together`, are one task where `together` says so.
    """
    tasks, seen = [], set()
    for study, chosen in (*queue, *dict.fromkeys((study, _every) for study, _ in queue)):
        alike = {}
        for index, run in enumerate(pages.study(study).runs(profile)):
            if (profile == "paper" and not run.needs_gpu()) or not chosen(run) or run.key() in seen or store.find(run):
                continue
            seen.add(run.key())
            shared = run.together() if together else None
            alike.setdefault(index if shared is None else (run.NAME, shared), []).append((index, run))
        tasks += [Task(study, *zip(*found, strict=True)) for found in alike.values()]
    return tasks


def _every(run):
    return True


def apart(task):
    """The runs of a task that are not stored, as tasks of their own."""
    each = zip(task.indices, task.runs, strict=True)
    return [Task(task.study, (index,), (run,)) for index, run in each if store.find(run) is None]


def data_of(run):
    """The name of the images or of the text that a run reads and that do not come with the library; "" for others."""
    data, corpus = getattr(run, "data", ""), getattr(run, "corpus", "")
    return data if data in IMAGES else corpus if corpus in files.TEXTS else ""


def at_hand(run):
    """Whether the files that a run reads are on this machine, or, of a text, its tokens in the cache."""
    name = data_of(run)
    if name in files.TEXTS:
        return text.available(name, run.vocab, limit=run.tokens)
    folder, pinned = IMAGES.get(name, ("", ()))
    return all((files.data_folder() / folder / file).exists() for file in pinned)


def without_data(tasks, say=None):
    """{name of data: tasks that wait for it}. say: download images that can be had, and report those that cannot."""
    waiting = {}
    for task in tasks:
        if not at_hand(task.runs[0]):
            waiting.setdefault(data_of(task.runs[0]), []).append(task)
    for name in list(waiting) if say else ():
        reason = _try(name)
        if reason:
            say(f"skipped {_runs(waiting[name])} runs on {name}: {reason}")
        else:
            del waiting[name]
    return waiting


def _try(name):
    """Why data cannot be had; "" once it is there."""
    try:
        if name in files.TEXTS:
            text.corpora.read(name)
        else:
            [load(name, split) for split in ("train", "test")]
    except DataError as error:
        return " ".join(str(error).split())
    return ""


def seconds(run, archived):
    """(seconds that a run is likely to take on a GPU that others share, whether that is a guess): in proportion to the
    run of its kind in `archived`, which is `timed()`, that is nearest in size."""
    alike = [(size, took) for kind, size, took in archived if kind == _kind(run)]
    if not alike:
        return 60 * GUESSED.get((run.NAME, getattr(run, "model", "")), 10.0), True
    size, took = min(alike, key=lambda one: abs(math.log(_size(run) / one[0])))
    ratio = _size(run) / size
    return took * (max(1.0, ratio) if _language(run) else ratio), False  # a small language model is launch-bound


def timed():
    """[(kind, size, seconds)] of the archived runs that a GPU has done."""
    from nclib.runs.experiment import experiments

    found = []
    pages.studies()
    for path in store.archive_folder().glob("*/*/manifest.json"):
        try:
            manifest = store.manifest_of(path.parent)
            run = experiments()[manifest["experiment"]].again(manifest["parameters"])
        except (Damaged, KeyError, TypeError):
            continue  # it is reported where it is read
        if manifest["device"] == "cuda":
            found.append((_kind(run), _size(run), manifest["wall_seconds"]))
    return found


def _language(run):
    return hasattr(run, "corpus")


def _kind(run):
    """What runs have in common whose times can be compared."""
    if _language(run):
        return "language"
    return (run.NAME, *(getattr(run, name, None) for name in ("data", "model", "batch_size", "width", "layerwise")))


def _size(run):
    """What the time of runs of a kind grows with: epochs, or the operations of a language model."""
    if _language(run):
        from nclib.pages._language_models.language_model import parameters

        return parameters(run) * run.tokens * run.epochs
    return getattr(run, "epochs", 1) * (1 + 0.1 * getattr(run, "depth", 0))


def minutes(tasks):
    """(minutes that tasks take one after another on a GPU that others share, how many of the runs are guesses)."""
    archived = timed()
    found = [seconds(run, archived) for task in tasks for run in task.runs]
    return sum(took for took, _ in found) / 60, sum(guess for _, guess in found)


def listing(tasks, profile, jobs):
    """Lines: the command of each task with its minutes, the sums of the studies, what data is missing, the sum."""
    archived, studies, guesses = timed(), Counter(), 0
    for task in tasks:
        found = [seconds(run, archived) for run in task.runs]
        took, guess = sum(one for one, _ in found) / 60, any(guess for _, guess in found)
        studies[task.study] += took
        guesses += guess
        yield f"nclib run {' '.join(task.options)} --profile {profile}  # {took:.0f} min{' (a guess)' if guess else ''}"
    number = Counter(task.study for task in tasks for _ in task.runs)
    for study, took in studies.items():
        yield f"{study}: {number[study]} runs, {took:.0f} min"
    for name, waiting in without_data(tasks).items():
        yield f"{name}: not in NCLIB_DATA = {files.data_folder()}; {_runs(waiting)} runs wait for it"
    yield summary(tasks, jobs)


def summary(tasks, jobs):
    """What is left, in a line."""
    took, guesses = minutes(tasks)
    each = f" (of {guesses} runs a guess)" if guesses else ""
    return f"{_runs(tasks)} runs left: about {took:.0f} minutes of runs, {took / jobs:.0f} with {jobs} at a time{each}"


def _runs(tasks):
    return sum(len(task.runs) for task in tasks)


def work(tasks, profile, device, jobs, seconds, say=print):
    """Do tasks in processes of their own, `jobs` at a time, for at most `seconds`; returns those not done.

    A task that fails is named with the last line it wrote, and the others go on; runs that were to be trained as one
    are then done each by itself, so that one that diverges fails alone. What runs near the end is asked to keep its
    state and to stop, and is stopped at the end.
    """
    grace = min(GRACE, seconds / 5)
    end, waiting, running, failed = time.monotonic() + seconds - grace, list(tasks), {}, []
    logs = store.cache_folder() / "campaign"
    logs.mkdir(parents=True, exist_ok=True)
    try:
        while (waiting or running) and time.monotonic() < end:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                running[_start(task, profile, device, logs)] = task, time.monotonic()
            for process in [process for process in running if process.exitcode is not None]:
                task, start = running.pop(process)
                single = apart(task) if process.exitcode and len(task.runs) > 1 else []
                waiting[:0] = single
                failed += [task] if process.exitcode and not single else []
                how = "apart" if single else "failed" if process.exitcode else "done"
                say(f"{how} {time.monotonic() - start:.0f} s  {' '.join(task.options)}  {_last_line(task, logs)}")
            time.sleep(0.05)
    finally:
        last = time.monotonic() + grace
        for process in running:
            process.terminate()
        for process, (task, _) in running.items():
            process.join(max(0.0, last - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
            say(f"stopped  {' '.join(task.options)}")
    return [task for task, _ in running.values()] + failed + waiting


def _start(task, profile, device, logs):
    command = ["run", *task.options, "--profile", profile, "--device", device]
    process = _server().Process(target=_nclib, args=(command, _log(task, logs), dict(os.environ)))
    process.start()
    return process


def _nclib(command, log, environment):
    """`python -m nclib` with a command in the process of a task, which writes to a file, ends with the campaign and,
    asked to end, keeps the state of its run first."""
    from nclib.training import checkpoint

    workers.end_with_campaign()
    signal.signal(signal.SIGTERM, checkpoint.ask)
    os.environ.update(environment)
    with open(log, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv[:] = ["nclib", *command]
    runpy.run_module("nclib", run_name="__main__")


@functools.cache
def _server():
    """Where processes are forked that have imported all that they need."""
    for name, value in {"OMP_NUM_THREADS": "2", "TQDM_DISABLE": "1"}.items():
        os.environ.setdefault(name, value)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(_preloaded())
    return server


def _preloaded():
    """The modules that these have imported; none of them asks for a GPU, which forked processes could not use then."""
    return ["nclib.cli", *(f"{pages.__name__}.{page}.study" for page in pages.names())]


def _log(task, logs):
    return Path(logs) / f"{task.runs[0].key()}.log"


def _last_line(task, logs):
    lines = _log(task, logs).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word"
