"""From a notebook to its page: `execute` runs it with papermill, `promote` refuses or publishes what came out.

Each writes under a temporary name and renames, so that a killed step leaves nothing that is read as whole.

    python workflow/steps.py execute NOTEBOOK FOLDER --profile laptop
    python workflow/steps.py promote FOLDER SITE CLAIMS
"""

import argparse
import collections
import hashlib
import logging
import os
import shutil
import sys
import textwrap
import time
from html import escape
from pathlib import Path

import nbformat
import pages
import yaml

from nclib.evidence import ledger
from nclib.runs.seal import contents, unsealed, write_atomic
from nclib.runs.source import ORIGINS

ROOT = Path(__file__).resolve().parents[1]
HIDDEN = ("parameters", "injected-parameters")


class Refused(Exception):
    """A notebook that must not become a page; the message says why, for the person at the terminal."""


def partial(path):
    """A fresh temporary name beside `path`; what killed steps left under such names is removed."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        shutil.rmtree(left, ignore_errors=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    return part


def swap(part, path):
    """Put the finished folder `part` in the place of `path`."""
    shutil.rmtree(path, ignore_errors=True)
    part.rename(path)


def execute(notebook, folder, profile):
    """Run a notebook; `folder` then appears whole with notebook.ipynb, claims/<name>.json and figures/.

    The cache of runs is NCLIB_CACHE, set by the caller. Where a cell fails, Refused names notebook, cell and error.
    """
    import papermill

    part = partial(folder)
    os.environ["NCLIB_BUILD"] = str(part)
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            notebook,
            part / "notebook.ipynb",
            {"profile": profile},
            progress_bar=False,
            cwd=str(ROOT),
            kernel_name="python3",
        )
    except Exception as error:
        shutil.rmtree(part)
        raise Refused(failure(notebook, error)) from error
    swap(part, folder)
    print(f"{notebook.stem}: executed at profile {profile} in {time.perf_counter() - start:.1f} s", flush=True)


def failure(notebook, error):
    """A few lines about a notebook that did not run: notebook, cell, the end of its source, error."""
    name = f"{notebook.parent.name}/{notebook.name}"
    if not hasattr(error, "cell_index"):
        return f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else ''}"
    cause = textwrap.shorten(error.evalue, 400, placeholder=" …")
    source = "\n".join(f"    {line}" for line in error.source.strip().splitlines()[-6:])
    return f"{name}: cell {error.cell_index} raised {error.ename}: {cause}\n{source}"


def promote(folder, site, claims):
    """Publish an executed notebook: site/notebooks/<name>.ipynb, site/figures/<name>/, claims/<name>.json, where the
    folder of claims is called by the profile.

    Refused where it holds a failed cell, or a figure that was not published with its data and manifest.
    """
    name = folder.name
    book = whole(name, "notebook.ipynb", lambda: nbformat.reads(text_of(folder / "notebook.ipynb"), as_version=4))
    refuse_failed(name, book)
    manifests = {label: manifest(folder, name, label, book.cells[at]) for label, at in figures(book).items()}
    target = site / "figures" / name
    part = partial(target)
    for label, found in manifests.items():
        for file in (f"{label}.json", *found["outputs"]):
            shutil.copy(folder / "figures" / file, part)
    swap(part, target)
    write(claims / f"{name}.json", recorded(folder / "claims" / claims.name / f"{name}.json", name))
    made = page(name, book, manifests, parameters(folder / "notebook.ipynb"))
    write(site / "notebooks" / f"{name}.ipynb", pages.seal(nbformat.writes(made)))


def recorded(path, name):
    """What a notebook recorded of its claims."""
    if not path.exists():
        raise Refused(f"notebooks/{name}.ipynb: it recorded no claims at profile {path.parent.name}")
    whole(name, "its record of claims", lambda: ledger.rows(path))
    return text_of(path)


def text_of(path):
    """The text of a file; Damaged where it is none."""
    return contents(path).decode()


def write(path, text):
    """Write text under a temporary name, then rename."""
    write_atomic(path, text.encode())


def refuse_failed(name, book):
    """Refused where papermill marked the notebook as failed, or did not finish it, or a cell's output is an error."""
    papermill = book.metadata.get("papermill", {})
    errors = [out for cell in book.cells for out in cell.get("outputs", []) if out.output_type == "error"]
    if papermill.get("exception") or not papermill.get("end_time") or errors:
        reason = f": {errors[0].ename}: {errors[0].evalue}" if errors else ""
        raise Refused(f"notebooks/{name}.ipynb: it did not run to its end{reason}")


