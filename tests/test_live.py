"""The live figures: what they compute in a browser against the library, over the whole ranges of their sliders."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nclib.theory import deep_linear

LIVE = Path(__file__).resolve().parents[1] / "book" / "_static" / "live"
CHROMIUM = os.environ.get("NCLIB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
browser_check = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found; name one in NCLIB_CHROMIUM")
NAMES = sorted(path.stem for path in LIVE.glob("*.js") if path.stem != "common")
POINTS = 10_000


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
    """Against the objective on a grid at all points, and against the library at some."""
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
    for k in range(0, POINTS, 50):
        problem = int(K[k]), 1, (lam[k],) * int(M[k]), lam[k]
        for ours, make in ((etf, deep_linear.ce_etf_candidate), (cross, deep_linear.ce_cross_polytope_candidate)):
            assert ours[k] == pytest.approx(make(*problem).loss, rel=1e-9)


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


@browser_check
@pytest.mark.parametrize("name", NAMES)
def test_law_figure_moves_speaks_and_is_remembered(chromium, tmp_path, name):
    """Keys move it, the table and the text follow, the address keeps the state, a frame takes less than 16 ms."""
    page = tmp_path / "page.html"
    scripts = "".join(f'<script defer src="{(LIVE / one).as_uri()}.js"></script>' for one in ("common", name))
    page.write_text(f'<meta charset="utf-8">{scripts}<div class="nc-live" data-nc-live="{name}"></div>')
    tab, troubles = chromium.new_page(viewport={"width": 390, "height": 800}), []
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.goto(page.as_uri())
    numbers = "document.querySelector('.nc-live-drawing').innerHTML + document.querySelector('table').innerText"
    inputs = tab.locator("input[type=range]")
    for k in range(inputs.count()):
        for key in ("Home", "End", "ArrowLeft"):
            before = tab.evaluate(numbers)
            inputs.nth(k).press(key)
            changed = tab.evaluate(numbers) != before
        assert changed or inputs.nth(k).get_attribute("data-still"), k
        assert inputs.nth(k).get_attribute("aria-valuetext")
    times = [
        tab.evaluate("box => Number(box.dataset.milliseconds)", tab.locator(".nc-live").element_handle())
        for _ in range(5)
        if inputs.first.press("ArrowRight") is None
    ]
    assert min(times) < 16
    seen, address = tab.evaluate(numbers), tab.url
    assert f"#live-{name}:" in address and tab.locator("[role=status]").first.inner_text()
    assert "nclib" in tab.locator("pre").text_content()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    again = chromium.new_page(viewport={"width": 390, "height": 800})
    again.goto(address)
    assert again.evaluate(numbers) == seen and troubles == []
    for one in (tab, again):
        one.close()


def test_law_modules_are_light():
    sizes = {path.stem: path.stat().st_size for path in LIVE.glob("*.js")}
    assert all(size + sizes["common"] < 100_000 for name, size in sizes.items() if name != "common")
