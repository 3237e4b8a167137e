"""Rows of `views` -> figures of page 06."""

from nclib.plotting import MARKERS, PALETTE, THEORY, figure

NAMES = {"nc1": "NC1", "nc1_trace_ratio": r"trace ratio $\widetilde{\mathrm{NC1}}$", "nc2": "NC2"}
FIRST = r"first order in $1/\beta$ (Eq. 5)"


def style(index):
    """Marker and color of a series of measured points."""
    return {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": "none", "markersize": 5}


def minimizer(rows):
    """Of `views.minimizer`, with Theorem 2.1."""
    made, axes = figure(1, 2, height=3.2)
    labels = r"mean of $\|\bar h_k\|^2$", "minimum of Eq. 1"
    for axis, metric, label in zip(axes.flat, ("norm", "loss"), labels, strict=True):
        part = rows[rows["metric"] == metric]
        law = part.groupby("c")["theory"].first()
        axis.plot(part["c"], part["value"], label="optimized, all seeds", **style(0))
        axis.plot(law.index, law, label="Theorem 2.1", **THEORY)
        axis.axvline(1, color="gray", linewidth=0.8)
        axis.set(xlabel=r"$c = \sqrt{\lambda_W\lambda_H}$", ylabel=label)
    axes[0, 0].set_yscale("symlog", linthresh=0.1)
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 1].legend()
    return made


