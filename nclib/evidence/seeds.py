"""One value for each seed from the values of a table, so that a missing value cannot pass a claim."""

from collections.abc import Callable

import pandas as pd


def by_seed(values, seeds, reduce="max") -> list[float]:
    """Return one value for each of `seeds`, for a claim.

    values: a Series indexed by seed; reduce: how pandas makes one value of those of a seed. A seed without values, such
    as one with an empty class, gives NaN, and so does a seed that has a NaN: reductions of pandas leave out both, and
    what is left would be judged as if it were all.
    """
    groups = values.groupby(level="seed")
    whole = groups.count() == groups.size()
    return values.dropna().groupby(level="seed").agg(reduce).where(whole).reindex(list(seeds)).astype(float).tolist()


def farthest(reference) -> Callable:
    """A `reduce` for `by_seed`: the value that is farthest from a reference."""
    return lambda values: values.iloc[(values - reference).abs().to_numpy().argmax()]


def counted(right, values) -> pd.Series:
    """A comparison `right` of the Series `values` as 1 and 0, NaN where the value is NaN.

    Any comparison with NaN is False: without this a missing value would count as one that was compared.
    """
    return right.astype(float).where(values.notna())
