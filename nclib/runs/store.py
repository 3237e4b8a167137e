"""The content-addressed store of runs: `<experiment>/<key>/` with `table.csv` (17 digits) and a sealed `manifest.json`.

A run is looked for in the archive (`results/`, committed), then in the cache (`NCLIB_CACHE`, default `build/cache`). An
entry is written under a temporary name, synced and renamed, so that what is found under its own name is whole. What is
read back is what was written: the manifest carries a digest of itself, of the table, and the name of its place. What
does not fit is damaged: removed from the cache with a warning and run again, an error in the archive.
"""

import hashlib
import importlib.util
import io
import os
import shutil
import uuid
import warnings
from pathlib import Path

import pandas as pd

from nclib.runs import source
from nclib.runs.experiment import KINDS, typed
from nclib.runs.manifest import ROOT
from nclib.runs.seal import Damaged, contents, remove, sealed, sweep, unsealed, write_atomic

FORMAT = 2
PROFILES = ("smoke", "laptop", "paper")
INSTALLED = {"digits.csv.gz": ("sklearn", "datasets/data")}  # data that come with a package: {file: (it, its folder)}


def build_folder() -> Path:
    """Where everything that can be made again goes: `NCLIB_BUILD`, default `build/` of the project."""
    return Path(os.environ.get("NCLIB_BUILD") or ROOT / "build")


def cache_folder() -> Path:
    """The cache of runs: `NCLIB_CACHE`, default `build/cache` of the project, whatever `NCLIB_BUILD` is."""
    return Path(os.environ.get("NCLIB_CACHE") or ROOT / "build" / "cache")


def archive_folder() -> Path:
    """The committed tables of expensive runs: `NCLIB_RESULTS`, default `results/` of the project."""
    return Path(os.environ.get("NCLIB_RESULTS") or ROOT / "results")


def root_for(profile) -> Path:
    """Where new runs of a profile are stored: the archive for `paper`, else the cache."""
    return archive_folder() if profile == "paper" else cache_folder()


def unfinished(name, suffix="safetensors") -> Path:
    """Where a run keeps what it has done so far."""
    return cache_folder() / "checkpoints" / f"{name}.{suffix}"


def try_place(folder) -> None:
    """Raise OSError now, and not after hours of work, where an entry cannot be written."""
    trial = Path(folder).with_suffix(".tried")
    write_atomic(trial, b"")
    trial.unlink(missing_ok=True)


def csv_bytes(table) -> bytes:
    """A table as CSV with 17 significant digits: what is read back is the same float64."""
    return table.to_csv(index=False, float_format="%.17g", na_rep="nan", lineterminator="\n").encode()


def to_csv(table) -> tuple[bytes, dict[str, str]]:
    """(`csv_bytes`, kinds) of a table; kinds: {column: one of `KINDS`}."""
    table = typed(table)
    for name in table.select_dtypes("str"):
        if table[name].str.contains("\r").any():
            raise ValueError(f"column {name!r} holds a carriage return, which a reader of CSV takes for a line's end")
    return csv_bytes(table), {name: str(dtype) for name, dtype in table.dtypes.items()}


def from_csv(data, kinds) -> pd.DataFrame:
    """The table that `to_csv` gave, bit for bit. Damaged where the bytes are no such table."""
    try:
        found = pd.read_csv(io.BytesIO(data), dtype="str", keep_default_na=False)
        if sorted(found) != sorted(kinds) or not set(kinds.values()) <= set(KINDS):
            raise ValueError(f"columns {list(found)} are not those of its manifest")
        return found.assign(**{name: READ[kind](found[name]) for name, kind in kinds.items() if kind != "str"})
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"not a table: {error}") from error


def _float64(column):
    return pd.Series([float(value) for value in column], column.index, "float64")


def _int64(column):
    return pd.Series([pd.NA if value == "nan" else int(value) for value in column], column.index, "Int64")


