"""The formulas of public codebases: their values on two data sets, and the conversions between them on a third."""

import json
import math
from pathlib import Path

import pytest
import torch
from test_cli import call

from nclib import frames, metrics
from nclib.conventions import PRESETS, measure
from nclib.rosetta import CODES
from nclib.rosetta.formulas import FORMULAS, Measured
from nclib.statistics import ClassStatistics

ROSETTA = json.loads(Path(__file__).with_name("rosetta.json").read_text())
double = torch.float64


def loaded(name, scale=1.0, offset=0.0):
    data = ROSETTA[name]
    H, W, b = (torch.tensor(data[key], dtype=double) for key in ("H", "W", "b"))
    stats = ClassStatistics.from_features(
        scale * H + offset, torch.tensor(data["y"]), data["num_classes"], scatter=True
    )
    return stats, W, b, H


@pytest.mark.parametrize("name", ["A", "B"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_oracle_every_formula(name, formula):
    stats, W, b, _ = loaded(name)
    found = float(FORMULAS[formula].value(Measured(stats, W, b)))
    assert found == pytest.approx(ROSETTA[name]["values"][formula], rel=1e-11)


def near_an_etf(K=10, d=16, n=8, ratio=1e-8):
    """Samples near a simplex ETF, in isotropic noise: the third data set."""
    generator = torch.Generator().manual_seed(0)
    M = frames.simplex_etf(K, d)
    H = M.repeat(n, 1) + math.sqrt(ratio / d) * torch.randn(K * n, d, generator=generator, dtype=double)
    W = M + 0.03 * torch.randn(K, d, generator=generator, dtype=double)
    stats = ClassStatistics.from_features(H, torch.arange(K).repeat(n), K, scatter=True)
    return stats, W, torch.randn(K, generator=generator, dtype=double)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_law_conversions(name):
    stats, W, b = near_an_etf() if name == "C" else loaded(name)[:3]
    v = measure(stats, W, preset="all", bias=b, agreement=0.75)
    K, m = int(stats.present.sum()), Measured(stats, W, b)
    P, n = math.comb(K, 2), stats.counts[stats.present].double()
    e = m.sample_mean - stats.global_mean
    near = {"rel": 1e-9}
    assert v["nc1.colab"] == pytest.approx(K * v["nc1.paper"], **near)
    assert v["nc1.sample_center_no_K"] == pytest.approx(K * v["nc1.sample_center"], **near)
    assert v["nc1.sample_center"] <= v["nc1.paper"] * (1 + 1e-12)
    u = torch.linalg.pinv(stats.between, hermitian=True, rtol=1e-9) @ e
    moved = v["nc1.paper"] - u @ stats.within @ u / (K * (1 + e @ u))
    assert v["nc1.sample_center"] == pytest.approx(float(moved), rel=1e-8)
    assert v["nc1.vci"] <= v["nc1.sample_center"] * K / (K - 1)
    t = v["nc1t.sample_center"]
    assert v["nc1t.share"] == pytest.approx(t / (1 + t), **near)
    for base in ("norm.cv", "norm.cv_sample", "norm.log_cv", "nc3.cos_cv"):
        assert v[f"{base}_ddof1"] == pytest.approx(v[base] * math.sqrt(K / (K - 1)), **near)
    assert v["angle.std_pairs_ddof1"] == pytest.approx(v["angle.std"] * math.sqrt(P / (P - 1)), **near)
    ordered = v["angle.std_pairs_ddof1_sample"] * math.sqrt((P - 1) / P * 2 * P / (2 * P - 1))
    assert v["angle.std_ordered_ddof1"] == pytest.approx(ordered, **near)
    S = m.S / m.S.norm(dim=1, keepdim=True)
    assert v["angle.signed_dev"] == pytest.approx(float(S.sum(0).square().sum()) / (K * (K - 1)), rel=1e-9, abs=1e-14)
    assert v["angle.inner_mean"] == pytest.approx(-float(m.M.square().sum(1).mean()) / (K - 1), **near)
    assert v["angle.square_all"] == pytest.approx(v["angle.square_off"] * (K - 1) / K, **near)
    assert v["etf.repx"] == pytest.approx(math.sqrt((K - 1) * v["angle.square_all"]), **near)
    assert v["nc3.squared"] == pytest.approx(v["nc3.root"] ** 2, **near)
    assert v["cdnv.all_pairs"] == pytest.approx(v["cdnv.mean"] * P / math.comb(len(stats.counts), 2), **near)
    assert v["nc4.mismatch"] == pytest.approx(1 - v["nc4.agreement"]) == 0.25
    if len(set(n.tolist())) == 1:
        assert v["cdnv.ddof1"] == pytest.approx(v["cdnv.mean"] * float(n[0] / (n[0] - 1)), **near)
        assert v["nc1.weighted"] == pytest.approx(v["nc1.paper"], **near)
    textbook = measure(stats, W)
    pairs = {"nc1": "nc1.paper", "nc1_trace_ratio": "nc1t.ratio", "cdnv_mean": "cdnv.mean", "norm_cv": "norm.cv"}
    pairs |= {"norm_log_cv": "norm.log_cv", "interference_std": "angle.std", "gnc2_mean": "gnc2.log_mean"}
    pairs |= {"etf_error": "etf.M", "of_error": "of.M", "nc3": "nc3.root", "dual_error": "nc3.product_class"}
    pairs |= {"self_duality": "nc3.cos", "uniform_duality": "nc3.cos_cv"}
    for ours, theirs in pairs.items():
        assert textbook[ours] == pytest.approx(v[theirs], rel=1e-8), ours
    may = measure(stats, W, preset="wu-papyan-2024-05")
    assert may["cdnv_mean"] == pytest.approx(v["cdnv.power2"]) and may["gnc2_mean"] == pytest.approx(
        v["gnc2.uncentered_mean"]
    )


def test_oracle_vci_near_collapse_keeps_its_digits():
    """Isotropic noise of variance s per direction and R equal directions of variance g between: s / (s + g)."""
    K, d, s = 5, 7, 1e-14
    M = frames.simplex_etf(K, d)
    eye = torch.eye(d, dtype=double)
    n = torch.full((K,), 10)
    stats = ClassStatistics(n, M, torch.full((K,), 10 * s * d, dtype=double), 10 * K * s * eye)
    g = float(M.square().sum()) / K / (K - 1)
    assert measure(stats, preset="all")["nc1.vci"] == pytest.approx(s / (s + g), rel=1e-6)


@pytest.mark.parametrize("formula", FORMULAS)
def test_law_what_moves_with_scale_and_offset(formula):
    """As the table has it: a number that depends on neither is the same for features twice as large, or moved by 3."""
    _, W, b, _ = loaded("B")
    value = [float(FORMULAS[formula].value(Measured(loaded("B", *change)[0], W, b))) for change in ((), (2, 0), (1, 3))]
    for other, moves in zip(value[1:], ROSETTA["moves"][formula], strict=True):
        if not moves and formula not in ("nc1t.weighted", "nc4.bias_norm"):  # + 1e-8; the bias would have to follow
            assert other == pytest.approx(value[0], rel=1e-8)


def test_law_every_codebase_gives_its_formulas():
    stats, W, b, H = loaded("B")
    agreement = metrics.ncc_agreement(H, W, b, stats.means, stats.present)
    assert agreement == ROSETTA["B"]["values"]["nc4.agreement"]
    everything = measure(stats, W, preset="all", bias=b, agreement=agreement)
    assert list(everything) == [*FORMULAS, "nc4.agreement", "nc4.mismatch"] and not set(CODES) & set(PRESETS)
    for name, code in CODES.items():
        found = measure(stats, W, preset=name, bias=b, agreement=agreement)
        assert tuple(found) == code.formulas and all(found[key] == everything[key] for key in found)
    bare = ClassStatistics(stats.counts, stats.means, stats.spread)
    assert list(measure(bare, preset="zhu-2021")) == [] and list(measure(bare, W, preset="zhu-2021")) == [
        "etf.W",
        "nc3.product",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "zhu"}, "preset='zhu', must be one of textbook, .*zhu-2021"),
        ({"preset": "all", "W": torch.eye(3)}, r"W has shape \(3, 3\), must be \(5, 8\)"),
        ({"preset": "all", "bias": torch.zeros(4)}, r"bias has shape \(4,\), must be \(5,\)"),
    ],
)
def test_value_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        measure(loaded("B")[0], **options)


