"""What the figures of depth draw: tables -> rows. `line`: the way of training, or the start of a model."""

import numpy as np
import pandas as pd

MODES = {True: "layer by layer", False: "all at once"}
STARTS = {True: "near collapse", False: "random start"}


def networks(*tables):
    """Rows of the networks, the layer as a number; each data set once, of the first table that has it."""
    found, seen = [], set()
    for table in tables:
        rows = table[(table["experiment"] == "tirer2023.depth_network") & (table["source"] == "measured")]
        rows = rows[~rows["data"].isin(seen)] if len(rows) else rows
        if len(rows):
            seen |= set(rows["data"])
            found.append(rows.assign(layer=rows["layer"].astype(int), line=rows["layerwise"].map(MODES)))
    return pd.concat(found)


def layers(*tables):
    """NC1 and trace ratio of the features of each layer, for both ways of training and each data set."""
    rows = networks(*tables)
    rows = rows[rows["metric"].isin(["nc1", "nc1_trace_ratio"])]
    return rows[["data", "metric", "line", "seed", "layer", "value"]]


def ratios(table):
    """NC1(l)/NC1(l-1) by panel: "networks", and the layer-by-layer "model" with its law near collapse."""
    rows = networks(table)
    rows = rows[rows["metric"] == "nc1"]
    found = [steps(rows[rows["line"] == line], line=line, panel="networks") for line in MODES.values()]
    for near, line in STARTS.items():
        part = model(table, "layerwise", near)
        part = part[part["metric"] == "nc1"]
        for source in ("measured", "theory") if near else ("measured",):
            found.append(steps(part[part["source"] == source], line=line, panel="model", source=source))
    return pd.concat(found)


def models(table):
    """NC1(l)/NC1(0) near collapse in the two models, as many layers as the chain has, measured and predicted."""
    end, found = model(table, "chain", True)["layer"].max(), []
    for coupling, line in {"layerwise": MODES[True], "chain": MODES[False]}.items():
        part = model(table, coupling, True)
        part = part[(part["metric"] == "nc1") & (part["layer"] <= end)]
        first = part[(part["layer"] == 0) & (part["source"] == "measured")].set_index("seed")["value"]
        found.append(part.assign(value=part["value"] / part["seed"].map(first), line=line))
    return pd.concat(found)[["line", "source", "seed", "layer", "value"]]


def model(table, coupling, near):
    """Rows of one model, with the layer as an integer."""
    rows = table[(table["experiment"] == "tirer2023.depth_chain") & (table["coupling"] == coupling)]
    rows = rows[rows["noise"].notna() == near]
    return rows.assign(layer=rows["layer"].astype(int))


def steps(rows, *, line, panel, source="measured"):
    """Rows of one metric with its value at a layer over that at the layer before, from layer 1 on."""
    wide = rows.pivot(index="layer", columns="seed", values="value").sort_index()
    found = np.exp(np.log(wide).diff()).iloc[1:].melt(ignore_index=False).reset_index()
    return found.assign(line=line, panel=panel, source=source)[["panel", "line", "source", "seed", "layer", "value"]]
