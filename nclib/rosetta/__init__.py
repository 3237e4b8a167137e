"""What public codebases call NC1 to NC4: each one's formulas, its repository and file, side by side.

`CODES` names the codebases, `nclib.rosetta.formulas.FORMULAS` the formulas; `nclib.conventions.measure(...,
preset="zhu-2021")` gives the numbers of one, and preset="all" every formula. Formulas were read in the repositories at
the commits named here, and the functions there were run in float64 beside formulas like ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nclib.rosetta.formulas import FORMULAS, Measured
from nclib.statistics import ClassStatistics

MOST_CLASSES = 20_000  # pairs of classes are held at once


@dataclass(frozen=True)
class Code:
    """A codebase: repository, commit, file where it is known, the formulas it computes (and agreement,
    "nc4.agreement" or its complement), and what its results depend on beside the formula."""

    repository: str
    commit: str
    file: str
    formulas: tuple[str, ...]
    note: str = ""


def _of(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CODES = {
    "papyan-2020-code": Code(
        "neuralcollapse/neuralcollapse",
        "7f12011",
        "neuralcollapse.ipynb",
        _of("nc1.colab norm.cv_ddof1 norm.W_cv_ddof1 angle.abs_dev angle.abs_dev_W nc3.squared nc4.mismatch"),
        "the figure of the paper divides NC1 by K",
    ),
    "zhu-2021": Code(
        "tding1/Neural-Collapse",
        "04ef586",
        "validate_NC.py",
        _of("nc1.sample_center etf.W nc3.product nc4.bias_norm"),
        "its NC4 is the norm of W mu + b, not an agreement",
    ),
    "zhou-2022": Code(
        "jinxinzhou/nc_loss",
        "a294e2a",
        "evaluate.py",
        _of("nc1.sample_center etf.W_centered nc3.product_Wcentered nc4.bias_norm"),
        "on a CPU the first sample of each class counts as exact, as its copy shares memory: NC1 about 1/n too small",
    ),
    "dang-2023": Code(
        "Fsoft-AIC/Neural-Collapse-in-Deep-Linear-Networks",
        "1869cb1",
        "validate_NC_unbalanced.py",
        _of("nc1.sample_center etf.W of.W etf.M_sample of.M nc3.product nc3.root_sample nc3.root_uncentered"),
    ),
    "evanmarkou": Code(
        "evanmarkou/Guiding-Neural-Collapse",
        "00cdf29",
        "nc/validate_NC.py",
        _of("nc1.sample_center nc1.vci norm.cv_sample_ddof1 etf.W nc3.product nc4.mismatch nc4.bias_norm"),
        "variability collapse index of Xu & Liu (2023); as 1 - a trace it rounds to 0 near collapse",
    ),
    "yaras-2022": Code(
        "cjyaras/normalized-neural-collapse",
        "286f669",
        "generalized_model.py",
        _of("nc1.absent_zero_sample etf.W nc3.product_uncentered"),
        "an absent class is a row of zeros",
    ),
    "robust-nc": Code(
        "JingtongSu/robust_neural_collapse",
        "d95d2c3",
        "eval.py",
        _of("nc1.sample_center_no_K norm.cv_sample_ddof1 angle.abs_dev_sample nc3.squared_sample nc4.mismatch"),
    ),
    "hong-2023": Code(
        "WanliHongC/Neural-Collapse",
        "3f9c65b",
        "block_main.py",
        _of("nc1.weighted"),
        "divides by 10 for any number of classes: times K/10",
    ),
    "rangamani-2023": Code(
        "mariuslindegaard/Intermediate_Neural_Collapse",
        "1fb1344",
        "class Measurer",
        _of("nc1.sample_center nc1t.class_within cdnv.mean angle.signed_dev nc3.subspace"),
        "all layers; a signed mean of cosines only tests that directions sum to zero",
    ),
    "nc-toolbox": Code(
        "felixsh/nc-toolbox",
        "a527f99",
        "",
        _of("nc1.sample_center nc1t.share cdnv.ddof1 norm.signed_log_diff angle.signed_dev nc3.root_sample")
        + _of("nc3.off_diagonal nc4.agreement"),
    ),
    "kothapalli-2023": Code(
        "kvignesh1420/gnn_collapse",
        "b876686",
        "",
        _of("nc1.paper nc1t.ratio etf.W of.W etf.M of.M nc3.product_class nc3.root_uncentered"),
        "an absent class is a row of zeros",
    ),
    "galanti-2022": Code(
        "TomerGalanti/NeuralCollapseDepth",
        "e015c2b",
        "analysis.py",
        _of("cdnv.mean"),
        "variances as E x^2 - (E x)^2 in single precision: 8 times too large near collapse, worse with an offset",
    ),
    "repx": Code(
        "DLFundamentals/RepX",
        "f8dfedb",
        "",
        _of("cdnv.all_pairs etf.repx"),
        "pairs of absent classes count as zeros",
    ),
    "sakamoto-2025": Code("keitaroskmt/collapse-dynamics", "81f2c2d", "", _of("nc1t.weighted angle.condition")),
    "beaglehole-2024": Code(
        "dmbeaglehole/neural_collapse_rfm",
        "eee0604",
        "deep_rfm.py",
        _of("nc1t.ratio angle.square_all"),
        "equal class sizes only",
    ),
    "rhubarbwu": Code(
        "rhubarbwu/neural-collapse",
        "c05a0b8",
        "",
        _of("nc1.paper nc1t.ratio cdnv.mean cdnv.power2 norm.cv etf.M gnc2.log_mean gnc2.log_var gnc2.dist_var")
        + _of("angle.inner_mean nc3.product_class nc3.cos nc3.dot_var nc3.unit_distance"),
        "NC4 leaves out the bias; some numbers named a spread are variances",
    ),
    "linguistic-collapse": Code(
        "rhubarbwu/linguistic-collapse",
        "eda9682",
        "",
        _of("cdnv.power2 norm.squared_cv_ddof1 norm.log_cv_ddof1 gnc2.uncentered_mean gnc2.uncentered_cv_ddof1")
        + _of("angle.std_pairs_ddof1 nc3.cos nc3.cos_cv_ddof1 nc3.coordinate_sum"),
    ),
    "imbalanced-learning": Code(
        "NeuralCollapseApplications/ImbalancedLearning",
        "2ebb309",
        "",
        _of("angle.std_pairs_ddof1_sample nc3.absent_minus_mean nc3.cos_sample"),
        "its stat_mode keeps the last batch alone",
    ),
    "monai-8815": Code(
        "Project-MONAI/MONAI",
        "0368906",
        "",
        _of("angle.centroid_similarity"),
        "of means that are not centered: a common offset drives it to 1, and full collapse scores low",
    ),
}


def formula_values(
    stats: ClassStatistics,
    W: Tensor | None = None,
    *,
    preset: str = "all",
    bias: Tensor | None = None,
    agreement: float | None = None,
) -> dict[str, float]:
    """{formula: value} of a codebase of `CODES`, or of every formula for "all"; without those whose input is missing
    (a scatter, W (K, d), bias (K,), agreement of `metrics.ncc_agreement`).

    Raises ValueError for an unknown preset, more than 20,000 classes, and W or bias of another shape.
    """
    if preset != "all" and preset not in CODES:
        raise ValueError(f"preset={preset!r}, must be all or one of {', '.join(CODES)}")
    K, d = stats.means.shape
    if int(stats.present.sum()) > MOST_CLASSES:
        raise ValueError(f"stats has more than {MOST_CLASSES:,} classes, too many for conventions that need all pairs")
    for name, value, shape in (("W", W, (K, d)), ("bias", bias, (K,))):
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, must be {shape}")
    wanted = [*FORMULAS, "nc4.agreement", "nc4.mismatch"] if preset == "all" else CODES[preset].formulas
    given = {"": True, "scatter": stats.scatter is not None, "W": W is not None}
    given["W, b"] = W is not None and bias is not None
    shares = {} if agreement is None else {"nc4.agreement": float(agreement), "nc4.mismatch": 1 - float(agreement)}
    found = Measured(stats, W, bias)
    values = {}
    for name in wanted:
        if name in shares:
            values[name] = shares[name]
        elif name in FORMULAS and given[FORMULAS[name].needs]:
            values[name] = float(FORMULAS[name].value(found))
    return values


def described(name: str) -> str:
    """The formula of a name, in words."""
    shares = {"nc4.agreement": "share of samples whose classifier and nearest mean agree", "nc4.mismatch": "1 - that"}
    return shares.get(name) or FORMULAS[name].text


def users(name: str) -> list[str]:
    """The codebases that compute a formula."""
    return [code for code, one in CODES.items() if name in one.formulas]
