"""The archived timings of the measures (`make bench`): ratios to what they must do at least, and how time grows."""

import json
import math

import numpy as np
import pandas as pd

from nclib.runs import store

COLUMNS = ["group", "name", "against", "sweep", "device", "threads", "rounds", "K", "d", "N"]
TIMES = ["ratio", "ratio_low", "ratio_high", "goal", "seconds", "reference_seconds"]
DOUBLE, SINGLE = "half matrix product in float64", "half matrix product in float32"
# Bounds on time over that of the reference, from one run on one thread; set before the runs.
GOALS = {
    "update.uniform": ("update, uniform labels", "index_add_ in float64", 5.0),
    "update.zipf": ("update, zipf labels", "index_add_ in float64", 5.0),
    "update.one-hot": ("update, zipf labels", "one-hot product in float32", 0.01),
    "cdnv": ("cdnv_summary", DOUBLE, 1.5),
    "cdnv.float32": ("cdnv_summary", SINGLE, 2.5),
    "gnc2": ("hyperspherical_uniformity", DOUBLE, 1.5),
    "gnc2.float32": ("hyperspherical_uniformity", SINGLE, 2.5),
    "nc4": ("ncc_agreement", "its two products in float64", 1.3),
}
# What counting operations says of the exponents of time in N, K and d.
EXPONENTS = {
    "update": {"N": 1, "K": 0, "d": 1},
    "cdnv_summary": {"K": 2, "d": 1},
    "hyperspherical_uniformity": {"K": 2, "d": 1},
    "interference": {"K": 1, "d": 2},
    "ncc_agreement": {"N": 1, "K": 1, "d": 1},
}


def read(name="measure"):
    """(timings, one row each; what is said of the machine) of results/benchmarks, empty where there are none."""
    folder = store.archive_folder() / "benchmarks"
    if not (folder / f"{name}.csv").exists():
        return pd.DataFrame(columns=COLUMNS + TIMES), {}
    table = pd.read_csv(folder / f"{name}.csv").reindex(columns=COLUMNS + TIMES)
    return table[table["device"] == "cpu"], json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def machine(manifest):
    """Where and when the timings were made, in a sentence of Markdown."""
    from IPython.display import Markdown

    if not manifest:
        return Markdown("No timings are archived yet: `make bench` makes them.")
    version, day = manifest["versions"]["torch"], manifest["started"][:10]
    changed = ", with changes," if manifest["dirty"] else ""
    return Markdown(
        f"One thread, {manifest['hardware']['cpu']}, torch {version}, on {day}; "
        f"commit `{(manifest['commit'] or 'unknown')[:10]}`{changed} `results/benchmarks/{manifest['name']}.csv`."
    )


def ratios(table):
    """The timings that have a reference, for a reader: ratio with its quartiles, and the goal."""
    lines = [
        {
            "what": row.name,
            "against": row.against,
            "K": f"{row.K:,.0f}",
            "d": f"{row.d:,.0f}",
            "N": "" if math.isnan(row.N) else f"{row.N:,.0f}",
            "seconds": f"{row.seconds:.3g}",
            "ratio": f"{row.ratio:.3g}",
            "quartiles": f"{row.ratio_low:.3g} to {row.ratio_high:.3g}",
            "goal": "" if math.isnan(row.goal) else f"{row.goal:.3g}",
        }
        for row in table[table["ratio"].notna()].itertuples(index=False)
    ]
    columns = ["what", "against", "K", "d", "N", "seconds", "ratio", "quartiles", "goal"]
    return pd.DataFrame(lines, columns=columns).set_index("what")


def growth(table):
    """The timings of the sweeps: columns name, sweep (N, K or d), size, seconds."""
    rows = table[table["sweep"].notna()]
    sizes = [getattr(row, row.sweep) for row in rows.itertuples()]
    return rows.assign(size=np.array(sizes, dtype=float))[["name", "sweep", "size", "seconds"]].reset_index(drop=True)


def slopes(table):
    """Exponents of time in each size: least squares on logarithms, and what counting operations says."""
    lines = []
    for (name, sweep), rows in growth(table).groupby(["name", "sweep"], sort=False):
        fitted = np.polyfit(np.log(rows["size"].to_numpy()), np.log(rows["seconds"].to_numpy()), 1)[0]
        counted = EXPONENTS.get(name, {}).get(sweep, math.nan)
        lines.append({"name": name, "sweep": sweep, "slope": float(fitted), "counted": counted})
    return pd.DataFrame(lines, columns=["name", "sweep", "slope", "counted"])
