"""The ledger: what the pages of a build recorded, kept by profile, sealed by a digest of each file."""

import json
import math

import pandas as pd

from nclib.evidence.claims import COLUMNS
from nclib.runs import store

RECORDED = [*COLUMNS, "notebook", "profile"]


def folder(profile):
    """Where the claims of a profile are. ValueError for a profile that there is none of."""
    if profile not in store.PROFILES:
        raise ValueError(f"profile = {profile!r}: must be one of {', '.join(store.PROFILES)}")
    return store.build_folder() / "claims" / profile


def record(judged, notebook, profile):
    """Write a page's judged claims to `claims/<profile>/<notebook>.json` of the build folder."""
    rows = judged.assign(notebook=notebook, profile=profile)[RECORDED].to_dict("records")
    text = json.dumps([{name: plain(value) for name, value in row.items()} for row in rows], indent=1, allow_nan=False)
    store.write_atomic(folder(profile) / f"{notebook}.json", text.encode() + b"\n")


def plain(value):
    """A value for JSON: what is not finite is none."""
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(where):
    """Every claim recorded in a folder of `<notebook>.json`, as one DataFrame. ValueError names a file that is none."""
    rows = []
    for path in sorted(where.glob("*.json")):
        try:
            found = json.loads(path.read_bytes())
            rows += [{name: row[name] for name in RECORDED} for row in found]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{path}: damaged ({type(error).__name__}); run its notebook again") from None
    return pd.DataFrame(rows, columns=RECORDED)
