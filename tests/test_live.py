"""The live figures: what they compute in a browser against the library, over the whole ranges of their sliders."""

import contextlib
import io
import itertools
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import beta

from nclib import nulls
from nclib.theory import deep_linear, mixup, perturbation

LIVE = Path(__file__).resolve().parents[1] / "book" / "_static" / "live"
CHROMIUM = os.environ.get("NCLIB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
browser_check = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found; name one in NCLIB_CHROMIUM")
NAMES = sorted(path.stem for path in LIVE.glob("*.js") if path.stem != "common")
POINTS = 10_000
CASES = list(itertools.product((False, True), (False, True)))  # divided by the null; means of widths taken out


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def computed(chromium):
    """(a function of `ncLive` in JavaScript, points) -> its values at each point."""
    tab = chromium.new_page()
    for name in ("common", *NAMES):
        tab.add_script_tag(path=LIVE / f"{name}.js")
    yield lambda function, points: tab.evaluate(f"points => points.map(({function}))", points)
    tab.close()


def drawn(*ranges, count=POINTS, seed=0):
    """`count` points, each coordinate uniform over its (low, high), the first ones at all ends: lists of floats."""
    low, high = np.array(ranges).T
    corners = np.array(np.meshgrid(*ranges)).reshape(len(ranges), -1).T
    inner = low + (high - low) * np.random.default_rng(seed).random((count - len(corners), len(ranges)))
    return np.vstack([corners, inner])


@browser_check
def test_oracle_cross_entropy_candidates(computed):
    """Against the objective on a grid, and against the library's own roots, at every point."""
    M, half, x = drawn((1, 8), (2, 12), (-6, -0.53)).T
    M, K, lam = M.round(), 2 * half.round(), 10**x
    found = computed(
        """([M, K, lam]) => { const f = ncLive.crossEntropy.compare(M, K, lam);
        return [f.etf.alpha, f.etf.loss, f.cross.alpha, f.cross.loss]; }""",
        np.stack([M, K, lam], 1).tolist(),
    )
    a, etf, b, cross = np.array(found).T
    p, c = 2 / (M + 1), (M + 1) / 2 * lam

    def losses(alpha):
        e = np.exp(-alpha)
        return (
            np.log1p((K - 1) * e) + c * (K - 1) * alpha**p,
            np.log1p((K - 2) * e + e**2) + c * K / 2 * (2 * alpha) ** p,
        )

    assert np.allclose(losses(a)[0], etf, rtol=1e-12) and np.allclose(losses(b)[1], cross, rtol=1e-12)
    for alpha in np.concatenate([[0.0], np.geomspace(1e-3, 60, 120)]):
        assert (losses(alpha)[0] >= etf - 1e-12).all() and (losses(alpha)[1] >= cross - 1e-12).all()
    assert (a == 0).any() and (a > 0).any()
    problems = [(int(k), 1, (decay,) * int(m), decay) for m, k, decay in zip(M, K, lam.tolist(), strict=True)]
    families = (a, etf, deep_linear.ce_etf_candidate), (b, cross, deep_linear.ce_cross_polytope_candidate)
    for margin, loss, candidate in families:
        theirs = np.array([candidate(*problem) for problem in problems])
        assert np.allclose(np.stack([loss, margin], 1), theirs, rtol=1e-9, atol=0)


@browser_check
def test_value_cross_entropy_order_turns(computed):
    """With two layers and four classes between 0.0117 and 0.0118, as intervals certify."""
    (turns,) = computed(
        """([low, high]) => { const at = Array.from({length: 20}, (_, k) => low * (high / low) ** (k / 19));
        const sweep = at.map(lam => [lam, ncLive.crossEntropy.compare(2, 4, lam)]);
        return ncLive.crossEntropy.crossings(2, 4, sweep); }""",
        [[1e-4, 0.1]],
    )
    assert len(turns) == 1 and 0.0117 < turns[0] < 0.0118


def alone(tmp_path, name):
    """The address of a page with nothing but one figure."""
    page = tmp_path / "page.html"
    scripts = "".join(f'<script defer src="{(LIVE / one).as_uri()}.js"></script>' for one in ("common", name))
    style = f'<link rel="stylesheet" href="{(LIVE.parent / "nc.css").as_uri()}">'
    page.write_text(f'<meta charset="utf-8">{style}{scripts}<div class="nc-live" data-nc-live="{name}"></div>')
    return page.as_uri()


def printed(code):
    """The numbers that a piece of Python prints."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    return np.array([float(found) for found in re.findall(r"(?<![\w.])-?\d+\.?\d*(?:e[-+]\d+)?", said.getvalue())])


def number(text):
    """The number that a table shows, such as −6.2×10⁻⁵."""
    found = re.fullmatch("(−?)([0-9.]*)×?(?:10([⁻⁰¹²³⁴-⁹]+))?", text)
    power = (found[3] or "").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(f"{found[1] and '-'}{found[2] or 1}e{power or 0}")


SHARED = {  # the columns of a figure's table, and how many rows, that the library has too
    "cross-entropy": ((2, 3), 2),
    "frame": ((3, 4, 5), 3),
    "mixup": ((2, 3), 3),
    "near-collapse": ((2, 3), 6),
    "null-angle": ((1,), 5),
}


@browser_check
@pytest.mark.parametrize("name", NAMES)
def test_oracle_the_python_of_a_figure_prints_its_numbers(chromium, tmp_path, name):
    """As it stands at first, and with all sliders at one end, at the other and between."""
    tab, (columns, count) = chromium.new_page(), SHARED[name]
    tab.goto(alone(tmp_path, name))
    sliders = tab.locator("input[type=range]")
    for share in (None, 0, 1, 0.4):
        for k in range(0 if share is None else sliders.count()):
            low, high = (float(sliders.nth(k).get_attribute(end)) for end in ("min", "max"))
            move = "(i, v) => { i.value = v; i.dispatchEvent(new Event('input', {bubbles: true})); }"
            sliders.nth(k).evaluate(move, low + share * (high - low))
        rows = tab.evaluate("[...document.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.innerText))")
        there = [row for row in rows[:count] if name != "near-collapse" or row[1] != "0"]  # as often as it occurs
        shown = [row[column] for row in there for column in columns]
        numbers = printed(tab.locator("pre").text_content())
        for text in shown:
            value, digits = number(text), 6e-3 if text[-1] in "⁰¹²³⁴⁵⁶⁷⁸⁹" else 6e-4
            assert (abs(numbers - value) <= digits * abs(value)).any(), (share, text, numbers)
    tab.close()


@browser_check
@pytest.mark.parametrize("name", NAMES)
def test_law_figure_moves_speaks_and_is_remembered(chromium, tmp_path, name):
    """Keys move it, the table and the text follow, the address keeps the state, a frame takes less than 16 ms."""
    page = alone(tmp_path, name)
    tab, troubles = chromium.new_page(viewport={"width": 390, "height": 800}), []
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.goto(page)
    numbers = "document.querySelector('.nc-live-drawing').innerHTML + document.querySelector('table').innerText"
    inputs = tab.locator("input[type=range]")
    for k in range(inputs.count()):
        start, shown = inputs.nth(k).input_value(), set()
        for key in ("Home", "End", "ArrowLeft"):
            inputs.nth(k).press(key)
            shown.add(tab.evaluate(numbers))
        assert len(shown) > 1 and inputs.nth(k).get_attribute("aria-valuetext"), k
        inputs.nth(k).fill(start)
    times = [
        tab.evaluate("box => Number(box.dataset.milliseconds)", tab.locator(".nc-live").element_handle())
        for _ in range(5)
        if inputs.first.press("ArrowRight") is None
    ]
    assert min(times) < 16
    if tab.locator("svg[tabindex='0']").count():
        before = tab.evaluate(numbers)
        tab.locator("svg").press("ArrowUp")
        assert tab.evaluate(numbers) != before
    seen, address = tab.evaluate(numbers), tab.url
    assert f"#live-{name}:" in address and tab.locator("[role=status]").first.inner_text()
    assert "nclib" in tab.locator("pre").text_content()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    again = chromium.new_page(viewport={"width": 390, "height": 800})
    again.goto(address)
    assert again.evaluate(numbers) == seen and troubles == []
    for one in (tab, again):
        one.close()


@browser_check
def test_oracle_frame_overlaps_and_lengths(computed):
    """Strengths, and whole problems of three classes: lengths and overlaps, and how many classes are left."""
    depth, x = drawn((1, 8), (-4, 0.5)).T
    M, strength = depth.round(), 10**x
    found = np.array(computed("([beta, M]) => ncLive.frame.overlap(beta, M)", np.stack([strength, M], 1).tolist()))
    for m in range(1, 9):
        expected = deep_linear.overlap(torch.tensor(strength[m == M]), m).numpy()
        assert np.allclose(found[m == M], expected, rtol=1e-9, atol=0) and (expected == 0).any()
    points = drawn((1, 1000), (1, 1000), (1, 1000), (-5, -1), (1, 8), (1, 3))
    points[:, [0, 1, 2, 4, 5]] = points[:, [0, 1, 2, 4, 5]].round()
    points[:, 3] = 10 ** points[:, 3]
    classes = computed(
        """([a, b, c, lam, M, width]) =>
        ncLive.frame.solve(M, [a, b, c], lam, width).map(one => [one.w ** 2, one.h ** 2, one.q])""",
        points.tolist(),
    )
    problems = [((int(a), int(b), int(c)), (lam,) * int(M), lam, int(R)) for a, b, c, lam, M, R in points.tolist()]
    known = [deep_linear.mse_minimizer(*problem, width=width) for *problem, width in problems]
    theirs = torch.stack([torch.stack([one.gram_W, one.gram_H, one.logits]) for one in known]).diagonal(dim1=2, dim2=3)
    assert np.allclose(np.array(classes).transpose(0, 2, 1), theirs.numpy(), rtol=1e-9, atol=0)
    assert set((theirs[:, 2] > 0).sum(1).tolist()) == {0, 1, 2, 3}


@browser_check
@pytest.mark.parametrize("M", [1, 2, 3, 8])
def test_oracle_frame_landscape(computed, M):
    betas = np.geomspace(1e-3, 1.2, 50)
    found = computed(
        """([beta, M]) => { const f = ncLive.frame, s = f.stationary(beta, M);
        return [f.threshold(M), f.spinodal(M), f.scalarLoss(0.3, beta, M),
        [s.barrier, s.minimum].filter(q => q !== null)]; }""",
        [[b, M] for b in betas],
    )
    for b, (threshold, spinodal, loss, points) in zip(betas, found, strict=True):
        assert threshold == pytest.approx(deep_linear.collapse_threshold(M), rel=1e-12)
        assert spinodal == pytest.approx(deep_linear.spinodal(M), rel=1e-12)
        assert loss == pytest.approx(float(deep_linear.scalar_loss(0.3, b, M)), rel=1e-12)
        assert points == pytest.approx(list(deep_linear.stationary_points(b, M)), rel=1e-9)


@browser_check
def test_law_a_class_that_jumped_out_does_not_come_back(computed):
    """As training does: it stays to the spinodal, and once at the origin it stays there; with one layer it returns."""
    (jumps, fades) = computed(
        """M => { const memory = {}, at = {M, n1: 500, n2: 200, lam: 10 ** -2.21, width: 3, follows: true};
        return [60, 35, 2, 60].map(n3 => ncLive.figures.frame.compute({...at, n3}, memory).classes[2].q); }""",
        [2, 1],
    )
    assert jumps[0] > jumps[1] > 0 == jumps[2] == jumps[3] and fades[0] == fades[3] > 0


@browser_check
def test_oracle_near_collapse_spectrum_and_metrics(computed):
    points = drawn((2, 20), (1, 100), (2, 100), (-4, 0.5), (-4, 0.5), (-2, 4))
    K, n, d = points[:, :3].round().T
    d, (lam_W, lam_H, tie) = np.maximum(K, d), 10 ** points[:, 3:].T
    found = computed(
        """([K, n, d, lamW, lamH, beta]) => { const p = {K, n, d, lamW, lamH, beta};
        const left = ncLive.nearCollapse.attenuation(p);
        return [...[0, 1].flatMap(order => { const s = ncLive.nearCollapse.spectrum(p, order);
        return [s.own.map(([value, times]) => [value, times]), s.between]; }), left && Object.values(left)]; }""",
        np.stack([K, n, d, lam_W, lam_H, tie], 1).tolist(),
    )
    for k, (own, between, own_first, between_first, left) in enumerate(found):
        problem = perturbation.Problem(int(K[k]), int(n[k]), int(d[k]), lam_W[k], lam_H[k], tie[k])
        assert (left is None) == (problem.c >= 1)
        known = list(problem.attenuation().values()) if left else []
        ours = [*(left or []), *(value for value, _ in (*own, *own_first)), between, between_first]
        for order in (None, 1):
            inside, outside, fixed, symmetric = problem._factors(order)
            known += map(abs, (fixed, outside, (fixed + symmetric) / 2, symmetric, inside))
        known += (abs(fixed - symmetric) / 2 for _, _, fixed, symmetric in map(problem._factors, (None, 1)))
        assert all(abs(a - b) <= 1e-9 * abs(b) + 1e-13 for a, b in zip(ours, known, strict=True)), points[k]
        if k % 100 == 0:  # how often each occurs, from the library's own spectrum
            values = np.sort(np.repeat(*map(np.array, zip(*((v, int(times)) for v, times in own), strict=True))))
            assert np.allclose(values[::-1], problem.block_spectrum()[0], rtol=1e-9, atol=1e-13)


@browser_check
def test_oracle_null_of_random_directions(computed):
    points = drawn((0.7, 3.4), (0.5, 4.5))
    d, K = (10**points).round().T
    found = computed(
        "([d, K]) => Object.entries(ncLive.nullAngle.directions(K, d)).map(([, value]) => value)",
        np.stack([d, K], 1).tolist(),
    )
    names = (
        "interference_std interference_std_sd interference_mean_sd gnc2_mean gnc2_std etf_error of_error duality_std"
    )
    known = [nulls.uniform_directions(int(k), int(n)) for n, k in zip(d, K, strict=True)]
    theirs = np.array([[one[name] for name in names.split()] for one in known])
    assert np.allclose(found, theirs, rtol=1e-9, atol=0)


@browser_check
def test_oracle_null_densities(computed):
    """Of the cosine against SciPy's beta, of the log-distance by its integrals."""
    t, d = drawn((-0.99, 0.99), (5, 2512)).T
    d = d.round()
    found = computed("([t, d]) => ncLive.nullAngle.cosine(t, d)", np.stack([t, d], 1).tolist())
    assert np.allclose(found, beta.pdf((1 + t) / 2, (d - 1) / 2, (d - 1) / 2) / 2, rtol=1e-9, atol=1e-280)
    f = np.linspace(-np.log(2) + 1e-9, 3, 40_001)
    density = np.array(computed("f => ncLive.nullAngle.logDistance(f, 20)", f.tolist()))
    total, mean = (np.trapezoid(density * f**power, f) for power in (0, 1))
    assert total == pytest.approx(1, abs=1e-7)
    assert mean == pytest.approx(nulls.uniform_directions(2, 20)["gnc2_mean"], rel=1e-6)


@browser_check
def test_oracle_null_models_are_the_archived_ones(computed):
    """And what is left within widths, against pandas."""
    (path,) = (LIVE.parents[2] / "results" / "wu2024.published_points").glob("*/table.csv")
    wide = pd.read_csv(path).pivot(index="model", columns="metric", values="value")
    name = wide.index.str.extract(r"^\d+x(?P<width>\d+)_\d+[dL](?P<shuffle>\d*)@").set_index(wide.index)
    grid = wide.assign(width=name["width"].astype(int))[name["shuffle"] == ""]
    ours, *fits = computed(
        """([divide, out]) => divide === null ? ncLive.nullAngle.MODELS : ncLive.nullAngle.line(
        ncLive.nullAngle.adjusted(ncLive.nullAngle.MODELS, divide, out).map(([, x, y]) => [x, y])).r""",
        [[None, 0], *([divide, int(out)] for divide, out in CASES)],
    )
    theirs = grid[["width", "interference_std", "loss"]].to_numpy()
    assert len(ours) == 210 and sorted(ours) == sorted(theirs.tolist())
    for r, (divide, out) in zip(fits, CASES, strict=True):
        x = grid["interference_std"] * (np.sqrt(grid["width"]) if divide else 1)
        both = pd.DataFrame({"x": x, "y": grid["loss"]})
        both = both - both.groupby(grid["width"]).transform("mean") if out else both
        assert r == pytest.approx(both.corr().loc["x", "y"], rel=1e-9)


@browser_check
def test_oracle_mixup_channel(computed):
    points = drawn((2, 100), (-1, 6), (0, 1))
    K, a, mix = points[:, 0].round(), 10 ** points[:, 1], points[:, 2]
    found = computed(
        """([K, a, mix]) => { const m = ncLive.mixup, { z, p } = m.mixed(K, a, mix);
        return [...z, ...p, m.sameClass(K, a), m.amplification(K, a)]; }""",
        np.stack([K, a, mix], 1).tolist(),
    )
    K, a, mix = map(torch.tensor, (K, a, mix))
    same, longer = mixup.same_class(K, a)[:, None], mixup.amplification(K, a)[:, None]
    theirs = torch.cat([mixup.logits(K, a, mix), mixup.probabilities(K, a, mix), same, longer], 1).numpy()
    assert np.allclose(found, theirs, rtol=1e-9, atol=1e-13)


@browser_check
def test_oracle_mixup_feature_in_its_plane(computed):
    """The coordinates are those of the library's feature along w_i - w_j and w_i + w_j."""
    W = torch.eye(5, dtype=torch.float64) - 0.2
    W = W / W.norm(dim=1, keepdim=True)
    h = mixup.feature(W, 0, 1, 0.7, 5 / 4 / 30.0)  # a = 30
    axes = W[0] - W[1], W[0] + W[1]
    (found,) = computed("([K, a, mix]) => ncLive.mixup.plane(K, ncLive.mixup.mixed(K, a, mix).z)", [[5, 30.0, 0.7]])
    assert found == pytest.approx([float(h @ axis / axis.norm()) for axis in axes], rel=1e-9)


def test_law_modules_are_light():
    sizes = {path.stem: path.stat().st_size for path in LIVE.glob("*.js")}
    assert all(size + sizes["common"] < 100_000 for name, size in sizes.items() if name != "common")
