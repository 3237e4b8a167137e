"""The built site: its files and links, and every page in a real browser at two widths, light and dark."""

import csv
import functools
import hashlib
import http.server
import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import matplotlib.pyplot as plt
import pytest
import yaml
from smoke_book import account, book, clean_environment  # noqa: F401
from test_notebooks import figure_cells

from nclib.evidence.claims import worst
from nclib.evidence.ledger import load
from nclib.plotting import plain_powers
from nclib.plotting import publish as provenance

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
import pages  # noqa: E402

ADDRESS = "https://github.com/example/neural-collapse"
PAGES = pages.chapters(yaml.safe_load((ROOT / "_toc.yml").read_text()))
CHROMIUM = os.environ.get("NCLIB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}

browser_check = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found; name one in NCLIB_CHROMIUM")


@pytest.fixture(scope="module")
def html(book):  # noqa: F811
    return book / "site" / "_build" / "html"


def links(page):
    """Every href and src of a page."""
    return [unquote(link) for link in re.findall(r'(?:href|src)="([^"]+)"', page.read_text())]


def test_law_every_page_is_built(html):
    assert [page for page in PAGES if not (html / f"{page}.html").exists()] == []


def test_law_internal_links_and_anchors_exist(html):
    texts = {page: page.read_text() for page in html.rglob("*.html") if "_static" not in page.parts}
    broken = []
    for page in texts:
        for link in links(page):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (page.parent / parts.path).resolve() if parts.path else page
            text = texts.get(target, "")
            anchored = not parts.fragment or target.suffix != ".html" or f'id="{parts.fragment}"' in text
            if not target.exists() or not (anchored or parts.fragment in ("", "#")):
                broken.append(f"{page.relative_to(html)}: {link}")
    assert broken == []


def test_law_figures_can_be_downloaded_with_data_and_manifest(html, book):  # noqa: F811
    for path in (book / "site" / "figures").glob("*/*.json"):
        page = html / "notebooks" / f"{path.parent.name}.html"
        names = {Path(link).name for link in links(page) if "_downloads" in link}
        made = json.loads(path.read_text())["outputs"]
        assert {path.name} | {file for file in made if file.endswith((".csv", ".svg"))} <= names
        (image,) = re.findall(rf'download="{path.stem}.png" href="([^"]+)"', page.read_text())
        assert (page.parent / image).read_bytes() == path.with_suffix(".png").read_bytes()


def test_law_tables_show_their_texts_in_full(html):
    cut = {page.stem: re.findall(r"<td>[^<]*\.\.\.</td>", page.read_text()) for page in html.glob("notebooks/*.html")}
    assert {page: found for page, found in cut.items() if found} == {}


MB = 1e6


def test_law_the_site_is_light(html):
    """40 MB for the whole site, half of it figures (PNG, SVG, narrow, CSV); what a page offers as its source has no
    images. What each page loads is summed in a browser, below."""
    files = [path for path in html.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40 * MB
    assert [path for path in html.glob("_sources/**/*.ipynb") if "iVBORw0KGgo" in path.read_text()] == []


def test_law_nothing_heavy_stands_in_the_site_twice(html):
    """But for what the landing page shows, figures of other pages'."""
    landing = set(re.findall(r"[\w-]+\.png", (html / "book" / "index.html").read_text()))
    heavy = [path for path in html.rglob("*") if path.is_file() and path.stat().st_size > 50_000]
    sums = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in heavy}
    shown = {found for path, found in sums.items() if path.name in landing}
    counts = Counter(found for found in sums.values() if found not in shown)
    assert [str(path) for path, found in sums.items() if counts[found] > 1] == []


def published(book):  # noqa: F811
    """{file: manifest} of every published figure."""
    return {path: json.loads(path.read_text()) for path in sorted((book / "site" / "figures").glob("*/*.json"))}


def test_law_every_figure_is_what_its_csv_draws(book):  # noqa: F811
    """From the CSV, the kinds of its columns, and the function and options that the manifest names: the same SVG, in
    which every mark and word stands, or the same pixels where that is heavy. The other images are drawn from the same
    figure, and are held to it for the first of each page."""
    found = published(book)
    assert len(found) == sum(len(figure_cells(path)) for path in (ROOT / "notebooks").glob("*.ipynb"))
    first = {min(paths) for _, paths in itertools.groupby(sorted(found), key=lambda path: path.parent)}
    for path, manifest in found.items():
        module, _, name = manifest["draw"].rpartition(".")
        draw = getattr(importlib.import_module(module), name)
        rows = provenance.read(path.with_suffix(".csv").read_bytes(), manifest["columns"])
        light = f"{path.stem}.svg" in manifest["outputs"]
        if path in first:
            images = provenance.drawn(draw, rows, manifest["options"], manifest["run"])
        else:
            figure = draw(rows, **manifest["options"])
            plain_powers(figure)
            end, save = (".svg", provenance.svg) if light else (".png", provenance.png)
            images = {end: save(figure, manifest["run"], provenance.laid_out(figure))}
            plt.close(figure)
        sums = {f"{path.stem}{end}": hashlib.sha256(image).hexdigest() for end, image in images.items()}
        made = {file: sha for file, sha in manifest["outputs"].items() if file in sums or path in first}
        assert sums == {file: sha for file, sha in made.items() if not file.endswith(".csv")}, path.stem


def test_law_every_column_of_a_figures_rows_is_explained(book):  # noqa: F811
    silent = {path.stem: [c for c, text in m["meanings"].items() if not text] for path, m in published(book).items()}
    assert {name: columns for name, columns in silent.items() if columns} == {}


def test_law_no_figure_carries_more_than_it_draws(book):  # noqa: F811
    for path in published(book):
        assert path.with_suffix(".csv").stat().st_size <= 1.5 * MB, path.stem


def test_law_ledger_shows_every_claim_and_the_landing_page_every_statement_of_the_papers(html, book):  # noqa: F811
    found = load(book / "claims" / "smoke")
    ledger, landing = ((html / "book" / f"{name}.html").read_text() for name in ("ledger", "index"))
    assert len(found)
    for row in found.itertuples():
        assert f'id="claim-{row.id}"' in ledger
    found = found[found["beside"] == ""]
    paper = found[found["kind"] == "paper"]
    for name, part in paper.groupby("headline"):
        row = landing[landing.index(f'#headline-{name}"') :].partition("</tr>")[0]
        assert worst(part["verdict"]) in row, name
    assert f"in {len(paper)} claims" in landing and f"{paper['headline'].nunique()} theorems" in landing


def test_law_provenance_panel_on_every_notebook(html):
    for name in pages.notebooks():
        text = (html / "notebooks" / f"{name}.html").read_text()
        assert f"papermill notebooks/{name}.ipynb out.ipynb -p profile smoke" in re.sub("<[^>]+>", "", text)
        assert "tag_parameters" not in text and "tag_injected-parameters" not in text


def test_law_no_path_of_this_machine_in_the_site(html):
    texts = {page: page.read_text() for suffix in ("html", "ipynb", "md") for page in html.rglob(f"*.{suffix}")}
    assert [str(page) for page, text in texts.items() if str(ROOT) in text or str(html.parents[3]) in text] == []


def test_law_no_repository_button_without_an_address(html):
    text = "".join((html / f"{page}.html").read_text() for page in PAGES)
    assert not re.search(r"btn-source|launch-buttons|source-buttons|colab\.research|mybinder\.org/v2", text)


@pytest.fixture(scope="module")
def plain(book, tmp_path_factory):  # noqa: F811
    """The pages of a plain checkout, built with the command that users try and the settings of a book with an address:
    those of `pages.stage`, which adds to _config.yml. What it is without one is tested below."""
    checkout, staged = (tmp_path_factory.mktemp(name) for name in ("checkout", "staged"))
    for folder in ("site/notebooks", "site/figures", "claims"):
        shutil.copytree(book / folder, staged / folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NC_REPOSITORY_URL", ADDRESS)
        pages.stage(staged, "smoke")
    assert f"git clone {ADDRESS}" in (staged / "site" / "book" / "index.md").read_text()
    for name in ("book", "notebooks"):
        shutil.copytree(ROOT / name, checkout / name)
    shutil.copy(ROOT / "_toc.yml", checkout)
    shutil.copy(staged / "site" / "_config.yml", checkout)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(checkout)]
    subprocess.run(command, check=True, capture_output=True, env=clean_environment(PYTHONPATH=str(ROOT)))
    return checkout / "_build" / "html"


def test_law_every_repository_link_exists_in_the_tree(plain):
    found = {link for page in PAGES for link in links(plain / f"{page}.html")}
    kinds = {
        "edit": rf"{ADDRESS}/edit/main/(.+)",
        "colab": r"https://colab\.research\.google\.com/github/example/neural-collapse/blob/main/(.+)",
        "binder": r"https://mybinder\.org/v2/gh/example/neural-collapse/main\?urlpath=(?:lab/tree|tree)/(.+)",
    }
    for kind, pattern in kinds.items():
        named = {match[1] for link in found if (match := re.fullmatch(pattern, link))}
        assert {f"notebooks/{name}.ipynb" for name in pages.notebooks()} <= named, kind
        assert [path for path in named if not (ROOT / path).exists()] == []
    assert ADDRESS in found and any(link.startswith(f"{ADDRESS}/issues/new") for link in found)


def test_law_plain_checkout_builds_with_the_command_that_users_try(plain):
    assert [page for page in PAGES if not (plain / f"{page}.html").exists()] == []


def test_law_without_an_address_the_settings_are_those_of_the_checkout(book):  # noqa: F811
    """So the site that is built with warnings as errors is built with what a plain checkout is."""
    kept = [yaml.safe_load((folder / "_config.yml").read_text()) for folder in (ROOT, book / "site")]
    assert kept[0] == kept[1]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(html):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=html))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def watched(chromium, address):
    """A page that collects what goes wrong on it in `tab.troubles`, and what it asks for in `tab.asked`."""
    tab = chromium.new_page(viewport=dict(zip(("width", "height"), WIDTHS["desktop"], strict=True)))
    tab.troubles, tab.asked = [], []
    tab.on("request", lambda request: tab.asked.append(request))
    tab.on("console", lambda message: message.type == "error" and tab.troubles.append(message.text))
    tab.on("pageerror", lambda error: tab.troubles.append(str(error)))
    tab.on(
        "request",
        lambda request: request.url.startswith((address, "data:", "file:")) or tab.troubles.append(request.url),
    )
    tab.on(
        "response", lambda response: response.status >= 400 and tab.troubles.append(f"{response.status} {response.url}")
    )
    return tab


