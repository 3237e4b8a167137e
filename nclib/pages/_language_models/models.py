"""Tables of language models -> one row for each measured model, and how far a statistic of models would move.

Every page on our language models starts from `models`.
"""

import numpy as np
import pandas as pd

from nclib.evidence.claims import Interval

NAME = "wu2024.language_model"
ROSE = 0.01  # nats above its best epoch at which a validation loss counts as risen
FIELDS = ["run", "seed", "width", "depth", "epochs", "weight_decay"]
FIELDS += ["beside", "profile", "corpus", "vocab", "context", "local", "heads", "batch", "rate"]
DRAWS = 400
LEVEL = 0.9  # as the rule for values of seeds: either error has 5 %


def models(table, convention="textbook"):
    """One row for each measured model: its fields, losses, and the metrics of a convention.

    Columns: `FIELDS`, those that the table has; step (epochs so far), updates, parameters; loss, validation, best (the
    lowest validation loss so far), rose (validation above best by 0.01 nats), history (the validation losses after each
    epoch so far); the keys of nclib.conventions, those of
    the null as "null_<key>", and, all falling with collapse: nc1, the log of the mean CDNV over distance^4; gnc2, the
    size of the coefficient of variation of the log-distance; unc3, the coefficient of variation of the cosines; nc4,
    one minus the agreement. `attrs` are those of the table.
    """
    runs = table[table["experiment"] == NAME].groupby("run", sort=False)
    found = pd.DataFrame([model for _, rows in runs for model in _measured(rows, convention)])
    found.attrs |= table.attrs
    return found


def _measured(rows, convention):
    """The rows of `models` of one run, one for each epoch after which it was measured."""
    fields = rows.iloc[0][[name for name in FIELDS if name in rows]].to_dict()
    totals = rows[rows["metric"].isin(["updates", "parameters"])].set_index("metric")["value"].to_dict()
    losses = rows[(rows["metric"] == "loss") & (rows["split"] == "validation")].set_index("step")["value"].sort_index()
    for step in sorted(rows.loc[rows["convention"] == convention, "step"].unique()):
        now = rows[(rows["step"] == step) & (rows["split"] == "train")]
        now = now.set_index(["convention", "metric"])[["value", "theory"]].sort_index()
        best, metrics = losses[losses.index <= step].min(), now["value"][convention]
        found = {"step": int(step), "validation": losses[step], "best": best, "rose": losses[step] > best + ROSE}
        found |= {"history": losses[losses.index <= step].tolist(), "loss": now["value"]["", "loss"], **metrics}
        found |= {f"null_{metric}": value for metric, value in now["theory"][""].dropna().items()}
        found["nc1"] = np.log(now["value"]["wu-papyan-2024-10", "cdnv_mean"])
        found |= {"gnc2": abs(metrics["gnc2_cv"]), "unc3": metrics["uniform_duality"]}
        yield fields | totals | found | {"nc4": 1 - metrics["ncc_agreement"]}


def interval(rows, statistic, *, seed=0):
    """`statistic(rows)` with its percentile interval over draws of the rows, one a model, with replacement.

    rows: an array whose first axis is that of the models, such as `columns` gives. A draw on which the statistic is not
    defined (one width left, a constant) is left out; where all are, the ends are the value itself. Models of a grid are
    no random sample of models: the interval says how much the value owes to a few of them, and nothing of another seed.
    """
    value, rng = float(statistic(rows)), np.random.default_rng(seed)
    drawn = [statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(DRAWS)]
    kept = [found for found in drawn if np.isfinite(found)] or [value]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(kept, [tail, 100 - tail])
    return Interval(value, min(float(low), value), max(float(high), value))


def columns(frame):
    """The numbers of a frame as one array with named fields, whose rows are drawn at a third of the cost."""
    numbers = frame.select_dtypes("number").astype(float)
    return np.array(list(numbers.itertuples(index=False, name=None)), dtype=[(name, float) for name in numbers])
