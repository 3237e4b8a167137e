"""Rows of `views` -> figures of page 16."""

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above, nothing, places

BETWEEN = {"color": "gray", "alpha": 0.15, "linewidth": 0}
COLORS = {"sparse ETF": 0, "dense ETF": 1, "descent": 2}


def shares(rows):
    """Of `views.shares`: a panel for each shape, mean over seeds and the formula."""
    shapes = list(rows.groupby(["K", "d"]))
    columns = min(3, len(shapes))
    made, axes = figure(-(-len(shapes) // columns), columns, sharex=True, sharey=True)
    for axis, ((K, d), part) in zip(axes.flat, shapes, strict=False):
        mean = part.groupby("beta")[["value", "theory"]].mean()
        axis.plot(mean.index, mean["value"], color=PALETTE[0], marker=MARKERS[0], ls="", ms=6, label="solved")
        axis.plot(mean.index, mean["theory"], **THEORY, label="formula")
        axis.set(title=f"$K={K}$, $d={d}$", ylim=(-0.05, 1.05))
    for axis in axes[-1]:
        axis.set_xlabel(r"share of zeros $\beta$")
    for row in axes:
        row[0].set_ylabel("share of masks")
    legend_above(made)
    return made


def angles(rows):
    """Of `views.angles`: a panel for each shape, a line for each way."""
    shapes = list(rows.groupby(["K", "d"]))
    made, axes = figure(1, len(shapes), height=3.2, sharey=True)
    place = places(rows["way"])
    for axis, ((K, d), part) in zip(axes[0], shapes, strict=True):
        for way, line in part.groupby("way"):
            style = {"color": PALETTE[place[way]], "marker": MARKERS[place[way]], "markevery": 0.2, "ms": 4}
            axis.plot(line["index"] / max(part["index"].max(), 1), line["value"].clip(lower=1e-15), label=way, **style)
        axis.set(yscale="log", title=f"$K={K}$, $d={d}$", xlabel="quantile of the pairs")
        nothing(axis, part["value"], log=True)
    axes[0, 0].set_ylabel("|angle − ideal|, degrees")
    legend_above(made)
    return made


def norms(rows):
    """Of `views.norms`: a panel for each K, descent in color, the law dashed."""
    made, axes = figure(1, rows["K"].nunique(), height=3.4)
    place = places(rows["t"])
    for axis, (K, part) in zip(axes[0], rows.groupby("K"), strict=True):
        for t, line in part.groupby("t"):
            line = line.sort_values("n")
            style = {"color": PALETTE[place[t]], "marker": MARKERS[place[t]], "markevery": max(1, K // 10), "ms": 5}
            axis.plot(line["n"], line["value"], ls="", label=f"$t={t:.0f}$", **style)
            axis.plot(line["n"], line["theory"], **THEORY)
        axis.set(xscale="log", yscale="log", title=f"$K={K}$", xlabel="class size $n_k$")
    axes[0, 0].set_ylabel("norm $|w_k|$")
    legend_above(made)
    return made


def exponents(rows):
    """Of `views.exponents`: a row for each K, the law and descent at the left, the logs at the right."""
    sizes = sorted(rows["K"].unique())
    made, axes = figure(len(sizes), 2, sharey="row")
    for row, K in zip(axes, sizes, strict=True):
        part = rows[rows["K"] == K]
        law = part[part["line"] == "law"].sort_values("x")
        row[0].plot(law["x"], law["value"], **THEORY, label="law")
        for name, index in COLORS.items():
            axis, style = row[0] if name == "descent" else row[1], {"color": PALETTE[index], "marker": MARKERS[index]}
            for s, (_, line) in enumerate(part[part["line"] == name].groupby("source")):
                ls = "" if name == "descent" else "-"
                axis.plot(line["x"], line["value"], ls=ls, lw=1, ms=4, label=None if s else name, **style)
        for axis in row:
            axis.axhspan(part["low"].max(), part["high"].max(), **BETWEEN)
            axis.set_xscale("log")
        row[0].set(ylabel="exponent of the norms", title=f"$K={K}$, fixed features")
        row[1].set_title(f"$K={K}$, the logs")
    axes[-1, 0].set_xlabel("time $t$")
    axes[-1, 1].set_xlabel("round")
    legend_above(made)
    return made
