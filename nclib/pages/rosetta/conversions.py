"""From nclib's numbers to those of public codebases: an exact rule for each formula that has one.

v are nclib's numbers by the names of `conventions.measure`, m the `rosetta.formulas.Measured` of the same statistics.
e is the mean of samples minus the mean of class means, K the number of present classes, P of their pairs.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

ALWAYS, EQUAL, PRESENT = "always", "equal class sizes", "all classes occur"


class Conversion(NamedTuple):
    """family: the name that it goes by; ours: nclib's number; kind: how it differs, of `views.KINDS`; text: the rule,
    "" where there is none; where: `ALWAYS`, `EQUAL` or `PRESENT`; value(v, m): nclib's numbers converted."""

    family: str
    ours: str
    kind: str
    text: str = ""
    where: str = ALWAYS
    value: Callable | None = None

    def converted(self, v, m):
        """The formula's value by the rule, NaN where there is none or it does not apply."""
        present = bool(m.stats.present.all())
        equal = present and bool((m.stats.counts == m.stats.counts[0]).all())
        applies = {ALWAYS: True, EQUAL: equal, PRESENT: present}[self.where]
        return float(self.value(v, m)) if self.value and applies else math.nan


def pairs(m):
    return math.comb(m.K, 2)


def shift(m):
    """e = mu_S - mu_C, through the centered means, which an offset does not round."""
    return m.weights @ m.M


def trace(m):
    """tr Sb."""
    return m.M.square().sum() / m.K


def sample_center(v, m):
    """NC1 with center mu_S: Sb gains e e^T, a change of rank one within its span."""
    e = shift(m)
    u = torch.linalg.pinv(m.stats.between, hermitian=True, rtol=1e-9) @ e
    return v["nc1"] - u @ m.stats.within @ u / (m.K * (1 + e @ u))


def sample_ratio(v, m):
    """The ratio of traces with center mu_S: tr Sb gains |e|^2."""
    return v["nc1_trace_ratio"] / (1 + shift(m).square().sum() / trace(m))


def square_all(v, m):
    """Mean square of spread and bias of the cosines, over all K^2 entries."""
    return (v["interference_std"] ** 2 + (v["interference_mean"] + 1 / (m.K - 1)) ** 2) * (m.K - 1) / m.K


def same(name):
    return lambda v, m: v[name]


def squared(name):
    return lambda v, m: v[name] ** 2


def ddof(name):
    return lambda v, m: v[name] * math.sqrt(m.K / (m.K - 1))


def _pairs_ddof(v, m):
    return v["interference_std"] * math.sqrt(pairs(m) / (pairs(m) - 1))


def _share(v, m):
    return sample_ratio(v, m) / (1 + sample_ratio(v, m))


def _ddof_within(v, m):
    n = float(m.stats.counts[0])
    return v["cdnv_mean"] * n / (n - 1)


