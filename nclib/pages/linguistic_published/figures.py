"""The 230 published language models: loss against each measure of collapse, trends, and what width alone explains."""

from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D

from nclib.plotting import MARKERS, PALETTE, THEORY, figure

WIDTHS = [64, 128, 256, 512, 768, 1024]
LABELS = {
    "loss": "validation loss (nats a token)",
    "cdnv_log10": "NC1: log$_{10}$ mean CDNV",
    "cdnv_scaled_log10": "log$_{10}$ NC1, dimensionless",
    "norm_log_mean": r"mean of $\log r_c$",
    "norm_cv": "NC2: CV of norms $r_c$",
    "norm_log_cv": r"NC2: CV of $\log r_c$",
    "interference_cv": "NC2: CV of cosines",
    "interference_std": "SD of cosines",
    "interference_excess": r"SD of cosines × $\sqrt{d}$",
    "gnc2_cv": "GNC2: CV of log-distances",
    "gnc2_std": "GNC2: SD of log-distances",
    "gnc2_uncentered_cv": "GNC2: CV, not centered",
    "self_duality": "NC3: mean cosine",
    "uniform_duality": "UNC3: CV of cosines",
    "agreement": "NC4: agreement",
}
SETTINGS = {
    "1 epoch, 0.0005": "1 epoch",
    "3 epochs, 0.0005": "3 epochs",
    "10 epochs, 0.0005": "10 epochs",
    "10 epochs, 0.1": "10 epochs, decay 0.1",
}
EPOCHS = [1, 3, 10]
RANKED = {
    "norm_log_cv": r"CV of $\log r_c$",
    "cdnv_log10": "NC1: log CDNV",
    "cdnv_scaled_log10": "NC1, dimensionless: log",
    "agreement": "NC4: agreement",
    "interference_std": "SD of cosines",
    "gnc2_std": "GNC2: SD",
    "gnc2_cv": "GNC2: CV",
    "uniform_duality": "UNC3: CV",
    "interference_cv": "CV of cosines",
    "cdnv": "NC1: CDNV",
    "self_duality": "NC3: mean cosine",
    "norm_cv": "CV of norms",
    "interference_excess": r"SD of cosines × $\sqrt{d}$",
    "gnc2_excess": r"GNC2: SD × $2\sqrt{d}$",
}


def draw_line(axis, rows, statistic, split, **style):
    """The line of one statistic over one subset; R^2."""
    found = rows[(rows["part"] == "line") & (rows["statistic"] == statistic) & (rows["split"] == split)]
    axis.plot(found["x"], found["loss"], **style)
    return found["r2"].iloc[0]


def models(rows, statistic, split=None):
    """The models at one statistic (of one subset)."""
    found = rows[(rows["part"] == "models") & (rows["statistic"] == statistic)]
    return found if split is None else found[found["split"] == split]


def scatter(axis, points, **style):
    """The models, colored by the number of their parameters on a logarithmic scale."""
    color = {"c": points["parameters"], "cmap": "cividis", "norm": LogNorm(3e6, 2.1e8)}
    return axis.scatter(points["x"], points["loss"], s=14, **(color | style))


def loss(rows):
    """Validation loss against four (or two) statistics, with the least-squares line and R^2. Fig. 1 and 2, Table 1."""
    statistics = list(dict.fromkeys(rows["statistic"]))
    made, axes = figure(len(statistics) // 2, 2, height=2.9 * (len(statistics) // 2) + 0.2, sharey=True)
    for axis, statistic in zip(axes.flat, statistics, strict=True):
        drawn = scatter(axis, models(rows, statistic))
        (split,) = set(rows.loc[rows["part"] == "line", "split"])
        r2 = draw_line(axis, rows, statistic, split, color="black", linestyle="--")
        axis.set(xlabel=LABELS[statistic])
        axis.locator_params(axis="x", nbins=5)
        axis.set_title(f"$R^2$ = {r2:.3f}")
    for row in axes:
        row[0].set_ylabel(LABELS["loss"])
    if rows["parameters"].nunique() > 1:
        made.colorbar(drawn, ax=axes, label="parameters", location="right", aspect=35, pad=0.02)
    return made


def duality(rows):
    """Validation loss against NC3 and UNC3, the lines of all models and of those of 1 and of 10 epochs. Fig. 3."""
    statistics = ["self_duality", "uniform_duality"]
    made, axes = figure(1, 2, height=3.9, sharey=True)
    for axis, statistic in zip(axes.flat, statistics, strict=True):
        for e, epochs in enumerate(EPOCHS):
            style = {"c": [PALETTE[e]], "norm": None, "cmap": None, "marker": MARKERS[e], "alpha": 0.7}
            scatter(axis, models(rows, statistic, f"epochs {epochs}"), **style)
        r2 = [draw_line(axis, rows, statistic, "all", color="black", linestyle="--")]
        for epochs, index in ((1, 0), (10, 2)):
            r2.append(draw_line(axis, rows, statistic, f"epochs {epochs}", color=PALETTE[index]))
        axis.set(xlabel=LABELS[statistic])
        axis.set_title("$R^2$ = {:.2f}\n1 epoch {:.2f}, 10 epochs {:.2f}".format(*r2))
    axes[0, 0].set_ylabel(LABELS["loss"])
    handles = [Line2D([], [], color="black", linestyle="--", label="all")]
    handles += [
        Line2D([], [], color=PALETTE[e], marker=MARKERS[e], linestyle=line, label=f"of {n}-epoch runs")
        for e, (n, line) in enumerate(zip(EPOCHS, ["-", "", "-"], strict=True))
    ]
    made.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1, handletextpad=0.4)
    return made


