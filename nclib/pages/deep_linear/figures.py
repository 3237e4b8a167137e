"""Rows of `views` -> figures of page 02."""

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above, seed_band


def rates(rows):
    """Of `views.rates`: fitted rates over lambda against depth, without and with a bias, and the predictions."""
    made, axes = figure(1, 2, sharey=True)
    names = {"nc1": "NC1", "nc3_WH": r"NC3, $P\bar H$", "nc2_W": "NC2", "bias_error": "bias"}
    for axis, (bias, part) in zip(axes.flat, rows.groupby("bias"), strict=True):
        for s, (metric, name) in enumerate(names.items()):
            found = part[(part["metric"] == metric) & part["theory"].notna()]
            if found.empty:
                continue
            axis.plot(found["depth"], found["value"], MARKERS[s], color=PALETTE[s], label=name)
            mean = found.groupby("depth")["theory"].mean()
            axis.plot(mean.index, mean, **THEORY)
        title = "with a bias (ETF)" if bias else "no bias (OF)"
        axis.set(xlabel="number of linear layers $M$", title=title, ylim=(0, 9))
    axes[0, 0].set_ylabel(r"fitted rate / $\lambda$")
    for axis in axes.flat:
        axis.legend(loc="upper center", ncols=3, frameon=False, columnspacing=1, handletextpad=0.2)
    return made


def balance(rows):
    """Of `views.balance`: against steps, a color for each descent, the law of plain descent dashed."""
    made, ((axis,),) = figure(1, 1, height=3.6)
    for s, (line, part) in enumerate(rows.groupby("line", sort=False)):
        seed_band(axis, part, "step", label=line, index=s)
    law = rows.dropna(subset=["theory"]).groupby("step")["theory"].mean()
    axis.plot(law.index, law, label=r"$(1-\eta\lambda)^{2\,\mathrm{steps}}$", **THEORY)
    axis.set(xlabel="steps", ylabel="imbalance, over that at the start")
    legend_above(made, ncols=3)
    return made
