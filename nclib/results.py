"""The table schema and the content-addressed store of runs.

An *experiment* is a module of `nclib.experiments` with a frozen dataclass `Config` (it has a field `seed`, or `seeds`),
an integer `VERSION`, and `run(config, device) -> DataFrame` of the columns that `MEASURED` names (without `seed` where
the config has just one). It may define `needs_gpu(config) -> bool`, `data(config) -> {file: sha256}`, `together` with
`run_together` for many runs as one (nclib.workers), and `forget(configs)`, called when their tables are stored. A
*study* is a module, often the same one, with `runs(profile, **overrides) -> list` of configs. One config is one run and
one entry of the store, found by the hash of what defines it; a killed sweep loses at most the runs in flight.

An entry is a folder `<experiment>/<key>/` with `table.csv` (17 digits) and `manifest.json`. It is looked for in the
archive (`results/`, committed), then in the cache (`NCLIB_CACHE`, default `build/cache`), else it is run. An entry is
written under a temporary name, synced and renamed, so that what is found under its own name is whole; what fails its
checksum is removed and run again.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import pandas as pd

from nclib._progress import bar
from nclib.runs import arguments, store, work
from nclib.runs.arguments import choose
from nclib.runs.experiment import Experiment, MissingRun
from nclib.runs.manifest import ROOT, measure  # noqa: F401
from nclib.runs.store import PROFILES, archive_folder, build_folder, cache_folder, root_for, write_atomic  # noqa: F401

SCHEMA = ["experiment", "config", "seed", "step", "layer", "split", "source", "metric", "value"]
MEASURED = SCHEMA[2:]


def study(name):
    """A study by its name: the `Study` of a page, as "depth", or a module, as "wu2024.grid"; ValueError that
    lists the studies there are."""
    from nclib import experiments, pages

    known = experiments.studies()
    if name not in known:
        raise ValueError(f"experiment = {name!r}: must be one of {', '.join(known)}")
    return pages.studies().get(name) or importlib.import_module(f"nclib.experiments.{name}")


def experiment(config):
    """What defines a config, its class or its module, and the short name of that."""
    if isinstance(config, Experiment):
        return type(config), config.NAME
    module = sys.modules[type(config).__module__]
    return module, module.__name__.removeprefix("nclib.experiments.")


def key(config):
    """sha256 of the canonical JSON of (experiment, version, config): the first 16 hexadecimal digits."""
    module, name = experiment(config)
    if isinstance(config, Experiment):
        return config.key()
    text = json.dumps([name, module.VERSION, dataclasses.asdict(config)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def csv_bytes(table):
    """A table as CSV with 17 significant digits: what is read back is the same float64."""
    return table.to_csv(index=False, float_format="%.17g", na_rep="nan", lineterminator="\n").encode()


def read_csv(path):
    """The table that `csv_bytes` wrote, bit for bit (empty text stays empty text)."""
    text = {name: str for name in ("experiment", "config", "layer", "split", "source", "metric")}
    return pd.read_csv(path, dtype=text, keep_default_na=False, converters={"value": float})


def _save(folder, table, manifest):
    """Write one entry: all its files under a temporary folder name, then one rename. The first to finish a run wins."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    data = csv_bytes(table)
    manifest = manifest | {"outputs": {"table.csv": hashlib.sha256(data).hexdigest()}}
    write_atomic(partial / "table.csv", data)
    write_atomic(partial / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)
        if not folder.exists():
            raise


def _load(folder):
    """The table of one entry, or None where there is none. A damaged entry of the cache is removed with a warning."""
    if not folder.exists():
        return None
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        data = (folder / "table.csv").read_bytes()
        whole = hashlib.sha256(data).hexdigest() == manifest["outputs"]["table.csv"]
    except (OSError, ValueError, KeyError):
        whole = False
    if not whole:
        if archive_folder() in folder.parents:
            raise ValueError(f"{folder}: the archived table does not match its manifest; restore it with git")
        warnings.warn(f"{folder}: damaged, removed; it is run again", stacklevel=2)
        shutil.rmtree(folder)
        return None
    return read_csv(folder / "table.csv")


def entry(name, run):
    """The folder of a stored run by its experiment and key (archive first, then cache), or None."""
    return next(
        (root / name / run for root in (archive_folder(), cache_folder()) if (root / name / run).exists()), None
    )


def folder(config):
    """The folder of a stored run, or None; of one that other code has made, or that is damaged, there is none left."""
    if isinstance(config, Experiment) and store.find(config) is None:
        return None
    return entry(experiment(config)[1], key(config))


def find(config):
    """The stored table of a run, or None."""
    if isinstance(config, Experiment):
        found = store.find(config)
        return None if found is None else found[0]
    found = folder(config)
    return None if found is None else _load(found)


def needs_gpu(config):
    """Whether a run is meant for a GPU alone."""
    return getattr(experiment(config)[0], "needs_gpu", lambda config: False)(config)


def device_for(config, device="auto"):
    """The torch device of a run. "auto": the CPU, or a GPU where the experiment needs one (`needs_gpu(config)`).

    Raises MissingRun where it needs one and there is none, and ValueError for "cuda" without one.
    """
    return work.chosen(device, lambda: needs_gpu(config))


