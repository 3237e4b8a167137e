"""A small Sphinx extension of this book: nothing stands in the site twice. Runs once a site is built.

An image that is offered for download is the one that its page shows; the notebook behind a page is offered without the
images that the page shows; of MathJax's bundles, each the whole of it for another input and output, the one in use
stays.
"""

import json
import re
from pathlib import Path

BUNDLE = re.compile(r"(tex|mml)-.+\.js")
DOWNLOAD = re.compile(r'download="" href="([^"]*_downloads/[^"]+)"')


def shown_once(html):
    """Let links to download an image lead to the same image that a page shows, under its own name; drop the copies."""
    shown = {path.read_bytes(): path.name for path in html.glob("_images/*.png")}
    same = {path: shown[data] for path in html.glob("_downloads/*/*.png") if (data := path.read_bytes()) in shown}
    by_link = {f"_downloads/{path.parent.name}/{path.name}": (path.name, image) for path, image in same.items()}

    def link(found):
        up, _, _ = found[1].partition("_downloads/")
        name, image = by_link.get(found[1].removeprefix(up), (None, None))
        return f'download="{name}" href="{up}_images/{image}"' if name else found[0]

    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if (changed := DOWNLOAD.sub(link, text)) != text:
            page.write_text(changed, encoding="utf-8")
    for path in same:
        path.unlink()
        path.parent.rmdir()


def without_images(html):
    """Take the images out of the notebooks that pages offer as their source."""
    for path in html.glob("_sources/**/*.ipynb"):
        book = json.loads(path.read_text(encoding="utf-8"))
        for output in (output for cell in book["cells"] for output in cell.get("outputs", [])):
            output.get("data", {}).pop("image/png", None)
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def one_bundle(html, used):
    """Drop the bundles of MathJax that no page loads, and source maps, which are for debuggers of the theme."""
    for path in [*html.glob("_static/mathjax/*.js"), *html.glob("_static/**/*.map")]:
        if path.suffix == ".map" or (BUNDLE.fullmatch(path.name) and path.name != used):
            path.unlink()


def slim(app, exception):
    """All of the above, on a site that was built."""
    if exception is None and app.builder.format == "html":
        html = Path(app.outdir)
        shown_once(html)
        without_images(html)
        one_bundle(html, Path(app.config.mathjax_path).name)


def setup(app):
    """Connect it."""
    app.connect("build-finished", slim)
    return {"version": "1", "parallel_read_safe": True}
