"""Timings of pytest-benchmark as tables: python benchmarks/table.py FILE.json [--output results/benchmarks].

For each benchmarks/bench_<name>.py in the file: <name>.csv, one row a timing with what the benchmark says of it
(`extra_info`), and <name>.json, which says where the numbers come from.
"""

import argparse
import hashlib
import json
from pathlib import Path

import pandas as pd

from nclib.runs import manifest, store

FIRST = ["test", "group", "name", "against", "sweep", "device", "threads", "rounds"]
LAST = ["ratio", "ratio_low", "ratio_high", "goal", "seconds", "reference_seconds"]


def tables(report):
    """{name: one row a timing} of a report of pytest-benchmark; what a timing does not say is empty."""
    found = {}
    for timing in report["benchmarks"]:
        file, test = timing["fullname"].split("::", 1)
        info = {"seconds": timing["stats"]["median"]} | timing["extra_info"]
        row = {"test": test, "group": timing["group"] or "", **info}
        found.setdefault(Path(file).stem.removeprefix("bench_"), []).append(row)
    return {name: _ordered(pd.DataFrame(rows)) for name, rows in found.items()}


def _ordered(table):
    sizes = sorted(set(table.columns) - {*FIRST, *LAST})
    return table.reindex(columns=[*FIRST, *sizes, *LAST])


def write(report, folder, command):
    """Write the tables of a report and their manifests below a folder; the paths of the tables."""
    head, dirty = manifest.commit()
    paths = []
    for name, table in tables(report).items():
        data = table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
        devices = sorted(table["device"].dropna().unique())
        note = {
            "name": name,
            "command": command,
            "commit": head,
            "dirty": dirty,
            "started": report["datetime"],
            "versions": manifest.versions(),
            "hardware": {device: manifest.hardware(device) for device in devices},
            "outputs": {f"{name}.csv": hashlib.sha256(data).hexdigest()},
        }
        store.write_atomic(folder / f"{name}.csv", data)
        store.write_atomic(folder / f"{name}.json", json.dumps(note, indent=1, sort_keys=True).encode() + b"\n")
        paths.append(folder / f"{name}.csv")
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("--output", type=Path, default=store.archive_folder() / "benchmarks")
    parser.add_argument("--command", default="make bench")
    given = parser.parse_args()
    for path in write(json.loads(given.report.read_text(encoding="utf-8")), given.output, given.command):
        print(path)


if __name__ == "__main__":
    main()
