"""Tables of `study.STUDY` -> the rows that a figure draws."""

LINES = {"means": "class means", "classifiers": "classifiers", "train": "training images", "test": "test images"}


def curves(table, *metrics):
    """Metrics against the epoch, at the epochs that all networks of a panel have: columns panel, metric, line, run,
    seed, epoch, value, and `begin`, the run's first epoch without training error (NaN where none is)."""
    begin = table.query("metric == 'terminal_epoch'").set_index(["part", "run"])["value"]
    rows = table[table["metric"].isin(metrics)]
    seen = rows.groupby(["part", "epoch"])["run"].transform("nunique")
    rows = rows[seen == rows.groupby("part")["run"].transform("nunique")].join(begin.rename("begin"), ["part", "run"])
    line = (rows["vectors"] + rows["split"]).replace(LINES)
    columns = ["panel", "metric", "line", "experiment", "run", "seed", "epoch", "value", "begin"]
    return rows.assign(panel=rows["part"], line=line)[columns].reset_index(drop=True)
