"""What the prose of the pages on our grid and on seeds says of its runs: numbers computed from their tables."""

import itertools

from nclib.experiments.wu2024 import grid_table, seeds_table

COLUMNS = {"pooled": "pooled", "within widths": "widths", "within trainings": "trainings"}
FACTORS = ("width", "depth", "epochs")


def of_grid(frame, who):
    """{"<who>_<name>": number} of the models of one grid; frame: of `grid_table.frames`.

    models; lowest, highest: of the validation losses; <measure>_pooled, _widths, _trainings: signed R^2 of
    `grid_table.relations`; between_<groups>: percent of the loss's variance, of `grid_table.shares`; steps_<factor>:
    percent of the pairs of models that differ by one step of a factor alone in which the larger has the lower loss.
    """
    relations = grid_table.relations({who: frame})[who]
    found = {
        f"{name}_{short}": relations.at[name, column] for column, short in COLUMNS.items() for name in relations.index
    }
    shares = grid_table.shares({who: frame})[who]
    found |= {f"between_{name}": float(text.rstrip("%")) for name, text in shares.items() if text != "–"}
    found |= {f"steps_{factor}": 100 * steps(frame, factor) for factor in FACTORS}
    loss = frame["validation"]
    found |= {"models": len(frame), "lowest": loss.min(), "highest": loss.max(), "rose": frame["rose"].sum()}
    return {f"{who}_{name}": float(value) for name, value in found.items()}


def steps(frame, factor):
    """The share of the pairs of models, equal in all factors and the weight decay but for one step up in `factor`, in
    which the validation loss falls; NaN without such a pair."""
    others = [name for name in (*FACTORS, "weight_decay") if name != factor]
    falls = [
        after < before
        for _, part in frame.sort_values(factor).groupby(others)
        for before, after in itertools.pairwise(part["validation"])
    ]
    return sum(falls) / len(falls) if falls else float("nan")


def of_seeds(points, who):
    """{"<who>_<property>": r with the validation loss, "<who>_<property>_p": its p} and "<who>_sd" of the losses."""
    found = {f"{who}_sd": float(points["validation"].std())}
    for name, row in seeds_table.relations(points).iterrows():
        short = name.lower().replace(" ", "_").replace(",", "").replace("-", "_")
        found |= {f"{who}_{short}": float(row["r"]), f"{who}_{short}_p": float(row["p"])}
    return found
