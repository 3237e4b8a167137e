"""What a measurement says: values, intervals, nulls and a paragraph, as a table, JSON, CSV and a figure."""

from __future__ import annotations

import io
import json
import math
import textwrap
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from nclib import bootstrap, conventions, metrics, nulls
from nclib.plotting import report as plot
from nclib.reading import how_collapsed, reading
from nclib.runs.store import csv_bytes
from nclib.statistics import ClassStatistics

FIGURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Report:
    """values {metric: value}; intervals {metric: (low, high)}; null, of unrelated directions, {metric: value, and
    metric_sd}; shuffled {metric: value} under shuffled labels; reading, a paragraph; settings, JSON-able."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    null: dict[str, float]
    shuffled: dict[str, float]
    reading: str
    settings: dict


def report(
    stats: ClassStatistics,
    W: Tensor | None = None,
    *,
    preset="textbook",
    agreement=None,
    shuffled: ClassStatistics | None = None,
    draws=0,
    settings=None,
    pairs="auto",
) -> Report:
    """Values in a convention of `conventions.PRESETS`, beside their nulls; draws > 0: 95 % intervals over classes.

    pairs as in `conventions.measure`; numbers of a sample of pairs have a standard error and no interval.
    """
    values = conventions.measure(stats, W, preset=preset, agreement=agreement, pairs=pairs)
    sample = conventions.sampled(stats, pairs)
    settings = {"preset": preset, **(settings or {}), **({"pairs": "a sample of 1,048,576"} if sample else {})}
    null = directions(stats, preset)
    keys = [key for key in values if key in bootstrap.KEYS and f"{key}_error" not in values] if sample else None
    intervals = bootstrap.intervals(stats, W, preset=preset, draws=draws, keys=keys) if draws else {}
    other = {} if shuffled is None else conventions.measure(shuffled, W, preset=preset, pairs=pairs)
    words = reading(values, null, preset=preset) if null else "One dimension has no directions to speak of."
    if stats.scatter is not None and (rank := metrics.mean_rank(stats)) and rank[0] < rank[1]:
        words += (
            f" The class means span {rank[0]} of the {rank[1]} dimensions that they could: NC1 with directions "
            "(nc1) is inf or made of rounding, read nc1_trace_ratio."
        )
    return Report(values, intervals, null, other, words, settings)


def directions(stats: ClassStatistics, preset: str) -> dict[str, float]:
    """`nulls.uniform_directions` of the size of `stats`: for what the preset centers, of centered directions.

    Empty in one dimension. "classes" and "dimension" give the size.
    """
    rule, K, d = conventions.find_preset(preset), int(stats.present.sum()), stats.means.shape[1]
    if d < 2:
        return {}
    null, centered = nulls.uniform_directions(K, d), nulls.uniform_directions(K, d, centered=True)
    if not rule.gnc2_centered:
        centered = {key: value for key, value in centered.items() if not key.startswith("gnc2")}
    null |= centered
    return null if rule.cosines else {key: value for key, value in null.items() if not key.startswith("interference")}


def first(found: Report) -> list[str]:
    """The metrics of NC1 to NC4 that a reader came for, of those that were measured."""
    nc1 = "nc1" if "nc1" in found.values else "nc1_trace_ratio"
    return [key for key in (nc1, "etf_error", "nc3", "ncc_agreement") if key in found.values]


def table(found: Report) -> str:
    """The report as text: NC1 to NC4 and how collapsed that is, under a rule a row for each other one, the reading."""
    head = ["metric", "value"]
    head += ["95 % over classes"] if found.intervals else []
    head += ["unrelated"] + (["shuffled"] if found.shuffled else []) + ["meaning"]
    rows = [head]
    top = first(found)
    for key in [*top, *(key for key in found.values if key not in top)]:
        row = [key, number(found.values[key])]
        if found.intervals:
            row.append(" .. ".join(map(number, found.intervals[key])) if key in found.intervals else "")
        row.append(number(found.null[key]) if key in found.null and key != "classes" else "")
        if found.shuffled:
            row.append(number(found.shuffled[key]) if key in found.shuffled else "")
        rows.append([*row, _meaning(key)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    settings = ", ".join(f"{key} {value}" for key, value in found.settings.items() if value is not None)
    rule, seen = "-" * min(max(map(len, lines)), 120), len(top) + 1
    lines = [*lines[:seen], "", how_collapsed(found.values, found.null), rule, *lines[seen:]]
    return "\n".join([settings, "", *lines, "", textwrap.fill(found.reading, 120)])


def _meaning(key):
    return conventions.DESCRIPTIONS.get(key) or conventions.SAMPLED[key]


def number(value: float) -> str:
    """Four significant digits; whole numbers as they are."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}"


def as_json(found: Report) -> bytes:
    """The report as JSON: NaN is null, infinity the text "inf"."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None if math.isnan(value) else str(value)
        return value

    fields = ("settings", "values", "intervals", "null", "shuffled", "reading")
    return (
        json.dumps({name: plain(getattr(found, name)) for name in fields}, indent=1, allow_nan=False).encode() + b"\n"
    )


def as_csv(found: Report) -> bytes:
    """The report as CSV with 17 digits: a row a metric, an empty cell where something is not known."""
    unknown = (math.nan, math.nan)
    rows = [
        {
            "metric": key,
            "value": value,
            "low": found.intervals.get(key, unknown)[0],
            "high": found.intervals.get(key, unknown)[1],
            "null": found.null.get(key, math.nan),
            "null_sd": found.null.get(f"{key}_sd", math.nan),
            "shuffled": found.shuffled.get(key, math.nan),
            "meaning": _meaning(key),
        }
        for key, value in found.values.items()
    ]
    return csv_bytes(pd.DataFrame(rows))


def draw(found: Report, kind: str) -> bytes:
    """The figure of a report as a file of a kind in FIGURES, without its dot."""
    from matplotlib import pyplot, rc_context

    made, file = plot.report(found.values, found.null, found.intervals), io.BytesIO()
    with rc_context({"svg.hashsalt": "nclib"}):
        made.savefig(
            file, format=kind, metadata={"png": None, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        )
    pyplot.close(made)
    return file.getvalue()