def trends(rows, *, by):
    """Means by width or by depth in four settings of the training, with the null of independent directions."""
    groups = list(rows.groupby("statistic", sort=False))
    made, axes = figure(len(groups) // 2, 2, height=2.6 * (len(groups) // 2) + 0.5, sharex=True)
    for axis, (statistic, found) in zip(axes.flat, groups, strict=True):
        for s, (split, label) in enumerate(SETTINGS.items()):
            part = found[found["split"] == split]
            line = "--" if split.endswith("0.1") else "-"
            style = {"color": PALETTE[s], "marker": MARKERS[s], "linestyle": line, "markersize": 5}
            axis.plot(part["at"], part["value"], label=label, **style)
        at, null = part["at"].tolist(), part["theory"].tolist()
        if part["theory"].notna().all():
            axis.plot(at, null, **THEORY)
            axis.annotate("independent", (at[3], null[3]), xytext=(0, 8), textcoords="offset points", ha="center")
            axis.set_ylim(bottom=0)
        axis.set_ylabel(LABELS[statistic].replace("validation loss (nats a token)", "validation loss (nats)"))
        axis.set_xscale("log", base=2)
        axis.set_xticks(at, [str(value) for value in at])
        axis.minorticks_off()
        axis.tick_params(axis="x", labelrotation=45 if by == "width" else 0)
    for axis in axes[-1]:
        axis.set_xlabel("width $d$" if by == "width" else "depth (layers)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper center", ncols=4, columnspacing=1, handletextpad=0.4)
    return made


def null(rows):
    """Loss against the spread of cosines, as it is and over that of independent directions; a line for each width."""
    statistics = ["interference_std", "interference_excess"]
    made, axes = figure(1, 2, height=3.9, sharey=True)
    for axis, statistic in zip(axes.flat, statistics, strict=True):
        for d, color, marker in zip(WIDTHS, PALETTE, MARKERS, strict=False):
            style = {"c": [color], "norm": None, "cmap": None, "marker": marker, "alpha": 0.6}
            scatter(axis, models(rows, statistic, f"width {d}"), **style)
            draw_line(axis, rows, statistic, f"width {d}", color=color)
        r2 = draw_line(axis, rows, statistic, "all", **THEORY)
        inside = rows[(rows["statistic"] == statistic) & (rows["split"] == "within width")]["r2"].iloc[0]
        axis.set(xlabel=LABELS[statistic])
        axis.set_title(f"$R^2$ = {r2:.3f}, within widths {inside:.2f}")
    axes[0, 0].set_ylabel(LABELS["loss"])
    handles = [
        Line2D([], [], color=color, marker=marker, label=f"$d$ = {d}")
        for d, color, marker in zip(WIDTHS, PALETTE, MARKERS, strict=False)
    ]
    made.legend(handles=handles, loc="outside upper center", ncols=6, columnspacing=1, handletextpad=0.3)
    return made


def within(rows):
    """R^2 with the loss: over all models, within each width, and over the 10-epoch runs; the null's own as a line."""
    made, axes = figure(1, 1, height=5.2)
    axis = axes[0, 0]
    r2 = rows.set_index(["statistic", "split"])["r2"]
    for place, name in enumerate(RANKED):
        shown = {"label": "each width"} if place == 0 else {}
        widths = [r2[name, f"width {d}"] for d in WIDTHS]
        axis.plot(widths, [place] * 6, "|", color=PALETTE[0], markersize=13, markeredgewidth=1.8, **shown)
        for split, label, marker, index in (("all", "all 230", "o", 3), ("epochs 10", "10-epoch runs", "^", 2)):
            shown = {"label": label} if place == 0 else {}
            axis.plot(r2[name, split], place, marker, color=PALETTE[index], markersize=8, **shown)
    axis.axvline(r2["null", "all"], **THEORY, label=r"$1/\sqrt{d}$ alone, all 230")
    axis.set_yticks(range(len(RANKED)), RANKED.values())
    axis.set(xlabel="$R^2$ with the validation loss", xlim=(-0.02, 1.0))
    axis.invert_yaxis()
    made.legend(loc="outside upper center", ncols=4, columnspacing=1, handletextpad=0.3)
    return made
