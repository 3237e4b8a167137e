"""Style sheets and icons down to what the pages of a built site use, so that a page loads no more than it shows.

A rule stays where every class and id of its selector stands in a page, or as a word in a script, which may set it
later. The icons are a font: it keeps the characters that a rule which stays shows, and stands in the place of all.
"""

import re
from itertools import pairwise

TOKEN = re.compile(r"""/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|url\([^"')]*\)|[{};]""", re.S)
NESTING = "@media", "@supports", "@layer", "@container"
NAME = re.compile(r"[.#]((?:\\.|[\w-])+)")
ATTRIBUTE = re.compile(r'\b(?:class|id)="([^"]*)"')
LINK = re.compile(r'<link rel="preload" as="font"[^>]*fontawesome[^>]*>\s*')
FACES = re.compile(r"@font-face\s*\{[^}]*\}")
FACE = '@font-face{font-family:"Font Awesome 6 Free";font-weight:900;src:url(../webfonts/icons.woff) format("woff")}'


def rewrite(html, change):
    """Let a function of its text change every page of a site."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if (changed := change(text)) != text:
            page.write_text(changed, encoding="utf-8")


def rules(css):
    """(what stands before the braces, what stands in them) of each rule, in order; None in them for a statement."""
    depth, start, head = 0, 0, ""
    for token in TOKEN.finditer(css):
        sign = token[0]
        if sign.startswith("/*") and not depth and not css[start : token.start()].strip():
            start = token.end()
        elif sign == "{":
            depth += 1
            if depth == 1:
                head, start = css[start : token.start()].strip(), token.end()
        elif sign == "}":
            depth -= 1
            if depth == 0:
                yield head, css[start : token.start()]
                start = token.end()
        elif sign == ";" and not depth:
            yield css[start : token.start()].strip(), None
            start = token.end()


def alternatives(selector):
    """The selectors between the commas that stand in no brackets."""
    depth, cuts = 0, [-1]
    for at, sign in enumerate(selector):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and not depth:
            cuts.append(at)
    return [selector[low + 1 : high].strip() for low, high in pairwise([*cuts, len(selector)])]


def names(selector):
    """The classes and ids that an element must have; those in brackets, as of :not(.x), it need not."""
    while (bare := re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", selector)) != selector:
        selector = bare
    return {re.sub(r"\\(.)", r"\1", name) for name in NAME.findall(selector)}


def used(css, there):
    """A style sheet without the rules for names that `there(name)` denies."""
    kept = []
    for head, body in rules(css):
        if body is None:
            kept.append(f"{head};")
        elif head.startswith(NESTING):
            if inner := used(body, there):
                kept.append(f"{head}{{{inner}}}")
        elif head.startswith("@"):
            kept.append(f"{head}{{{body}}}")
        elif stay := [one for one in alternatives(head) if all(map(there, names(one)))]:
            kept.append(f"{','.join(stay)}{{{body}}}")
    return "".join(kept)


def vocabulary(html):
    """name -> whether a page has it as a class or id, or a script as a word, or its beginning: "bs-tooltip-"."""
    pages = [path.read_text(encoding="utf-8") for path in html.rglob("*.html")]
    scripts = [path.read_text(encoding="utf-8") for path in html.glob("_static/**/*.js") if "mathjax" not in path.parts]
    found = {name for page in pages for value in ATTRIBUTE.findall(page) for name in value.split()}
    inline = [script for page in pages for script in re.findall(r"<script[^>]*>(.+?)</script>", page, re.S)]
    words = {word for script in (*scripts, *inline) for word in re.findall(r"[\w-]+", script)}
    begun = tuple(word for word in words if word.endswith("-") and len(word.strip("-")) > 1)
    return lambda name: name in found or name in words or name.startswith(begun)


def only_used(html):
    """Style sheets of theme and extensions with the rules that a page needs, icons with the characters it shows."""
    there = vocabulary(html)
    sheets = {path: used(path.read_text(encoding="utf-8"), there) for path in html.glob("_static/**/*.css")}
    for path, text in sheets.items():
        if path.name != "nc.css":
            path.write_text(text, encoding="utf-8")
    for folder in html.glob("_static/vendor/fontawesome/*"):
        icons(folder, characters("".join(sheets.values())))
    rewrite(html, lambda page: LINK.sub("", page))


def characters(css):
    """The numbers of the characters that style sheets show: by their codes, "\\f0c9", or as they are, private ones."""
    codes = {int(code, 16) for code in re.findall(r"""["']\\([0-9a-fA-F]{2,6}) ?["']""", css)}
    return codes | {ord(sign) for sign in css if "\ue000" <= sign <= "\uf8ff"}


def icons(folder, shown):
    """One font for all icons, with these characters alone."""
    from fontTools import subset

    options = subset.Options(flavor="woff", layout_features=[], hinting=False)
    font = subset.load_font(folder / "webfonts" / "fa-solid-900.ttf", options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=shown)
    subsetter.subset(font)
    for path in (folder / "webfonts").iterdir():
        path.unlink()
    subset.save_font(font, folder / "webfonts" / "icons.woff", options)
    sheet = folder / "css" / "all.min.css"
    sheet.write_text(FACES.sub("", sheet.read_text(encoding="utf-8")) + FACE, encoding="utf-8")
