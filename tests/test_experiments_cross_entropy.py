"""The studies of notebook 05: the objective, its local minima, the ETF's curvature, the census."""

import math

import matplotlib
import pandas as pd
import pytest
import torch
from published import drawn
from torch.nn import functional as F_

from nclib.experiments.dang2023 import cross_entropy, cross_entropy_candidates
from nclib.experiments.dang2023 import cross_entropy_views as views
from nclib.experiments.dang2023.cross_entropy import Config
from nclib.plotting import cross_entropy as plotting
from nclib.theory.deep_linear import ce_cross_polytope_candidate, ce_etf_candidate

matplotlib.use("agg")
f64 = {"dtype": torch.float64}


def collected(study, configs):
    """The table of some configs without the store."""
    tables = []
    for config in configs:
        table = study.run(config, "cpu")
        tables.append(
            table.assign(**{name: [value] * len(table) for name, value in vars(config).items() if name != "seed"})
        )
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def census():
    configs = [Config(M, K, (1e-2, 1e-3), 6, 500, (0, 1)) for M, K in ((1, 4), (2, 4), (2, 6), (3, 4))]
    return collected(cross_entropy, configs)


def test_value_loss_by_hand():
    # K = 2, M = 1, W = I, H = 2 I, b = (1, 0): logits (3, 0) and (1, 2)
    W, H, b = torch.eye(2, **f64), 2 * torch.eye(2, **f64), torch.tensor([[1.0, 0.0]], **f64)
    value = cross_entropy.loss(torch.stack([W, H])[None], b, 0.1)
    fit = (math.log1p(math.exp(-3)) + math.log1p(math.exp(-1))) / 2
    assert value.item() == pytest.approx(fit + 0.05 * (2 + 8 + 1), rel=1e-14)


def test_oracle_loss_against_torch_modules():
    torch.manual_seed(0)
    factors, b = torch.randn(3, 4, 5, 5, **f64), torch.randn(3, 5, **f64)
    for F, bias, value in zip(factors, b, cross_entropy.loss(factors, b, 0.02), strict=True):
        z = F[3].T
        for W in (F[2], F[1], F[0]):
            z = F_.linear(z, W)
        expected = F_.cross_entropy(z + bias, torch.arange(5)) + 0.01 * (F.square().sum() + bias.square().sum())
        assert value.item() == pytest.approx(expected.item(), rel=1e-13)


@pytest.mark.parametrize(("M", "K"), [(1, 4), (2, 4), (2, 6), (3, 4)])
def test_value_loss_at_the_etf_is_the_candidates(M, K):
    value = cross_entropy.loss(cross_entropy.etf_point(K, M, 1e-3), torch.zeros(1, K, **f64), 1e-3)
    assert value.item() == pytest.approx(ce_etf_candidate(K, 1, (1e-3,) * M, 1e-3).loss, rel=1e-12)


def test_attainment_random_starts_reach_the_cross_polytope_below_the_etf(census):
    for M, K, paper in ((2, 6, 2.9568e-2), (3, 4, 1.6595e-2)):
        cross = ce_cross_polytope_candidate(K, 1, (1e-3,) * M, 1e-3).loss
        etf = ce_etf_candidate(K, 1, (1e-3,) * M, 1e-3).loss
        best = cross_entropy.census(census, M, K, lam=1e-3)["value"].min() * etf
        assert best == pytest.approx(cross, rel=1e-8) and best == pytest.approx(paper, abs=5e-7) and best < 0.95 * etf


def test_attainment_one_layer_always_ends_at_the_etf(census):
    ratio = cross_entropy.census(census, 1, 4)["value"]
    assert len(ratio) == 24 and (ratio - 1).abs().max() < 1e-8


def test_attainment_a_tetrahedron_and_a_pair_lie_between(census):
    # K = 6: four classes as a simplex, two as an opposite pair, in orthogonal subspaces; a local minimum of rank 4
    Z = 8 * torch.block_diag(torch.eye(4, **f64) - 0.25, torch.tensor([[1.0, -1.0], [-1.0, 1.0]], **f64))
    values, vectors = torch.linalg.eigh(Z)
    root = vectors * values.clamp(min=0) ** (1 / 3) @ vectors.mT
    start = root.expand(1, 3, 6, 6), torch.zeros(1, 6, **f64)
    F, b, gradient = cross_entropy.minimize(*start, 1e-3, 0)
    ratio = cross_entropy.loss(F, b, 1e-3).item() / ce_etf_candidate(6, 1, (1e-3, 1e-3), 1e-3).loss
    assert gradient.item() < 1e-8 and torch.linalg.matrix_rank(cross_entropy.logits(F)[0], rtol=1e-3) == 4
    assert ratio == pytest.approx(0.98280, abs=1e-5)
    found = cross_entropy.census(census, 2, 6, lam=1e-3).query("rank == 4")["value"]
    assert len(found) and found.min() == pytest.approx(ratio, rel=1e-8)


