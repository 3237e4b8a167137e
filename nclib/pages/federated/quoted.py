"""What the prose of page 17 quotes of its runs, as text."""

from nclib.glued import number, word
from nclib.pages.federated import claims
from nclib.pages.federated.views import TAILS, at_best, best, matched, own


def quoted(table):
    """{key: text} of a table of `study.STUDY`."""
    archived, larger = table.loc[table["part"].isin(TAILS), ["part", "run"]].drop_duplicates(), at_paper_scale(table)
    table = own(table)
    at, rows = best(table), matched(table)
    order = {
        "sparse-dense": claims.gain(claims.at_best, "sparse ETF", "dense ETF"),
        "dense-fedavg": claims.gain(claims.at_best, "dense ETF", "FedAvg"),
        "few": claims.heads("global", "realigned", "aux", group="few"),
        "whole": claims.heads("global", "realigned", "aux", group="all"),
        "moved": claims.heads("local", "shifted + own", "aux + own", mask=True),
        "moved-digits": claims.heads("local", "shifted + own", "aux + own", part="digits", mask=True),
        "mask": claims.mask("sparse ETF", "main"),
        "mask-sum": claims.mask("sparse ETF", "aux + own"),
    }
    gains = {key: _mean(ours(table)) for key, ours in order.items()}
    return {
        **{key: _points(value) for key, value in gains.items()},
        "sparse-dense-word": word(gains["sparse-dense"], "below", "above", "at"),
        "dense-fedavg-word": word(gains["dense-fedavg"], "below", "above", "at"),
        "moved-word": word(gains["moved"], "loses", "gains", "changes"),
        "moved-digits-word": word(gains["moved-digits"], "loses", "gains", "changes"),
        "best-dense": number(at["dense ETF"][0], ".0f"),
        "best-sparse": number(at["sparse ETF"][0], ".0f"),
        "noise": number(_mean(claims.noise(table))),
        "exponent": number(claims.value(rows, "exponent", "sparse ETF").mean()),
        **{f"archived-{part.lower()}": str((archived["part"] == part).sum() or "none") for part in TAILS},
        **larger,
        "faster": number(_mean(claims.batched("faster")(table)), ".1f"),
    }


def at_paper_scale(table):
    """{key: text} of the mixture with more rounds and samples."""
    table = table[(table["profile"] == "paper") & (table["part"] == "mixture")]
    ends = at_best(table).query("metric == 'global' and head == 'main' and group == 'all'")
    means = ends.groupby("arm")["value"].mean()
    return {
        "paper-spread": _points(means.max() - means.min()),
        "paper-rank": number(claims.value(matched(table), "rank global", "sparse ETF").mean()),
        "diverged": str((table["metric"] == "diverged").sum() or "none"),
    }


def _mean(values):
    return sum(values) / len(values)


def _points(value):
    """A difference of accuracies in points, without its sign."""
    return number(100 * abs(value), ".1f")
