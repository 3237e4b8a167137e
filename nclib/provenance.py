"""Where a number comes from: manifests of runs, and figures published with the table and the manifest behind them."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import io
import json
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime

from nclib import results

PACKAGES = ("numpy", "scipy", "pandas", "torch", "matplotlib", "seaborn", "scikit-learn", "nclib")


def commit():
    """The git commit of the project and whether the tree differs from it; (None, None) outside a repository."""
    try:
        git = ["git", "-C", str(results.ROOT)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head, bool(changed.strip())


def versions():
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def hardware(device):
    """The public model name of the device that a run used."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_memory(device):
    """Peak memory in MiB: of the process on a CPU, allocated by torch on a GPU."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@contextlib.contextmanager
def measure(config, device):
    """The manifest of the run in the body: complete when the body ends. The body may add what it knows (`data`)."""
    _, name = results.experiment(config)
    head, dirty = commit()
    seeds = [config.seed] if hasattr(config, "seed") else list(getattr(config, "seeds", []))
    manifest = {
        "experiment": name,
        "key": results.key(config),
        "version": results.experiment(config)[0].VERSION,
        "parameters": dataclasses.asdict(config),
        "command": f'python -c "from nclib import results; from nclib.experiments.{name} import Config; '
        f'results.get({str(config).replace(chr(34), chr(39))})"',
        "seeds": seeds,
        "commit": head,
        "dirty": dirty,
        "versions": versions(),
        "device": device,
        "hardware": hardware(device),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {},
    }
    start = time.perf_counter()
    yield manifest
    manifest["wall_seconds"] = round(time.perf_counter() - start, 3)
    manifest["peak_memory_mib"] = round(peak_memory(device), 1)


def png(figure, run):
    """A figure as PNG bytes, the same for the same figure and versions; `run` is embedded in the image's metadata."""
    buffer = io.BytesIO()
    metadata = {"Software": None, "nclib:run": run}
    figure.savefig(buffer, format="png", dpi=200, bbox_inches="tight", facecolor="white", metadata=metadata)
    return buffer.getvalue()


def publish(figure, table, name, profile="laptop"):
    """Write a figure, the table behind it and its manifest to `figures/` of the build folder; return it for display.

    figure: matplotlib Figure; it is closed. table: the rows it draws. name: the figure's label, "fig-<paper>-<what>".
    Writes `<name>.png` (deterministic; its metadata carry the run's id), `<name>.csv` and `<name>.json`.
    """
    import matplotlib.pyplot as plt
    from IPython.display import Image

    data = results.csv_bytes(table)
    identity = hashlib.sha256(data).hexdigest()[:16]
    image = png(figure, identity)
    plt.close(figure)
    head, dirty = commit()
    stored = run_manifests(table)
    manifest = {
        "figure": name,
        "profile": profile,
        "run": identity,
        "commit": head,
        "dirty": dirty,
        "versions": versions(),
        "runs": stored,
        "wall_seconds": round(sum(run["wall_seconds"] for run in stored), 3),
        "outputs": {f"{name}.png": hashlib.sha256(image).hexdigest(), f"{name}.csv": hashlib.sha256(data).hexdigest()},
    }
    folder = results.build_folder() / "figures"
    results.write_atomic(folder / f"{name}.png", image)
    results.write_atomic(folder / f"{name}.csv", data)
    results.write_atomic(folder / f"{name}.json", json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
    return Image(image, format="png", metadata={"alt": name})


def run_manifests(table):
    """The manifests of the stored runs behind a table."""
    pairs = table[["experiment", "config"]].drop_duplicates().itertuples(index=False) if "config" in table else []
    folders = [results.entry(name, run) for name, run in pairs]
    return [json.loads((folder / "manifest.json").read_text()) for folder in folders if folder]