def test_law_gradients_vanish_where_starts_end(census):
    gradient = census[census["metric"].str.startswith("gradient")]["value"]
    assert 0 < gradient.max() < 1e-6


def test_oracle_hessian_has_the_gauge_zeros_and_no_negative_value():
    lam, M, K = 1e-2, 2, 3
    F, b = cross_entropy.etf_point(K, M, lam), torch.zeros(1, K, **f64)
    values = cross_entropy.hessian_eigenvalues(F, b, lam)
    zeros = cross_entropy.gauge_dimension(K, M)
    assert zeros == 6 and values[:zeros].abs().max() < 1e-13
    assert values[zeros].item() == pytest.approx(lam, rel=1e-9)
    # the trace, from central differences of the loss along every parameter
    start, step = cross_entropy.loss(F, b, lam).item(), 1e-4
    trace = 0.0
    for i in range(F.numel() + b.numel()):
        e = torch.zeros(F.numel() + b.numel(), **f64)
        e[i] = step
        dF, db = e[: F.numel()].view(F.shape), e[F.numel() :].view(b.shape)
        ahead, behind = (cross_entropy.loss(F + sign * dF, b + sign * db, lam).item() for sign in (1, -1))
        trace += (ahead - 2 * start + behind) / step**2
    assert values.sum().item() == pytest.approx(trace, rel=1e-5)
    assert values.numel() == (M + 1) * K * K + K


def test_law_a_saddle_has_negative_curvature():
    F = torch.zeros(1, 2, 4, 4, **f64)
    assert cross_entropy.hessian_eigenvalues(F, torch.zeros(1, 4, **f64), 1e-3).min() < -0.1


def test_value_census_verdicts(census):
    judged = {row["id"].removeprefix("dang2023.cross-entropy."): row["verdict"] for row in cross_entropy.claims(census)}
    fails = {name for name, verdict in judged.items() if verdict == "fails"}
    assert fails == {"etf-global-M2-K6", "etf-global-M3-K4"}
    assert judged["etf-global-M2-K4"] == judged["return"] == judged["curvature"] == "holds"


@pytest.mark.parametrize(("K", "M", "value"), [(4, 1, 4 / 3), (6, 2, 3 * 2 ** (2 / 3) / 5), (4, 3, 2 * 2**0.5 / 3)])
def test_value_small_lambda_limit(K, M, value):
    assert cross_entropy_candidates.limit(K, M) == pytest.approx(value, rel=1e-14)


def test_law_ratio_of_losses_tends_to_its_limit():
    table = collected(cross_entropy_candidates, cross_entropy_candidates.runs("smoke"))
    pairs = cross_entropy_candidates.pairs(table)
    gap = (pairs["ratio"] - pairs["limit"]).abs().groupby(pairs["lam"]).max()
    assert gap.sort_index(ascending=False).is_monotonic_decreasing and 0 < gap.iloc[0] < 0.03
    assert cross_entropy_candidates.claims(table)[0]["verdict"] == "holds"
    assert drawn(plotting.candidates, views.candidates(pairs)).axes


def test_law_figures_draw_the_census(census):
    one_layer = collected(cross_entropy, [Config(1, 6, (1e-3,), 1, 300, (0,))])
    table = pd.concat([census, one_layer], ignore_index=True)
    rows = views.census(table), views.rank_and_loss(table, 1e-3), views.logits(table, 1e-3)
    for draw, part in zip((plotting.census, plotting.rank_and_loss, plotting.logits), rows, strict=True):
        made = drawn(draw, part)
        assert all(axis.get_xticks().size for axis in made.axes)
        matplotlib.pyplot.close(made)


def test_law_profiles():
    with pytest.raises(ValueError, match="profile = 'huge'"):
        cross_entropy.runs("huge")
    assert {c.seeds for c in cross_entropy.runs("laptop", seed=2)} == {(2, 3, 4)}
    assert {c.starts for c in cross_entropy.runs("smoke", starts=3)} == {3}
