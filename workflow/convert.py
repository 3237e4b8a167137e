"""Stored runs of before become runs of the new form: results/<experiment>/<key>/ keeps its key and its numbers.

    python workflow/convert.py results --only tirer2023.depth_network

In the commit that moves an experiment to its page. What is of the new form already is left alone, so that runs which
come later are converted by the same command. Each new table is written, read and turned back before it takes the place
of the old one: every row must come back, floats by their bits. The manifest keeps the checksum of the old table.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from nclib import pages, results
from nclib.runs import store
from nclib.runs.experiment import typed

DEFAULTS = {"step": 0, "layer": "", "split": "train"}
INDEXED = re.compile(r"(?P<metric>[^\[]+)\[(?P<indices>[\d,]+)\]")


class Refused(ValueError):
    """An entry that cannot be converted without loss; the message names it and says why."""


@dataclass(frozen=True)
class Form:
    """What the columns of before become. axes: columns for the indices of "metric[j,k]". keep: {column of before: (its
    name, its kind)}; columns that are not named must hold their default. Rows of theory become the column `theory`."""

    axes: tuple = ()
    keep: dict = field(default_factory=dict)

    def kept(self, parameters):
        """`keep`, and the seed where a run has several."""
        return self.keep if "seed" in parameters else self.keep | {"seed": ("seed", "Int64")}

    def new(self, old, parameters):
        """The table of the new form, its rows in the order of the measured ones."""
        keep, found = self.kept(parameters), {}
        for column, default in fixed(parameters).items():
            if column not in keep and not (old[column] == default).all():
                raise Refused(f"column {column!r} is not always {default!r}, and its form does not keep it")
        for row in old.to_dict("records"):
            values = found.setdefault((row["metric"], *(row[column] for column in keep)), {})
            if row["source"] in values or row["source"] not in ("measured", "theory"):
                raise Refused(f"{row['source']} {row['metric']} stands there twice, or is neither measured nor theory")
            values[row["source"]] = row["value"]
        names, kinds = zip(*keep.values(), strict=True) if keep else ((), ())
        lines = []
        for (metric, *at), values in found.items():
            at = [int(value) if kind == "Int64" else value for value, kind in zip(at, kinds, strict=True)]
            numbers = (values.get(source, float("nan")) for source in ("measured", "theory"))
            lines.append((*self._indexed(metric, numbers), *at))
        table = pd.DataFrame(lines, columns=["metric", "value", "theory", *self.axes, *names])
        return typed(table.astype(dict.fromkeys(self.axes, "Int64") | dict(zip(names, kinds, strict=True))))

    def _indexed(self, metric, numbers):
        """(metric, numbers, indices) of "metric[j,k]"."""
        match = INDEXED.fullmatch(metric)
        name, indices = (match["metric"], [int(i) for i in match["indices"].split(",")]) if match else (metric, [])
        if len(indices) > len(self.axes):
            raise Refused(f"{metric}: has {len(indices)} indices, its form has the axes {self.axes}")
        return name, *numbers, *indices, *[pd.NA] * (len(self.axes) - len(indices))

    def rows(self, new, parameters):
        """What `identities` gives of the table of before, from that of the new form."""
        found = []
        for row in new.to_dict("records"):
            indices = [str(row[axis]) for axis in self.axes if not pd.isna(row[axis])]
            metric = row["metric"] + (f"[{','.join(indices)}]" if indices else "")
            at = fixed(parameters) | {column: row[name] for column, (name, _) in self.kept(parameters).items()}
            foretold = not pd.isna(row["theory"])
            if not (foretold and pd.isna(row["value"])):
                found.append(_identity(at, metric, "measured", row["value"]))
            if foretold:
                found.append(_identity(at, metric, "theory", row["theory"]))
        return sorted(found)


PLACE = {"step": ("step", "Int64"), "layer": ("layer", "str")}
FORMS = {
    "dang2023.direct": Form(("i", "j"), PLACE),
    "dang2023.network": Form(("i", "j"), PLACE | {"split": ("split", "str")}),
    "wu2024.tokens_model": Form(
        axes=("id",), keep={"step": ("step", "Int64"), "layer": ("token", "str"), "split": ("split", "str")}
    ),
    "wu2024.names_model": Form(keep={"layer": ("token", "str"), "split": ("partner", "str")}),
    "wu2024.language_model": Form(
        keep={"step": ("step", "Int64"), "layer": ("convention", "str"), "split": ("split", "str")}
    ),
    "tirer2023.depth_network": Form(keep={"layer": ("layer", "Int64")}),
    "tirer2023.regularization_network": Form(keep={"step": ("step", "Int64")}),
}


def fixed(parameters):
    """What the columns of before hold where they say nothing."""
    return DEFAULTS | ({"seed": parameters["seed"]} if "seed" in parameters else {})


def _identity(at, metric, source, value):
    return *(str(at[name]) for name in ("seed", "step", "layer", "split")), metric, source, float(value).hex()


def identities(old):
    """Every row of a table of before as text, floats by their bits, sorted."""
    return sorted(_identity(row, row["metric"], row["source"], row["value"]) for row in old.to_dict("records"))


def convert(folder, form):
    """Convert one entry; False where it is of the new form already. Raises Refused, and then the entry is as it was."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest.get("format") == store.FORMAT:
            store.read(folder)
            return False
        before = manifest["outputs"]["table.csv"]
        if hashlib.sha256((folder / "table.csv").read_bytes()).hexdigest() != before:
            raise Refused("its table does not fit its manifest")
        run = pages.experiments()[manifest["experiment"]].again(manifest["parameters"])
        if store.place(run, folder.parents[1]) != folder or run.VERSION != manifest["version"]:
            raise Refused(f"its manifest is of {run.NAME} {run.key()}, version {manifest['version']}")
        old = results.read_csv(folder / "table.csv")
        if set(old["experiment"]) | set(old["config"]) != set(folder.parts[-2:]):
            raise Refused("its table is of another run")
        new = form.new(old, manifest["parameters"])
        if form.rows(store.from_csv(*store.to_csv(new)), manifest["parameters"]) != identities(old):
            raise Refused("turned back it is another table")
    except (ValueError, OSError, KeyError, TypeError) as reason:
        said = reason if isinstance(reason, ValueError) else repr(reason)
        raise Refused(f"{folder}: {said}") from reason
    with tempfile.TemporaryDirectory(prefix=".convert.", dir=folder.parents[1]) as aside:
        store.save(run, new, manifest | {"converted_from": before}, aside)
        store.remove(folder)
        store.place(run, aside).rename(folder)
    return True


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the folder of runs, such as results")
    parser.add_argument("--only", nargs="+", choices=sorted(FORMS), default=sorted(FORMS), metavar="EXPERIMENT")
    given = parser.parse_args(arguments)
    for name in given.only:
        folders = sorted(path.parent for path in (given.root.resolve() / name).glob("[!.]*/manifest.json"))
        try:
            done = [convert(folder, FORMS[name]) for folder in folders]
        except Refused as reason:
            print(f"convert: {reason}", file=sys.stderr)
            return 1
        print(f"{name}: {sum(done)} runs converted, {len(done) - sum(done)} were of this form already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
