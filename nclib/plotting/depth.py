"""Collapse against depth: networks trained layer by layer or all at once, and two exact models of depth."""

import numpy as np

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, seed_band

SYMBOL = {"nc1": "NC1", "nc1_trace_ratio": r"trace ratio $\widetilde{\mathrm{NC1}}$"}
MODES = {True: "layer by layer", False: "all at once"}
STARTS = {True: "near collapse", False: "random start"}
TITLES = {"digits": "digits", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}


def networks(table, *others):
    """{title: rows of the networks}, one for each data set of the tables, in their order."""
    groups = {}
    for rows in (table, *others):
        nets = rows[rows["experiment"] == "tirer2023.depth_network"]
        for data in dict.fromkeys(nets["data"] if len(nets) else []):
            part = nets[(nets["data"] == data) & (nets["source"] == "measured")]
            groups.setdefault(TITLES[data], part.assign(layer=part["layer"].astype(int)))
    return groups


def layers(table, *others):
    """NC1 and trace ratio of the features of each layer, for both ways of training; a row for each data set."""
    groups = networks(table, *others)
    made, axes = figure(len(groups), 2, height=3.0 * len(groups))
    for row, (title, rows) in zip(axes, groups.items(), strict=True):
        for axis, (metric, symbol) in zip(row, SYMBOL.items(), strict=True):
            for s, (mode, label) in enumerate(MODES.items()):
                part = rows[(rows["metric"] == metric) & (rows["layerwise"] == mode)]
                seed_band(axis, part, "layer", label=label, index=s)
            axis.set(xlabel="hidden layer $l$ (0: the images)", ylabel=symbol, title=title)
    axes[0, 0].legend()
    return made


def ratios(table):
    """NC1(l)/NC1(l-1): of the networks (left) and of the layer-by-layer model (right), with its law dashed."""
    made, axes = figure(1, 2, height=3.4, sharey=True)
    (rows,) = networks(table).values()
    for s, (mode, label) in enumerate(MODES.items()):
        part = rows[(rows["metric"] == "nc1") & (rows["layerwise"] == mode)]
        seed_band(axes[0, 0], steps(part), "layer", label=label, index=s, log=False)
    for s, (near, label) in enumerate(STARTS.items()):
        part = model(table, "layerwise", near)
        part = part[part["metric"] == "nc1"]
        measured = part[part["source"] == "measured"]
        seed_band(axes[0, 1], steps(measured), "layer", label=label, index=s + 2, log=False)
        if near:
            law = steps(part[part["source"] == "theory"])["value"].mean()
            axes[0, 1].axhline(law, label=r"$(1+s/\beta)^{-2}$", **THEORY)
    axes[0, 0].set(xlabel="hidden layer $l$", ylabel=r"$\mathrm{NC1}(l)\,/\,\mathrm{NC1}(l-1)$", title="networks")
    axes[0, 1].set(xlabel="layer $l$", title="model, layer by layer")
    for axis in axes.flat:
        axis.axhline(1, color="gray", linewidth=0.8)
        axis.set_ylim(bottom=0)
        axis.legend(loc="lower left")
    return made


def models(table):
    """NC1(l)/NC1(0) near collapse in the two models: on a logarithmic axis, and its square root on a linear one."""
    made, axes = figure(1, 2, height=3.4)
    for s, (coupling, label) in enumerate({"layerwise": "layer by layer", "chain": "all at once"}.items()):
        part = model(table, coupling, True)
        part = part[(part["metric"] == "nc1") & (part["layer"] <= chain_length(table))]
        first = part[(part["layer"] == 0) & (part["source"] == "measured")].set_index("seed")["value"]
        part = part.assign(value=part["value"] / part["seed"].map(first))
        for axis, power in zip(axes.flat, (1.0, 0.5), strict=True):
            measured, law = (part[part["source"] == source] for source in ("measured", "theory"))
            style = {"color": PALETTE[s], "marker": MARKERS[s], "linestyle": "none", "markersize": 6}
            axis.plot(measured["layer"], measured["value"] ** power, label=label, **style)
            mean = law.groupby("layer")["value"].mean() ** power
            axis.plot(mean.index, mean, **THEORY)
    labels = r"$\mathrm{NC1}(l)\,/\,\mathrm{NC1}(0)$", r"$[\,\mathrm{NC1}(l)\,/\,\mathrm{NC1}(0)\,]^{1/2}$"
    for axis, label in zip(axes.flat, labels, strict=True):
        axis.set(xlabel="layer $l$", ylabel=label)
    axes[0, 0].set_yscale("log")
    axes[0, 1].set_ylim(0, 1.05)
    axes[0, 1].legend()
    return made


def model(table, coupling, near):
    """Rows of one model, with the layer as an integer."""
    rows = table[(table["experiment"] == "tirer2023.depth_chain") & (table["coupling"] == coupling)]
    rows = rows[rows["noise"].notna() == near]
    return rows.assign(layer=rows["layer"].astype(int))


def chain_length(table):
    """The number of layers of the chain."""
    return model(table, "chain", True)["layer"].max()


def steps(rows):
    """Rows of one metric with its value at a layer over that at the layer before, from layer 1 on."""
    wide = rows.pivot(index="layer", columns="seed", values="value").sort_index()
    ratios = np.exp(np.log(wide).diff()).iloc[1:]
    return ratios.melt(ignore_index=False).reset_index()