def spectrum(rows):
    """Of `views.spectrum`: markers from Eq. 5's matrices, lines in closed form."""
    made, axes = figure(1, 1, height=3.8)
    for s, (value, part) in enumerate(rows.sort_values(["lam_H", "i"], kind="stable").groupby("lam_H")):
        axes[0, 0].plot(
            part["i"] + 1, part["value"], label=rf"$\lambda_H = {value:.3g}$", **style(s) | {"markersize": 3.5}
        )
        axes[0, 0].plot(part["i"] + 1, part["theory"], **THEORY | {"linewidth": 0.9})
    axes[0, 0].set(xlabel="index of the singular value, descending", ylabel="singular value of $F_{kk}$")
    axes[0, 0].ticklabel_format(axis="y", useOffset=False)
    axes[0, 0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return made


def families(rows):
    """Of `views.families`: within a class (left) and between two (right)."""
    made, axes = figure(1, 2, height=3.5)
    own, cross, rates, peak = (rows[rows["family"] == name] for name in ("within", "between", "rate", "peak"))
    axes[0, 0].plot(own["lam_H"], own["value"], ".", color=PALETTE[0], markersize=5)
    axes[0, 1].plot(cross["lam_H"], cross["value"], **style(1))
    names = r"$\lambda_H$", r"$s$", r"$\mu$", r"$2\mu$"
    places = (1 / 2, (8, -12)), (1 / 4, (-12, 6)), (3 / 4, (6, 4)), (3 / 4, (6, 4))
    for i, part in rates.groupby("i"):
        axes[0, 0].plot(part["lam_H"], part["value"], **THEORY)
        where, offset = places[i]
        at = part.iloc[int(where * len(part))]
        look = {"xytext": offset, "textcoords": "offset points", "fontsize": 12}
        axes[0, 0].annotate(names[i], (at["lam_H"], at["value"]), **look)
        if names[i] == r"$\mu$":
            axes[0, 1].plot(part["lam_H"], part["value"], **THEORY)
    for axis in axes.flat:
        axis.axvline(peak["lam_H"].iloc[0], color="gray", linewidth=0.8)
        axis.set(xlabel=r"$\lambda_H$", ylim=(0, None))
    axes[0, 0].set(ylabel=r"$\beta\,(1-\sigma)$", title="within classes: $F_{kk}$")
    axes[0, 1].set(ylabel=r"$\beta\,\sigma$", title=r"between classes: $F_{k\tilde k}$")
    return made


def validity(rows):
    """Of `views.validity`: the ends of the spectrum, exact and first order (left); the largest difference (right)."""
    made, axes = figure(1, 2, height=3.4)
    for index, (layer, label) in enumerate({"exact": "exact", "first-order": FIRST}.items()):
        for end in ("max", "min"):
            part = rows[(rows["end"] == end) & (rows["layer"] == layer)]
            axes[0, 0].plot(part["ratio"], part["value"], label=label, **style(index))
            axes[0, 0].plot(part["ratio"], part["theory"], "_", color="black", ms=11)
            label = None
    error = rows[rows["end"] == "difference"]
    axes[0, 1].plot(error["ratio"], error["value"], **style(2))
    guide = error["value"].iloc[-1] * (error["ratio"].iloc[-1] / error["ratio"]) ** 2
    axes[0, 1].plot(error["ratio"], guide, label="slope $-2$", **THEORY)
    axes[0, 0].set(ylabel="largest and least singular value of $F_{kk}$", xscale="log")
    axes[0, 1].set(ylabel="largest difference of a singular value", xscale="log", yscale="log")
    for axis in axes.flat:
        axis.set(xlabel=r"$\beta/s$")
        axis.legend()
    return made


def residuals(rows):
    """Of `views.residuals`, F exact (left) and to first order in 1/beta (right)."""
    made, axes = figure(1, 2, height=3.6, sharey=True)
    for axis, (layer, title) in zip(axes.flat, {"exact": "exact $F$", "first-order": FIRST}.items(), strict=True):
        for index, (ratio, part) in enumerate(rows[rows["layer"] == layer].groupby("ratio")):
            size, residual = part["size"], part["residual"]
            look = style(index) | {"linestyle": "-"}
            axis.plot(size, residual, label=rf"$\beta/s = {round(ratio, 2):g}$", **look)
        corner = residual.iloc[-1] * 3
        power = 2 if layer == "exact" else 1
        axis.plot(size, corner * (size / size.iloc[-1]) ** power, label=f"slope {power}", **THEORY)
        axis.set(xscale="log", yscale="log", xlabel=r"$\|\delta H_0\|$", title=title)
    axes[0, 0].set_ylabel(r"$\|\hat H - H - F\,\delta H_0\|$")
    axes[0, 0].legend(loc="upper left")
    axes[0, 1].legend(handles=axes[0, 1].lines[-1:], loc="upper left")
    return made


def attenuation(rows):
    """Of `views.attenuation`: what is left of the three metrics near collapse; and the laws' error with distance."""
    made, axes = figure(2, 2, height=6.4)
    near, far = (rows[rows["panel"] == panel] for panel in ("near", "far"))
    for axis, (metric, name) in zip(axes.flat, NAMES.items(), strict=False):
        for s, ((lam_W, skew), part) in enumerate(near[near["metric"] == metric].groupby(["lam_W", "skew"])):
            shape = "isotropic" if skew == 1 else "skewed"
            law = part.groupby("x")["theory"].first()
            axis.plot(part["x"], part["value"], label=rf"$\lambda_W = {lam_W:.3g}$, {shape} noise", **style(s))
            axis.plot(law.index, law, **THEORY)
        axis.set(xlabel=r"$c = \sqrt{\lambda_W\lambda_H}$", ylabel=f"{name}, minimizer over $H_0$", ylim=(0, 1.02))
    last = axes[1, 1]
    for s, (metric, name) in enumerate(NAMES.items()):
        part = far[far["metric"] == metric]
        last.plot(part["x"], part["value"], label=name, **style(s + 3) | {"linestyle": "-"})
    last.set(xscale="log", yscale="log", xlabel=r"noise in $H_0$ / length of a class mean", ylabel="error of the law")
    last.legend()
    axes[1, 0].legend(loc="lower left")
    return made


def decays(rows):
    """Of `views.decays`: a panel for each metric where H0 follows the decays, and one for NC1 with H0 held fixed."""
    made, axes = figure(2, 2, height=6.4)
    panels = {("follows", metric): name for metric, name in NAMES.items()} | {("fixed", "nc1"): "NC1"}
    for axis, ((panel, metric), name) in zip(axes.flat, panels.items(), strict=True):
        part = rows[(rows["panel"] == panel) & (rows["metric"] == metric)]
        for s, (of, label) in enumerate({"lam_H": r"$\lambda_H$", "lam_W": r"$\lambda_W$"}.items()):
            ours = part[part["of"] == of]
            law = ours.groupby("x")["theory"].first()
            axis.plot(ours["x"], ours["value"], label=f"in {label}", **style(s) | {"markersize": 8 - 3 * s})
            axis.plot(law.index, law, **THEORY)
        axis.set(xlabel=r"$c = \sqrt{\lambda_W\lambda_H}$", ylabel="|elasticity|", title=name)
        axis.legend()
    axes[1, 1].set(xlabel=r"$\beta$", xscale="log", yscale="log", title="NC1, random $H_0$ held fixed")
    for axis in axes.flat[:3]:
        axis.set_ylim(bottom=0)
    return made
