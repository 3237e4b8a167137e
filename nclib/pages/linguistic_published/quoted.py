"""What the prose of the page on the published models quotes of their summaries, as text."""

import numpy as np

from nclib.glued import number, word
from nclib.pages.linguistic_published.claims import LAST, TRIALS, corrected
from nclib.pages.linguistic_published.tables import DEPTHS, MEDIANS, TABLE1, WIDTHS, trend, value

SHAPES = len(WIDTHS) * len(DEPTHS)
# key: (statistic, subset) of an R^2 with the validation loss.
R2 = {
    "nc1": ("cdnv_log10", "all"),
    "nc1-raw": ("cdnv", "all"),
    "nc1-within": ("cdnv_log10", "within width"),
    "nc1-scaled": ("cdnv_scaled_log10", "all"),
    "nc1-scaled-raw": ("cdnv_scaled", "all"),
    "nc1-scaled-within": ("cdnv_scaled_log10", "within width"),
    "gnc2": ("gnc2_cv", "all"),
    "gnc2-uncentered": ("gnc2_uncentered_cv", "all"),
    "gnc2-sd": ("gnc2_std", "all"),
    "gnc2-sd-late": ("gnc2_std", "epochs 10"),
    "gnc2-excess": ("gnc2_excess", "all"),
    "gnc2-seeds": ("gnc2_cv", "seeds"),
    "gnc2-uncentered-seeds": ("gnc2_uncentered_cv", "seeds"),
    "norms": ("norm_cv", "all"),
    "norms-log": ("norm_log_cv", "all"),
    "norms-log-sd": ("norm_log_std", "all"),
    "norms-log-mean": ("norm_log_mean", "all"),
    "cosines": ("interference_cv", "all"),
    "cosines-sd": ("interference_std", "all"),
    "cosines-excess": ("interference_excess", "all"),
    "nc3": ("self_duality", "all"),
    "nc3-early": ("self_duality", "epochs 1"),
    "nc3-late": ("self_duality", "epochs 10"),
    "unc3": ("uniform_duality", "all"),
    "unc3-early": ("uniform_duality", "epochs 1"),
    "unc3-late": ("uniform_duality", "epochs 10"),
    "unc3-narrow": ("uniform_duality", f"width {WIDTHS[0]}"),
    "unc3-wide": ("uniform_duality", f"width {WIDTHS[-1]}"),
    "nc4": ("agreement", "all"),
    "nc4-within": ("agreement", "within width"),
    "null": ("null", "all"),
    "null-grid": ("null", "grid"),
    "null-late": ("null", "epochs 10"),
}
THREE = {"cosines-sd", "cosines-excess", "gnc2-sd", "gnc2-excess", "gnc2-sd-late", "null", "null-grid", "null-late"}
THREE |= {"nc1-raw", "nc1-scaled-raw", "gnc2-seeds", "gnc2-uncentered-seeds"}


def quoted(table):
    """{key: text} of the table of `study.STUDY`."""
    found = {
        f"r2-{key}": number(value(table, *which) ** 2, ".3f" if key in THREE else ".2f") for key, which in R2.items()
    }
    return found | _trends(table) | _decay(table) | _seeds(table) | _null(table)


