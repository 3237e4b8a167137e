"""A small Sphinx extension of this book: nothing stands in the site twice. Runs once a site is built.

An image that is offered for download is the one that its page shows; the notebook behind a page is offered without the
images that the page shows; of MathJax's bundles, each the whole of it for another input and output, the one in use
stays; icons come from a font alone. Images load when they come into view, and a phone gets the narrow image of a figure
that has one.
"""

import json
import re
import shutil
from pathlib import Path

BUNDLE = re.compile(r"(tex|mml)-.+\.js")
ICONS = re.compile(r'<script src="[^"]*/fontawesome/[^"]*"></script>')
IMAGE = re.compile(r'<img [^>]*src="(?P<folder>[^"]*_images/)(?P<file>[^"]+\.png)"[^>]*?(?P<end> ?/?>)')
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


def in_view(html, figures):
    """Let images load when they come into view, in a space that is kept for them; below 600 pixels, narrow ones."""
    from PIL import Image

    wide = {path.with_name(path.name.replace("-narrow", "")).read_bytes(): path for path in figures}
    sizes, narrow = {}, {}
    for path in html.glob("_images/*.png"):
        sizes[path.name], narrow[path.name] = Image.open(path).size, wide.get(path.read_bytes())

    def image(found):
        (width, height), other = sizes[found["file"]], narrow[found["file"]]
        text = f'{found[0][: -len(found["end"])]} loading="lazy" width="{width}" height="{height}"{found["end"]}'
        if other is None or "sd-card" in text:
            return text
        shutil.copy(other, html / "_images")
        return f'<picture><source media="(max-width: 600px)" srcset="{found["folder"]}{other.name}" />{text}</picture>'

    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if (changed := IMAGE.sub(image, text)) != text:
            page.write_text(changed, encoding="utf-8")


def without_images(html):
    """Take the images out of the notebooks that pages offer as their source."""
    for path in html.glob("_sources/**/*.ipynb"):
        book = json.loads(path.read_text(encoding="utf-8"))
        for output in (output for cell in book["cells"] for output in cell.get("outputs", [])):
            output.get("data", {}).pop("image/png", None)
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def unused(html, bundle):
    """Drop what no page loads: the theme's words in other languages, MathJax's other bundles, languages, input and
    output, fonts for browsers of before 2015, and maps for debuggers. The bundle in use holds its own input and output;
    it loads extensions and fonts."""
    math = html / "_static" / "mathjax"
    bundles = [path for path in math.glob("*.js") if BUNDLE.fullmatch(path.name) and path.name != bundle]
    languages = [path for path in math.glob("sre/mathmaps/*.json") if path.stem not in ("base", "en", "nemeth")]
    parts = [*math.glob("input/*.js"), *math.glob("output/*.js"), *math.glob("node-main.js")]
    others = [*html.glob("_static/**/*.map"), *html.glob("_static/vendor/fontawesome/*/webfonts/*.ttf")]
    for path in (*bundles, *languages, *parts, *others):
        path.unlink()
    for folder in ("output/svg", "input/mml", "input/asciimath", "adaptors"):
        shutil.rmtree(math / folder, ignore_errors=True)
    shutil.rmtree(html / "_static" / "locales", ignore_errors=True)


def icons_by_font(html):
    """The theme loads its icons twice: as a font, and as a script of 1.5 MB that draws each of them. The font stays."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if (changed := ICONS.sub("", text)) != text:
            page.write_text(changed, encoding="utf-8")
    shutil.rmtree(next(html.glob("_static/vendor/fontawesome/*/js"), html / "none"), ignore_errors=True)


def slim(app, exception):
    """All of the above, on a site that was built."""
    if exception is None and app.builder.format == "html":
        html = Path(app.outdir)
        shown_once(html)
        in_view(html, Path(app.srcdir).glob("figures/*/*-narrow.png"))
        without_images(html)
        unused(html, Path(app.config.mathjax_path).name)
        icons_by_font(html)


def setup(app):
    """Connect it."""
    app.connect("build-finished", slim)
    return {"version": "1", "parallel_read_safe": True}