@pytest.fixture
def tab(chromium, address):
    tab = watched(chromium, address)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def read_through(chromium, address):
    """One tab for all pages, as a reader has who goes on: what they share is loaded and compiled once, which is more
    than half of the work of a page in a tab of its own."""
    tab = watched(chromium, address)
    yield tab
    tab.close()


FACTS = """() => ({
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  images: [...document.images].filter(i => i.offsetParent)
    .filter(i => !i.complete || !i.naturalWidth || !(i.alt || "").trim()).map(i => i.src),
  empty: [...document.querySelectorAll("span.pasted-text")].filter(s => !s.textContent.trim()).length,
  unset: [...document.querySelectorAll(".math")].filter(m => !m.querySelector("mjx-container")).length,
  merror: document.querySelectorAll("mjx-merror").length,
  narrow: window.innerWidth >= 1280 && document.querySelector("article.bd-article").clientWidth < 820,
  captions: [...document.querySelectorAll("figcaption p")].filter(p => p.offsetParent
    && p.getBoundingClientRect().right > p.closest("figcaption").getBoundingClientRect().right + 1).length,
  cut: [...document.querySelectorAll(window.innerWidth < 1280 ? "article pre:not(.cell_output *)" : "article :is(pre, "
    + "div.math, .cell_output .output, .nc-scroll, .pst-scrollable-table-container, mjx-container[display])")]
    .filter(box => box.offsetParent && box.scrollWidth > box.clientWidth + 1)
    .map(box => `${box.className || box.tagName}: ${box.scrollWidth} > ${box.clientWidth}`),
})"""
FINE = {"overflow": 0, "images": [], "empty": 0, "unset": 0, "merror": 0, "narrow": False, "captions": 0, "cut": []}
CONTRAST = """() => {
  const light = text => { const c = text.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]; };
  return [...document.querySelectorAll(".nc-verdict")].map(chip => { const s = getComputedStyle(chip);
    const [a, b] = [light(s.color), light(s.backgroundColor)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); });
}"""


