"""What the prose of page 05 quotes of its runs, as text."""

from nclib.glued import number, word
from nclib.pages.cross_entropy_depth.claims import CASES, census
from nclib.pages.cross_entropy_depth.views import ends, pairs


def quoted(table):
    """{key: text} of a table of `study.STUDY`."""
    found = pairs(table)
    gain = 1 - found.loc[found["wins"] > 0, "ratio"]
    between = pairs(table, "M=2, K=4").set_index("lam")
    below = {case: _below(census(table, *case)["value"]) for case in CASES[1:]}
    overlaps = table.loc[(table["part"] == "roots") & (table["metric"] == "lower"), "value"]
    first, rank = between.loc[0.02], census(table, 3, 6)["rank"]
    return {
        "gain-least": number(gain.min(), ".0%"),
        "gain-most": number(gain.max(), ".0%"),
        "between-gap": number(first["etf"] - first["cross_polytope"], ".5f"),
        "between-order": word(first["cross_polytope"] - first["etf"], "below", "above", "at"),
        "rank-least": number(rank.min(), ".0f"),
        "rank-most": number(rank.max(), ".0f"),
        "proof-classes": f"{len(overlaps)}",
        "proof-alive": f"{(overlaps > 0).sum()}",
        "starts": f"{len(ends(table))}",
        **{f"below-m{M}-k{K}": number(value, ".0%") for (M, K), value in below.items()},
    }


def _below(ratio):
    """The share of starts below the ETF; None where there are none."""
    return (ratio < 1 - 1e-5).mean() if len(ratio) else None
