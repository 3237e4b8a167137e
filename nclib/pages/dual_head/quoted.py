"""What the prose of page 18 quotes of its runs, as text."""

import numpy as np

from nclib.evidence.claims import judge_all
from nclib.glued import number, word
from nclib.pages.dual_head.claims import (
    AGREE,
    HEADLINES,
    NEAR,
    cosines,
    deficit,
    gap,
    lead,
    near,
    opposite,
    points,
    related,
    separated,
    trails_both,
    value,
)

ARMS = {
    "teacher": "teacher",
    "ce": "CE",
    "kd": "KD",
    "binary": "BinaryKL alone",
    "one": "one head",
    "one-norm": "one head, Norm",
    "two": "two heads",
    "two-norm": "two heads, Norm",
    "dhkd": "DHKD",
    "refit": "refit of one head",
    "frozen": "both on CE",
    "rescaled": "one head, rescaled",
}


def quoted(table):
    """{key: text}: means over seeds, of the mixture where nothing else is said."""
    images = table["part"] == "CIFAR-10"
    archived, table = table.loc[images, "run"].nunique(), table[(table["beside"] == "") & ~images]
    query = {"teacher": "alpha == 0"}
    found = {
        key: number(np.mean(value(table, "accuracy", arm, query=query.get(key, "alpha == 1"))), ".1%")
        for key, arm in ARMS.items()
    }
    swept = table[(table["part"] == "mixture") & (table["metric"] == "accuracy") & (table["arm"] == "DHKD")]
    low = f"alpha == {swept['alpha'].min()}"
    small = np.mean(value(table, "accuracy", "DHKD", query=low))
    digits = table[(table["part"] == "digits") & (table["metric"] == "accuracy") & (table["alpha"] == 1)]
    digits = digits.groupby("arm")["value"].mean()
    one, alone = cosines(table), cosines(table, "CE")
    last = one.xs(one.index.get_level_values("epoch").max(), level="epoch").mean()
    last_alone = alone.xs(alone.index.get_level_values("epoch").max(), level="epoch").mean()
    return found | {
        "archived": str(archived or "none"),
        "deficit": points_of(np.mean(deficit(table))),
        "trails": word(np.mean(trails_both(table)), "above", "below", "level with"),
        "two-ce": word(np.mean(lead("two heads", "CE")(table)), "below", "above", "level with"),
        "dhkd-ce": word(np.mean(lead("DHKD", "CE")(table)), "below", "above", "level with"),
        "dhkd-kd": word(np.mean(lead("DHKD", "KD")(table)), "below", "above", "level with"),
        "small-alpha": number(swept["alpha"].min(), ".1f"),
        "dhkd-small": number(small, ".1%"),
        "small-ce": word(small - np.mean(value(table, "accuracy", "CE")), "below", "above", "level with"),
        "align": points_of(abs(np.mean(lead("DHKD", "two heads, Norm")(table)))),
        "digits-least": number(digits.min(), ".1%"),
        "digits-most": number(digits.max(), ".1%"),
        "gap": number(np.mean(gap(table)), ".2f"),
        "opposite": number(np.mean(opposite(table)), ".0%"),
        "last-w": number(last["cos_w"], ".2f"),
        "last-backbone": number(last["cos_backbone"], ".2f"),
        "alone-w": number(last_alone["cos_w"], ".2f"),
        "alone-backbone": number(last_alone["cos_backbone"], ".2f"),
        "noise-gap": number(np.max(separated(table)), ".2f"),
        "near": number(np.mean(near(table)), ".2f"),
        "near-size": number(
            points(table).query(f"nc1 < {NEAR}")[["cos_w", "cos_backbone"]].abs().max(axis=1).mean(), ".2f"
        ),
        "rho-all": number(np.mean(related(last=False)(table)), ".2f"),
        "rho-last": number(np.mean(related(last=True)(table)), ".2f"),
        "centered-deficit": points_of(np.mean(lead("CE, centered", "one head, centered")(table))),
        "nc1-one": number(np.mean(value(table, "nc1", "one head")), ".2f"),
        "nc1-two": number(np.mean(value(table, "nc1", "two heads")), ".2f"),
        "nc3-order": word(worse_nc3(table), "more", "less", "as"),
        "held": held(table),
        "nc3-one": number(np.mean(value(table, "nc3", "one head")), ".2f"),
        "nc3-two": number(np.mean(value(table, "nc3", "two heads")), ".2f"),
    }


def worse_nc3(table):
    """NC3 of one head less that of two."""
    return np.mean(value(table, "nc3", "one head") - value(table, "nc3", "two heads"))


def held(table):
    """How many claims of our prediction hold, as a word."""
    verdicts = judge_all([headline for headline in HEADLINES if headline.statement == AGREE], table)["verdict"]
    return ["none", "one", "two", "all"][(verdicts == "holds").sum()]


def points_of(share):
    """A difference of accuracies in points."""
    return number(100 * share, ".1f")