def weight(html, requests):
    """Bytes of what was asked for, images aside."""
    files = {
        unquote(urlsplit(request.url).path).lstrip("/") for request in requests if request.resource_type != "image"
    }
    return sum((html / file).stat().st_size for file in files if (html / file).is_file())


LOADED = "[...document.images].every(i => { i.loading = 'eager'; return !i.offsetParent || i.complete; })"


def show(tab, theme, size):
    """The page in a theme and at a width, without loading it again; all its images are loaded."""
    tab.set_viewport_size(dict(zip(("width", "height"), WIDTHS[size], strict=True)))
    tab.evaluate(
        "theme => { document.documentElement.dataset.theme = document.documentElement.dataset.mode = theme }", theme
    )
    tab.wait_for_function(LOADED)


@browser_check
@pytest.mark.parametrize("page", PAGES)
def test_law_page_is_right_at_both_widths_in_both_themes(read_through, address, html, page):
    tab = read_through
    tab.troubles, tab.asked = [], []
    tab.goto(f"{address}/{page}.html")
    tab.wait_for_function(
        "!document.querySelector('.math') || (window.MathJax && MathJax.startup && MathJax.startup.promise)"
    )
    tab.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise.then(() => null)")
    for size in WIDTHS:
        for theme in ("light", "dark"):
            show(tab, theme, size)
            found = tab.evaluate(FACTS)
            assert found | {"overflow": max(found["overflow"], 0)} == FINE, (size, theme)
            assert min(tab.evaluate(CONTRAST), default=21) > 4.5, (size, theme)
    assert tab.troubles == [] and weight(html, tab.asked) <= 1.5 * MB


