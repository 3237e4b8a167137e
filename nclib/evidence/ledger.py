"""The ledger: the claims that the pages of a build have recorded, by profile, each file with a seal."""

import json
import math
from pathlib import Path

import pandas as pd

from nclib.evidence.claims import COLUMNS
from nclib.runs import store
from nclib.runs.seal import Damaged, belongs, contents, digest, write_atomic

RECORDED = [*COLUMNS, "notebook", "profile"]


def folder(profile) -> Path:
    """The folder with the claims of a profile. Raises ValueError for an unknown profile."""
    if profile not in store.PROFILES:
        raise ValueError(f"profile = {profile!r}: must be one of {', '.join(store.PROFILES)}")
    return store.build_folder() / "claims" / profile


def record(judged, notebook, profile) -> None:
    """Write the judged claims of a page to `claims/<profile>/<notebook>.json` of the build folder.

    Each claim carries a seal of all of them.
    """
    rows = judged.assign(notebook=notebook, profile=profile)[RECORDED].to_dict("records")
    rows = [{name: plain(value) for name, value in row.items()} for row in rows]
    text = json.dumps([row | {"seal": digest(rows)} for row in rows], indent=1, allow_nan=False)
    write_atomic(folder(profile) / f"{notebook}.json", text.encode() + b"\n")


def plain(value) -> object:
    """Return a value for JSON: a number that is not finite becomes None."""
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(where) -> pd.DataFrame:
    """Return every claim recorded in a folder of `<notebook>.json`, a row each, with columns `RECORDED`.

    Raises ValueError, which names the file, for one that is damaged.
    """
    return pd.DataFrame([row for path in sorted(where.glob("*.json")) for row in rows(path)], columns=RECORDED)


def rows(path) -> list[dict]:
    """Return the claims in `<profile>/<notebook>.json`, a dict each.

    Raises ValueError, which names the file, where it is damaged or another page's.
    """
    try:
        found = json.loads(contents(path))
        seals = {row.pop("seal") for row in found}
        if seals != {digest(found)}:
            raise Damaged("its seal does not fit")
        for row in found:
            belongs(row, {"notebook": path.stem, "profile": path.parent.name})
        return [{name: row[name] for name in RECORDED} for row in found]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({type(error).__name__}); run its notebook again") from None
