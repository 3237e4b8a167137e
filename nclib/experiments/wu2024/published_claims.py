"""What the paper says of its 230 models, and the rules that decide it on the authors' own numbers."""

import math

import numpy as np
from scipy.stats import beta

from nclib.claims import Claim, judge
from nclib.experiments.wu2024.published_table import TABLE1, trend, value
from nclib.permutation import bonferroni

PAPER = "Wu & Papyan 2024"
PRINTED = "Table 1: printed value recalled, not read; ours from the authors' files"
ABSTRACT = "abstract, read; rule ours; values from the authors' files"
LAST = "10 epochs, 0.0005"
TRIALS = 10_000


def declare(
    name, statement, relation, reference, source, *, paper_value=None, tolerance=0.0, kind="paper", seen="read"
):
    parts = f"wu2024.published.{name}", PAPER, statement, source, relation, reference, tolerance, paper_value
    return Claim(*parts, kind=kind, seen=seen)


def printed_error(p):
    """How far the p behind a printed one, hits in 10^4, may lie from it: the wider side of its 99.73% interval
    (Clopper, Pearson), that is three standard errors where p is not small."""
    hits = round(p * TRIALS)
    low, high = beta.ppf(0.00135, hits, TRIALS - hits + 1), beta.ppf(0.99865, hits + 1, TRIALS - hits)
    return max(p - low, high - p)


def slug(name):
    return name.lower().replace(" ", "-").replace(",", "")


def seed_claims(table):
    """Table 1: the printed digits, and which properties remain after correction for seven tests."""
    for name, (statistic, layer, r2, p) in TABLE1.items():
        what = f"{name} ({statistic}) against validation loss over 21 runs of 2 x 768"
        printed = {"source": PRINTED, "seen": "recalled"}
        claim = declare(f"table1.{slug(name)}.r2", f"R², {what}", "==", r2, **printed, paper_value=r2, tolerance=5e-7)
        yield judge(claim, value(table, layer, "seeds") ** 2)
        error = round(printed_error(p), 5)
        claim = declare(
            f"table1.{slug(name)}.p", f"permutation p, {what}", "==", p, **printed, paper_value=p, tolerance=error
        )
        yield judge(claim, value(table, layer, "seeds", "p"))
    related = {"nc1": "cdnv", "nc2-equiangular": "interference_cv", "gnc2": "gnc2_uncentered_cv"}
    related |= {"gnc2-centered": "gnc2_cv", "nc3": "self_duality", "nc4": "agreement"}
    for name, layer in related.items():
        statement = f"collapse goes with generalization apart from scale: {name}, p times seven over 21 seeds"
        source = 'abstract ("some relationship ... independent of scale"), read; the correction is ours'
        claim = declare(f"beyond-scale.{name}", statement, "<=", 0.05, source, paper_value="p < 0.05 before correction")
        yield judge(claim, bonferroni(value(table, layer, "seeds", "p"), len(TABLE1)))


def figure_claims(table):
    """Fig. 1 to 3. The captions give words; a tenth is our bound for "negligible" and a half for "linked"."""
    r2 = {name: value(table, name, "all") ** 2 for name in set(table.loc[table["split"] == "all", "layer"])}
    late = value(table, "self_duality", "epochs 10") ** 2
    linked = {"nc1": "cdnv_log10", "gnc2": "gnc2_cv", "unc3": "uniform_duality", "nc4": "agreement"}
    for name, layer in linked.items():
        statement = f"{name.upper()} is linked to validation loss: R² over all 230 models"
        yield judge(declare(f"fig1.{name}", statement, ">=", 0.5, f"Fig. 1 and {ABSTRACT}"), r2[layer])
    source = "caption of Fig. {}, a stored copy read; which statistic is drawn is not said; rule ours"
    words = [
        ("fig2.equinorm", 2, "equinormness (CV of norms): negligible, R² over 230", "<=", 0.1, r2["norm_cv"]),
        ("fig2.equinorm-log", 2, "the same by Table 1's statistic (CV of log norms)", "<=", 0.1, r2["norm_log_cv"]),
        ("fig2.equiangular", 2, "equiangularity (CV of cosines): some, R²", ">=", 0.1, r2["interference_cv"]),
        (
            *("fig2.uniformity", 2, "hyperspherical uniformity (CV) is stronger than equiangularity: difference of R²"),
            *(">=", 0.0, r2["gnc2_cv"] - r2["interference_cv"]),
        ),
        ("fig3.nc3", 3, "self-duality (NC3): negligible, R² over 230", "<=", 0.1, r2["self_duality"]),
        ("fig3.nc3-late", 3, "the same among the 120 models of 10-epoch runs", "<=", 0.1, late),
        ("fig3.unc3", 3, "uniform duality (UNC3): some, R² over 230", ">=", 0.1, r2["uniform_duality"]),
        (
            *("fig3.unc3-stronger", 3, "UNC3 is stronger than NC3: difference of R²"),
            *(">=", 0.0, r2["uniform_duality"] - r2["self_duality"]),
        ),
    ]
    for name, figure, statement, relation, reference, ours in words:
        yield judge(declare(name, statement, relation, reference, source.format(figure)), ours)


def gain(table, layer, by, *, start=0, sign=-1):
    """log of how much nearer to collapse the last width or depth is than that at `start`; log10 columns as they are."""
    ends = trend(table, layer, LAST, by)[[start, -1]]
    change = math.log(10) * (ends[1] - ends[0]) if layer.endswith("log10") else np.diff(np.log(np.abs(ends)))[0]
    return sign * float(change)


def scale_claims(table):
    """ "NC properties that develop with scale (and regularization)", one rule for all: by a tenth at least."""
    measured = {"nc1": ("cdnv_log10", -1), "gnc2": ("gnc2_std", -1), "nc3": ("self_duality", 1)}
    measured |= {"unc3": ("uniform_duality", -1), "nc4": ("agreement", 1)}
    ends = {"width": "64 to 1024", "depth": "1 to 12 layers"}
    for name, (layer, sign) in measured.items():
        for by in ("width", "depth"):
            statement = f"{name.upper()} ({layer}) develops with {by}, {ends[by]}: log of the gain after 10 epochs"
            claim = declare(f"{by}.{name}", statement, ">=", 0.1, ABSTRACT)
            yield judge(claim, gain(table, layer, by, sign=sign))
    beyond = "derived: the rule of the claim above, for a statistic that the scale does not move by itself"
    statement = "NC1 made dimensionless develops with width beyond 128: log of the gain after 10 epochs"
    yield judge(
        declare("width.nc1-dimensionless", statement, ">=", 0.1, beyond, kind="extension", seen="derived"),
        gain(table, "cdnv_scaled_log10", "width", start=1),
    )
    statement = "GNC2's spread over that of independent directions falls with width: log of the gain after 10 epochs"
    claim = declare("width.gnc2-over-null", statement, ">=", 0.1, beyond, kind="extension", seen="derived")
    yield judge(claim, gain(table, "gnc2_excess", "width"))
    for name, (layer, _) in measured.items():
        statement = (
            f"{name.upper()} ({layer}) develops with weight decay: share of 30 shapes that 0.1 improves over 5e-4"
        )
        claim = declare(f"decay.{name}", statement + ", 10 epochs", ">=", 0.9, ABSTRACT)
        yield judge(claim, value(table, layer, "10 epochs", "improved"))


def claims(table):
    """The verdicts on the table of `published.run`."""
    return [*seed_claims(table), *figure_claims(table), *scale_claims(table)]