@browser_check
def test_law_ledger_is_short_filters_and_opens_at_a_claim(tab, address, book):  # noqa: F811
    found = load(book / "claims" / "smoke")
    claim = found[(found["verdict"] == "fails") & (found["beside"] == "")].iloc[0]
    lines = tab.locator(".nc-headline:visible")
    tab.goto(f"{address}/book/ledger.html#claim-{claim.id}")
    row = tab.locator(f"[id='claim-{claim.id}']")
    assert row.is_visible() and lines.count() == found["headline"].nunique()
    tab.goto(f"{address}/book/ledger.html?verdict=fails&page={claim.notebook}")
    fails = found[(found["verdict"] == "fails") & (found["notebook"] == claim.notebook)]
    assert lines.count() == fails["headline"].nunique() > 0
    assert not row.is_visible()
    tab.locator(".nc-filter button").click()
    tab.wait_for_function("location.search === ''")
    assert lines.count() == found["headline"].nunique()
    assert tab.evaluate("document.documentElement.scrollHeight") < 15_000
    for name in ("claims.csv", "claims.json"):
        with tab.expect_download() as saved:
            tab.locator(f"a[download][href$='{name}']").click()
        text = Path(saved.value.path()).read_text()
        rows = json.loads(text) if name.endswith("json") else list(csv.DictReader(text.splitlines(keepends=True)))
        assert [row["id"] for row in rows] == found["id"].tolist()


@browser_check
def test_law_the_landing_page_paints_in_two_seconds(tab, address):
    tab.goto(f"{address}/{PAGES[0]}.html")
    assert 0 < tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") < 2000
    assert tab.locator("video").count() == 0


@browser_check
def test_law_mathematics_is_typeset(tab, address):
    tab.goto(f"{address}/{PAGES[-1].replace('bibliography', 'live')}.html")
    tab.wait_for_selector("mjx-container")
    assert tab.locator("mjx-container").count() > 10


