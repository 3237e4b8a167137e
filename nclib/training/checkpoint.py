"""Checkpoints: one file with the tensors and rows from which a training run goes on after a kill."""

import json
import os
import threading
import time
from pathlib import Path

import pandas as pd
import torch

from nclib import _files
from nclib.runs.seal import Damaged
from nclib.runs.store import unfinished

FORMAT = "nclib.training/2"
SECONDS = float(os.environ.get("NCLIB_CHECKPOINT_SECONDS") or 60)  # between two writes


_ASKED = threading.Event()


def ask(*_) -> None:
    """Ask for an end as soon as the state has been saved. Any arguments are taken, as a handler of signals needs."""
    _ASKED.set()


def asked() -> bool:
    """Whether `ask` was called. A run that can save its state then does so, and calls `end_if_asked`."""
    return _ASKED.is_set()


def end_if_asked() -> None:
    """End this process where `ask` was called. It is to be called when the state has been saved."""
    if asked():
        raise SystemExit(143)


class Checkpoint:
    """The file of one run, and `rows`, the list of tables that the run fills as it goes.

    identity: a JSON-able dict of the run, its settings and its code. A file with another one is refused.
    """

    def __init__(self, path, identity, rows):
        self.path, self.identity, self.rows = Path(path), json.loads(json.dumps(identity)), rows
        self.written = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return asked() or time.monotonic() - self.written >= SECONDS

    def save(self, tensors) -> None:
        """Write the rows and {name: tensor} under a temporary name, then rename the file.

        The process ends after that where `ask` was called.
        """
        content = {"identity": self.identity, "rows": [_written(table) for table in self.rows]}
        _files.save(self.path, tensors, {"format": FORMAT, "content": json.dumps(content)})
        self.written = time.monotonic()
        end_if_asked()

    def load(self) -> dict[str, torch.Tensor]:
        """Return the tensors and put back the `rows`; return {} where there is no file.

        Raises ValueError, which names the file, where it is damaged or of another run; it is left where it is.
        """
        if not self.path.exists():
            return {}
        try:
            tensors, about = _files.load(self.path, format=FORMAT)
        except (Damaged, OSError):
            raise ValueError(
                f"checkpoint {self.path}: damaged or none of this library's; remove it to start again"
            ) from None
        content = json.loads(about["content"])
        other = [name for name in self.identity if content["identity"].get(name) != self.identity[name]]
        if other:
            raise ValueError(
                f"checkpoint {self.path} is of another run, by its {', '.join(other)}; remove it to start again"
            )
        self.rows[:] = map(_read, content["rows"])
        return tensors


def of_run(run, key, rows) -> Checkpoint:
    """Return the checkpoint of a run of a study. key: its key in the store; rows: the list that it fills."""
    from nclib.runs import source

    return Checkpoint(unfinished(key), {"key": key, "code": source.digest(run)}, rows)


def state(model, optimizer) -> dict[str, torch.Tensor]:
    """{name: tensor} of a model with its buffers, and of an optimizer, by the places of its parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    found = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    return found | {
        f"optimizer.{i}.{name}": value
        for i, p in enumerate(parameters)
        for name, value in optimizer.state.get(p, {}).items()
        if torch.is_tensor(value)
    }


@torch.no_grad()
def restore(model, optimizer, tensors) -> None:
    """Put what `state` returned back into a model and an optimizer."""
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".")
            p = parameters[int(i)]
            # A copy of the parameter's layout: fused updates want that of the two alike.
            optimizer.state[p][key] = torch.empty_like(p).copy_(value) if value.shape == p.shape else value.to(p.device)


def _written(table):
    columns = {name: column.astype(object).where(column.notna(), None).tolist() for name, column in table.items()}
    return {"columns": columns, "kinds": {name: str(kind) for name, kind in table.dtypes.items()}}


def _read(content):
    return pd.DataFrame(
        {name: pd.Series(values, dtype=content["kinds"][name]) for name, values in content["columns"].items()}
    )
