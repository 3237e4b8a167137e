"""The manifest of a run: its command, parameters, seeds, commit, versions, hardware, time and memory."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = ("numpy", "scipy", "pandas", "torch", "matplotlib", "seaborn", "scikit-learn", "neural-collapse")

_checkout = Path(__file__).resolve().parents[2]
ROOT = _checkout if (_checkout / "pyproject.toml").exists() else Path.cwd()


def commit() -> tuple[str | None, bool | None]:
    """Return (commit, dirty): the git commit of the project, and whether the working tree differs from it.

    Changes below `results/`, to which runs add, do not count. Outside a repository both are None.
    """
    try:
        # without a lock: a process that is killed in between would leave it in the repository
        git = ["git", "--no-optional-locks", "-C", str(ROOT)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = [*git, "status", "--porcelain", "--", ".", ":(exclude)results"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head, bool(changed.strip())


@functools.cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages on which the numbers depend. They are looked up once."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def hardware(device) -> str:
    """The model name of the device that a run uses."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def threads() -> int:
    """The number of threads that torch uses. Sums are rounded differently with another number."""
    import torch

    return torch.get_num_threads()


def peak_memory(device) -> float:
    """Peak memory in MiB: on a CPU that of the process, on a GPU what torch allocated."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@contextlib.contextmanager
def manifest_of(run, device) -> "Iterator[dict]":  # noqa: F821
    """A context manager that yields the manifest of the run that is done in its body.

    When the body ends, time and memory are added. The body may add what it knows, such as `data`.
    """
    head, dirty = commit()
    seeds = [run.seed] if hasattr(run, "seed") else list(getattr(run, "seeds", []))
    manifest = {
        "experiment": run.NAME,
        "key": run.key(),
        "version": run.VERSION,
        "parameters": dataclasses.asdict(run),
        "command": f'python -c "from nclib.runs import work; from {type(run).__module__} import '
        f'{type(run).__name__}; work.get({str(run).replace(chr(34), chr(39))})"',
        "seeds": seeds,
        "commit": head,
        "dirty": dirty,
        "versions": versions(),
        "device": device,
        "threads": threads(),
        "hardware": hardware(device),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {},
    }
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    yield manifest
    manifest["wall_seconds"] = round(time.perf_counter() - start, 3)
    manifest["peak_memory_mib"] = round(peak_memory(device), 1)
