"""Measure collapse in any model: a network, a language model in three conventions, and the traps. Tables and claims."""

import math
import textwrap

import pandas as pd

from nclib import conventions
from nclib.claims import Claim, judge
from nclib.experiments.measure import network, traps
from nclib.measuring import report
from nclib.pages._language_models import grid
from nclib.reading import reading
from nclib.results import choose

COST = {"paper": "two minutes on any CPU: a longer training on digits, and the language model of profile laptop"}
CHECK = "Wu & Papyan 2024"


def runs(profile, *, seed=0, epochs=None):
    """Networks and traps from consecutive seeds (smoke: one), and one language model of page 11, as it is stored."""
    length, seeds, shape = choose(
        profile,
        {"smoke": (10, 1, ("smoke", 8)), "laptop": (120, 3, ("laptop", 32)), "paper": (600, 3, ("laptop", 32))},
    )
    language = grid.runs(shape[0], seed=seed, widths=(shape[1],), depths=(1,))[0]
    networks = [network.Config(int(epochs or length), 5e-3, 1000, seed + i) for i in range(seeds)]
    return [*networks, language, *(traps.Config(seed + i) for i in range(seeds))]


def of(table, experiment):
    """The rows of one experiment, such as "measure.network"."""
    return table[table["experiment"] == experiment]


def layer_values(table, layer=network.LAST):
    """{source: {metric: value}} at one layer of the network of the first seed."""
    rows = of(table, "measure.network")
    rows = rows[(rows["seed"] == rows["seed"].min()) & (rows["layer"] == layer)]
    return {source: part.set_index("metric")["value"].to_dict() for source, part in rows.groupby("source")}


def numbers(table, layer=network.LAST):
    """Every number of a layer beside its interval and nulls, and what it means."""
    found = layer_values(table, layer)
    lines = [
        {
            "metric": key,
            "value": _number(found["measured"][key]),
            "95 % over classes": " to ".join(_number(found[end][key]) for end in ("low", "high"))
            if key in found["low"]
            else "",
            "random directions": _number(found["theory"].get(key)) if key != "classes" else "",
            "shuffled labels": _number(found["shuffled"].get(key)) if key not in ("classes", "samples") else "",
            "what it is": meaning,
        }
        for key, meaning in conventions.DESCRIPTIONS.items()
        if key in found["measured"]
    ]
    return pd.DataFrame(lines).set_index("metric")


def words(table, what="network"):
    """`nclib.reading` of the network's features, or of the language model, as Markdown."""
    from IPython.display import Markdown

    if what == "network":
        found = layer_values(table)
        text = reading(found["measured"], found["theory"])
    else:
        values, null = language(table)
        text = reading(values["textbook"], null)
    return Markdown(textwrap.indent(text, "> "))


def language(table):
    """({preset: {metric: value}}, {metric: value of random directions}) of the language model, at its last epoch."""
    rows = of(table, "wu2024.language_model")
    rows = rows[(rows["step"] == rows["step"].max()) & (rows["split"] == "train")]
    measured = rows[rows["convention"].isin(conventions.PRESETS)]
    values = {name: part.set_index("metric")["value"].to_dict() for name, part in measured.groupby("convention")}
    null = rows[rows["theory"].notna()].set_index("metric")["theory"].to_dict()
    return {name: values[name] for name in conventions.PRESETS}, null


TEXTBOOK, MAY, OCTOBER = conventions.PRESETS
# What a preset has of its own: prefixes of names. Everything else is the same number in all three.
OWN = {
    MAY: ("cdnv_", "gnc2_", "norm_mean", "norm_cv"),
    OCTOBER: ("cdnv_", "interference_"),
}


def disagreement(table):
    """The numbers on which the presets differ, one column a preset, and that of random directions."""
    values, null = language(table)
    keys = [key for key in values[TEXTBOOK] if key.startswith((*OWN[MAY], *OWN[OCTOBER]))]
    frame = pd.DataFrame({name: {key: found[key] for key in keys} for name, found in values.items()})
    return frame.assign(**{"random directions": [null.get(key) for key in keys]}).rename_axis("metric")


def shown(frame, digits=4):
    """A table of numbers as text for a reader."""
    return frame.map(lambda value: value if isinstance(value, str) else _number(value, digits))


def _number(value, digits=4):
    return "" if value is None or value != value else f"{value:,.{digits}g}" if value < 1e5 else report.number(value)


