"""One look for progress bars."""

import multiprocessing

from tqdm import tqdm


def bar(iterable=None, *, hidden=False, **settings) -> tqdm:
    """A tqdm bar on a terminal, unless `hidden`; none in a process that another one started, where many would mix."""
    return tqdm(iterable, disable=hidden or multiprocessing.parent_process() is not None or None, **settings)
