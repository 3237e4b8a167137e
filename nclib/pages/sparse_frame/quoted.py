"""What the prose of page 16 quotes of its runs, as text."""

from nclib.glued import number
from nclib.pages.sparse_frame.claims import agreement, formula, law, obstruction
from nclib.pages.sparse_frame.views import logs, masks, settings


def quoted(table):
    """{key: text} of a table of `study.STUDY`."""
    found = masks(table)
    free = settings(table)
    free = free[free["setting"] != "limit"]
    return {
        "masks": f"{len(found)}",
        "agreement": number(sum(agreement(table)) / found["seed"].nunique(), ".1%"),
        "binding": number(sum(obstruction(table)) / found["seed"].nunique(), ".0%"),
        "formula": number(sum(formula(table)) / found["seed"].nunique(), ".3f"),
        "faster": number(_faster(table), ".0f"),
        "flow-error": number(max(law("norm", 1000)(table)), ".0e"),
        **_range("ten", free[free["K"] == 10]["value"]),
        **_range("hundred", free[free["K"] == 100]["value"]),
        **_range("early-ten", _logs(table, 10, 20)),
        **_range("late-ten", _logs(table, 10, 500)),
        **_range("early-hundred", _logs(table, 100, 20)),
        **_range("late-hundred", _logs(table, 100, 500)),
        **_range("dense-early", _logs(table, 10, 20, "dense ETF")),
        **_range("dense-late", _logs(table, 10, 500, "dense ETF")),
        "rank-least": number(logs(table, "spearman")[500].min()),
        "rank-dense": number(logs(table, "spearman", "dense ETF")[500].min(), ".2f"),
    }


def _logs(table, classes, wanted, arm="sparse ETF"):
    found = logs(table, "exponent", arm)[wanted]
    return found[found.index.get_level_values("classes") == classes]


def _range(key, values):
    return {f"{key}-least": number(values.min()), f"{key}-most": number(values.max())}


def _faster(table):
    """The mean over shapes and seeds of Adam's time over the exact solver's."""
    part = table[(table["part"] == "frames") & (table["metric"] == "seconds")]
    wide = part.pivot(index="run", columns="way", values="value")
    return (wide["Adam"] / wide["exact"]).median()
