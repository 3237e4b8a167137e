"""The printed tables of page A3: rules and codebases."""

import numpy as np
import pandas as pd

from nclib import rosetta
from nclib.pages.rosetta.conversions import CONVERSIONS
from nclib.pages.rosetta.views import errors

TEXTS = {  # where `rosetta.described` says "the same" or "it"
    "gnc2.log_var": "variance of -log |u_j - u_k|, centered",
    "nc3.squared_sample": "|W/|W| - M/|M||^2, center mu_S",
    "nc4.mismatch": "share of samples whose classifier and nearest mean disagree",
    "nc3.cos_cv_ddof1": "cv of cos(w_k, m_k), ddof 1",
}


def rules(table):
    """The rules other than "times 1": formula, codebases, from which of nclib's numbers, how, when, largest error."""
    worst = errors(table).groupby("metric")["error"].max()
    lines = [
        {
            "name": rule.family,
            "formula": TEXTS.get(name) or rosetta.described(name),
            "codebases": ", ".join(rosetta.users(name)),
            "from": rule.ours,
            "rule": rule.text,
            "holds": rule.where,
            "error": f"{worst.get(name, np.nan):.0e}",
        }
        for name, rule in CONVERSIONS.items()
        if rule.value and rule.text != "times 1"
    ]
    return pd.DataFrame(lines).set_index("name")


def sources():
    """The codebases: repository, commit and file, and what their results depend on beside the formula, as the records
    of `nclib.rosetta` have it."""
    lines = [
        {
            "codebase": name,
            "where": ", ".join(filter(None, (f"{code.repository} at {code.commit}", code.file))),
            "to know": code.note,
        }
        for name, code in rosetta.CODES.items()
    ]
    return pd.DataFrame(lines).set_index("codebase")
