"""From the values of a table to one a seed, so that what is missing cannot pass."""


def by_seed(values, seeds, reduce="max"):
    """One value for each of `seeds`, for a claim: `values`, a Series that is indexed by seed, reduced.

    NaN for a seed without values, such as one with an empty class, and for one that has a NaN: reductions of pandas
    leave out both, and what is left would be judged as if it were all.
    """
    groups = values.groupby(level="seed")
    whole = groups.count() == groups.size()
    return values.dropna().groupby(level="seed").agg(reduce).where(whole).reindex(list(seeds)).astype(float).tolist()


def farthest(reference):
    """For `by_seed`: the value that is farthest from a reference."""
    return lambda values: values.iloc[(values - reference).abs().to_numpy().argmax()]


def counted(right, values):
    """A comparison of `values` as 1 and 0, NaN where a value is: compared it is False, and would count as that."""
    return right.astype(float).where(values.notna())
