"""All runs of profile `paper` that need a GPU and are not archived, in an order of value, several at a time."""

import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

from nclib import pages
from nclib.runs import store

# study, and which of its runs; what comes first is what a page gains most by.
QUEUE = (
    ("depth", lambda run: True),
    ("imbalanced_geometry", lambda run: True),
    ("regularization", lambda run: run.loss == "mse" and run.seed == 0),
    ("original", lambda run: run.data == "cifar10" and run.seed == 0),
    ("regularization", lambda run: run.seed == 0),
    ("dual_head", lambda run: run.needs_gpu() and run.seed == 0),
    ("original", lambda run: True),
    ("linguistic_scaling", lambda run: run.depth <= 8 and run.epochs <= 3),
    ("linguistic_tokens", lambda run: run.NAME == "wu2024.names_model"),
    ("deep_linear", lambda run: getattr(run, "model", "") == "mlp"),
    ("regularization", lambda run: True),
    ("dual_head", lambda run: True),
    ("deep_linear", lambda run: True),
    ("linguistic_tokens", lambda run: True),
    ("federated", lambda run: run.NAME == "xiao2024.image_loop"),
    ("grammar", lambda run: True),
    ("linguistic_scaling", lambda run: run.depth <= 8),
    ("linguistic_scaling", lambda run: True),
    ("mixup_networks", lambda run: run.seed == 0),
    ("mixup_networks", lambda run: True),
)

Task = namedtuple("Task", "study index run")


def pending(profile="paper", queue=QUEUE):
    """The tasks of the queue that are not stored, each once: those that need a GPU, and at other profiles all."""
    found = {}
    for study, chosen in queue:
        for index, run in enumerate(pages.study(study).runs(profile)):
            if (profile != "paper" or run.needs_gpu()) and chosen(run) and store.find(run) is None:
                found.setdefault(run.key(), Task(study, index, run))
    return list(found.values())


def work(tasks, profile, device, jobs, seconds, say=print):
    """Do tasks in processes of their own, `jobs` at a time, for at most `seconds`; returns those not done.

    A task that fails is named with the last line it wrote, and the others go on. What runs at the end is stopped.
    """
    end, waiting, running, failed = time.monotonic() + seconds, list(tasks), {}, []
    logs = store.cache_folder() / "campaign"
    logs.mkdir(parents=True, exist_ok=True)
    while (waiting or running) and time.monotonic() < end:
        while waiting and len(running) < jobs:
            task = waiting.pop(0)
            running[_start(task, profile, device, logs)] = task, time.monotonic()
        for process in [process for process in running if process.poll() is not None]:
            task, start = running.pop(process)
            last = (_log(task, logs).read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no word"])[
                -1
            ]
            failed += [task] if process.returncode else []
            say(f"{'failed' if process.returncode else 'done'} {time.monotonic() - start:.0f} s  {_name(task)}  {last}")
        time.sleep(0.2)
    for process, (task, _) in running.items():
        process.terminate()
        process.wait()
        say(f"stopped  {_name(task)}")
    return [task for task, _ in running.values()] + failed + waiting


def _start(task, profile, device, logs):
    command = [sys.executable, "-m", "nclib", "run", task.study, "--profile", profile, "--index", str(task.index)]
    env = {"OMP_NUM_THREADS": "2", "TQDM_DISABLE": "1"} | os.environ
    with open(_log(task, logs), "w", encoding="utf-8") as log:
        return subprocess.Popen([*command, "--device", device], stdout=log, stderr=log, env=env)


def _log(task, logs):
    return Path(logs) / f"{task.run.key()}.log"


def _name(task):
    return f"{task.study} --index {task.index}"
