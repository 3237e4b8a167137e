"""Page 05, cross-entropy and depth: the objective, its local minima, the ETF's curvature, the census, the proof."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn
from torch.nn import functional as F_

from nclib.evidence.claims import judge_all
from nclib.pages.cross_entropy_depth import census as study
from nclib.pages.cross_entropy_depth import claims, figures, one_layer, points, views
from nclib.pages.cross_entropy_depth.candidates import Candidates, limit
from nclib.pages.cross_entropy_depth.census import Census
from nclib.pages.cross_entropy_depth.claims import HEADLINES
from nclib.pages.cross_entropy_depth.points import Shaped, Written
from nclib.pages.cross_entropy_depth.quoted import quoted
from nclib.pages.cross_entropy_depth.study import STUDY
from nclib.runs.experiment import typed
from nclib.theory.deep_linear import ce_cross_polytope_candidate, ce_etf_candidate

matplotlib.use("agg")
f64 = {"dtype": torch.float64}
CASES = (1, 4), (2, 4), (2, 6), (3, 4)


def collected(part, runs):
    """The rows of some runs as of a part of the study, without the store."""
    fields = [
        {name: value for name, value in vars(run).items() if not isinstance(value, tuple)} | {"run": run.key()}
        for run in runs
    ]
    tables = [run.run().assign(**more) for run, more in zip(runs, fields, strict=True)]
    return typed(pd.concat(tables, ignore_index=True)).assign(part=part, beside="")


@pytest.fixture(scope="module")
def table():
    """Two seeds of four cases, and everything else of profile smoke."""
    parts = STUDY.named("smoke") | {"census": [Census(M, K, (1e-2, 1e-3), 6, 500, (0, 1)) for M, K in CASES]}
    return typed(pd.concat([collected(part, runs) for part, runs in parts.items()], ignore_index=True))


def verdicts(table):
    return {
        row.id.removeprefix("dang2023.cross-entropy."): row.verdict for row in judge_all(HEADLINES, table).itertuples()
    }


def test_value_loss_by_hand():
    # K = 2, M = 1, W = I, H = 2 I, b = (1, 0): logits (3, 0) and (1, 2)
    W, H, b = torch.eye(2, **f64), 2 * torch.eye(2, **f64), torch.tensor([[1.0, 0.0]], **f64)
    value = study.loss(torch.stack([W, H])[None], b, 0.1)
    fit = (math.log1p(math.exp(-3)) + math.log1p(math.exp(-1))) / 2
    assert value.item() == pytest.approx(fit + 0.05 * (2 + 8 + 1), rel=1e-14)


def test_oracle_loss_against_torch_modules():
    torch.manual_seed(0)
    factors, b = torch.randn(3, 4, 5, 5, **f64), torch.randn(3, 5, **f64)
    for F, bias, value in zip(factors, b, study.loss(factors, b, 0.02), strict=True):
        z = F[3].T
        for W in (F[2], F[1], F[0]):
            z = F_.linear(z, W)
        expected = F_.cross_entropy(z + bias, torch.arange(5)) + 0.01 * (F.square().sum() + bias.square().sum())
        assert value.item() == pytest.approx(expected.item(), rel=1e-13)


@pytest.mark.parametrize(("M", "K"), [(1, 4), (2, 4), (2, 6), (3, 4)])
def test_value_loss_at_the_etf_is_the_candidates(M, K):
    value = study.loss(study.etf_point(K, M, 1e-3), torch.zeros(1, K, **f64), 1e-3)
    assert value.item() == pytest.approx(ce_etf_candidate(K, 1, (1e-3,) * M, 1e-3).loss, rel=1e-12)


def test_attainment_random_starts_reach_the_cross_polytope_below_the_etf(table):
    for M, K, paper in ((2, 6, 2.9568e-2), (3, 4, 1.6595e-2)):
        cross = ce_cross_polytope_candidate(K, 1, (1e-3,) * M, 1e-3).loss
        etf = ce_etf_candidate(K, 1, (1e-3,) * M, 1e-3).loss
        best = claims.census(table, M, K, 1e-3)["value"].min() * etf
        assert best == pytest.approx(cross, rel=1e-8) and best == pytest.approx(paper, abs=5e-7) and best < 0.95 * etf


def test_attainment_one_layer_always_ends_at_the_etf(table):
    ratio = claims.census(table, 1, 4)["value"]
    assert len(ratio) == 24 and (ratio - 1).abs().max() < 1e-8


def test_attainment_a_tetrahedron_and_a_pair_lie_between(table):
    # K = 6: four classes as a simplex, two as an opposite pair, in orthogonal subspaces; a local minimum of rank 4
    Z = 8 * torch.block_diag(torch.eye(4, **f64) - 0.25, torch.tensor([[1.0, -1.0], [-1.0, 1.0]], **f64))
    values, vectors = torch.linalg.eigh(Z)
    root = vectors * values.clamp(min=0) ** (1 / 3) @ vectors.mT
    start = root.expand(1, 3, 6, 6), torch.zeros(1, 6, **f64)
    F, b, gradient = study.minimize(*start, 1e-3, 0)
    ratio = study.loss(F, b, 1e-3).item() / ce_etf_candidate(6, 1, (1e-3, 1e-3), 1e-3).loss
    assert gradient.item() < 1e-8 and torch.linalg.matrix_rank(study.logits(F)[0], rtol=1e-3) == 4
    assert ratio == pytest.approx(0.98280, abs=1e-5)
    found = claims.census(table, 2, 6, 1e-3).query("rank == 4")["value"]
    assert len(found) and found.min() == pytest.approx(ratio, rel=1e-8)


def test_law_gradients_vanish_where_starts_end(table):
    gradient = table[table["metric"] == "gradient"]["value"]
    assert 0 < gradient.max() < 1e-6


def test_oracle_hessian_has_the_gauge_zeros_and_no_negative_value():
    lam, M, K = 1e-2, 2, 3
    F, b = study.etf_point(K, M, lam), torch.zeros(1, K, **f64)
    values = study.hessian_eigenvalues(F, b, lam)
    zeros = study.gauge_dimension(K, M)
    assert zeros == 6 and values[:zeros].abs().max() < 1e-13
    assert values[zeros].item() == pytest.approx(lam, rel=1e-9)
    # the trace, from central differences of the loss along every parameter
    start, step = study.loss(F, b, lam).item(), 1e-4
    trace = 0.0
    for i in range(F.numel() + b.numel()):
        e = torch.zeros(F.numel() + b.numel(), **f64)
        e[i] = step
        dF, db = e[: F.numel()].view(F.shape), e[F.numel() :].view(b.shape)
        ahead, behind = (study.loss(F + sign * dF, b + sign * db, lam).item() for sign in (1, -1))
        trace += (ahead - 2 * start + behind) / step**2
    assert values.sum().item() == pytest.approx(trace, rel=1e-5)
    assert values.numel() == (M + 1) * K * K + K


def test_law_a_saddle_has_negative_curvature():
    F = torch.zeros(1, 2, 4, 4, **f64)
    assert study.hessian_eigenvalues(F, torch.zeros(1, 4, **f64), 1e-3).min() < -0.1


def test_value_verdicts(table):
    found = verdicts(table)
    assert len(found) == 37
    assert {name for name, verdict in found.items() if verdict == "fails"} == {"etf-global-M2-K6", "etf-global-M3-K4"}
    unseen = {"etf-global-M3-K6", "share-M3-K6", "rank-M1", "rank-M3"}
    assert {name for name, verdict in found.items() if verdict == "not at this scale"} == unseen


@pytest.mark.parametrize(("K", "M", "value"), [(4, 1, 4 / 3), (6, 2, 3 * 2 ** (2 / 3) / 5), (4, 3, 2 * 2**0.5 / 3)])
def test_value_small_lambda_limit(K, M, value):
    assert limit(K, M) == pytest.approx(value, rel=1e-14)


def test_law_ratio_of_losses_tends_to_its_limit(table):
    pairs = views.pairs(table)
    gap = (pairs["ratio"] - pairs["limit"]).abs().groupby(pairs["lam"]).max()
    assert gap.sort_index(ascending=False).is_monotonic_decreasing and 0 < gap.iloc[0] < 0.03
    shown = views.losses(table, 1e-3).set_index(["M", "K"]).round(5)
    assert shown.loc[(2, 6), "simplex ETF"] == 0.03149 and shown.loc[(2, 6), "cross-polytope"] == 0.02957


@pytest.mark.parametrize(("M", "K"), [(1, 4), (2, 6), (3, 4)])
def test_law_points_of_the_shape_have_it(M, K):
    """K - 1 equal singular values; at spread 0 the price is the bound's, so that all excess is of the fit."""
    for spread in (0.0, 0.3):
        F, b, a = Shaped(M, K, 1e-2, spread, 20, (0,)).points(torch.Generator().manual_seed(3))
        s = torch.linalg.svdvals(study.logits(F))
        assert torch.allclose(s[:, :-1], a[:, None].expand(-1, K - 1), rtol=1e-9) and s[:, -1].max() < 1e-9 * a.max()
        price = 0.005 * (F.square().sum((1, 2, 3)) + b.square().sum(1))
        least = (M + 1) / 2 * 0.01 * (K - 1) * a ** (2 / (M + 1))
        assert torch.allclose(price, least, rtol=1e-9) == (spread == 0) and (price > least * (1 - 1e-9)).all()


