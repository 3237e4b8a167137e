"""What the prose of the page on seeds quotes of its runs, as text."""

from nclib.experiments.wu2024 import seeds_table
from nclib.glued import number

SEEDS = {
    "paper": dict.fromkeys(["nc1", "nc1-dimensionless", "nc2-equinormness", "nc2-equiangularity", "nc3", "nc4"], "+.2f")
    | {"gnc2": "+.2f", "gnc2-as-defined": "+.2f", "gnc2-p": ".2f", "sd": ".3f"},
    "here": {"gnc2": "+.2f", "gnc2-as-defined": "+.2f", "sd": ".3f"},
}


def of_seeds(paper, here):
    """{key: text} of two tables of `seeds.runs`, the archived and the page's own."""
    frames = {
        who: next(iter(seeds_table.frames((who, table)).values()), None)
        for who, table in {"paper": paper, "here": here}.items()
    }
    values = {who: of_points(frame) if frame is not None else {} for who, frame in frames.items()}
    return {f"{who}-{key}": number(values[who].get(key), spec) for who in SEEDS for key, spec in SEEDS[who].items()}


def of_points(points):
    """{property: r with the validation loss, <property>-p: its p, sd: of the losses} of models of one architecture."""
    found = {"sd": points["validation"].std()}
    for name, row in seeds_table.relations(points).iterrows():
        key = name.lower().replace(",", "").replace(" ", "-")
        found |= {key: row["r"], f"{key}-p": row["p"]}
    return found
