"""What the prose of page 06 quotes of its runs, as text."""

import numpy as np

from nclib.glued import number
from nclib.pages.near_collapse.claims import falls
from nclib.pages.near_collapse.views import attenuation, elasticities, entries


def quoted(table):
    """{key: text} of a table of `study.STUDY`."""
    return _response(table) | _decays(table) | _problems(table)


def _response(table):
    """Shares and numbers of singular values, and up to which noise the laws of the metrics are good to a percent."""
    share, rising = falls(table)
    far = attenuation(table).query("panel == 'far'").groupby("x")["value"].max()
    first = table[table["part"] == "Fig. 1"]
    cross, sigma = (entries(first, metric, "first-order").to_numpy() for metric in ("cross", "sigma"))
    return {
        "falling": number(share, ".0%"),
        "rising": f"{rising}",
        "noise": number(far.index[(far <= 0.01).cummin()].max(), "g"),
        "dominance": number((sigma.min(1) / cross.max(1)).min(), ",.0f"),
    }


def _decays(table):
    """Elasticities of NC1 in both decays where random features are held fixed, at the largest and least beta."""
    rows = elasticities(table[(table["part"] == "H0 fixed, random") & (table["metric"] == "nc1")])
    ratio = (rows["lam_W"] / rows["lam_H"]).groupby(rows["beta"]).mean()
    flat = table[table["metric"] == "zeros"].groupby("rank")["value"].max()
    return {
        "fixed-large": number(ratio.iloc[-1], ",.0f"),
        "fixed-small": number(ratio.iloc[0], ".1f"),
        "flat-zero": number(flat.iloc[0], ".0f"),
        "flat-one": number(flat.iloc[1], ".0f"),
    }


def _problems(table):
    """Random problems, those certified, and those certified in which a random start ends lower."""
    rows = table[table["part"] == "random problems"]
    known = rows.pivot(index=["seed", "i"], columns="metric", values="value")
    sure = known["margin"] >= 0
    return {
        "problems": f"{len(known)}",
        "certified": f"{sure.sum()}",
        "below": f"{np.sum(known['gap'][sure] < -1e-9)}",
    }
