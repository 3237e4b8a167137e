"""Models of a story grammar beside the exact distribution: excess loss, variance, determined and merged words."""

import numpy as np
from matplotlib.ticker import NullFormatter

from nclib.plotting import MARKERS, PALETTE, THEORY, figure

PARTS = {
    "between": "between classes",
    "ambiguity": "within: ambiguity",
    "rest": "within: not linear in $P$",
}
HATCHES = "", "//", ".."
SIDES = {
    "matched-determined": "determined contexts",
    "matched-ambiguous": "ambiguous contexts",
    "shuffled-determined": "dealt at random (two halves)",
    "shuffled-ambiguous": None,
}


def story(frame):
    """The exact probabilities of the likeliest next words at some positions of a story; frame: as of `model.story`."""
    made, axes = figure(2, 2, height=5.6)
    for axis, (_, rows) in zip(axes.flat, frame.groupby("position", sort=True), strict=True):
        came = rows["word"] == rows["came"]
        bars = axis.barh(rows["word"], rows["p"], color=[PALETTE[1] if hit else PALETTE[0] for hit in came])
        for bar, hit in zip(bars, came, strict=True):
            bar.set_hatch("//" if hit else "")
        axis.set(xlim=(0, 1.02), xlabel="exact probability $P$ of the next word")
        heading = (
            f"… {rows['context'].iloc[0]} ___\nnext: {rows['came'].iloc[0]}; entropy {rows['entropy'].iloc[0]:.2f}"
        )
        axis.set_title(heading, fontsize=10)
        axis.set_ylim(frame.groupby("position").size().max() - 0.4, -0.6)
        axis.grid(visible=False, axis="y")
    return made


def lines(axis, rows, index, label, *, log=True, style=None):
    """The mean over seeds against width (geometric where `log`), every seed as a small point, and the longer run as a
    large open marker."""
    to, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    rows, longer = rows[~rows["longer"]], rows[rows["longer"]]
    mean = rows.groupby("width")["value"].agg(lambda v: back(to(v).mean()))
    style = {"color": PALETTE[index], "marker": MARKERS[index]} | (style or {})
    axis.plot(mean.index, mean, label=label, markersize=5, **style)
    axis.plot(rows["width"], rows["value"], ".", color=style["color"], markersize=3)
    open_marker = {"markersize": 11, "linestyle": "none", "markerfacecolor": "none"}
    axis.plot(longer["width"], longer["value"], **style | open_marker)


def widths(axis, rows):
    """A logarithmic axis with the widths there are."""
    axis.set_xscale("log", base=2)
    found = sorted(rows["width"].unique())
    axis.set_xticks(found, [f"{width}" for width in found])
    axis.set_xlabel("width $d$")


def scales(rows, height):
    """A figure with two axes for each `panel`, and (its axes, its rows) of each; what is archived has a title."""
    found = list(rows.groupby("panel"))
    made, axes = figure(len(found), 2, height=height * len(found))
    for (left, _), (panel, _) in zip(axes, found, strict=True):
        left.set_title(panel, loc="left")
    return made, [(pair, part) for pair, (_, part) in zip(axes, found, strict=True)]


def excess(rows):
    """Loss and Bayes loss, and the mean KL with the parts of it that come from each kind of context, against width."""
    made, found = scales(rows, 3.4)
    for (left, right), part in found:
        loss, kl = ({split: of for split, of in part[part["metric"] == m].groupby("split")} for m in ("loss", "kl"))
        lines(left, loss["windows"], 2, "all positions", log=False, style={"linestyle": ":"})
        lines(left, loss["fresh"], 0, "whole story seen", log=False)
        left.axhline(part.loc[part["metric"] == "bayes", "value"].iloc[0], label="Bayes, whole story seen", **THEORY)
        left.set(ylabel="loss (nats a word)", ylim=(0, None))
        lines(right, kl["fresh"], 0, "all")
        for index, split in enumerate(("ambiguous", "determined"), 1):
            lines(right, kl[split], index, f"from {split} contexts")
        right.set_yscale("log")
        right.set_ylabel(r"mean $\mathrm{KL}(P\,\|\,p)$ (nats a word)")
        for axis in (left, right):
            widths(axis, part)
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return made


def shares(rows):
    """The variance of predictions over that of P, and of features over their own, by its three parts; mean of seeds."""
    made, axes = figure(1, 2, height=3.9)
    for axis, (layer, found) in zip(axes.flat, rows.groupby("layer", sort=False), strict=True):
        bars = list(dict.fromkeys(found["bar"]))
        values = found.pivot(index="bar", columns="part", values="value").loc[bars, list(PARTS)].to_numpy()
        bottom = np.cumsum(values, 1) - values
        for k, label in enumerate(PARTS.values()):
            style = {"color": PALETTE[k], "hatch": HATCHES[k], "edgecolor": "white", "label": label}
            axis.bar(range(len(bars)), values[:, k], bottom=bottom[:, k], **style)
        axis.set_xticks(range(len(bars)), bars, rotation=60)
        axis.set(xlabel="width $d$", title=layer)
        axis.grid(visible=False, axis="x")
    axes[0, 0].set_ylabel("variance / that of $P$")
    axes[0, 1].set_ylabel("share of the variance")
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return made


def determined(rows):
    """Trace ratio and median CDNV of features in determined and in ambiguous contexts, with the null, against width."""
    made, found = scales(rows, 3.9)
    names = {"nc1_trace_ratio": r"$\mathrm{tr}\,\Sigma_W\,/\,\mathrm{tr}\,\Sigma_B$", "cdnv_median": "median CDNV"}
    for axes, part in found:
        for axis, (metric, name) in zip(axes, names.items(), strict=True):
            for index, (split, label) in enumerate(SIDES.items()):
                gray = {"color": "0.5", "linestyle": ":", "marker": "x"} if split.startswith("shuffled") else {}
                lines(axis, part[(part["metric"] == metric) & (part["split"] == split)], index, label, style=gray)
            axis.set_yscale("log")
            axis.set_ylabel(name)
            widths(axis, part)
    made.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return made


def merged(rows):
    """CDNV of interchangeable and other pairs, and metrics of the perfect predictions, as the sample grows."""
    made, axes = figure(1, 2, height=4.4)
    for index, (of, part) in enumerate(rows.groupby("of", sort=False)):
        mean = part.pivot(index="samples", columns="metric", values="value")
        for metric, kind in {"merged": "interchangeable", "others": "other pairs"}.items():
            style = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": "-" if metric == "merged" else ":"}
            axes[0, 0].plot(mean.index, mean[metric], label=f"{kind}, {of}", markersize=5, **style)
        law = {"label": "one mean, sampled"} if index else {}
        axes[0, 0].plot(mean.index, mean["sampled"], **THEORY | law)
    names = {"cdnv_mean": "CDNV, mean", "cdnv_median": "CDNV, median", "nc1_trace_ratio": "trace ratio"}
    for index, (metric, label) in enumerate(names.items()):
        style = {"color": PALETTE[index], "marker": MARKERS[index], "markersize": 5}
        axes[0, 1].plot(mean.index, mean[metric], label=label, **style)
    for axis, name in zip(axes.flat, ("CDNV, geometric mean of pairs", "perfect predictions: metric"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="positions", ylabel=name)
        ticks = [int(n) for n in mean.index]
        axis.set_xticks(ticks, [f"{n / 1000:.2g} k" for n in ticks])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return made
