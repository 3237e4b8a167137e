"""What the prose of the page on the story grammar quotes of its runs, as text."""

import numpy as np

from nclib.glued import number, word
from nclib.pages.grammar.claims import power
from nclib.pages.grammar.tables import LONGER, chain, growth, parts, pick, summary


def quoted(table):
    """{key: text} of a table of `study.STUDY`; narrow and wide are the smallest and the largest width."""
    return _setting(table) | _losses(table) | _shares(table) | _determined(table) | _merged(table)


def _setting(table):
    widths, first = sorted(table["width"].unique()), pick(table, "positions").iloc[0, 0]
    facts = chain(table)["value"]
    text = table["fresh"].max()
    return {
        "narrow": f"{widths[0]}",
        "wide": f"{widths[-1]}",
        "before-wide": f"{widths[-2]}",
        "updates": number(table.loc[table["metric"] == "updates", "value"].min(), ".0f"),
        "seen": number(first / text, ".0%"),
        "determined": number(facts["share of determined contexts"], ".0%"),
        "repeated": number(facts["share of contexts whose P comes again"], ".0%"),
        "words": f"{facts['words that can come']}",
        "modes": f"{facts['modes']}",
        "certain-modes": f"{facts['modes that are 1']}",
        "certain-dimensions": f"{facts['modes that are 1'] - 1}",
        "noise-sum": number(facts["sum of 1/λ − 1"], ".0f"),
        "half-modes": f"{facts['modes with half of it']}",
    }


def _losses(table):
    """Losses in nats, the mean KL, and how it changes with the last width and with more words."""
    kl, longer = pick(table, "kl").mean(), pick(table, "kl", longer=True).mean()
    pairs = [[pick(table, name, longer=some) for name in ("excess", "kl", "error")] for some in (False, True)]
    apart = max(((excess - mean).abs() / error).to_numpy().max() for excess, mean, error in pairs)
    loss, share = pick(table, "loss").mean(), chain(table)["value"]["share of determined contexts"]
    certain = share * pick(table, "kl", split="determined").mean().iloc[-1] / kl.iloc[-1]
    return {
        "loss-narrow": number(loss.iloc[0]),
        "loss-wide": number(loss.iloc[-1]),
        "loss-goes": word(loss.iloc[-1] - loss.iloc[0], "falls", "rises", "goes"),
        "bayes": number(pick(table, "bayes", layer="predictions", source="theory").iloc[0, 0]),
        "standard-errors": number(apart),
        "kl-wide": number(kl.iloc[-1]),
        "kl-longer": number(longer.iloc[-1]),
        "kl-step": number(kl.iloc[-1] / kl.iloc[-2]),
        "kl-more": number(longer.iloc[-1] / kl.iloc[-1]),
        "kl-ratio": number(kl.iloc[0] / kl.iloc[-1], ".1f"),
        "kl-certain": number(certain, ".0%"),
    }


def _shares(table):
    """Variances of predictions over that of P, of features over their own."""
    shown, width = summary(table), pick(table, "kl").columns
    wide, narrow, perfect = shown.loc[f"{width[-1]}"], shown.loc[f"{width[0]}"], shown.loc["perfect"]
    trained, longer = shown.loc[[f"{w}" for w in width]], shown.loc[f"{width[-1]}, {LONGER} × words"]
    within = 1 - trained["features: between"]
    predictions = parts(table, "predictions")
    linear = predictions["ambiguity"] / (predictions["ambiguity"] + predictions["rest"])
    error = wide["predictions: |p - P|²"]
    return {
        "perfect-between": number(perfect["predictions: between"], ".0%"),
        "perfect-within": number(perfect["predictions: ambiguity"], ".3f"),
        "perfect-ambiguity": number(perfect["predictions: ambiguity"], ".0%"),
        "wide-between": number(wide["predictions: between"], ".0%"),
        "wide-within": number(wide["predictions: ambiguity"] + wide["predictions: rest"], ".3f"),
        "wide-less": word(
            wide["predictions: ambiguity"] + wide["predictions: rest"] - perfect["predictions: ambiguity"],
            *("less", "more", "as much"),
        ),
        "wide-linear": number(linear.mean().iloc[-1], ".0%"),
        "wide-noise": number(wide["predictions: noise"], ".3f"),
        "wide-error": number(error, ".3f"),
        "wide-rest": number(wide["predictions: rest"], ".3f"),
        "error-linear": number(1 - wide["predictions: rest"] / error, ".0%"),
        "narrow-within": number(narrow["predictions: ambiguity"] + narrow["predictions: rest"], ".3f"),
        "narrow-ambiguity": number(narrow["predictions: ambiguity"], ".3f"),
        "narrow-rest": number(narrow["predictions: rest"], ".3f"),
        "narrow-noise": number(narrow["predictions: noise"], ".3f"),
        "features-least": number(trained["features: between"].min(), ".0%"),
        "features-most": number(trained["features: between"].max(), ".0%"),
        "features-narrow": number(narrow["features: between"], ".0%"),
        "features-untrained": number(shown.loc[f"{width[-1]}, untrained", "features: between"], ".0%"),
        "features-within": number(within.iloc[-1], ".0%"),
        "features-noise": number(wide["features: noise"] / within.iloc[-1], ".0%"),
        "features-linear": number(wide["features: ambiguity"] / within.iloc[-1], ".0%"),
        "features-linear-longer": number(longer["features: ambiguity"] / (1 - longer["features: between"]), ".0%"),
    }