C, ONE = Conversion, "times 1"
OTHER = "another quantity"
CONVERSIONS = {
    "nc1.paper": C("NC1", "nc1", "as defined", ONE, ALWAYS, same("nc1")),
    "nc1.colab": C("NC1", "nc1", "factor", "times K", ALWAYS, lambda v, m: m.K * v["nc1"]),
    "nc1.sample_center": C("NC1", "nc1", "center", "minus u'Sw u / (K(1 + e'u)), u = Sb^+ e", ALWAYS, sample_center),
    "nc1.sample_center_no_K": C(
        "NC1", "nc1", "center", "the same, then times K", ALWAYS, lambda v, m: m.K * sample_center(v, m)
    ),
    "nc1.weighted": C("NC1", "nc1", "weighting", ONE, EQUAL, same("nc1")),
    "nc1.absent_zero_sample": C("NC1", "nc1", "weighting", "as with center mu_S", PRESENT, sample_center),
    "nc1.vci": C("NC1", "nc1", OTHER),
    "nc1t.ratio": C("NC1", "nc1_trace_ratio", OTHER, ONE, ALWAYS, same("nc1_trace_ratio")),
    "nc1t.weighted": C(
        "NC1",
        "nc1_trace_ratio",
        OTHER,
        "over 1 + 1e-8 / tr Sb",
        EQUAL,
        lambda v, m: v["nc1_trace_ratio"] / (1 + 1e-8 / trace(m)),
    ),
    "nc1t.class_within": C("NC1", "nc1_trace_ratio", OTHER, ONE, EQUAL, same("nc1_trace_ratio")),
    "nc1t.share": C("NC1", "nc1_trace_ratio", OTHER, "t / (1 + t), t over 1 + |e|^2 / tr Sb", ALWAYS, _share),
    "cdnv.mean": C("CDNV", "cdnv_mean", "as defined", ONE, ALWAYS, same("cdnv_mean")),
    "cdnv.ddof1": C("CDNV", "cdnv_mean", "factor", "times n / (n - 1)", EQUAL, _ddof_within),
    "cdnv.all_pairs": C(
        "CDNV",
        "cdnv_mean",
        "weighting",
        "times P over the number of all pairs",
        ALWAYS,
        lambda v, m: v["cdnv_mean"] * pairs(m) / math.comb(len(m.stats.counts), 2),
    ),
    "cdnv.power2": C("CDNV", "cdnv_mean", "square"),
    "etf.M": C("NC2", "etf_error", "as defined", ONE, ALWAYS, same("etf_error")),
    "etf.M_sample": C("NC2", "etf_error", "center", ONE, EQUAL, same("etf_error")),
    "etf.W": C("NC2", "etf_error", OTHER),
    "etf.W_centered": C("NC2", "etf_error", OTHER),
    "of.M": C("NC2", "of_error", OTHER, ONE, ALWAYS, same("of_error")),
    "of.W": C("NC2", "of_error", OTHER),
    "angle.abs_dev": C("NC2", "interference_std", OTHER),
    "angle.abs_dev_sample": C("NC2", "interference_std", "center"),
    "angle.abs_dev_W": C("NC2", "interference_std", OTHER),
    "angle.std_pairs_ddof1": C(
        "NC2", "interference_std", "factor", "times the root of P / (P - 1)", ALWAYS, _pairs_ddof
    ),
    "angle.std_pairs_ddof1_sample": C(
        "NC2", "interference_std", "center", "times the root of P / (P - 1)", EQUAL, _pairs_ddof
    ),
    "angle.signed_dev": C(
        "NC2",
        "interference_mean",
        OTHER,
        "plus 1 / (K - 1)",
        EQUAL,
        lambda v, m: v["interference_mean"] + 1 / (m.K - 1),
    ),
    "angle.square_all": C(
        "NC2",
        "interference_std",
        "square",
        "(std^2 + (mean cosine + 1 / (K - 1))^2) (K - 1) / K",
        ALWAYS,
        square_all,
    ),
    "etf.repx": C(
        "NC2",
        "interference_std",
        "factor",
        "root of (K - 1) times the square above",
        ALWAYS,
        lambda v, m: math.sqrt((m.K - 1) * square_all(v, m)),
    ),
    "angle.inner_mean": C(
        "NC2",
        "norm_mean",
        OTHER,
        "-(mean norm)^2 (1 + cv^2) / (K - 1)",
        ALWAYS,
        lambda v, m: -(v["norm_mean"] ** 2) * (1 + v["norm_cv"] ** 2) / (m.K - 1),
    ),
    "angle.centroid_similarity": C("NC2", "interference_mean", OTHER),
    "angle.condition": C("NC2", "etf_error", OTHER),
    "gnc2.log_mean": C("GNC2", "gnc2_mean", "as defined", ONE, ALWAYS, same("gnc2_mean")),
    "gnc2.log_var": C("GNC2", "gnc2_std", "square", "square", ALWAYS, squared("gnc2_std")),
    "gnc2.dist_var": C("GNC2", "gnc2_std", OTHER),
    "gnc2.uncentered_mean": C("GNC2", "gnc2_mean", "center"),
    "gnc2.uncentered_cv_ddof1": C("GNC2", "gnc2_cv", "center"),
    "norm.cv": C("norms", "norm_cv", "as defined", ONE, ALWAYS, same("norm_cv")),
    "norm.cv_ddof1": C("norms", "norm_cv", "factor", "times the root of K / (K - 1)", ALWAYS, ddof("norm_cv")),
    "norm.cv_sample_ddof1": C("norms", "norm_cv", "center", "times the root of K / (K - 1)", EQUAL, ddof("norm_cv")),
    "norm.log_cv_ddof1": C(
        "norms", "norm_log_cv", "factor", "times the root of K / (K - 1)", ALWAYS, ddof("norm_log_cv")
    ),
    "norm.squared_cv_ddof1": C("norms", "norm_cv", "square"),
    "norm.signed_log_diff": C("norms", "norm_cv", OTHER),
    "norm.W_cv_ddof1": C("norms", "norm_cv", OTHER),
    "nc3.squared": C("NC3", "nc3", "square", "square", ALWAYS, squared("nc3")),
    "nc3.squared_sample": C("NC3", "nc3", "square", "square", EQUAL, squared("nc3")),
    "nc3.absent_minus_mean": C("NC3", "nc3", "weighting", "square", EQUAL, squared("nc3")),
    "nc3.root_sample": C("NC3", "nc3", "center", ONE, EQUAL, same("nc3")),
    "nc3.root_uncentered": C("NC3", "nc3", "center"),
    "nc3.product_class": C("NC3", "dual_error", OTHER, ONE, ALWAYS, same("dual_error")),
    "nc3.product": C("NC3", "dual_error", OTHER, ONE, EQUAL, same("dual_error")),
    "nc3.product_Wcentered": C("NC3", "dual_error", OTHER),
    "nc3.product_uncentered": C("NC3", "dual_error", OTHER),
    "nc3.cos": C("NC3", "self_duality", OTHER, ONE, ALWAYS, same("self_duality")),
    "nc3.cos_sample": C("NC3", "self_duality", OTHER, ONE, EQUAL, same("self_duality")),
    "nc3.cos_cv_ddof1": C(
        "NC3", "uniform_duality", OTHER, "times the root of K / (K - 1)", ALWAYS, ddof("uniform_duality")
    ),
    "nc3.unit_distance": C("NC3", "nc3", OTHER),
    "nc3.dot_var": C("NC3", "nc3", OTHER),
    "nc3.off_diagonal": C("NC3", "self_duality", OTHER),
    "nc3.coordinate_sum": C("NC3", "nc3", OTHER),
    "nc3.subspace": C("NC3", "self_duality", OTHER),
    "nc4.agreement": C("NC4", "ncc_agreement", "as defined", ONE, ALWAYS, same("ncc_agreement")),
    "nc4.mismatch": C("NC4", "ncc_agreement", "factor", "one minus it", ALWAYS, lambda v, m: 1 - v["ncc_agreement"]),
    "nc4.bias_norm": C("NC4", "ncc_agreement", OTHER),
}