def test_attainment_the_aligned_etf_is_on_the_bound():
    """And the bound of the best a is the loss of the best ETF."""
    lam, a = 1e-2, ce_etf_candidate(4, 1, (1e-2, 1e-2), 1e-2).alpha
    value = study.loss(study.etf_point(4, 2, lam), torch.zeros(1, 4, **f64), lam).item()
    bound = math.log1p(3 * math.exp(-a)) + 1.5 * lam * 3 * a ** (2 / 3)
    assert value == pytest.approx(bound, rel=1e-12) == pytest.approx(ce_etf_candidate(4, 1, (lam, lam), lam).loss)
    table = Shaped(2, 4, lam, 1.0, 5, (0,)).run()
    assert table.query("metric == 'least'")["value"].item() == pytest.approx(value, rel=1e-12)


# Edges of cells of a: in each the fit at its right end plus the price at its left end is above the loss of the point.
CELLS = {(2, 6): ("0", "5.11", "6.52", "7.29", "8.20"), (3, 4): ("0", "5.18", "6.92", "8.21")}


@pytest.mark.parametrize(("M", "K"), CELLS)
def test_value_certificate_of_the_written_points(M, K):
    """In 50 digits, with roundings far below the margin: fit falls and price rises, so no ETF is as low."""
    u, v = {(2, 6): ("1.74", "2.45"), (3, 4): ("1.39", "1.98")}[M, K]
    with localcontext(prec=50):
        u, v, lam, one = Decimal(u), Decimal(v), Decimal("0.001"), Decimal(1)
        a = u * u * v ** (M - 1)
        fit = (one + (K - 2) * (-a).exp() + (-2 * a).exp()).ln()
        point = fit + lam / 2 * (2 * K * u * u + (M - 1) * K // 2 * v * v)
        edges = [Decimal(edge) for edge in CELLS[M, K]]
        for left, right in zip(edges, [*edges[1:], None], strict=True):
            least = (one + (K - 1) * (-right).exp()).ln() if right else Decimal(0)
            price = Decimal(M + 1) / 2 * lam * (K - 1) * (left ** (Decimal(2) / (M + 1)) if left else 0)
            assert least + price > point + Decimal("1e-7")
    run = Written(M, K, 1e-3).run().set_index("metric")["value"]
    assert run["point"] == pytest.approx(float(point), rel=1e-14) and run["rank"] == K // 2
    assert tuple(map(float, (u, v))) == points.WRITTEN[M, K]


LOST = {"lowest-M2-K6", "share-M2-K6", "lowest-M3-K4", "share-M3-K4", "rank-M2", "etf-global-M1-K4", "etf-global-M2-K4"}


@pytest.mark.parametrize(
    ("metric", "part", "factor", "names"),
    [
        ("loss", "shaped", 0.1, {"shaped"}),
        ("point", "written", 1.0001, {"point-M2-K6", "point-M3-K4"}),
        ("cross_polytope", "large decays", 1.2, {"every-decay"}),
        ("ratio", "M=2, K=4", 1.001, {"order-M2-K4"}),
        ("ratio", "candidates", 1.1, {"small-lambda-rule"}),
        ("return_ratio", "census", 1.001, {"return"}),
        ("curvature", "census", 1.1, {"curvature"}),
        ("etf", "census", 1.01, {"lowest-M2-K6", "lowest-M3-K4"}),
        ("ratio", "census", math.nan, LOST),
        ("lower", "proved", 1 - 1e-11, {"proof-M2-K6", "proof-M3-K4"}),
        ("proved", "ranges", 0, {"proof-range-M2-K6", "proof-range-M3-K4", "proof-range-M2-K4"}),
        ("proved", "pocket", 0, {"proof-pocket-M2-K6", "proof-pocket-M3-K4"}),
        ("upper", "refused", -1, {"proof-refused-M1-K6", "proof-refused-M2-K4"}),
    ],
)
def test_law_claims_can_fail(table, metric, part, factor, names):
    hit = (table["metric"] == metric) & (table["part"] == part)
    assert hit.any()
    found = verdicts(table.assign(value=table["value"].where(~hit, factor * table["value"])))
    assert {name for name, verdict in found.items() if verdict == "fails"} == names | {
        "etf-global-M2-K6",
        "etf-global-M3-K4",
    }


def drawn_all(table):
    """The four figures."""
    rows = views.candidates(table), views.census(table), views.rank_and_loss(table, 1e-3), views.logits(table, 1e-3)
    makers = figures.candidates, figures.census, figures.rank_and_loss, figures.logits
    return [drawn(draw, part) for draw, part in zip(makers, rows, strict=True)]


def test_law_figures_draw_the_census(table):
    one_layer = collected("census", [Census(1, 6, (1e-3,), 1, 300, (0,))])
    for made in drawn_all(pd.concat([table, one_layer], ignore_index=True)):
        made.canvas.draw()
        assert all(axis.get_xticks().size for axis in made.axes)
        matplotlib.pyplot.close(made)


def test_law_logits_without_a_value_say_so(table):
    """With one layer there are none, with two one of them is missing."""
    rows = views.logits(table, 1e-3)
    made = drawn(figures.logits, rows.assign(value=rows["value"].where(rows["i"] + rows["j"] > 0)))
    made.canvas.draw()
    assert [[text.get_text() for text in axis.texts] for axis in made.axes] == [["no value"]] * 2
    matplotlib.pyplot.close(made)


def test_value_quoted(table):
    found = quoted(table)
    assert found["between-gap"] == "0.00176" and found["between-order"] == "below" and found["starts"] == "96"
    assert found["below-m2-k4"] == "0%" and found["below-m3-k6"] == found["rank-least"] == "–"
    assert found["gain-least"] == "5%"


def test_law_profiles():
    with pytest.raises(ValueError, match="profile = 'huge'"):
        STUDY.runs("huge")
    runs = STUDY.runs("laptop", seed=2)
    assert {run.seeds for run in runs if isinstance(run, Census)} == {(2, 3, 4)} and len(set(runs)) == len(runs)
    assert {run.starts for run in STUDY.runs("smoke", starts=3) if isinstance(run, Census)} == {3}
    lams = [run.lam for run in STUDY.named("laptop")["candidates"] if isinstance(run, Candidates)]
    assert np.all(np.diff(lams) < 0) and lams[-1] == 1e-15


def test_attainment_one_layer_and_a_wrong_scale_fails(monkeypatch):
    """The closed form without sqrt n gives alpha = 5.04 for 4.48 at n = 10 and lam 1e-3: no minimizer comes near it."""
    run = one_layer.OneLayer(4, 10, 5e-3, 2e-3, (0, 1))
    found = run.run().set_index("metric")
    assert found.loc["logits", "value"].max() < 1e-6
    assert abs(found.loc["loss", "value"] / found.loc["loss", "theory"] - 1).max() < 1e-12
    real = one_layer.ce_minimizer
    monkeypatch.setattr(one_layer, "ce_minimizer", lambda K, n, a, b: real(K, 1, a, b))
    assert run.run().set_index("metric").loc["logits", "value"].min() > 0.1


@pytest.mark.parametrize(("part", "metric", "name"), [("thresholds", "proved", ""), ("roots", "error", "-double")])
def test_law_claims_of_closed_forms_can_fail(table, part, metric, name):
    hit = (table["part"] == part) & (table["metric"] == metric)
    found = verdicts(table.assign(value=table["value"].where(~hit, 0.5)))
    assert found[f"dang2023.proof-{part}{name}"] == "fails" and found["proof-M2-K6"] == "holds"


def test_value_proofs_for_a_reader(table):
    shown = views.proofs(table, "proved", "refused").set_index("statement")
    assert len(shown) == 12 and (shown["proved"] == "no").sum() == 2
    gap = shown.loc["M = 2, K = 6, λ = 0.001: the best simplex ETF costs more than the best cross-polytope"]
    assert Decimal(gap["at least"]) < Decimal("0.00192167119098768") < Decimal(gap["at most"])
    below, above = (Decimal(views.outward(0.1 + 0.2, side)) for side in (ROUND_FLOOR, ROUND_CEILING))
    assert below < Decimal(0.1 + 0.2) < above and above - below == Decimal("1e-8")
    assert gap["at least"] == "0.0019216711" and gap["at most"] == "0.0019216712" and gap["proved"] == "yes"
    ranges = views.proofs(table, "ranges", ends=("from λ =", "to λ =")).set_index("statement")
    assert ranges.iloc[0].tolist()[:3] == ["10⁻⁵", "0.12", "yes"] and len(ranges) == 3


def test_value_region(table):
    """Two layers: the theorem holds from six classes on, and with four the order turns between 0.0117 and 0.0118."""
    rows = views.region(table)
    every = rows[rows["panel"] == "every"]
    holds = every[(every["M"] == 2) & (every["order"] == "lower")]["K"]
    assert sorted(holds) == [6, 7, 8, 9, 10, 11, 12] and set(every.query("M == 1")["order"]) == {"higher"}
    between = rows[(rows["panel"] == "decays") & (rows["M"] == 2) & (rows["K"] == 4)]
    assert ((between["order"] == "lower") == between["x"].between(0.0118, 0.159)).all()
    made = drawn(figures.region, rows)
    made.canvas.draw()
    matplotlib.pyplot.close(made)
