"""From the values of a table to one a seed, so that what is missing cannot pass."""

from collections.abc import Callable

import pandas as pd


def by_seed(values, seeds, reduce="max") -> list[float]:
    """One value for each of `seeds`, for a claim: `values`, a Series that is indexed by seed, reduced.

    NaN for a seed without values, such as one with an empty class, and for one that has a NaN: reductions of pandas
    leave out both, and what is left would be judged as if it were all.
    """
    groups = values.groupby(level="seed")
    whole = groups.count() == groups.size()
    return values.dropna().groupby(level="seed").agg(reduce).where(whole).reindex(list(seeds)).astype(float).tolist()


def farthest(reference) -> Callable:
    """For `by_seed`: the value that is farthest from a reference."""
    return lambda values: values.iloc[(values - reference).abs().to_numpy().argmax()]


def counted(right, values) -> pd.Series:
    """A comparison `right` of the Series `values` as 1 and 0, NaN where the value is NaN.

    Any comparison with NaN is False: without this a missing value would count as one that was compared.
    """
    return right.astype(float).where(values.notna())