def get(config, device="auto", root=None):
    """The table of one run: stored, or run now and stored below `root` (default: the cache)."""
    table = find(config)
    if table is None:
        run([config], device_for(config, device), root)
        table = find(config)
    return table


def run(configs, device, root):
    """Do runs of one experiment, several together, and store each; each is said to have taken its share of the time.

    The place is tried before the work, and what a run keeps to go on from after a kill is removed only when its table
    is stored.
    """
    module, name = experiment(configs[0])
    if isinstance(configs[0], Experiment):
        work.do(configs, device, root)
        return
    root = root or cache_folder()
    for config in configs:
        store.try_place(Path(root) / name / key(config))
    with contextlib.ExitStack() as stack:
        manifests = [
            stack.enter_context(measure(config, device, name=name, key=key(config), version=module.VERSION))
            for config in configs
        ]
        if len(configs) > 1:
            tables = module.run_together(configs, device)
        else:
            tables = [module.run(configs[0], device)]
    for config, manifest, table in zip(configs, manifests, tables, strict=True):
        manifest["data"] = getattr(module, "data", lambda config: {})(config)
        manifest["wall_seconds"] = round(manifest["wall_seconds"] / len(configs), 3)
        seeds = {"seed": config.seed} if hasattr(config, "seed") else {}
        table = table.assign(experiment=name, config=key(config), **seeds)[SCHEMA]
        _save(Path(root) / name / key(config), table, manifest)
        store.unfinished(key(config)).unlink(missing_ok=True)
    getattr(module, "forget", lambda configs: None)(configs)


def configs(study, profile, **overrides):
    """The configs of a study. An override is a number > 0, a list of them or text; None leaves it to the profile.

    Raises ValueError for an unknown profile and for bad overrides (`arguments.overrides`).
    """
    if hasattr(study, "parts"):
        return study.runs(profile, **overrides)
    choose(profile, dict.fromkeys(PROFILES))
    return study.runs(profile, **arguments.overrides(study.runs, overrides))


def table(study, profile="laptop", device="auto", **overrides):
    """The runs of a study as one table, in their order, each row with the fields of its config as further columns.

    Overrides are those of `configs`. Runs of profile `paper` are stored in the archive. Raises MissingRun, with the
    command and what it costs, where such a run is neither stored nor possible here.
    """
    from nclib.workers import each  # which does runs by `get`

    chosen, tables = configs(study, profile, **overrides), []
    found = each(chosen, device, root_for(profile))
    for config in bar(chosen, desc=study.__name__.removeprefix("nclib.experiments.")):
        try:
            tables.append(_with_fields(next(found), config))
        except MissingRun as reason:
            name = experiment(config)[1]
            raise MissingRun(f"{name} {key(config)} is not archived, and {reason}; {advice(study, profile)}") from None
    return pd.concat(tables, ignore_index=True)


def archived(study, profile="paper", **overrides):
    """`table` of those runs alone that are archived: empty where none is. Runs nothing."""
    found = [
        _with_fields(stored, config)
        for config in configs(study, profile, **overrides)
        if (stored := _load(archive_folder() / experiment(config)[1] / key(config))) is not None
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=SCHEMA)


def _with_fields(table, config):
    fields = {name: value for name, value in dataclasses.asdict(config).items() if name not in SCHEMA}
    return table.assign(**{name: [value] * len(table) for name, value in fields.items()})


def advice(study, profile):
    """The command that makes a study's runs, and what they cost."""
    if hasattr(study, "parts"):
        return study.advice(profile)
    cost = getattr(study, "COST", {}).get(profile, "cost not stated")
    return f"run: nclib run {study.__name__.removeprefix('nclib.experiments.')} --profile {profile}  ({cost})"


def rows(values, *, step=0, layer="", split="train", source="measured", **more):
    """A dict {metric: value} as rows of the table; vectors and matrices become metrics "name[k]" and "name[j,k]"."""
    flat = []
    for metric, value in values.items():
        value = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(value, (list, tuple)):
            for j, row in enumerate(value):
                if isinstance(row, (list, tuple)):
                    flat += [(f"{metric}[{j},{k}]", float(entry)) for k, entry in enumerate(row)]
                else:
                    flat.append((f"{metric}[{j}]", float(row)))
        else:
            flat.append((metric, float(value)))
    frame = pd.DataFrame(flat, columns=["metric", "value"])
    return frame.assign(step=step, layer=layer, split=split, source=source, **more)


def indexed(table, metric):
    """The rows of a vector or matrix metric, with its indices as integer columns `i` (and `j`)."""
    pattern = rf"^{metric}\[(?P<i>\d+)(?:,(?P<j>\d+))?\]$"
    found = table["metric"].str.extract(pattern)
    keep = found["i"].notna()
    chosen = table[keep].assign(metric=metric, i=found.loc[keep, "i"].astype(int))
    return chosen.assign(j=found.loc[keep, "j"].astype(int)) if found.loc[keep, "j"].notna().any() else chosen
