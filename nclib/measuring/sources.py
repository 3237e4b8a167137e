"""The formulas of public codebases side by side, as a table, JSON and CSV."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pandas as pd

from nclib import conventions, rosetta
from nclib.measuring.report import number
from nclib.runs.store import csv_bytes

FAMILIES = {
    "nc1": "NC1, tr(Sw Sb^+)",
    "nc1t": "NC1, traces",
    "cdnv": "Class-distance normalized variance",
    "norm": "NC2, lengths",
    "angle": "NC2, angles",
    "gnc2": "NC2, distances of directions",
    "etf": "NC2, distance from a simplex",
    "of": "NC2, distance from an orthogonal frame",
    "nc3": "NC3, classifier and means",
    "nc4": "NC4",
}


@dataclass(frozen=True)
class Compared:
    """values {formula: value} in the order of the table; settings, JSON-able."""

    values: dict[str, float]
    settings: dict


def compared(stats, W=None, bias=None, agreement=None, *, preset="all", settings=None) -> Compared:
    """What `conventions.measure` gives for a preset of `nclib.rosetta`, with what a reader must know."""
    values = conventions.measure(stats, W, preset=preset, bias=bias, agreement=agreement)
    K, present = len(stats.counts), int(stats.present.sum())
    counted = {"classes": present, "absent classes": K - present, "samples": int(stats.counts.sum())}
    note = {} if preset == "all" or not rosetta.CODES[preset].note else {"note": rosetta.CODES[preset].note}
    return Compared(values, {"preset": preset, **counted, **(settings or {}), **note})


def table(found: Compared) -> str:
    """A row a formula under the name of its family, with the codebases that compute it."""
    rows = [[name, number(value), rosetta.described(name)] for name, value in found.values.items()]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines, family = [", ".join(f"{key} {value}" for key, value in found.settings.items() if value is not None)], None
    for row in rows:
        if row[0].partition(".")[0] != family:
            family = row[0].partition(".")[0]
            lines += ["", FAMILIES[family]]
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append(f"  {cells}  {', '.join(rosetta.users(row[0]))}".rstrip())
    return "\n".join(lines) + "\n"


def as_json(found: Compared) -> bytes:
    """{settings, values {formula: value}}: NaN is null, infinity the text "inf"."""
    values = {
        name: value if math.isfinite(value) else None if math.isnan(value) else str(value)
        for name, value in found.values.items()
    }
    return json.dumps({"settings": found.settings, "values": values}, indent=1).encode() + b"\n"


def as_csv(found: Compared) -> bytes:
    """A row a formula: its value, its text, the codebases that compute it."""
    rows = [
        {"formula": name, "value": value, "text": rosetta.described(name), "codes": " ".join(rosetta.users(name))}
        for name, value in found.values.items()
    ]
    return csv_bytes(pd.DataFrame(rows))
