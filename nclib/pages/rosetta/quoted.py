"""What the prose of page A3 quotes of its runs, as text."""

from nclib.glued import number
from nclib.pages.rosetta.views import called, errors, spans


def quoted(table):
    """{key: text}, of the first seed: orders of magnitude of NC1 on each data set and its ends, counts, errors."""
    first = table[table["seed"] == table["seed"].min()]
    orders, near = spans(first).iloc[0], called(first).query("data == 'near collapse'")["value"]
    worst = errors(table)["error"].max()
    formulas = table[table["source"] == "measured"]
    ruled = formulas.loc[formulas["theory"].notna(), "metric"].nunique()
    return {
        "orders": number(orders.max(skipna=False), ".1f"),
        "where": str(orders.idxmax()) if orders.notna().all() else number(None),
        **{f"factor-{name.replace(' ', '-')}": number(10**value, ".0f") for name, value in orders.items()},
        "least": number(near.min(), ".0e"),
        "most": number(near.max(), ".0e"),
        "codes": str(len(set(", ".join(formulas["codes"]).split(", ")))),
        "formulas": str(formulas["metric"].nunique()),
        "rules": str(ruled),
        "none": str(formulas["metric"].nunique() - ruled),
        "worst": number(worst, ".0e"),
    }
