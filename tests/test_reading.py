import math
from itertools import pairwise

import pytest
import torch

from nclib import frames
from nclib.bootstrap import intervals
from nclib.conventions import PRESETS, measure
from nclib.nulls import uniform_directions
from nclib.plotting.report import PANELS, report
from nclib.reading import angle, how_collapsed, reading
from nclib.statistics import ClassStatistics

double = torch.float64


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=double)


def statistics(M, ratio=0.005, scatter=False):
    """Statistics with class means M, ten samples each, and this trace ratio."""
    K, d = M.shape
    variance = ratio * float((M - M.mean(0)).square().sum() / K)
    scatter = torch.eye(d, dtype=double) * 10 * K * variance / d if scatter else None
    return ClassStatistics(torch.full((K,), 10), M, torch.full((K,), 10 * variance, dtype=double), scatter)


def read(M, W=None, *, ratio=0.005, preset="textbook", agreement=None, scatter=False):
    measured = measure(statistics(M, ratio, scatter), W, preset=preset, agreement=agreement)
    return reading(measured, uniform_directions(*M.shape), preset=preset)


def test_law_frames_are_recognized():
    etf, of = frames.simplex_etf(20, 30), frames.orthogonal_frame(20, 30)
    assert "are near a simplex ETF" in read(etf)
    assert "are near a simplex ETF" in read(3 * etf + 5)
    assert "are near an orthogonal frame" in read(of)
    assert "are near a simplex ETF" in read(of + 5)
    assert "are near a simplex ETF" in read(frames.simplex_etf(20, 19))
    assert "near no frame" in read(randn(20, 30) * torch.linspace(3, 0.1, 30, dtype=double))
    M = randn(5, 4, seed=22)
    measured = measure(statistics(M))
    assert measured["of_error"] < measured["etf_error"]
    assert "the nearest is a simplex ETF" in read(M)  # there is no orthogonal frame of K > d classes
    for M in (etf, of):
        assert "says little" not in read(M) and "angles are more equal" in read(M)


def test_law_no_etf_is_claimed_where_none_exists():
    """Four classes on a circle: the square is the best, sqrt(2 - 2 sqrt(2/3)) = 0.6058 from an ETF."""
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]], dtype=double)
    text = read(square)
    assert "A simplex ETF of 4 classes does not exist in 2 dimensions" in text
    assert "the smallest etf_error is 0.6058: the measured 0.6058 is close to that" in text
    assert "not close to that" in read(randn(40, 20) * torch.linspace(3, 0.1, 20, dtype=double))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("K", "d"), [(10, 300), (50, 50), (400, 20), (2, 6)])
def test_law_random_directions_are_inside_their_null(K, d, preset):
    """Also where centering alone makes an ETF of them (K below d) or the best frame (K above d)."""
    for seed in range(8):
        text = read(randn(K, d, seed=seed), randn(K, d, seed=100 + seed), preset=preset)
        assert "Outside" not in text
        assert "simplex ETF (" not in text or "says little" in text or "near no frame" in text


def test_value_directions_of_what_is_outside():
    common = randn(60, 40) * torch.cat([torch.full((2,), 6.0), torch.ones(38)])
    text = read(common, common + 0.1 * randn(60, 40, seed=1))
    assert "angles are less equal" in text and "directions cover the sphere less" in text
    assert "they point the same way" in text and "classes differ less" in text
    assert "they point apart" in read(common, -common)


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.01 - 1e-9, "is small, features of a class are nearly one point (trace ratio: 0.01 of"),
        (0.02, "is fairly small (trace ratio: 0.02"),
        (0.3, "is not small (trace ratio: 0.3"),
        (4, "there is no collapse (trace ratio: 4 of"),
    ],
)
def test_value_variability(ratio, words):
    assert words in read(randn(20, 30), ratio=ratio)


def test_value_worst_pair_is_named():
    M = randn(20, 30)
    M[1] = M[0] + 0.01
    assert "The closest pair of classes is not separated (CDNV" in read(M)
    assert "not separated" not in read(M, preset="wu-papyan-2024-10")
    M[1] = M[0]
    text = read(M)
    assert "At least two classes have the same mean" in text
    assert "Undefined, as class directions coincide or vanish: mean log inverse distance" in text


def test_value_sizes_norms_agreement_and_what_is_missing():
    M = torch.cat([torch.eye(4, dtype=double), -3 * torch.eye(4, dtype=double)])
    M = torch.cat([M, -M])
    text = read(M, M, agreement=0.875, scatter=True)
    assert text.startswith("16 classes in 4 dimensions, 160 samples. ")
    assert "The distances of class means from their center differ by 50 %" in text
    assert "agree on 87.5 % of samples (NC4)" in text and "Not measured" not in text
    assert "The squared distances of class means from their center differ by 80 %" in read(
        M, preset="wu-papyan-2024-05"
    )
    assert read(M).endswith(
        "Not measured: NC1 with directions (needs the scatter), self-duality (needs the classifier), NC4 (needs a "
        "second pass with the classifier)."
    )