def figures(book):
    """{label: index of its cell} of the cells whose metadata declare a figure."""
    found = {}
    for at, cell in enumerate(book.cells):
        label = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        if label:
            found[label] = at
    return found


def manifest(folder, name, label, cell):
    """The manifest of a figure, checked: its cell shows an image, and its files have the sums that it names."""
    path = folder / "figures" / f"{label}.json"
    if not path.exists():
        raise Refused(f'notebooks/{name}.ipynb: the cell of figure "{label}" published no figure of that name')
    if not any("image/png" in out.get("data", {}) for out in cell.get("outputs", [])):
        raise Refused(f'notebooks/{name}.ipynb: the cell of figure "{label}" shows no image')
    found = whole(name, path.name, lambda: unsealed(contents(path), figure=label))
    for file, sha256 in found["outputs"].items():
        data = whole(name, file, lambda file=file: contents(path.with_name(Path(file).name)))
        if Path(file).name != file or hashlib.sha256(data).hexdigest() != sha256:
            raise Refused(f"notebooks/{name}.ipynb: {file} is not what its manifest says")
    return found


def whole(name, what, read):
    """What is read of an executed notebook; Refused, with what to do, where it is damaged."""
    try:
        return read()
    except (ValueError, OSError, RecursionError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise Refused(
            f"notebooks/{name}.ipynb: {what} is damaged ({type(error).__name__}); remove executed/{name} to run the "
            "notebook again"
        ) from error


def parameters(path):
    """[(name, value, type, meaning)] of an executed notebook: what its cell declares, with what was injected."""
    import papermill

    given = nbformat.read(path, as_version=4).metadata.papermill.get("parameters", {})
    declared = papermill.inspect_notebook(str(path)).values()
    return [
        (p["name"], repr(given[p["name"]]) if p["name"] in given else p["default"], p["inferred_type_name"], p["help"])
        for p in declared
    ]


def page(name, book, manifests, declared):
    """The notebook as its page: parameter cells hidden, no stderr, downloads under each figure, provenance last."""
    cells = []
    labels = {at: label for label, at in figures(book).items()}
    profile = chosen_profile(declared)
    for at, cell in enumerate(book.cells):
        tags = cell.metadata.get("tags", [])
        if any(tag in HIDDEN for tag in tags):
            cell.metadata["tags"] = sorted({*tags, "remove-cell"})
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        cells.append(cell)
        if at in labels:
            line = below(name, manifests[labels[at]], profile, book.metadata.papermill["duration"])
            cells.append(markdown(line, f"downloads-{labels[at]}"))
    cells.append(markdown(provenance(name, book.metadata.papermill, manifests, declared), "provenance"))
    book.cells = cells
    book.metadata.papermill |= {"input_path": f"notebooks/{name}.ipynb", "output_path": f"{name}.ipynb"}
    return book


def markdown(text, identity):
    """A Markdown cell whose id depends on nothing but its place."""
    return nbformat.v4.new_markdown_cell(text, id=identity[:64])


def chosen_profile(declared):
    """The profile that a notebook ran at."""
    return next((value.strip("'\"") for key, value, *_ in declared if key == "profile"), "laptop")


def rerun(name, profile):
    """The command that runs a notebook again."""
    return f"papermill notebooks/{name}.ipynb out.ipynb -p profile {profile}"


def below(name, found, profile, seconds):
    """The line under a figure, in MyST: its files, the meaning of its columns, how to run it again and to cite it."""
    label = found["figure"]
    files = {"CSV": "csv", "PNG": "png", "SVG": "svg", "manifest": "json"}
    there = {f"{label}.json", *found["outputs"]}
    links = [
        f"{{download}}`{text} </figures/{name}/{label}.{suffix}>`"
        for text, suffix in files.items()
        if f"{label}.{suffix}" in there
    ]
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(column)}</code></th><td>{escape(text)}</td></tr>'
        for column, text in found["meanings"].items()
    )
    computing = f"and {found['wall_seconds']:.0f} s of computing where its runs are not stored"
    parts = {
        "columns": f"<table><tbody>{rows}</tbody></table>",
        "rerun": f"<pre>{escape(rerun(name, profile))}</pre><p>{seconds:.0f} s here for the page, {computing}.</p>",
        "cite": f"<pre>{escape(citation(name, found))}</pre>",
    }
    folded = "".join(f"<details><summary>{title}</summary>{text}</details>" for title, text in parts.items())
    return f"::::{{div}} nc-downloads\n{' '.join(links)}\n\n{pages.raw(folded)}\n::::"


