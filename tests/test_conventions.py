import json
import math
import subprocess
import sys
from pathlib import Path

import naive
import pytest
import torch

from nclib import frames
from nclib.conventions import DESCRIPTIONS, PRESETS, SAMPLED, measure
from nclib.statistics import ClassStatistics

CONFORMANCE = json.loads(Path(__file__).with_name("conformance.json").read_text())
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
SCATTER, CLASSIFIER = {"nc1"}, {"self_duality", "uniform_duality", "duality_std", "nc3", "dual_error"}
double = torch.float64


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=double)


def problem(K=7, d=5, n=60, scatter=True):
    """Statistics of n samples over K classes, the last one absent, and a classifier."""
    y = torch.randint(0, K - 1, (n,), generator=torch.Generator().manual_seed(1))
    y[: K - 1] = torch.arange(K - 1)
    H = 3 * randn(K, d, seed=2)[y] + randn(n, d) + 2
    return ClassStatistics.from_features(H, y, K, scatter=scatter), randn(K, d, seed=3), H, y


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("preset", PRESETS)
def test_oracle_conformance(preset, dtype, device):
    H = torch.tensor(CONFORMANCE["features"], dtype=dtype, device=device)
    y = torch.tensor(CONFORMANCE["labels"], device=device)
    W = torch.tensor(CONFORMANCE["classifier"]["weight"], dtype=dtype)
    stats = ClassStatistics.from_features(H, y, CONFORMANCE["num_classes"], scatter=True)
    expected = CONFORMANCE["presets"][preset]
    assert measure(stats, W, preset=preset, agreement=expected["ncc_agreement"]) == pytest.approx(expected, rel=2e-9)


@pytest.mark.parametrize(("K", "d"), [(4, 9), (7, 5), (13, 3)])
@pytest.mark.parametrize("preset", PRESETS)
def test_oracle_random_problems(preset, K, d):
    """K - 1 present classes below, at and far above d, where closed forms replace pairs."""
    stats, W, H, y = problem(K, d)
    loop = naive.Statistics(naive.exact(H), y.tolist(), K)
    expected = {key: float(x) for key, x in naive.measure(loop, naive.exact(W), naive.Decimal(1) / 4, preset).items()}
    found = measure(stats, W, preset=preset, agreement=0.25)
    assert found == pytest.approx(expected, rel=1e-9)
    assert all(type(value) is float for value in found.values())


def test_law_keys_are_the_same_in_every_preset_and_described():
    stats, W, *_ = problem()
    bare, _, *_ = problem(scatter=False)
    for preset in PRESETS:
        assert list(measure(stats, W, preset=preset, agreement=1)) == list(DESCRIPTIONS)
        missing = SCATTER | CLASSIFIER | {"ncc_agreement"}
        assert list(measure(bare, preset=preset)) == [key for key in DESCRIPTIONS if key not in missing]


def test_value_presets_by_hand():
    """Means (3, 0), (-1, 0), (-2, 0) + (5, 5), each +- (1, 1) / 2: v = 1/2, distances 4, 5, 1, norms 3, 1, 2."""
    means = torch.tensor([[3.0, 0], [-1, 0], [-2, 0]], dtype=double)
    H, y = torch.cat([means + 5 + 0.5, means + 5 - 0.5]), torch.arange(3).repeat(2)
    stats = ClassStatistics.from_features(H, y, 3)
    W = torch.tensor([[1.0, 1], [-1, 0], [-3, 4]])
    textbook, may, october = (measure(stats, W, preset=preset) for preset in PRESETS)
    assert textbook["cdnv_mean"] == pytest.approx((1 / 32 + 1 / 50 + 1 / 2) / 3)
    assert may["cdnv_mean"] == october["cdnv_mean"] == pytest.approx((1 / 512 + 1 / 1250 + 1 / 2) / 3)
    assert may["cdnv_max"] == pytest.approx(1 / 2)
    assert textbook["norm_mean"] == october["norm_mean"] == pytest.approx(2)
    assert may["norm_mean"] == pytest.approx(14 / 3)
    assert textbook["norm_cv"] == pytest.approx(math.sqrt(2 / 3) / 2)
    assert may["norm_cv"] == pytest.approx(math.sqrt(98 / 3 - (14 / 3) ** 2) / (14 / 3))
    assert textbook["interference_mean"] == may["interference_mean"] == pytest.approx((-1 - 1 + 1) / 3)
    assert textbook["interference_std"] == pytest.approx(math.sqrt(1 - 1 / 9))
    assert october["interference_mean"] == pytest.approx((-3 - 6 + 2) / 3)
    assert october["interference_std"] == pytest.approx(math.sqrt(49 / 3 - (7 / 3) ** 2))
    assert october["interference_cv"] == pytest.approx(-math.sqrt(98 / 9) / (7 / 3))
    u, v, w = (torch.tensor(x, dtype=double) / math.hypot(*x) for x in ((8, 5), (4, 5), (3, 5)))
    assert may["gnc2_mean"] == pytest.approx(-sum(math.log((a - b).norm()) for a, b in ((u, v), (u, w), (v, w))) / 3)
    assert textbook["gnc2_mean"] == math.inf and math.isnan(textbook["gnc2_std"])
    cosines = [math.sqrt(1 / 2), 1, 3 / 5]
    for found in (textbook, may, october):
        assert found["nc1_trace_ratio"] == pytest.approx(1 / 2 / (14 / 3))
        assert found["self_duality"] == pytest.approx(sum(cosines) / 3)
        assert found["duality_std"] == pytest.approx(torch.tensor(cosines, dtype=double).std(correction=0).item())