def _boolean(column):
    named = {"True": True, "False": False, "nan": pd.NA}
    return pd.Series([named[value] for value in column], column.index, "boolean")


READ = {"float64": _float64, "Int64": _int64, "boolean": _boolean}


def place(run, root) -> Path:
    """The folder of a run below a root."""
    return Path(root) / run.NAME / run.key()


def entry(name, key) -> Path | None:
    """The folder of a stored run by its experiment and key (archive first, then cache), or None."""
    folders = (root / name / key for root in (archive_folder(), cache_folder()))
    return next((folder for folder in folders if folder.exists()), None)


def save(run, table, manifest, root) -> None:
    """Store one run: its files under a temporary folder name, then one rename. The first to finish a run wins."""
    folder = place(run, root)
    sweep(folder.parent, ".*.part")
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    data, kinds = to_csv(table)
    outputs = {"table.csv": hashlib.sha256(data).hexdigest()}
    try:
        write_atomic(partial / "table.csv", data)
        manifest = manifest | {"format": FORMAT, "kinds": kinds, "outputs": outputs}
        write_atomic(partial / "manifest.json", sealed(manifest))
        partial.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read(folder) -> tuple[pd.DataFrame, dict]:
    """(table, manifest) of an entry by its folder. Damaged where it is not whole, or lies under another's name."""
    try:
        data, about = (contents(folder / name) for name in ("table.csv", "manifest.json"))
    except OSError as error:
        raise Damaged(f"{type(error).__name__}") from error
    manifest = manifest_of(folder, about)
    if hashlib.sha256(data).hexdigest() != manifest["outputs"]["table.csv"]:
        raise Damaged("its table does not fit its manifest")
    return from_csv(data, manifest["kinds"]), manifest


def manifest_of(folder, data=None) -> dict:
    """The manifest of an entry by its folder; data: its bytes, where they are read already. Damaged as by `read`."""
    manifest = unsealed(contents(folder / "manifest.json") if data is None else data)
    if [manifest.get("format"), manifest.get("experiment"), manifest.get("key")] != [FORMAT, *folder.parts[-2:]]:
        raise Damaged(f"it is of {manifest.get('experiment')} {manifest.get('key')}, format {manifest.get('format')}")
    return manifest


def find(run, *, archived_only=False) -> tuple[pd.DataFrame, dict] | None:
    """(table, manifest) of a stored run, archive first; None where there is none. A damaged entry of the cache is
    removed with a warning, one of the archive raises ValueError; an entry of the cache that other code has made, or of
    other data, is removed in silence, one of the archive is kept."""
    for root in (archive_folder(),) if archived_only else (archive_folder(), cache_folder()):
        folder = place(run, root)
        if not folder.exists():
            continue
        archived = root == archive_folder()
        try:
            table, manifest = read(folder)
        except Damaged as reason:
            if archived:
                raise ValueError(f"{folder}: damaged ({reason}); restore it with git") from None
            warnings.warn(f"{folder}: damaged ({reason}), removed; it is run again", stacklevel=2)
            remove(folder)
            continue
        if archived or (manifest.get("code") == source.digest(run) and _same_data(run, manifest["data"])):
            return table, manifest
        remove(folder)
    return None


def _same_data(run, stored):
    known = run.at_hand() | {name: installed(name) for name in INSTALLED if name in stored}
    return all(name in stored and sha256 in (None, stored[name]) for name, sha256 in known.items())


def installed(name) -> str | None:
    """sha256 of a file of data as the installed package has it, which is not imported; None where there is no file."""
    package, folder = INSTALLED[name]
    spec = importlib.util.find_spec(package)
    paths = [Path(place, folder, name) for place in (spec.submodule_search_locations if spec else [])]
    return next((hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()), None)


def folder_of(run) -> Path | None:
    """The folder of a stored run, or None; of one that other code has made, or that is damaged, there is none left."""
    return None if find(run) is None else entry(run.NAME, run.key())
