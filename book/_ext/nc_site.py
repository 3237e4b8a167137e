"""A small Sphinx extension of the book: plain docstrings, no live code, MathJax by parts, live figures' scripts."""

import gc
import re


def plain_docstring(app, what, name, obj, options, lines):
    """Docstrings here are plain text, not reStructuredText: |W|^2 is a norm, `x` is code, indented text is literal."""
    lines[:] = "\n".join(paragraph(part) for part in re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))).splitlines()


def paragraph(text):
    """One paragraph of a docstring as reStructuredText: prose, or a literal block where a line of it is indented."""
    if any(line.startswith((" ", "- ", "* ", ">>> ")) for line in text.splitlines()):
        return "::\n\n" + "\n".join(f"    {line}" for line in text.splitlines()) + "\n"
    pieces = re.split(r"(`+[^`]+`+)", text)
    return "".join(code(piece) if piece.startswith("`") else escaped(piece) for piece in pieces) + "\n"


def code(piece):
    """`x` or ``x`` as a literal."""
    return f"\\ ``{piece.strip('`').strip()}``\\ "


def escaped(piece):
    """Prose in which no character is markup."""
    return re.sub(r"([\\*|_`<>\[\]:])", r"\\\1", piece)


def without_thebe(app, config):
    """jupyter-book always loads sphinx-thebe, whose inline script runs twice and throws; no page here needs it."""
    for listeners in app.events.listeners.values():
        for listener in [found for found in listeners if found.handler.__module__ == "sphinx_thebe"]:
            listeners.remove(listener)
    app.registry.css_files[:] = [file for file in app.registry.css_files if "thebe" not in str(file[0])]


def mathjax_by_parts(app, config):
    """sphinx-mathjax-offline names a bundle, whatever _config.yml says; this loads the components named there."""
    config.mathjax_path = "mathjax/startup.js"


def page_scripts(app, pagename, templatename, context, doctree):
    """The scripts of the live figures, on the pages that show them."""
    names = re.findall(r'data-nc-live="([a-z-]+)"', context.get("body", ""))
    for name in ["common", *dict.fromkeys(names)] if names else ():
        app.add_js_file(f"live/{name}.js", loading_method="defer")


def setup(app):
    """Connect the above. A sixth of a build's time went into looking through all pages for garbage."""
    gc.set_threshold(50_000, 50, 1000)
    app.connect("config-inited", without_thebe)
    app.connect("config-inited", mathjax_by_parts)
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("html-page-context", page_scripts)
    return {"version": "1", "parallel_read_safe": True}
