"""The pages around the notebooks: settings, the ledger and the claims at a glance, the staging tree, the Sphinx build.

python workflow/pages.py site --build build       stage build/site and build it into build/site/_build/html
python workflow/pages.py readme --build build     renew README.md's table of claims, its verdicts and its figure
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

import yaml

from nclib.evidence.claims import VERDICTS, worst
from nclib.evidence.ledger import load, plain
from nclib.evidence.report import chip, chip_at, html, scales_of, typeset
from nclib.runs.manifest import hardware
from nclib.runs.seal import Damaged, belongs, contents, digest, write_atomic

ROOT = Path(__file__).resolve().parents[1]
HERO = "book/_static/hero.png"
COMMITTED = "results/verdicts.json"  # of the last `make readme`: what README.md counts
MARKERS = "<!-- claims: begin -->", "<!-- claims: end -->"


def settings(root=ROOT):
    """book/settings.yml, with the environment variables that take precedence over it."""
    found = yaml.safe_load((root / "book" / "settings.yml").read_text(encoding="utf-8"))
    for name in ("repository_url", "site_url"):
        found[name] = os.environ.get(f"NC_{name.upper()}", found[name]).rstrip("/")
    return found


def chapters(toc):
    """Every file that a table of contents names, in its order."""
    if isinstance(toc, list):
        return [file for entry in toc for file in chapters(entry)]
    below = [toc[key] for key in ("parts", "chapters", "sections") if key in toc]
    return [toc[key] for key in ("root", "file") if key in toc] + chapters(below)


def notebooks(root=ROOT):
    """The names of the notebooks in the table of contents."""
    files = chapters(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    return [Path(file).name for file in files if file.startswith("notebooks/")]


def sources(root=ROOT):
    """Every file of the site that is not a notebook."""
    book = [path for path in sorted((root / "book").rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    timings = sorted((root / "results" / "benchmarks").glob("*"))
    evidence = sorted((root / "nclib" / "evidence").glob("*.py"))
    return [root / "_config.yml", root / "_toc.yml", root / "workflow" / "pages.py", *book, *evidence, *timings]


def configure(config, chosen):
    """The book's configuration with the buttons and tags that need its addresses."""
    if chosen["repository_url"]:
        config["repository"] = {"url": chosen["repository_url"], "branch": chosen["branch"], "path_to_book": ""}
        buttons = ("use_repository_button", "use_issues_button", "use_edit_page_button")
        config["html"] |= dict.fromkeys(buttons, True)
        hubs = {"binderhub_url": "https://mybinder.org", "colab_url": "https://colab.research.google.com"}
        config["launch_buttons"] |= {"notebook_interface": "jupyterlab"} | hubs
    if chosen["site_url"]:
        config["html"]["baseurl"] = chosen["site_url"]
        config["sphinx"]["extra_extensions"].append("sphinxext.opengraph")
        config["sphinx"]["config"] |= {
            "ogp_site_url": chosen["site_url"],
            "ogp_social_cards": {"enable": False},
            "ogp_use_first_image": True,
        }
    return config


def seal(text):
    """The text of a promoted notebook with a digest of itself in its metadata."""
    book = json.loads(text)
    book["metadata"]["seal"] = digest(book)
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def promoted(path):
    """A promoted notebook as JSON. ValueError names one that is damaged."""
    try:
        book = json.loads(contents(path))
        if book["metadata"].pop("seal") != digest(book):
            raise Damaged("its seal does not fit")
        belongs({"name": book["metadata"].get("papermill", {}).get("output_path", path.name)}, {"name": path.name})
        return book
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        raise ValueError(f"{path}: damaged ({type(error).__name__}); it is made again") from None


def title(page):
    """The first heading of a notebook."""
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "markdown" for line in "".join(cell["source"]).splitlines()]
    return next((line.lstrip("# ").strip() for line in lines if line.startswith("# ")), page.stem)


