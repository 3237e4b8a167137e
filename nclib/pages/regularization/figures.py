"""Five settings of weight decay: NC1 and NC2 against epochs, and the change that each setting makes in the end."""

import numpy as np
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from nclib.plotting import MARKERS, PALETTE, figure, seed_band

SETTINGS = ["baseline", "2x last layer", "2x features", "0 last layer", "0 features"]
LABELS = {name: name.replace("2x", "2×") for name in SETTINGS}
MODELS = {"mlp-bn": "MLP, BN", "mlp": "MLP", "resnet18": "ResNet-18"}
LOSSES = {"mse": "MSE", "cross-entropy": "CE"}
SYMBOL = {"nc1": "NC1", "nc2": "NC2"}


def groups(rows):
    """{title: rows} for each network, base decay and loss, in the order of the rows."""
    return {
        f"{MODELS[model]}, {LOSSES[loss]}, $\\lambda = {lam:g}$": part
        for (model, lam, loss), part in rows.groupby(["model", "lam", "loss"], sort=False)
    }


def curves(rows):
    """Of `views.curves`: NC1 and NC2 against epochs, a row for each network and loss."""
    found = groups(rows)
    made, axes = figure(len(found), 2, height=3.0 * len(found) + 0.5, sharex="row")
    for row, (title, part) in zip(axes, found.items(), strict=True):
        for axis, (metric, symbol) in zip(row, SYMBOL.items(), strict=True):
            for s, setting in enumerate(SETTINGS):
                chosen = part[(part["metric"] == metric) & (part["setting"] == setting)]
                seed_band(axis, chosen, "step", label=LABELS[setting], index=s, log=metric == "nc1")
            axis.set(xlabel="epoch", ylabel=symbol)
        row[0].set_title(title, loc="left")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper center", ncols=3)
    return made


def effects(rows, *, metric):
    """Of `views.effects` with this metric: markers for seeds, bars for their geometric mean."""
    found = groups(rows)
    made, axes = figure(-(-len(found) // 2), 2, height=2.4 * -(-len(found) // 2) + 0.2, sharex=True, sharey=True)
    changed = SETTINGS[1:]
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    for axis, (title, part) in zip(axes.flat, found.items(), strict=False):
        for s, setting in enumerate(changed):
            style = {"color": PALETTE[s + 1], "marker": MARKERS[s + 1], "linestyle": "none", "markersize": 6}
            ratio = part.loc[part["setting"] == setting, "value"]
            axis.barh(s, np.exp(np.log(ratio).mean()) - 1, left=1, color=PALETTE[s + 1], alpha=0.35)
            axis.plot(ratio, [s] * len(ratio), **style)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set(xscale="log", title=title)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 4, 6, 8)))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_yticks(range(len(changed)), [LABELS[setting] for setting in changed])
        axis.set_ylim(len(changed) - 0.5, -0.5)
    for axis in axes.flat[len(found) - 2 : len(found)]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel(f"{SYMBOL[metric]} / {SYMBOL[metric]} of the baseline")
    return made
