"""The central path: the flow's monotone quantities, one proximal step, a start at which NC1 rises, and late rates."""

import numpy as np

from nclib.plotting import MARKERS, PALETTE, THEORY, figure
from nclib.results import indexed

RATIO = r"trace ratio $\widetilde{\mathrm{NC1}}$"


def flows(table, start):
    """Rows of the flows of one kind of start."""
    return table[(table["experiment"] == "tirer2023.central_path_flow") & (table["start"] == start)]


def series(rows, metric):
    """A row for each (seed, flow), a column for each time."""
    found = indexed(rows, metric).pivot(index=["seed", "i"], columns="j", values="value")
    return found.set_axis(list(rows["times"].iloc[0]), axis=1)


def lines(axis, curves, index):
    """Every row of a frame against its columns, thin, in one color."""
    axis.plot(np.array(curves.columns), curves.to_numpy().T, color=PALETTE[index], linewidth=0.7, alpha=0.5)


def monotone(table):
    """Over random starts: trace ratio, NC1, and the two traces times exp(2 lam_H t), each over its value at t = 0."""
    made, axes = figure(2, 2, height=6.0)
    rows = flows(table, "random")
    rows = rows[rows["lam_W"].isna()]
    lam_H = indexed(rows, "lam_H").set_index(["seed", "i"])["value"]
    panels = {
        "nc1_trace_ratio": (RATIO, 0.0),
        "within": (r"$e^{2\lambda_H t}\,\mathrm{tr}\,\Sigma_W$", 2.0),
        "between": (r"$e^{2\lambda_H t}\,\mathrm{tr}\,\Sigma_B$", 2.0),
        "nc1": ("NC1", 0.0),
    }
    for s, (axis, (metric, (label, power))) in enumerate(zip(axes.flat, panels.items(), strict=True)):
        curves = series(rows, metric)
        curves = curves * np.exp(power * np.outer(lam_H.loc[curves.index], curves.columns))
        lines(axis, curves.div(curves.iloc[:, 0], axis=0), s)
        axis.axhline(1, color="gray", linewidth=0.8)
        axis.set(xlabel="time $t$", ylabel=f"{label} / its start", yscale="log")
    return made


def derivative(table):
    """The closed derivative of log trace ratio against a measured one; a step's decay against the flow's derivative."""
    made, axes = figure(1, 2, height=3.4)
    rows = flows(table, "random")
    rows = rows[rows["lam_W"].isna()]
    ours, closed = (-indexed(rows, name)["value"].to_numpy() for name in ("difference", "slope"))
    axes[0, 0].plot(closed, ours, "o", color=PALETTE[0], markersize=4)
    ends = [closed.min(), closed.max()]
    axes[0, 0].plot(ends, ends, **THEORY)
    label = r"$-\frac{d}{dt}\log\widetilde{\mathrm{NC1}}$"
    axes[0, 0].set(xlabel=f"{label}, closed form", ylabel="measured on the flow", xscale="log", yscale="log")
    fall, _ = steps(table)
    rate = per_step(table, "rate").loc[fall.index]
    lines(axes[0, 1], np.log(fall).mul(np.array(fall.columns), axis=1).div(rate, axis=0), 1)
    axes[0, 1].axhline(1, **THEORY)
    axes[0, 1].set(
        xlabel=r"$\beta$ = 1 / size of the step", ylabel="decay of a step / flow's", xscale="log", ylim=(0, None)
    )
    return made


def steps(table):
    """(quotient of trace ratios, rows of the experiment): a row for each (seed, problem), a column for each beta."""
    rows = table[table["experiment"] == "tirer2023.central_path_step"]
    found = indexed(rows, "fall").pivot(index=["seed", "i"], columns="j", values="value")
    return found.set_axis(list(rows["betas"].iloc[0]), axis=1), rows


def per_step(table, metric):
    """A metric of each (seed, problem)."""
    return indexed(steps(table)[1], metric).set_index(["seed", "i"])["value"]


