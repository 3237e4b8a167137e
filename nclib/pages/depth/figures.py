"""Collapse against depth: networks trained layer by layer or all at once, and two exact models of depth."""

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, seed_band

SYMBOL = {"nc1": "NC1", "nc1_trace_ratio": r"trace ratio $\widetilde{\mathrm{NC1}}$"}
MODES = "layer by layer", "all at once"
TITLES = {"digits": "digits", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}


def layers(rows):
    """Of `views.layers`: a row for each data set."""
    groups = list(rows.groupby("panel", sort=False))
    made, axes = figure(len(groups), 2, height=3.0 * len(groups))
    for row, (data, found) in zip(axes, groups, strict=True):
        for axis, (metric, symbol) in zip(row, SYMBOL.items(), strict=True):
            for s, line in enumerate(MODES):
                part = found[(found["metric"] == metric) & (found["line"] == line)]
                seed_band(axis, part, "layer", label=line, index=s)
            axis.set(xlabel="hidden layer $l$ (0: the images)", ylabel=symbol, title=TITLES[data])
    axes[0, 0].legend()
    return made


def ratios(rows):
    """Of `views.ratios`: networks (left), and the layer-by-layer model (right) with its law dashed."""
    made, axes = figure(1, 2, height=3.4, sharey=True)
    for s, ((panel, line), part) in enumerate(rows.groupby(["panel", "line"], sort=False)):
        axis = axes[0, 0] if panel == "networks" else axes[0, 1]
        seed_band(axis, part, "layer", label=line, index=s, log=False)
        if part["theory"].notna().any():
            axis.axhline(part["theory"].mean(), label=r"$(1+s/\beta)^{-2}$", **THEORY)
    axes[0, 0].set(xlabel="hidden layer $l$", ylabel=r"$\mathrm{NC1}(l)\,/\,\mathrm{NC1}(l-1)$", title="networks")
    axes[0, 1].set(xlabel="layer $l$", title="model, layer by layer")
    for axis in axes.flat:
        axis.axhline(1, color="gray", linewidth=0.8)
        axis.set_ylim(bottom=0)
        axis.legend(loc="lower left")
    return made


def models(rows):
    """Of `views.models`: on a logarithmic axis, and the square root on a linear one."""
    made, axes = figure(1, 2, height=3.4)
    for s, line in enumerate(MODES):
        part = rows[rows["line"] == line]
        law = part.groupby("layer")["theory"].mean()
        for axis, power in zip(axes.flat, (1.0, 0.5), strict=True):
            style = {"color": PALETTE[s], "marker": MARKERS[s], "linestyle": "none", "markersize": 6}
            axis.plot(part["layer"], part["value"] ** power, label=line, **style)
            axis.plot(law.index, law**power, **THEORY)
    labels = r"$\mathrm{NC1}(l)\,/\,\mathrm{NC1}(0)$", r"$[\,\mathrm{NC1}(l)\,/\,\mathrm{NC1}(0)\,]^{1/2}$"
    for axis, label in zip(axes.flat, labels, strict=True):
        axis.set(xlabel="layer $l$", ylabel=label)
    axes[0, 0].set_yscale("log")
    axes[0, 1].set_ylim(0, 1.05)
    axes[0, 1].legend()
    return made
