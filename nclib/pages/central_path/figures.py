"""Rows of `views` -> figures of page 07."""

import numpy as np

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, nothing

RATIO = r"trace ratio $\widetilde{\mathrm{NC1}}$"


def lines(axis, rows, index, x="t", low=None):
    """Every flow against time (or `x`), thin, in one color; values below `low` are drawn there."""
    curves = rows.pivot(index=["seed", "flow"], columns=x, values="value").clip(lower=low)
    axis.plot(np.array(curves.columns), curves.to_numpy().T, color=PALETTE[index], linewidth=0.7, alpha=0.5)


def monotone(rows):
    """Of `views.monotone`."""
    made, axes = figure(2, 2, height=6.0)
    panels = {
        "nc1_trace_ratio": RATIO,
        "within": r"$e^{2\lambda_H t}\,\mathrm{tr}\,\Sigma_W$",
        "between": r"$e^{2\lambda_H t}\,\mathrm{tr}\,\Sigma_B$",
        "nc1": "NC1",
    }
    for s, (axis, (metric, label)) in enumerate(zip(axes.flat, panels.items(), strict=True)):
        part = rows[rows["metric"] == metric]
        if not nothing(axis, part["value"], log=True):
            lines(axis, part, s)
        axis.axhline(1, color="gray", linewidth=0.8)
        axis.set(xlabel="time $t$", ylabel=f"{label} / its start", yscale="log")
    return made


def derivative(rows):
    """Of `views.derivative`: the flow (left), a step (right)."""
    made, axes = figure(1, 2, height=3.4)
    points = rows[rows["panel"] == "flow"]
    if not nothing(axes[0, 0], points["value"], log=True):
        axes[0, 0].plot(points["x"], points["value"], "o", color=PALETTE[0], markersize=4)
        ends = [points["x"].min(), points["x"].max()]
        axes[0, 0].plot(ends, ends, **THEORY)
    label = r"$-\frac{d}{dt}\log\widetilde{\mathrm{NC1}}$"
    axes[0, 0].set(xlabel=f"{label}, closed form", ylabel="measured on the flow", xscale="log", yscale="log")
    decay = rows[rows["panel"] == "step"]
    if not nothing(axes[0, 1], decay["value"]):
        lines(axes[0, 1], decay, 1, "x")
    axes[0, 1].axhline(1, **THEORY)
    axes[0, 1].set(
        xlabel=r"$\beta$ = 1 / size of the step", ylabel="decay of a step / flow's", xscale="log", ylim=(0, None)
    )
    return made


def step(rows):
    """Of `views.step`: the quotient of trace ratios (left), and of the traces over their bound (right)."""
    made, axes = figure(1, 2, height=3.5)
    loss = rows[rows["metric"] == "loss"]
    curves = {"within": r"$\mathrm{tr}\,\Sigma_W$", "between": r"$\mathrm{tr}\,\Sigma_B$"}
    empty = nothing(axes[0, 0], loss["value"], log=True)
    for past, index, label in () if empty else ((False, 3, r"$\beta \leq C$"), (True, 0, r"$\beta > C$")):
        part = loss[loss["beyond"] == past]
        look = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": "none", "markersize": 3.5}
        axes[0, 0].plot(part["beta"], part["value"], label=label, **look)
    empty = nothing(axes[0, 1], rows.loc[rows["metric"] != "loss", "value"], log=True)
    for index, (metric, label) in enumerate(() if empty else curves.items()):
        lines(axes[0, 1], rows[rows["metric"] == metric], index + 1, "beta")
        axes[0, 1].lines[-1].set_label(label)
    axes[0, 1].axhline(1, **THEORY)
    axes[0, 0].set(ylabel=r"$1 - \widetilde{\mathrm{NC1}}(H)\,/\,\widetilde{\mathrm{NC1}}(H_0)$", yscale="log")
    axes[0, 1].set(ylabel=r"$(1 + \lambda_H/\beta)^2 \times$ that of $H$ / of $H_0$", yscale="log")
    for axis in axes.flat:
        axis.set(xlabel=r"$\beta$", xscale="log")
        legend = axis.legend() if axis.get_legend_handles_labels()[0] else None
        for handle in legend.legend_handles if legend else ():
            handle.set(alpha=1, linewidth=1.8)
    return made


def rising(rows):
    """Of `views.rising`: the chosen start (left); the skewed starts, those that rise in color (right)."""
    made, axes = figure(1, 2, height=3.4)
    chosen, skewed = (rows[rows["start"] == start] for start in ("rising", "skewed"))
    empty = nothing(axes[0, 0], chosen["value"], log=True)
    for s, (metric, label) in enumerate({"nc1": "NC1", "nc1_trace_ratio": RATIO}.items()):
        curve = chosen[(chosen["metric"] == metric) & np.isfinite(chosen["value"])]
        if curve.empty:
            continue
        look = {"color": PALETTE[s], "marker": MARKERS[s], "markevery": 0.1, "markersize": 4}
        axes[0, 0].plot(curve["t"], curve["value"], label=label, **look)
    axes[0, 0].set(xlabel="time $t$", ylabel="value / its start", yscale="log", title="three chosen classes")
    if not empty:
        axes[0, 0].legend()
    if not nothing(axes[0, 1], skewed["value"], log=True):
        lines(axes[0, 1], skewed[~skewed["rises"]], 7, low=1e-4)
    for _, curve in skewed[skewed["rises"]].groupby(["seed", "flow"]):
        axes[0, 1].plot(curve["t"], curve["value"], color=PALETTE[3], linewidth=1.5)
    flows = skewed.groupby(["seed", "flow"])["rises"].first()
    title = f"skewed random starts: {flows.sum()} of {len(flows)} rise"
    axes[0, 1].set(xlabel="time $t$", ylabel="NC1 / its start", yscale="log", title=title, ylim=(1e-4, None))
    for axis in axes.flat:
        axis.axhline(1, color="gray", linewidth=0.8)
    return made


def late(rows):
    """Of `views.late`: near collapse (left); without feature regularization (right)."""
    made, axes = figure(1, 2, height=3.5)
    names = {"nc1": "NC1", "nc1_trace_ratio": RATIO, "nc2": "NC2", "mean_square": r"mean of $\|\bar h_k\|^2$"}
    near = rows["start"] == "near"
    empty = [nothing(axis, rows.loc[of, "value"], log=True) for axis, of in zip(axes.flat, (near, ~near), strict=True)]
    for index, ((start, metric), part) in enumerate(rows.groupby(["start", "metric"], sort=False)):
        if empty[start != "near"]:
            continue
        axis = axes[0, 0] if start == "near" else axes[0, 1]
        look = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": "none", "markersize": 4}
        axis.plot(part["t"], part["value"], label=names[metric], **look)
        law = part[part["theory"].notna()]
        axis.plot(law["t"], law["theory"], **THEORY)
    axes[0, 0].set(xlabel="time $t$", yscale="log", ylabel="metric", title="near collapse")
    if not empty[0]:
        axes[0, 0].legend(loc="lower left")
    axes[0, 1].set(xlabel="time $t$", xscale="log", yscale="log", title=r"$\lambda_H = 0$")
    if not empty[1]:
        axes[0, 1].legend()
    return made