def citation(name, found):
    """A figure as a BibTeX entry: the book, the figure's label and page, the commit that drew it."""
    book = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    chosen = pages.settings(ROOT)
    address = chosen["site_url"] and f"{chosen['site_url']}/notebooks/{name}.html#{found['figure']}"
    at = f", commit {found['commit'][:12]}" if found.get("commit") else ""
    fields = {
        "author": f"{{{book['author']}}}",
        "title": f"{book['title']}: {found['figure']}",
        "year": book["copyright"],
        "note": f"notebooks/{name}.ipynb, profile {found['profile']}{at}",
        "url": address or chosen["repository_url"],
    }
    lines = [f"  {field} = {{{value}}}" for field, value in fields.items() if value]
    return "\n".join([f"@misc{{{found['figure']},", ",\n".join(lines), "}"])


def provenance(name, papermill, manifests, declared):
    """The provenance panel of a page, in MyST."""
    runs = [run for found in manifests.values() for run in found["runs"]]
    runs = list({(run["experiment"], run["key"]): run for run in runs}.values())
    some = next(iter(manifests.values()), {})
    data = sorted({pair for run in runs for pair in run["data"].items()})
    devices = sorted({f"{run['hardware']} ({run['device']})" for run in runs})
    facts = [
        ("Run again", f"`{rerun(name, chosen_profile(declared))}`"),
        ("Commit", commit(some)),
        ("Runs behind the figures", f"{len(runs)}, {sum(run['wall_seconds'] for run in runs):.1f} s of computing"),
        ("Their commits", ", ".join(sorted({commit(run) for run in runs})) or "no stored run"),
        ("Made by", origins(runs)),
        ("Notebook", f"executed in {papermill['duration']:.1f} s, {papermill['start_time'][:19]} UTC"),
        ("Hardware", "; ".join(devices) or "no stored run"),
        (
            "Versions",
            ", ".join(f"{package} {number}" for package, number in some.get("versions", {}).items()) or "none",
        ),
        (
            "Data",
            "<br>".join(f"{file}, sha256 `{sha256}`" for file, sha256 in data) or "none: theory and synthetic problems",
        ),
    ]
    values = [(f"`{p}` = `{value}` ({kind})", meaning) for p, value, kind, meaning in declared]
    head = ":::{dropdown} Provenance: parameters, data, commit, hardware, how to run this page again"
    return "\n".join([head, ":class-container: nc-provenance", "", definitions(facts), "", definitions(values), ":::"])


def origins(runs):
    """How many runs were made by the code of this page, and how many by other code: what is archived is kept."""
    counts = collections.Counter(run["made by"] for run in runs)
    return ", ".join(f"{counts[word]} by {word}" for word in ORIGINS if word in counts) or "no stored run"


def commit(found):
    """A manifest's commit, and whether the tree differed from it."""
    if not found.get("commit"):
        return "not a git checkout"
    return f"`{found['commit'][:12]}`" + (", with uncommitted changes" if found["dirty"] else "")


def definitions(pairs):
    """A Markdown definition list."""
    return "\n\n".join(f"{line(term)}\n: {line(meaning or 'not explained')}" for term, meaning in pairs)


def line(text):
    """A text in one line that leaves no fence and no list."""
    return " ".join(text.split()).replace("```", "` ` `").replace(":::", ": : :")


def main(arguments=None):
    """The command line of the two steps; a refusal is exit code 1 and a note beside the executed notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    step = parser.add_subparsers(dest="step", required=True)
    run = step.add_parser("execute")
    run.add_argument("notebook", type=Path)
    run.add_argument("folder", type=Path)
    run.add_argument("--profile", required=True)
    publish = step.add_parser("promote")
    for argument in ("folder", "site", "claims"):
        publish.add_argument(argument, type=Path)
    given = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    note = given["folder"].with_suffix(".failed")
    note.unlink(missing_ok=True)
    try:
        {"execute": execute, "promote": promote}[given.pop("step")](
            **{k: v.resolve() if isinstance(v, Path) else v for k, v in given.items()}
        )
    except Refused as reason:
        write(note, f"{reason}\n")
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