def test_law_simplex_etf_collapses_in_every_preset():
    K, d = 6, 9
    M, y = 2 * frames.simplex_etf(K, d), torch.arange(K).repeat(3)
    stats = ClassStatistics.from_features(M[y], y, K)
    for preset in PRESETS:
        found = measure(stats, 5 * M, preset=preset)
        zero = ["nc1", "cdnv_mean", "cdnv_max", "norm_cv", "interference_std", "gnc2_std", "etf_error", "duality_std"]
        assert [found[key] for key in [*zero, "nc3", "dual_error"]] == pytest.approx([0] * 10, abs=1e-7)
        assert found["self_duality"] == pytest.approx(1)
        product = {"wu-papyan-2024-10": -4 / (K - 1)}.get(preset, -1 / (K - 1))
        assert found["interference_mean"] == pytest.approx(product)
        assert found["gnc2_mean"] == pytest.approx(-math.log(2 * K / (K - 1)) / 2)


def test_law_scale_and_shift():
    """Scale spares the textbook's CDNV and not that of Wu & Papyan; a shift spares all but the May GNC2."""
    stats, W, H, y = problem()
    for preset in PRESETS:
        base = measure(stats, W, preset=preset)
        scaled = measure(ClassStatistics.from_features(10 * H, y, 7, scatter=True), W, preset=preset)
        shifted = measure(ClassStatistics.from_features(H + 7, y, 7, scatter=True), W, preset=preset)
        power = {"textbook": 0}.get(preset, -2)
        assert scaled["cdnv_mean"] == pytest.approx(base["cdnv_mean"] * 10**power)
        moved = {key for key in base if shifted[key] != pytest.approx(base[key], rel=1e-9)}
        may = {"gnc2_mean", "gnc2_std", "gnc2_cv"} if preset == "wu-papyan-2024-05" else set()
        assert moved == {"of_error"} | may


def test_law_october_mean_product_is_fixed_by_the_norms():
    """Centered vectors sum to zero, so the mean inner product says nothing of angles."""
    for K, d in ((7, 5), (13, 3)):
        stats, *_ = problem(K, d)
        found = measure(stats, preset="wu-papyan-2024-10")
        squares = found["norm_mean"] ** 2 * (1 + found["norm_cv"] ** 2)
        assert found["interference_mean"] == pytest.approx(-squares / (found["classes"] - 1))


def test_law_rows_of_absent_classes_are_not_used():
    stats, W, *_ = problem()
    other = W.clone()
    other[-1] = math.nan
    assert measure(stats, other) == measure(stats, W)
    assert measure(stats, W.float().numpy()) == measure(stats, W.float().double())


