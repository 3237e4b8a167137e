"""What the prose of the pages on our grid and on seeds quotes of its runs, as text."""

import itertools

from nclib.experiments.wu2024 import grid_table, seeds_table
from nclib.glued import number

COLUMNS = {"pooled": "pooled", "within widths": "widths", "within trainings": "trainings"}
FACTORS = ("width", "depth", "epochs")
GRID = {  # key: format; those of the archived grid, then those of the page's own
    "paper": dict.fromkeys(["models", "rose", "between-trainings", *(f"steps-{factor}" for factor in FACTORS)], ".0f")
    | dict.fromkeys(["lowest", "highest"], ".2f")
    | dict.fromkeys([f"{name}-pooled" for name in ("nc1", "gnc2", "nc4", "unc3", "null", "nc1-scaled")], "+.2f")
    | dict.fromkeys([f"{name}-trainings" for name in ("nc1", "gnc2", "nc4", "unc3", "null", "nc1-scaled")], "+.2f")
    | dict.fromkeys(["nc3-trainings", "norm-log-cv-trainings", "unc3-widths"], "+.2f")
    | dict.fromkeys([f"{name}-excess-{of}" for name in ("gnc2", "interference") for of in COLUMNS.values()], "+.2f"),
    "here": dict.fromkeys(["rose", "between-trainings"], ".0f")
    | dict.fromkeys([f"{name}-pooled" for name in ("nc1", "gnc2", "nc4", "unc3")], "+.2f")
    | dict.fromkeys([f"{name}-trainings" for name in ("nc1", "gnc2", "nc4", "unc3", "null", "nc1-scaled")], "+.2f"),
}
SEEDS = {
    "paper": dict.fromkeys(["nc1", "nc1-dimensionless", "nc2-equinormness", "nc2-equiangularity", "nc3", "nc4"], "+.2f")
    | {"gnc2": "+.2f", "gnc2-as-defined": "+.2f", "gnc2-p": ".2f", "sd": ".3f"},
    "here": {"gnc2": "+.2f", "gnc2-as-defined": "+.2f", "sd": ".3f"},
}


def of_grids(paper, here):
    """{key: text} of two tables of `grid.runs`, the archived and the page's own."""
    return _quoted({"paper": _models("paper", paper), "here": _models("laptop", here)}, GRID, of_grid)


def of_seeds(paper, here):
    """{key: text} of two tables of `seeds.runs`, the archived and the page's own."""
    frames = {
        who: next(iter(seeds_table.frames((who, table)).values()), None)
        for who, table in {"paper": paper, "here": here}.items()
    }
    return _quoted(frames, SEEDS, of_points)


def _models(profile, table):
    return next(iter(grid_table.frames((profile, table)).values()), None)


def _quoted(frames, keys, of):
    values = {who: of(frame) if frame is not None else {} for who, frame in frames.items()}
    return {f"{who}-{key}": number(values[who].get(key), spec) for who in keys for key, spec in keys[who].items()}


def of_grid(frame):
    """{name: number} of the models of one grid; frame: of `grid_table.frames`.

    models, rose; lowest, highest: of the validation losses; <measure>-pooled, -widths, -trainings: signed R^2 of
    `grid_table.relations`; between-<groups>: percent of the loss's variance, of `grid_table.shares`; steps-<factor>:
    percent of the pairs of models one step of a factor apart in which the larger has the lower loss.
    """
    relations = grid_table.relations({"": frame})[""]
    found = {
        f"{name.replace('_', '-')}-{short}": relations.at[name, column]
        for column, short in COLUMNS.items()
        for name in relations.index
    }
    shares = grid_table.shares({"": frame})[""]
    found |= {f"between-{name}": float(text.rstrip("%")) for name, text in shares.items() if text != "–"}
    found |= {f"steps-{factor}": 100 * steps(frame, factor) for factor in FACTORS}
    loss = frame["validation"]
    return found | {"models": len(frame), "lowest": loss.min(), "highest": loss.max(), "rose": frame["rose"].sum()}


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


def of_points(points):
    """{property: r with the validation loss, <property>-p: its p, sd: of the losses} of models of one architecture."""
    found = {"sd": points["validation"].std()}
    for name, row in seeds_table.relations(points).iterrows():
        key = name.lower().replace(",", "").replace(" ", "-")
        found |= {key: row["r"], f"{key}-p": row["p"]}
    return found