@browser_check
def test_law_figures_keep_a_light_ground_in_dark_mode(tab, address):
    tab.goto(f"{address}/{PAGES[0]}.html")
    show(tab, "dark", "phone")
    style = "i => getComputedStyle(i).backgroundColor"
    assert tab.locator("article img").first.evaluate(style) == "rgb(255, 255, 255)"


@browser_check
def test_law_a_phone_shows_narrow_figures_that_open_when_tapped(tab, address, book):  # noqa: F811
    tab.goto(f"{address}/notebooks/06-near-collapse.html")
    image, source = tab.locator("figure img").first, "i => i.currentSrc"
    for size, narrow in {"desktop": False, "phone": True}.items():
        show(tab, "light", size)
        assert image.evaluate(source).endswith("-narrow.png") == narrow
    notes = tab.locator("figure:has(picture)").evaluate_all(
        """figures => figures.map(figure => figure.querySelector(".caption-text")).map(
             text => [text.textContent, getComputedStyle(text, "::after").content.includes("one below the other")])"""
    )
    assert {bool(re.search("[Ll]eft|[Rr]ight|panel", text)) or noted for text, noted in notes} == {True, False}
    assert all(noted for text, noted in notes if re.search("[Ll]eft|[Rr]ight|panel", text))
    image.click()
    assert tab.locator("dialog img").evaluate(source) == image.evaluate(source)
    tab.locator("dialog").click(position={"x": 5, "y": 5})
    assert tab.locator("dialog").count() == 0


@browser_check
def test_law_phone_menu_opens_and_leads_on(tab, address):
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(f"{address}/{PAGES[0]}.html")
    link = tab.locator(".bd-sidebar-primary a", has_text="ledger").first
    assert not link.is_visible() or link.bounding_box()["x"] < 0
    tab.locator("button.primary-toggle:visible, label.sidebar-toggle.primary-toggle:visible").first.click()
    tab.wait_for_timeout(600)
    box = link.bounding_box()
    assert link.is_visible() and 0 <= box["x"] and box["x"] + box["width"] <= 390
    link.click()
    tab.wait_for_url("**/ledger.html")


@browser_check
@pytest.mark.parametrize("size", list(WIDTHS))
def test_law_search_finds_the_closed_form(tab, address, size):
    tab.set_viewport_size(dict(zip(("width", "height"), WIDTHS[size], strict=True)))
    tab.goto(f"{address}/{PAGES[0]}.html")
    tab.locator(
        "button.search-button:visible, button.search-button-field:visible, button.search-button__button:visible"
    ).first.click()
    tab.keyboard.type("mse_minimizer")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html*")
    tab.wait_for_selector("ul.search li a")
    assert tab.locator("ul.search li a", has_text="deep_linear").count()
    assert tab.troubles == []


@browser_check
def test_law_theme_switch_changes_the_theme(tab, address):
    tab.goto(f"{address}/{PAGES[0]}.html")
    seen = set()
    for _ in range(3):
        tab.locator("button.theme-switch-button:visible").first.click()
        seen.add(tab.evaluate("document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}


@browser_check
def test_law_live_figures_stand_on_their_pages_and_work_from_a_file(tab, html):
    tab.goto((html / "book" / "live.html").as_uri())
    figures = tab.locator(".nc-live")
    assert figures.count() >= 3 and tab.locator(".nc-live-drawing").count() == figures.count()
    for k in range(figures.count()):
        slider, table = figures.nth(k).locator("input[type=range]").first, figures.nth(k).locator("table")
        before = figures.nth(k).inner_text()
        slider.press("End")
        slider.press("ArrowLeft")
        assert figures.nth(k).inner_text() != before and table.locator("tr").count() > 2
    fonts = (
        "Access to font",
        "net::ERR_FAILED",
    )  # Chromium preloads no font from a file; it then loads it all the same
    assert [trouble for trouble in tab.troubles if not trouble.startswith(fonts) and fonts[1] not in trouble] == []