def test_law_degenerate_means_are_reported():
    H = torch.tensor([[1.0, 2], [1, 2], [4, 0], [4, 1]], dtype=double)
    twins = measure(ClassStatistics.from_features(H, torch.arange(4), 4))
    assert twins["cdnv_max"] == math.inf and math.isnan(twins["cdnv_std"])
    assert twins["gnc2_mean"] == math.inf and math.isnan(twins["gnc2_cv"])
    point = measure(ClassStatistics.from_features(torch.ones(6, 3), torch.arange(6) % 3, 3))
    assert point["nc1_trace_ratio"] == math.inf
    assert all(math.isnan(point[key]) for key in ("norm_cv", "interference_cv", "etf_error"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "wu"}, "preset='wu', must be one of textbook, wu-papyan-2024-05, wu-papyan-2024-10"),
        ({"preset": None}, "preset=None, must be one of textbook"),
        ({"agreement": 1.01}, "agreement=1.01, must be a share in 0..1"),
        ({"agreement": math.nan}, "agreement=nan, must be a share in 0..1"),
        ({"W": torch.ones(6, 5)}, r"W has shape \(6, 5\), must be that of stats.means, \(7, 5\)"),
        ({"W": torch.full((7, 5), math.inf)}, "W holds NaN or inf in the row of a present class, must be finite"),
        ({"stats": ClassStatistics.from_features(torch.ones(2, 5), torch.ones(2).long(), 7)}, "stats has 1 present"),
        ({"stats": ClassStatistics.from_features(torch.ones(0, 5), torch.ones(0).long(), 7)}, "stats has 0 present"),
    ],
)
def test_value_bad_input(change, message):
    stats, W, *_ = problem()
    with pytest.raises(ValueError, match=message):
        measure(**{"stats": stats, "W": W} | change)


def test_law_a_sample_of_pairs_has_standard_errors_and_no_maximum():
    """All but the numbers over pairs are those of the exact measurement; a sample is taken where it is asked for."""
    H, W = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)), torch.eye(9, 6) + 1
    stats = ClassStatistics.from_features(H, torch.arange(500) % 9, 9)
    exact, found = measure(stats, W), measure(stats, W, pairs="sample")
    assert measure(stats, W, pairs="exact") == exact
    changed = {"cdnv_mean", "cdnv_std", "cdnv_log_mean", "gnc2_mean", "gnc2_std", "gnc2_cv"}
    assert set(found) == set(exact) - {"cdnv_max"} | set(SAMPLED)
    for key, value in found.items():
        if key not in changed | set(SAMPLED):
            assert value == exact[key]
    for key in ("cdnv_mean", "gnc2_mean"):
        assert 0 < found[f"{key}_error"] < 0.01 * abs(exact[key])
        assert abs(found[key] - exact[key]) < 4 * found[f"{key}_error"]
    assert measure(stats, W, pairs="sample", seed=1) != found == measure(stats, W, pairs="sample")


def test_law_pairs_are_sampled_above_the_limit(monkeypatch):
    monkeypatch.setattr("nclib.conventions.EXACT", 8)
    stats = ClassStatistics.from_features(torch.eye(9) + torch.eye(9).roll(1), torch.arange(9), 9)
    assert "gnc2_mean_error" in measure(stats) and "gnc2_mean_error" not in measure(stats, pairs="exact")
    part = ClassStatistics.from_features(torch.eye(9)[:8], torch.arange(8), 9)
    assert "gnc2_mean_error" not in measure(part)
    with pytest.raises(ValueError, match="pairs='some', must be auto, exact or sample"):
        measure(stats, pairs="some")


@pytest.mark.parametrize("K", [9, 40], ids=["few", "more than 2 d"])
def test_law_blocks_of_rows_change_nothing(monkeypatch, K):
    """A million classes go block by block: the same numbers to rounding, also of a float32 classifier."""
    H, W = torch.randn(400, 6, generator=torch.Generator().manual_seed(0)), torch.randn(K, 6).float()
    stats = ClassStatistics.from_features(H, torch.arange(400) % K, K)
    whole = measure(stats, W.double())
    monkeypatch.setattr("nclib._inputs._ENTRIES", 42)
    for key, value in measure(stats, W).items():
        assert value == pytest.approx(whole[key], rel=1e-12, abs=1e-14), key


MEMORY = """
import torch
from nclib.conventions import measure
from nclib.statistics import ClassStatistics
def resident(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return 1024 * int(line.split()[1])
def problem(K):
    stats = ClassStatistics(torch.full((K,), 2), torch.randn(K, 64).double(), torch.rand(K).double())
    return stats, torch.randn(K, 64)
torch.set_num_threads(1)
measure(*problem(1000), pairs="sample")
before = resident("VmRSS")
measure(*problem(300_000))
print((resident("VmHWM") - before) / (8 * 64 * 300_000))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
def test_law_memory_of_many_classes_is_below_three_copies_of_the_means():
    """Statistics, a float32 classifier, the centered means and blocks: 2.5 copies and what blocks take."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert 2.4 < float(done.stdout) < 3