def test_value_the_command_shows_them_side_by_side(tmp_path, capsys):
    import numpy as np

    data = ROSETTA["B"]
    np.savez(tmp_path / "f.npz", H=np.array(data["H"]), y=np.array(data["y"]))
    np.savez(tmp_path / "W.npz", weight=np.array(data["W"]), bias=np.array(data["b"]))
    arguments = ["measure", str(tmp_path / "f.npz"), "--classifier", str(tmp_path / "W.npz"), "--device", "cpu"]
    code, out, error = call(capsys, *arguments, "--preset", "all", "--csv", str(tmp_path / "t.csv"))
    assert (code, error) == (0, "") and "absent classes 1" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert list(rows) == [*FORMULAS, "nc4.agreement", "nc4.mismatch"]
    assert "0.07205" in rows["nc1.paper"] and "kothapalli-2023" in rows["nc1.paper"]
    assert "0.9524" in rows["nc1.absent_zero_class"] and "12.78" in rows["nc4.bias_norm"]
    assert len((tmp_path / "t.csv").read_text().splitlines()) == len(rows) + 1
    code, out, error = call(capsys, *arguments, "--preset", "zhu-2021", "--json", "-")
    values = json.loads(out)["values"]
    assert values == pytest.approx({key: data["values"][key] for key in CODES["zhu-2021"].formulas})
    code, out, error = call(capsys, *arguments, "--preset", "all", "--bootstrap", "100")
    assert (code, out) == (2, "") and "--preset all: has no --bootstrap and no --null" in error