TRAPS = {
    "one_pass": ("within over between variance", "E[h²] − E[h]² from float32 sums", "deviations, float64 state"),
    "absent_center": ("mean norm of class means", "center over all 1,000 rows", "center over the classes seen"),
    "absent_vote": ("NC4 agreement", "zero rows are candidates", "only classes that were seen are"),
    "cutoff": ("NC1", "float32 pseudo-inverse, default tolerance", "thin SVD at the known rank"),
    "offset": ("mean CDNV", "float32 distances by expansion", "differences from one mean, float64"),
    "origin": ("GNC2 mean", "directions of means as they are", "directions of centered means"),
    "scale": ("CDNV of 2h over CDNV of h", "variance / distance⁴", "variance / distance²"),
    "width": ("spread of cosines, d = 1,024 over 64", "no null", "over that of random directions"),
    "duplicates": ("CDNV of a typical pair", "mean over pairs", "exp of the mean logarithm"),
}


def errors(table):
    """One row for each trap and seed: naive, ours, truth, and the relative errors naive_error and ours_error."""
    rows = of(table, "measure.traps")
    wide = rows.pivot(index=["layer", "seed"], columns="metric", values="value").reset_index().rename_axis(columns=None)
    for way in ("naive", "ours"):
        wide[f"{way}_error"] = (wide[way] / wide["truth"] - 1).abs()
    order = {name: i for i, name in enumerate(TRAPS)}
    return wide.rename(columns={"layer": "trap"}).sort_values(["trap", "seed"], key=lambda c: c.replace(order))


def trap_table(table):
    """The traps of the first seed for a reader: the number, the naive way and its value, ours, the loop's."""
    found = errors(table)
    found = found[found["seed"] == found["seed"].min()].set_index("trap")
    lines = [
        {
            "number": what,
            "naive way": naive,
            "naive": _number(found.loc[trap, "naive"], 6),
            "nclib": _number(found.loc[trap, "ours"], 6),
            "float64 loop": _number(found.loc[trap, "truth"], 6),
            "nclib's way": ours,
        }
        for trap, (what, naive, ours) in TRAPS.items()
    ]
    return pd.DataFrame(lines).set_index("number")


PROPERTY = "a property of this library; our rule"


def _claim(name, statement, relation, reference, tolerance=0.0, source=PROPERTY, settled="before"):
    parts = f"wu2024.measure.{name}", CHECK, statement, source, relation, reference, tolerance
    return Claim(*parts, kind="check", seen="derived" if source == PROPERTY else "read", every=True, settled=settled)


NAIVE = _claim(
    "traps.naive",
    "Nine traps: relative error of the naive way, the smallest of the nine",
    ">=",
    0.1,
    settled="after: the data of two traps were made harder when a first trial had shown errors of 2% and less",
)
OURS = _claim("traps.ours", "Nine traps: relative error of nclib against a float64 loop, the largest", "<=", 1e-10)
STREAMING = _claim(
    "streaming",
    "Batches of 1, 7 and 500 in random order, and three merged shards, against one batch: "
    "largest relative difference of any number",
    "<=",
    1e-12,
)
FROM_CODE = "definitions read in the authors' code; the rule is ours"
AGREE = _claim(
    "presets.agree",
    "One language model in three presets: largest relative difference where their definitions agree",
    "<=",
    1e-12,
    source=FROM_CODE,
)
GNC2 = _claim(
    "presets.gnc2",
    "The same: |CV of the log-distance| with means not centered (May) over centered, difference from 1",
    ">=",
    0.05,
    source=FROM_CODE,
)
INNER = _claim(
    "presets.interference",
    "The same: October's mean interference times (K - 1) over the mean squared norm; -1 whatever the angles are",
    "==",
    -1.0,
    1e-9,
    source=f"{FROM_CODE}; the identity is derived",
)


def claims(table):
    """The verdicts; values are those of the seeds, except for the language model, which has one."""
    worst = errors(table).groupby("seed")
    streamed = table.loc[table["metric"] == "streaming", "value"]
    values, _ = language(table)
    textbook, may, october = (values[name] for name in (TEXTBOOK, MAY, OCTOBER))
    inner = october["interference_mean"] * (may["classes"] - 1) / may["norm_mean"]
    return [
        judge(NAIVE, worst["naive_error"].agg(lambda errors: errors.min(skipna=False))),
        judge(OURS, worst["ours_error"].agg(lambda errors: errors.max(skipna=False))),
        judge(STREAMING, streamed),
        judge(AGREE, max(_differences(values))),
        judge(GNC2, abs(abs(may["gnc2_cv"] / textbook["gnc2_cv"]) - 1)),
        judge(INNER, inner),
    ]


def _differences(values):
    """Relative differences of every number between presets that define it alike."""
    for first, second in ((TEXTBOOK, MAY), (TEXTBOOK, OCTOBER), (MAY, OCTOBER)):
        for key in values[first]:
            own = [key.startswith(OWN.get(name, ())) for name in (first, second)]
            if not any(own) or (all(own) and key.startswith("cdnv_")):
                yield _difference(values[first][key], values[second][key])


def _difference(a, b):
    """Relative; 0 where both are the same or undefined, infinite where one is."""
    if a == b or (a != a and b != b):
        return 0.0
    return abs(a / b - 1) if a == a and b == b and b else math.inf