def test_law_raw_inner_products_are_not_judged_as_cosines():
    M = randn(60, 40) * 50
    assert "cosine" not in read(M, preset="wu-papyan-2024-10")
    assert "mean cosine of two classes" in read(M)


def test_law_coinciding_means_have_no_geometry():
    assert read(torch.ones(3, 4, dtype=double)).endswith("the classes are not separated, and have no geometry.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "x"}, "preset='x', must be one of textbook"),
        ({"null": {}}, r"null has no 'classes', must be that of nulls.uniform_directions\(K, d\)"),
        ({"null": {"classes": 5.0}}, "null has no 'dimension', must be that of"),
        ({"null": uniform_directions(6, 4)}, "null is of 6 classes, measured has classes=5.0"),
        ({"measured": {}}, "null is of 5 classes, measured has classes=None"),
    ],
)
def test_value_bad_input(change, message):
    known = {"measured": measure(statistics(randn(5, 4))), "null": uniform_directions(5, 4)}
    with pytest.raises(ValueError, match=message):
        reading(**known | change)


def marks(axis):
    """x of the points and the dashed lines of a panel, by row."""
    points = {line.get_ydata()[0]: line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1}
    dashed = {sum(line.get_ydata()) / 2: line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"}
    bars = {line.get_ydata()[0]: tuple(line.get_xdata()) for line in axis.lines if line.get_marker() == "|"}
    return points, dashed, bars


def test_law_figure_shows_the_numbers(tmp_path):
    M, W = randn(30, 8), randn(30, 8, seed=1)
    stats = statistics(M, scatter=True)
    measured, null, found = measure(stats, W, agreement=0.5), uniform_directions(30, 8), intervals(stats, W)
    made = report(measured, null, found)
    for axis, rows in zip(made.axes, PANELS.values(), strict=True):
        points, dashed, bars = marks(axis)
        for i, key in enumerate(rows):
            assert points[i] == measured[key]
            assert dashed.get(i) == pytest.approx(null.get(key))
            assert bars.get(i) == found.get(key)
    made.savefig(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_law_figure_without_classifier_or_intervals_and_with_infinities(tmp_path):
    M = randn(5, 4)
    M[1] = M[0]
    measured = measure(statistics(M, ratio=0))
    made = report(measured, {})
    assert [axis.get_title("left") for axis in made.axes] == list(PANELS)[:3]
    words = [text.get_text() for axis in made.axes for text in axis.texts]
    assert "infinite" in words and "undefined" in words and "0" in words
    made.savefig(tmp_path / "report.png")
    assert math.isinf(measured["gnc2_mean"])


def test_law_figure_texts_do_not_overlap():
    M, W = randn(300, 32), randn(300, 32, seed=1)
    made = report(measure(statistics(M, scatter=True), W, agreement=0.5), uniform_directions(300, 32))
    made.draw_without_rendering()
    whole = made.get_window_extent()
    for axis in made.axes:
        ticks = [label.get_window_extent() for label in axis.get_xticklabels() if label.get_text()]
        inside = [box for box in ticks if axis.bbox.x0 - 1 <= (box.x0 + box.x1) / 2 <= axis.bbox.x1 + 1]
        assert all(a.x1 <= b.x0 for a, b in pairwise(inside))
        texts = [*axis.texts, *axis.get_yticklabels(), *made.texts]
        assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 for box in (text.get_window_extent() for text in texts))


def test_value_how_collapsed_in_one_line():
    """Orthogonal W and M are 90 degrees apart; an ETF is nearer to itself than chance."""
    M = frames.simplex_etf(20, 30)
    measured = measure(statistics(M, 0.005), M, agreement=0.5)
    null = uniform_directions(20, 30) | uniform_directions(20, 30, centered=True)
    assert how_collapsed(measured, null) == (
        "How collapsed: collapsed within classes (within over between 0.005); means nearer to a simplex ETF than at "
        "random; classifier and means at an angle of 0 degrees; nearest mean decides 50 % of samples."
    )
    for ratio, words in ((0.05, "nearly collapsed"), (0.5, "partly collapsed"), (2, "not collapsed")):
        assert words in how_collapsed(measure(statistics(M, ratio)), null)
    chance = randn(20, 30, seed=3)
    assert "means no nearer to a simplex ETF" in how_collapsed(measure(statistics(chance)), null)
    assert angle(math.sqrt(2)) == pytest.approx(90) and angle(1) == pytest.approx(60) and angle(2) == 180
