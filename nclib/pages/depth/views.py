"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges. `line`: the way of training, or the start
of the model."""

NETWORK, CHAIN = "tirer2023.depth_network", "tirer2023.depth_chain"
PANELS = {"layer by layer": "networks", "all at once": "networks", "near collapse": "model", "random start": "model"}
MODES = {"layerwise": "layer by layer", "chain": "all at once"}


def layers(table):
    """NC1 and trace ratio of the features of each layer, for both ways of training, each data set a `panel`."""
    rows = table[(table["experiment"] == NETWORK) & table["metric"].isin(["nc1", "nc1_trace_ratio"])]
    return rows.assign(panel=rows["data"], line=rows["part"])[["panel", "metric", "line", "seed", "layer", "value"]]


def ratios(table):
    """NC1(l)/NC1(l-1) by panel: "networks", and the layer-by-layer "model" with its law near collapse as `theory`."""
    rows = successive(table[(table["beside"] == "") & table["part"].isin(PANELS)])
    law = rows["theory"].where(rows["part"] == "near collapse")
    rows = rows.assign(panel=rows["part"].map(PANELS), line=rows["part"], theory=law)
    return rows[["panel", "line", "seed", "layer", "value", "theory"]]


def models(table):
    """NC1(l)/NC1(0) near collapse in the two models, as many layers as the chain has, measured and predicted."""
    rows = table[(table["beside"] == "") & (table["experiment"] == CHAIN) & (table["metric"] == "nc1")]
    rows = rows[rows["noise"].notna() & (rows["layer"] <= rows.loc[rows["coupling"] == "chain", "layer"].max())]
    first = rows.groupby(["run", "seed"])["value"].transform(lambda values: values.iloc[0])
    found = rows.assign(line=rows["coupling"].map(MODES), value=rows["value"] / first, theory=rows["theory"] / first)
    return found[["line", "seed", "layer", "value", "theory"]]


def successive(table, metric="nc1"):
    """A metric at each layer from 1 on over that at the layer before, measured and predicted."""
    rows = table[table["metric"] == metric].sort_values("layer", kind="stable")
    before = rows.groupby(["run", "seed"])[["value", "theory"]].shift()
    rows = rows.assign(value=rows["value"] / before["value"], theory=rows["theory"] / before["theory"])
    return rows[rows["layer"] > 0]
