"""One run that several processes do together, as torchrun starts them."""

import os
import sys
from collections.abc import Iterator
from typing import NoReturn

import pandas as pd

from nclib.distributed import ranks
from nclib.runs import store, work, workers


def processes() -> int:
    """The number of processes that torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def first() -> bool:
    """Whether this process is the only one, or the first of several."""
    return int(os.environ.get("RANK", 0)) == 0


def refuse(reason) -> NoReturn:
    """Raise ValueError in the first process and end the others quietly, so that there is one message."""
    if first():
        raise ValueError(reason)
    sys.exit()


def each(runs, device, root) -> Iterator[pd.DataFrame | None]:
    """Do and store runs as `workers.each` does; under torchrun all processes do one run together, and the first stores
    it.

    Under torchrun `runs` must be one run, since its processes cannot meet a second time, and what is yielded is None.
    Raises ValueError there for an experiment that is not `DISTRIBUTED`.
    """
    if processes() == 1:
        yield from workers.each(runs, device, root)
        return
    (run,) = runs
    if not run.DISTRIBUTED:
        refuse(f"{run.NAME} runs in one process: start it without torchrun")
    if store.find(run) is None:
        device = work.device_for(run, device)
        with ranks(device):
            if first():
                work.get(run, device, root)
            else:
                run.run(device)
    yield