def _determined(table):
    """Collapse in determined and ambiguous contexts, geometric means over seeds; NC4 the mean."""
    sides = {
        name: {side: _geometric(table, name, f"matched-{side}") for side in ("determined", "ambiguous")}
        for name in ("nc1_trace_ratio", "cdnv_median")
    }
    trace, cdnv = sides.values()
    ratio = trace["determined"] / trace["ambiguous"]
    dealt = [_geometric(table, "nc1_trace_ratio", f"shuffled-{side}").iloc[-1] for side in ("determined", "ambiguous")]
    more = _geometric(table, "nc1_trace_ratio", "matched-determined", longer=True).iloc[-1]
    one = pick(table, "nc1_trace_ratio", split="matched-determined", layer="features").iloc[0, -1]
    agreement = [
        pick(table, "ncc_agreement", split=side, layer="features").mean().iloc[-1]
        for side in ("determined", "ambiguous")
    ]
    loss = [pick(table, "loss", longer=some).iloc[0, -1] for some in (True, False)]
    changes = trace["determined"].to_numpy()[1:] / trace["determined"].to_numpy()[:-1]
    return {
        "trace-determined": number(trace["determined"].iloc[-1]),
        "trace-ambiguous": number(trace["ambiguous"].iloc[-1]),
        "trace-ratio": number(ratio.iloc[-1]),
        "trace-ratio-least": number(ratio.min()),
        "trace-ratio-most": number(ratio.max()),
        "trace-dealt": " and ".join(number(value) for value in dealt),
        "trace-steps": ", ".join(number(value) for value in changes),
        "trace-one": number(one),
        "trace-longer": number(more),
        "longer-collapse": word(more - one, "more", "less", "as much"),
        "longer-loss": word(loss[0] - loss[1], "lower", "higher", "equal"),
        "cdnv-determined": number(cdnv["determined"].iloc[-1]),
        "cdnv-ambiguous": number(cdnv["ambiguous"].iloc[-1]),
        "cdnv-ratio": number((cdnv["determined"] / cdnv["ambiguous"]).iloc[-1]),
        "agreement-determined": number(agreement[0], ".0%"),
        "agreement-ambiguous": number(agreement[1], ".0%"),
    }


def _geometric(table, metric, split, longer=False):
    return np.exp(np.log(pick(table, metric, split=split, layer="features", longer=longer)).mean())


def _merged(table):
    """Metrics on the first eighth of the text and on all of it."""
    grown = growth(table)
    exact = {
        name: np.polyfit(np.log(grown["positions"]), grown[f"{column}, log CDNV"], 1)[0]
        for name, column in {"merged": "merged pairs", "others": "other pairs"}.items()
    }
    found = {f"power-{name}": number(power(table, name).mean()) for name in exact}
    found |= {f"power-{name}-perfect": number(value) for name, value in exact.items()}
    for key, column in {"mean": "CDNV, mean", "median": "CDNV, median", "trace": "trace ratio"}.items():
        found |= {f"grown-{key}-first": number(grown[column].iloc[0]), f"grown-{key}": number(grown[column].iloc[-1])}
    return found | {"nc1-magnitude": number(np.log10(grown["NC1"].iloc[-1]), "z.0f")}