def step(table):
    """1 minus the quotient of trace ratios of one step (left), and the traces' quotients over their bound (right)."""
    made, axes = figure(1, 2, height=3.5)
    fall, rows = steps(table)
    constant = per_step(table, "constant").loc[fall.index].to_numpy()
    betas = np.array(fall.columns)
    beyond = betas[None, :] > constant[:, None]
    x = np.broadcast_to(betas, fall.shape)
    marks = (~beyond, 3, r"$\beta \leq C$"), (beyond, 0, r"$\beta > C$")
    for mask, index, label in marks:
        look = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": "none", "markersize": 3.5}
        axes[0, 0].plot(x[mask], 1 - fall.to_numpy()[mask], label=label, **look)
    for index, (metric, label) in enumerate(
        {"within": r"$\mathrm{tr}\,\Sigma_W$", "between": r"$\mathrm{tr}\,\Sigma_B$"}.items()
    ):
        values = indexed(rows, metric).pivot(index=["seed", "i"], columns="j", values="value").set_axis(betas, axis=1)
        lines(axes[0, 1], values, index + 1)
        axes[0, 1].lines[-1].set_label(label)
    axes[0, 1].axhline(1, **THEORY)
    axes[0, 0].set(ylabel=r"$1 - \widetilde{\mathrm{NC1}}(H)\,/\,\widetilde{\mathrm{NC1}}(H_0)$", yscale="log")
    axes[0, 1].set(ylabel=r"$(1 + \lambda_H/\beta)^2 \times$ that of $H$ / of $H_0$", yscale="log")
    for axis in axes.flat:
        axis.set(xlabel=r"$\beta$", xscale="log")
        legend = axis.legend()
        for handle in legend.legend_handles:
            handle.set(alpha=1, linewidth=1.8)
    return made


def rising(table):
    """NC1 and trace ratio along the path from the chosen start (left); NC1 of the skewed starts that rise (right)."""
    made, axes = figure(1, 2, height=3.4)
    rows = flows(table, "rising")
    for s, (metric, label) in enumerate({"nc1": "NC1", "nc1_trace_ratio": RATIO}.items()):
        curve = series(rows, metric).iloc[0]
        look = {"color": PALETTE[s], "marker": MARKERS[s], "markevery": 0.1, "markersize": 4}
        axes[0, 0].plot(curve.index, curve / curve.iloc[0], label=label, **look)
    axes[0, 0].set(xlabel="time $t$", ylabel="value / its start", yscale="log", title="three chosen classes")
    axes[0, 0].legend()
    curves = series(flows(table, "skewed"), "nc1")
    curves = curves.div(curves.iloc[:, 0], axis=0)
    rises = (np.log(curves).diff(axis=1).max(axis=1) > 1e-8).to_numpy()
    lines(axes[0, 1], curves[~rises].clip(lower=1e-4), 7)
    axes[0, 1].plot(np.array(curves.columns), curves[rises].to_numpy().T, color=PALETTE[3], linewidth=1.5)
    title = f"skewed random starts: {rises.sum()} of {len(rises)} rise"
    axes[0, 1].set(xlabel="time $t$", ylabel="NC1 / its start", yscale="log", title=title, ylim=(1e-4, None))
    for axis in axes.flat:
        axis.axhline(1, color="gray", linewidth=0.8)
    return made


def late(table):
    """Near collapse: three metrics against time, with their rates. Without feature regularization: powers of t."""
    made, axes = figure(1, 2, height=3.5)
    rows = flows(table, "near")
    rows = rows[rows["dim"] > rows["num_classes"]]
    lam_W, lam_H = rows["lam_W"].iloc[0], rows["lam_H"].iloc[0]
    s, c = np.sqrt(lam_H / lam_W), np.sqrt(lam_H * lam_W)
    laws = {
        "nc1": ("NC1", 2 * s),
        "nc1_trace_ratio": (RATIO, 2 * lam_H),
        "nc2": ("NC2", 4 * lam_H * (1 - c)),
    }
    for index, (metric, (label, rate)) in enumerate(laws.items()):
        mean = np.exp(np.log(series(rows, metric)).mean())
        t = np.array(mean.index)
        look = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": "none", "markersize": 4}
        axes[0, 0].plot(t, mean, label=label, **look)
        axes[0, 0].plot(t, mean.iloc[-1] * np.exp(rate * (t[-1] - t)), **THEORY)
    axes[0, 0].set(xlabel="time $t$", yscale="log", ylabel="metric", title="near collapse")
    axes[0, 0].legend(loc="lower left")
    free = flows(table, "random")
    free = free[free["lam_W"].notna()]
    lam_W = free["lam_W"].iloc[0]
    for index, (metric, label) in enumerate(
        {"mean_square": r"mean of $\|\bar h_k\|^2$", "nc1_trace_ratio": RATIO}.items()
    ):
        mean = np.exp(np.log(series(free, metric)).mean()).iloc[1:]
        t = np.array(mean.index)
        law = 2 * np.sqrt(lam_W * t) if metric == "mean_square" else mean.iloc[-1] * np.sqrt(t[-1] / t)
        look = {"color": PALETTE[index + 3], "marker": MARKERS[index + 3], "linestyle": "none", "markersize": 4}
        axes[0, 1].plot(t, mean, label=label, **look)
        axes[0, 1].plot(t[t > 1], law[t > 1], **THEORY)
    axes[0, 1].set(xlabel="time $t$", xscale="log", yscale="log", title=r"$\lambda_H = 0$")
    axes[0, 1].legend()
    return made
