"""What the prose of page 02 quotes of its runs, as text."""

from nclib.glued import number
from nclib.pages._linear_heads import rules
from nclib.pages._linear_heads.views import NETWORK
from nclib.runs.study import own_runs


def quoted(table):
    """{key: text}: the range over seeds of the rate of NC2 and NC3 with a bias, over lambda, and of networks the
    largest distance from the frame, and accuracies."""
    table = own_runs(table)
    rates = rules.rate(2, "nc2_W", "nc2_H", "nc3")(table[table["part"] == "direct, bias"])
    end = rules.last(table[(table["experiment"] == NETWORK) & (table["model"] == "mlp")])
    distances = end[end["metric"].isin(["nc2_W", "nc2_H", "nc3", "nc3_WH"]) & (end["layer"] == "")]
    right = end.loc[(end["metric"] == "accuracy") & (end["split"] == "train"), "value"]
    return {
        "rate-etf-low": number(min(rates), ".2f"),
        "rate-etf-high": number(max(rates), ".2f"),
        "network-distance": number(distances["value"].max(), ".3f"),
        "network-accuracy": number(right.min(), ".0%"),
    }
