"""Where a number comes from: figures published with the table and the manifests behind them."""

import hashlib
import io
import json

from nclib import results
from nclib.runs.manifest import commit, versions


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
