"""A small Sphinx extension of this book: nothing stands in the site twice. Runs once a site is built.

An image that is offered for download is the one that its page shows; the notebook behind a page is offered without the
images that the page shows; of MathJax the components in use stay, of style sheets and icons what a page uses
(nc_styles). Images load when they come into view, and a phone gets the narrow image of a figure that has one.
"""

import json
import re
import shutil
from pathlib import Path

import nc_styles
from nc_styles import rewrite

ICONS = re.compile(r'<script src="[^"]*/fontawesome/[^"]*"></script>')
IMAGE = re.compile(r'<img [^>]*src="(?P<folder>[^"]*_images/)(?P<file>[^"]+\.png)"[^>]*?(?P<end> ?/?>)')
FIGURE = re.compile(r"<figure\b.*?</figure>", re.S)
PLACES = re.compile(  # "Left: ...", "... (left)", "bottom right", "a row for each"; not "below the line"
    r"\((left|right|top|bottom|middle)\b|\b(left|right|top|bottom|middle|above|below|rows?|columns?)( left| right)?:"
    r"|\b(top|bottom) (left|right)\b|\b(row|column) for each\b",
    re.I,
)
STACKED = 1.4  # a narrow figure with its panels in a column is at least that much taller, in inches
BOX = r'<span class="(?:math notranslate nohighlight">\\\(.*?\\\)|nc-verdict[^>]*>[^<]*)</span>'
KEPT = re.compile(rf"([(\[“]?)({BOX})((?:&[#\w]+;|[^\s<&]){{0,12}})")
WORD = re.compile(r'(<span class="pre)(">[^<]{1,24}</span>)')
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

    rewrite(html, lambda page: DOWNLOAD.sub(link, page))
    for path in same:
        path.unlink()
        path.parent.rmdir()


def in_view(html, figures):
    """Let images load when they come into view, in a space that is kept for them; below 600 pixels, narrow ones."""
    from PIL import Image

    wide = {path.with_name(path.name.replace("-narrow", "")).read_bytes(): path for path in figures}
    narrow = {path.name: wide.get(path.read_bytes()) for path in html.glob("_images/*.png")}

    def inches(path):
        with Image.open(path) as image:
            return image.height / image.info["dpi"][1]

    def image(found):
        with Image.open(html / "_images" / found["file"]) as shown:
            (width, height), other = shown.size, narrow[found["file"]]
        text = f'{found[0][: -len(found["end"])]} loading="lazy" width="{width}" height="{height}"{found["end"]}'
        if other is None:
            return text
        shutil.copy(other, html / "_images")
        source = f'<source media="(max-width: 600px)" srcset="{found["folder"]}{other.name}" />'
        return f"<picture>{source}{text}</picture>"

    def placed(found):
        """Mark a figure whose caption places panels that a phone shows in a column: a note there says so."""
        picture, _, caption = found[0].partition("<figcaption")
        if "<picture>" in picture and PLACES.search(caption):
            file = IMAGE.search(picture)["file"]
            if inches(narrow[file]) > STACKED * inches(html / "_images" / file):
                return found[0].replace("<picture>", '<picture class="nc-panels">')
        return found[0]

    rewrite(html, lambda page: FIGURE.sub(placed, IMAGE.sub(image, page)))


def unbroken(html):
    """Keep a formula or a verdict in a line together with the sign before and after it: a browser breaks a line at its
    box. And keep a short word of code whole, which it breaks at its hyphens."""

    def kept(found):
        return f'<span class="nc-keep">{found[0]}</span>' if found[1] or found[3] else found[0]

    rewrite(html, lambda page: WORD.sub(r"\1 nc-keep\2", KEPT.sub(kept, page)))


def without_images(html):
    """Take the images out of the notebooks that pages offer as their source."""
    for path in html.glob("_sources/**/*.ipynb"):
        book = json.loads(path.read_text(encoding="utf-8"))
        for output in (output for cell in book["cells"] for output in cell.get("outputs", [])):
            output.get("data", {}).pop("image/png", None)
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def unused(html, config):
    """Drop what no page loads: of MathJax all but the components that the book names and their fonts; the theme's words
    in other languages, its icons as a script, and maps for debuggers."""
    math = html / "_static" / "mathjax"
    parts = [component(name) for name in config.mathjax3_config["loader"]["load"]]
    kept = {math / part for part in (Path(config.mathjax_path).name, *parts, "output/chtml/fonts/tex.js")}
    drawn = set(math.glob("output/chtml/fonts/woff-v2/*"))
    for path in (path for path in math.rglob("*") if path.is_file() and path not in kept | drawn):
        path.unlink()
    for path in sorted((path for path in math.rglob("*") if path.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
    for path in html.glob("_static/**/*.map"):
        path.unlink()
    for folder in (html / "_static" / "locales", *html.glob("_static/vendor/fontawesome/*/js")):
        shutil.rmtree(folder, ignore_errors=True)


def component(name):
    """The file of one of MathJax's components: "core", "input/tex-base", "[tex]/ams"."""
    return f"{name.replace('[tex]', 'input/tex/extensions')}.js"


def icons_by_font(html):
    """The theme loads its icons twice: as a font, and as a script of 1.5 MB that draws each of them. The font stays."""
    rewrite(html, lambda page: ICONS.sub("", page))


def slim(app, exception):
    """All of the above, on a site that was built."""
    if exception is None and app.builder.format == "html":
        html = Path(app.outdir)
        shown_once(html)
        in_view(html, Path(app.srcdir).glob("figures/*/*-narrow.png"))
        unbroken(html)
        without_images(html)
        unused(html, app.config)
        icons_by_font(html)
        nc_styles.only_used(html)


def setup(app):
    """Connect it."""
    app.connect("build-finished", slim)
    return {"version": "1", "parallel_read_safe": True}
