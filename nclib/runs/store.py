"""The store of runs: a folder `<experiment>/<key>/` for each, with `table.csv` and a sealed `manifest.json`.

A run is looked for in the archive (`results/`, committed), then in the cache (`NCLIB_CACHE`, default `build/cache`). An
entry is written under a temporary name, synced and renamed, so that an entry that is found is whole. Its manifest holds
digests of itself and of the table, and the name of its place. An entry that does not fit them is damaged: in the cache
it is removed with a warning and run again, in the archive it is an error. Numbers have 17 digits, so what is read back
is what was written.
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
    """The folder for everything that can be made again: `NCLIB_BUILD`, default `build/` of the project."""
    return Path(os.environ.get("NCLIB_BUILD") or ROOT / "build")


def cache_folder() -> Path:
    """The folder of the cache of runs: `NCLIB_CACHE`, default `build/cache` of the project even where `NCLIB_BUILD` is
    set."""
    return Path(os.environ.get("NCLIB_CACHE") or ROOT / "build" / "cache")


def archive_folder() -> Path:
    """The folder of the committed tables of expensive runs: `NCLIB_RESULTS`, default `results/` of the project."""
    return Path(os.environ.get("NCLIB_RESULTS") or ROOT / "results")


def root_for(profile) -> Path:
    """The folder where new runs of a profile are stored: the archive for `paper`, else the cache."""
    return archive_folder() if profile == "paper" else cache_folder()


def unfinished(name, suffix="safetensors") -> Path:
    """The file in which the run of a key keeps what it has done so far."""
    return cache_folder() / "checkpoints" / f"{name}.{suffix}"


def try_place(folder) -> None:
    """Raise OSError now, and not after hours of work, where an entry cannot be written."""
    trial = Path(folder).with_suffix(".tried")
    write_atomic(trial, b"")
    trial.unlink(missing_ok=True)


def csv_bytes(table) -> bytes:
    """Return a table as CSV with 17 significant digits, from which the same float64 are read back."""
    return table.to_csv(index=False, float_format="%.17g", na_rep="nan", lineterminator="\n").encode()


def to_csv(table) -> tuple[bytes, dict[str, str]]:
    """Return (CSV bytes, kinds) of a table, where kinds is {column: one of `KINDS`}.

    Raises ValueError for text with a carriage return.
    """
    table = typed(table)
    for name in table.select_dtypes("str"):
        if table[name].str.contains("\r").any():
            raise ValueError(f"column {name!r} holds a carriage return, which a reader of CSV takes for a line's end")
    return csv_bytes(table), {name: str(dtype) for name, dtype in table.dtypes.items()}


def from_csv(data, kinds) -> pd.DataFrame:
    """Return the table that was given to `to_csv`, bit for bit. Raises Damaged where the bytes are no such table."""
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
    """The folder that a run has below a root, whether it is stored there or not."""
    return Path(root) / run.NAME / run.key()


def entry(name, key) -> Path | None:
    """The folder of a stored run, found by experiment and key in the archive, then in the cache; or None."""
    folders = (root / name / key for root in (archive_folder(), cache_folder()))
    return next((folder for folder in folders if folder.exists()), None)


def save(run, table, manifest, root) -> None:
    """Store one run: write its files to a temporary folder, then rename that.

    Where several processes do the same run, the first to finish it wins.
    """
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
    """Return (table, manifest) of a stored run by its folder.

    Raises Damaged where the entry is not whole, or lies in the folder of another run.
    """
    try:
        data, about = (contents(folder / name) for name in ("table.csv", "manifest.json"))
    except OSError as error:
        raise Damaged(f"{type(error).__name__}") from error
    manifest = manifest_of(folder, about)
    if hashlib.sha256(data).hexdigest() != manifest["outputs"]["table.csv"]:
        raise Damaged("its table does not fit its manifest")
    return from_csv(data, manifest["kinds"]), manifest


def manifest_of(folder, data=None) -> dict:
    """Return the manifest of a stored run by its folder. data: the bytes of the manifest, where they have been read
    already.

    Raises Damaged as `read` does.
    """
    manifest = unsealed(contents(folder / "manifest.json") if data is None else data)
    if [manifest.get("format"), manifest.get("experiment"), manifest.get("key")] != [FORMAT, *folder.parts[-2:]]:
        raise Damaged(f"it is of {manifest.get('experiment')} {manifest.get('key')}, format {manifest.get('format')}")
    return manifest


def find(run, *, archived_only=False) -> tuple[pd.DataFrame, dict] | None:
    """Return (table, manifest) of a stored run, from the archive or else from the cache; None where there is none.

    An entry of the archive counts whatever code made it, and raises ValueError where it is damaged. An entry of the
    cache that is damaged is removed with a warning; one that was made by other code or from other data is removed
    without.
    """
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
    """The sha256 of a file of data in an installed package, which is not imported for this; None where there is no such
    file."""
    package, folder = INSTALLED[name]
    spec = importlib.util.find_spec(package)
    paths = [Path(place, folder, name) for place in (spec.submodule_search_locations if spec else [])]
    return next((hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()), None)


def folder_of(run) -> Path | None:
    """The folder of a stored run, or None. Like `find` it removes an entry of the cache that is damaged or made by
    other code."""
    return None if find(run) is None else entry(run.NAME, run.key())
