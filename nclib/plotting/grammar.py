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


def chosen(table, trained=True, longer=False, **fields):
    """The rows with these values of `metric`, `split` and so on, of the runs with the usual number of words or of the
    longer one; of measured ones those at the end of training (or its start)."""
    table = table[table["tokens"] == (table["tokens"].max() if longer else table["tokens"].min())]
    fields = {"split": "fresh", "source": "measured"} | fields
    rows = table[np.logical_and.reduce([table[name] == value for name, value in fields.items()])]
    return rows[rows["step"] == (rows["epochs"] if trained else 0)] if fields["source"] == "measured" else rows


def story(frame):
    """The exact probabilities of the likeliest next words at some positions of a story; frame: as of `study.story`."""
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


def lines(axis, table, index, label, *, scale=1, log=True, style=None, **fields):
    """Of `chosen` rows the mean over seeds against width (geometric where `log`), every seed as a small point, and the
    longer run as a large open marker."""
    to, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    rows, longer = (chosen(table, longer=some, **fields) for some in (False, True))
    mean = scale * rows.groupby("width")["value"].agg(lambda v: back(to(v).mean()))
    style = {"color": PALETTE[index], "marker": MARKERS[index]} | (style or {})
    axis.plot(mean.index, mean, label=label, markersize=5, **style)
    axis.plot(rows["width"], scale * rows["value"], ".", color=style["color"], markersize=3)
    open_marker = {"markersize": 11, "linestyle": "none", "markerfacecolor": "none"}
    axis.plot(longer["width"], scale * longer["value"], **style | open_marker)


def widths(axis, table):
    """A logarithmic axis with the widths there are."""
    axis.set_xscale("log", base=2)
    found = sorted(table["width"].unique())
    axis.set_xticks(found, [f"{width}" for width in found])
    axis.set_xlabel("width $d$")


def excess(table):
    """Loss and Bayes loss, and the mean KL with the parts of it that come from each kind of context, against width."""
    made, axes = figure(1, 2, height=3.4)
    loss, kl = axes[0]
    bayes = chosen(table, metric="bayes", source="theory")["value"].iloc[0]
    dotted = {"linestyle": ":"}
    lines(loss, table, 2, "all positions", metric="loss", split="windows", log=False, style=dotted)
    lines(loss, table, 0, "whole story seen", metric="loss", log=False)
    loss.axhline(bayes, label="Bayes, whole story seen", **THEORY)
    loss.set(ylabel="loss (nats a word)", ylim=(0, None))
    share = chosen(table, metric="determined", source="theory")["value"].iloc[0]
    lines(kl, table, 0, "all", metric="kl")
    for index, (split, part) in enumerate({"ambiguous": 1 - share, "determined": share}.items(), 1):
        lines(kl, table, index, f"from {split} contexts", metric="kl", split=split, scale=part)
    kl.set_yscale("log")
    kl.set_ylabel(r"mean $\mathrm{KL}(P\,\|\,p)$ (nats a word)")
    for axis in axes.flat:
        widths(axis, table)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return made


def shares(table):
    """The variance of predictions over that of P, and of features over their own, by its three parts; mean of seeds."""
    made, axes = figure(1, 2, height=3.9)
    found = sorted(table["width"].unique())
    bars = [(f"{width}", {"width": width}) for width in found]
    bars.append((f"{found[-1]}, 3 × words", {"width": found[-1], "longer": True}))
    more = {
        "predictions": [("perfect", {"width": found[0], "source": "theory"})],
        "features": [(f"{found[-1]}, untrained", {"width": found[-1], "trained": False})],
    }
    total = chosen(table, metric="total", source="theory")["value"].iloc[0]
    for axis, layer in zip(axes.flat, more, strict=True):
        every = bars + more[layer]
        values = np.array(
            [
                [chosen(table, metric=part, layer=layer, **fields)["value"].mean() for part in PARTS]
                for _, fields in every
            ]
        )
        values /= total if layer == "predictions" else values.sum(1, keepdims=True)
        bottom = np.cumsum(values, 1) - values
        for k, label in enumerate(PARTS.values()):
            style = {"color": PALETTE[k], "hatch": HATCHES[k], "edgecolor": "white", "label": label}
            axis.bar(range(len(every)), values[:, k], bottom=bottom[:, k], **style)
        axis.set_xticks(range(len(every)), [name for name, *_ in every], rotation=60)
        axis.set(xlabel="width $d$", title=f"{layer}")
        axis.grid(visible=False, axis="x")
    axes[0, 0].set_ylabel("variance / that of $P$")
    axes[0, 1].set_ylabel("share of the variance")
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return made


def determined(table):
    """Trace ratio and median CDNV of features in determined and in ambiguous contexts, with the null, against width."""
    made, axes = figure(1, 2, height=3.9)
    names = {"nc1_trace_ratio": r"$\mathrm{tr}\,\Sigma_W\,/\,\mathrm{tr}\,\Sigma_B$", "cdnv_median": "median CDNV"}
    for axis, (metric, name) in zip(axes.flat, names.items(), strict=True):
        for index, (split, label) in enumerate(SIDES.items()):
            gray = {"color": "0.5", "linestyle": ":", "marker": "x"} if split.startswith("shuffled") else {}
            lines(axis, table, index, label, metric=metric, split=split, style=gray)
        axis.set_yscale("log")
        axis.set_ylabel(name)
        widths(axis, table)
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return made


def merged(table):
    """CDNV of interchangeable and other pairs, and metrics of the perfect predictions, as the sample grows."""
    made, axes = figure(1, 2, height=4.4)
    rows = table[table["split"].str.startswith("first") & (table["tokens"] == table["tokens"].min())]
    widest = rows[(rows["width"] == rows["width"].max()) & (rows["source"] == "measured")]
    perfect = rows[(rows["source"] == "theory") & (rows["config"] == rows["config"].iloc[0])]
    for index, (part, label) in enumerate({"features": widest, "perfect predictions": perfect}.items()):
        mean = label.groupby(["split", "metric"])["value"].mean().unstack().sort_values("samples")
        for metric, kind in {"merged": "interchangeable", "others": "other pairs"}.items():
            style = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": "-" if metric == "merged" else ":"}
            axes[0, 0].plot(mean["samples"], np.exp(mean[metric]), label=f"{kind}, {part}", markersize=5, **style)
        law = {"label": "one mean, sampled"} if index else {}
        axes[0, 0].plot(mean["samples"], np.exp(mean["sampled"]), **THEORY | law)
    names = {"cdnv_mean": "CDNV, mean", "cdnv_median": "CDNV, median", "nc1_trace_ratio": "trace ratio"}
    for index, (metric, label) in enumerate(names.items()):
        style = {"color": PALETTE[index], "marker": MARKERS[index], "markersize": 5}
        axes[0, 1].plot(mean["samples"], mean[metric], label=label, **style)
    for axis, name in zip(axes.flat, ("CDNV, geometric mean of pairs", "perfect predictions: metric"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="positions", ylabel=name)
        ticks = [int(n) for n in mean["samples"]]
        axis.set_xticks(ticks, [f"{n / 1000:.2g} k" for n in ticks])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return made