def glance(claims, titles):
    """What is reproduced: under each page a row for every headline of kind "paper", with what it is of, its verdict at
    the page's own scale and those in archived runs; and how many questions and checks of our own hold. HTML."""
    words = "What the paper says", "Where", "Rerun here", "Archived runs"
    head = "".join(f'<th scope="col">{word}</th>' for word in words)
    rows = []
    for name, heading in titles.items():
        here, link = claims[claims["notebook"] == name], f"../notebooks/{name}.html"
        paper, ours = here[here["kind"] == "paper"], here[(here["kind"] != "paper") & (here["beside"] == "")]
        more = f" <small>our own: {count(ours)}</small>" if len(ours) else ""
        rows.append(f'<tr><th scope="rowgroup" colspan="4"><a href="{link}">{escape(heading)}</a>{more}</th></tr>')
        for headline, part in paper.groupby("headline", sort=False):
            label = f'<a href="{link}#headline-{escape(headline)}">{typeset(part.iloc[0].heading)}</a>'
            archived = ", ".join(f"{chip_at(part, scale)} <small>{escape(scale)}</small>" for scale in scales_of(part))
            cells = typeset(part.iloc[0].of), chip_at(part, ""), archived or "not run"
            rows.append(f'<tr><th scope="row">{label}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<p>{total(claims)}</p>\n<div class="nc-scroll nc-scorecard">{table}</div>'


def total(claims):
    """How the headlines and the claims of the papers come out, in a sentence."""
    paper = claims[(claims["kind"] == "paper") & (claims["beside"] == "")]
    headlines = paper.groupby("headline")["verdict"].agg(worst).rename("verdict").to_frame()
    return (
        f"{len(headlines)} theorems, figures and other statements of the papers: {count(headlines)}; "
        f"in {len(paper)} claims: {count(paper)}. A statement fares as the worst of its claims that could be judged."
    )


def count(claims):
    """How many claims have each verdict, of the verdicts there are. HTML."""
    found = claims["verdict"].value_counts()
    return ", ".join(f"{found[verdict]} {chip(verdict)}" for verdict in VERDICTS if verdict in found) or "none"


def ledger(claims, titles):
    """The ledger: choices to filter by, then the headlines of each notebook under a heading of its own. MyST."""
    parts = [raw(choices(claims, titles))]
    for name, heading in titles.items():
        own = claims[claims["notebook"] == name]
        if len(own):
            profile = ", ".join(sorted(set(own["profile"])))
            link = f'<a href="../notebooks/{name}.html">{escape(heading)}</a>'
            head = f"<h2>{link} <small>profile {escape(profile)}</small></h2>"
            parts.append(raw(f'<section data-page="{name}">{head}{html(own)}</section>'))
    return "\n\n".join(parts)


def choices(claims, titles):
    """What the ledger can be filtered by, as a form that stays hidden where no script runs. HTML."""
    options = {
        "paper": dict.fromkeys(claims["id"].str.split(".").str[0].unique()),
        "kind": dict.fromkeys(claims["kind"].unique()),
        "verdict": dict.fromkeys(verdict for verdict in VERDICTS if (claims["verdict"] == verdict).any()),
        "page": {name: heading for name, heading in titles.items() if (claims["notebook"] == name).any()},
        "scale": dict.fromkeys(["the page's own", *(scale for scale in claims["beside"].unique() if scale)]),
    }
    fields = "".join(
        f'<label>{name} <select name="{name}"><option value="">all</option>'
        + "".join(f'<option value="{escape(key)}">{escape(word or key)}</option>' for key, word in found.items())
        + "</select></label>"
        for name, found in options.items()
    )
    return f'<form class="nc-filter" hidden>{fields}<output></output><button type="reset">show all</button></form>'


def download(claims, folder):
    """Every claim as files that the ledger offers."""
    rows = [{name: plain(value) for name, value in row.items()} for row in claims.to_dict("records")]
    (folder / "claims.json").write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    claims.to_csv(folder / "claims.csv", index=False)


def raw(html):
    """HTML in a Markdown page, between fences that are longer than any in it."""
    fence = "`" * max([3, *(len(found) + 1 for found in re.findall("`+", html))])
    return f"{fence}{{raw}} html\n{html}\n{fence}"


def stage(build, profile, root=ROOT):
    """Write the staging tree build/site around the promoted notebooks: configuration, contents, prose, made pages."""
    site, chosen = build / "site", settings(root)
    for name in notebooks(root):
        promoted(site / "notebooks" / f"{name}.ipynb")
    shutil.rmtree(site / "book", ignore_errors=True)
    shutil.copytree(root / "book", site / "book", ignore=shutil.ignore_patterns("__pycache__"))
    config = configure(yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")), chosen)
    (site / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shutil.copy(root / "_toc.yml", site / "_toc.yml")
    names = notebooks(root)
    found = load(build / "claims" / profile)
    found = found[found["notebook"].isin(names)]
    titles = {name: title(site / "notebooks" / f"{name}.ipynb") for name in names}
    replace(site / "book" / "index.md", "<!-- claims -->", raw(glance(found, titles)))
    replace(site / "book" / "index.md", "ADDRESS-OF-THE-REPOSITORY", chosen["repository_url"] or "<its address>")
    replace(site / "book" / "ledger.md", "<!-- claims -->", ledger(found, titles))
    download(found, site / "book")
    costs(site / "book" / "cluster.md", root / "results" / "benchmarks")
    figure = hero(site, chosen)
    if figure:
        shutil.copy(figure, site / HERO)


def costs(page, folder):
    """Put measured training speeds and the cost of the paper's grid at those speeds on the page about clusters."""
    import pandas as pd

    from nclib.pages._language_models import cost

    timings = pd.read_csv(folder / "language.csv")
    speeds = cost.speeds(timings)
    note = json.loads((folder / "language.json").read_text(encoding="utf-8"))
    rates = speeds[(speeds["device"] == "cpu") & (speeds["precision"] == "float32")]["flop_per_second"]
    shown = speeds.assign(
        device=speeds["device"].map(lambda device: "GPU" if device == "cuda" else "one core"),
        **{"tokens/s": speeds["tokens_per_second"].map("{:,.0f}".format)},
        **{"GFLOP/s": (speeds["flop_per_second"] / 1e9).map("{:,.1f}".format)},
    ).drop(columns=["tokens_per_second", "flop_per_second"])
    machine = ", ".join(f"{name} ({device})" for device, name in note["hardware"].items())
    load = f"load average {timings['load'].max():.1f} at most on {timings['cores'].max():.0f} cores"
    head = f"Training, measured on {machine}, PyTorch {note['versions']['torch']}, {note['started'][:10]}, {load}:"
    replace(page, "<!-- speeds -->", f"{head}\n\n{markdown(shown)}")
    replace(page, "<!-- pairs -->", markdown(pairs(pd.read_csv(folder / "gpt.csv"))))
    replace(page, "<!-- cost -->", markdown(cost.table((rates.min(), rates.max()))))


def pairs(timings):
    """Paired timings of language models as a reader's table."""
    quartiles = zip(timings["ratio_low"], timings["ratio_high"], strict=True)
    return timings[["name", "vocab", "context", "width", "depth"]].assign(
        ratio=timings["ratio"].map("{:.2f}".format),
        quartiles=[f"{low:.2f} to {high:.2f}" for low, high in quartiles],
        goal=["" if goal != goal else f"{goal:.2f}" for goal in timings["goal"]],
    )


def markdown(frame):
    """A data frame as a Markdown table."""
    rows = [frame.columns, ["---"] * len(frame.columns), *frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def replace(page, marker, text):
    """Put generated text in the place of a page's marker."""
    source = page.read_text(encoding="utf-8")
    if source.count(marker) != 1:
        raise ValueError(f"{page.name}: must hold {marker} exactly once")
    page.write_text(source.replace(marker, text), encoding="utf-8")


def hero(site, chosen):
    """The file of the landing page's figure, or None where no notebook published it."""
    return next(site.glob(f"figures/*/{chosen['hero']}.png"), None)


def build_site(build, profile):
    """Stage, build with -W -n into a fresh folder, put it in the place of the last site; then site/built, whose date
    is that of the site: what fails takes nothing from the last site. Exit code of the build."""
    site, part = build / "site", build / ".site.part"
    note = site / "book.failed"
    note.unlink(missing_ok=True)
    try:
        stage(build, profile)
    except (ValueError, OSError) as error:
        write_atomic(note, f"{error}\n".encode())
        print(error, file=sys.stderr)
        return 1
    shutil.rmtree(part, ignore_errors=True)
    # Not by the script of that name: its first line cannot hold a path with a space.
    book = (sys.executable, "-c", "from jupyter_book.cli.main import main; main()")
    command = [*book, "build", site, "--path-output", part, "-W", "-n", "--keep-going"]
    plain = os.environ | {"NO_COLOR": "1"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", env=plain
    )
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    site.joinpath("book.log").write_text(said, encoding="utf-8")
    if done.returncode:
        wrong = [line for line in said.splitlines() if "WARNING" in line or "ERROR" in line]
        text = "\n".join(["jupyter-book:", *(wrong or said.splitlines()[-15:])])
        write_atomic(note, f"{text}\n".encode())
        print(text, file=sys.stderr)
        return done.returncode
    publish(part / "_build" / "html", site / "_build" / "html")
    shutil.rmtree(part)
    write_atomic(site / "built", b"")
    return 0


def publish(new, html):
    """Put a finished site in the place of the last one, which is out of the way by then, not removed before."""
    old = html.with_name("html.old")
    html.parent.mkdir(exist_ok=True)
    shutil.rmtree(old, ignore_errors=True)
    if html.exists():
        html.rename(old)
    new.rename(html)
    shutil.rmtree(old, ignore_errors=True)


def readme_table(claims, titles):
    """A row for each page as README.md shows it: how many claims have each verdict, and the ids of those that fail."""
    rows = []
    for name, heading in titles.items():
        own = claims[claims["notebook"] == name]
        counts = [f"{(own['verdict'] == verdict).sum()}" for verdict in VERDICTS]
        fails = ", ".join(f"`{row.id}`" for row in own[own["verdict"] == "fails"].itertuples())
        shown = re.sub(r"([\\[\]|`<])", r"\\\1", heading)
        rows.append(f"| [{shown}](notebooks/{name}.ipynb) | {' | '.join(counts)} | {fails} |")
    return "\n".join([f"| Page | {' | '.join(VERDICTS)} | What fails |", f"|---|{'--:|' * len(VERDICTS)}---|", *rows])


def verdicts(claims):
    """{"processor": which, "verdicts": {id: verdict}}, sorted, as text. Training in floating point is another run on
    another processor, and a claim whose seeds lie about its bound may then come out otherwise."""
    found = dict(sorted(zip(claims["id"], claims["verdict"], strict=True)))
    return json.dumps({"processor": processor(), "verdicts": found}, indent=1) + "\n"


def processor():
    """The processor of this machine by more than its name, which generations that round differently can share."""
    from torch.backends import cpu

    parts = {}
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        parts = dict(tuple(map(str.strip, line.split(":", 1))) for line in lines if ":" in line)
    which = [f"{name} {parts[name]}" for name in ("cpu family", "model", "stepping") if name in parts]
    return ", ".join([hardware("cpu"), *which, cpu.get_cpu_capability()])


def readme(build, profile, root=ROOT):
    """Renew README.md's table between its markers, the verdicts that a test compares, and the landing page's figure."""
    names, path = notebooks(root), root / "README.md"
    found = load(build / "claims" / profile)
    found = found[found["notebook"].isin(names) & (found["beside"] == "")]
    before, rest = path.read_text(encoding="utf-8").split(MARKERS[0])
    after = rest.split(MARKERS[1])[1]
    table = readme_table(found, {name: title(root / "notebooks" / f"{name}.ipynb") for name in names})
    path.write_text(f"{before}{MARKERS[0]}\n{table}\n{MARKERS[1]}{after}", encoding="utf-8")
    (root / COMMITTED).write_text(verdicts(found), encoding="utf-8")
    figure = hero(build / "site", settings(root))
    if figure:
        shutil.copy(figure, root / HERO)
    return 0


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("site", "readme"))
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--profile", default="laptop")
    given = parser.parse_args()
    return {"site": build_site, "readme": readme}[given.what](given.build.resolve(), given.profile)


if __name__ == "__main__":
    sys.exit(main())