def _trends(table):
    """What width and depth do after ten epochs, at the small weight decay; decades are of the means over depths."""
    duality, uniform = (trend(table, name, LAST, "depth") for name in ("self_duality", "uniform_duality"))
    decades = {"cdnv": "cdnv_log10", "scaled": "cdnv_scaled_log10"}
    change = {key: np.diff(trend(table, name, LAST, "width")[[1, -1]])[0] for key, name in decades.items()}
    norms = 2 * np.diff(trend(table, "norm_log_mean", LAST, "width")[[1, -1]])[0] / np.log(10)
    best = {
        key: WIDTHS[int(trend(table, "self_duality", split, "width").argmax())]
        for key, split in {"late": LAST, "early": "1 epoch, 0.0005"}.items()
    }
    spread, excess = trend(table, "gnc2_std", LAST, "depth"), trend(table, "interference_excess", LAST, "width")
    return {
        "nc3-first": number(duality[0]),
        "nc3-last": number(duality[-1]),
        "nc3-goes": word(duality[-1] - duality[0], "falls", "rises", "goes"),
        "unc3-first": number(uniform[0]),
        "unc3-last": number(uniform[-1]),
        "unc3-goes": word(uniform[-1] - uniform[0], "falls", "rises", "goes"),
        "gnc2-first": number(spread[0], ".3f"),
        "gnc2-last": number(spread[-1], ".3f"),
        "nc3-best-late": f"{best['late']}",
        "nc3-best-early": f"{best['early']}",
        "nc4-best-late": f"{WIDTHS[int(trend(table, 'agreement', LAST, 'width').argmax())]}",
        "cdnv-goes": word(change["cdnv"], "falls", "rises", "changes"),
        "cdnv-decades": number(abs(change["cdnv"])),
        "scaled-decades": number(change["scaled"], "+z.2f"),
        "norm-decades": number(norms, "+z.2f"),
        "excess-narrow": number(excess[0], ".1f"),
        "excess-wide": number(excess[-1], ".1f"),
    }


def _decay(table):
    """How many of the shapes the larger weight decay improves after ten epochs, and what it does to the losses."""
    improved = {
        key: SHAPES * value(table, layer, "10 epochs", "improved")
        for key, layer in {
            **{"loss": "loss", "nc1": "cdnv_log10", "gnc2": "gnc2_std", "nc3": "self_duality"},
            **{"unc3": "uniform_duality", "nc4": "agreement", "scaled": "cdnv_scaled_log10"},
        }.items()
    }
    small, large = (value(table, "uniform_duality", f"10 epochs, {decay}", "median") for decay in ("0.0005", "0.1"))
    early = max(
        abs(value(table, layer, "1 epoch, 0.1", "median") / value(table, layer, "1 epoch, 0.0005", "median") - 1)
        for layer in MEDIANS
    )
    return {f"improved-{key}": number(count, ".0f") for key, count in improved.items()} | {
        "early-change": number(early, ".1%"),
        "unc3-median-change": word(large - small, "lower", "higher", "the same"),
    }


def _seeds(table):
    """The test over the 21 seeds: p, with the correction for seven tests, and the sign of relations."""
    p = {key: value(table, layer, "seeds", "p") for key, layer in (("gnc2", TABLE1["GNC2"][1]), ("nc4", "agreement"))}
    left = [name for name, (_, layer, *_) in TABLE1.items() if corrected(table, layer) <= 0.05]
    return {
        "p-gnc2": number(p["gnc2"], ".4f"),
        "p-gnc2-centered": number(value(table, "gnc2_cv", "seeds", "p"), ".3f"),
        "corrected-gnc2-centered": number(corrected(table, "gnc2_cv")),
        "corrected-nc3": number(corrected(table, "self_duality"), ".4f"),
        "remaining": " and ".join(left) or "none of them",
        "hits-gnc2": number(TRIALS * p["gnc2"], ".0f"),
        "hits-nc4": number(TRIALS * p["nc4"], ".0f"),
        "r-duality-sd": number(value(table, "duality_std", "seeds"), "+.2f"),
        "r2-unc3-seeds": number(value(table, "uniform_duality", "seeds") ** 2, ".5f"),
    }


def _null(table):
    """What the width alone explains, and the range of r within widths."""
    inside = [
        value(table, name, f"width {width}") for name in ("interference_excess", "gnc2_excess") for width in WIDTHS
    ]
    return {
        "between-widths": number(value(table, "loss", "grid", "between_widths"), ".3f"),
        "r-inside-least": number(min(inside)),
        "r-inside-most": number(max(inside)),
    }
