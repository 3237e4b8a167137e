"""What the figures on seeds draw, of `seeds_table.frames` ({label: models}) and its tables."""

import numpy as np
import pandas as pd

from nclib.experiments.wu2024.seeds_table import relations

BINS = 80


def scatter(frames, shown):
    """Eight statistics of each model with its validation loss; `r2` and `p` of its group."""
    found = []
    for label, points in frames.items():
        related = relations(points)
        for name in shown:
            row = related.loc[name]
            columns = {"value": points[name], "validation": points["validation"], "r2": row["R²"], "p": row["p"]}
            found.append(pd.DataFrame({"group": label, "name": name, **columns}))
    return pd.concat(found)


def permutations(found, models):
    """Correlations of permuted losses with a property, counted between `low` and `high`: nearer to 0 than the true r,
    and as far or farther. found: {property: (r, r* (draws,))} over so many models."""
    edges, parts = np.linspace(-1, 1, BINS + 1), []
    for name, (r, others) in found.items():
        far = np.abs(others) >= abs(r) - 1e-12
        counts = {side: np.histogram(others[which], edges)[0] for side, which in (("nearer", ~far), ("farther", far))}
        part = pd.DataFrame({"name": name, "models": models, "r": r, "low": edges[:-1], "high": edges[1:]} | counts)
        parts.append(part)
    return pd.concat(parts) if parts else pd.DataFrame(columns=["name"])
