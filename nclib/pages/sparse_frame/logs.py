"""The norms of the global head in the logs that Xiao et al. 2024 published with their code: an exponent a round.

The logs are not part of the project. Where `NCLIB_DATA/FedLoGe` is a clone of their repository (ZackZikaiXiao/FedLoGe,
commit f4cac52) this reads it; what is computed from it is archived.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from nclib.data import DataError, data_folder
from nclib.runs.experiment import Experiment, rows
from nclib.theory import norm_law

START = 1 / 3  # E |w|^2 of a row of nn.Linear: d entries of variance 1/(3 d)
ROUNDS = (5, 10, 20, 50, 100, 200, 500)
SPARSE = [f"log/{letter}_ours.log" for letter in "abcdefgh"]
SPARSE += ["log/rebu_fedloge_40_30.log", "log/rebu_fedloge_100_30.log", "sse_c.log"]
OTHERS = [f"log/{letter}_fedetf.log" for letter in "abcdefgh"]
DRAWN = ("log/b_ours.log", "log/h_ours.log")  # whose norms are kept, to four digits
WORD = r"round (\d+), local average|g_aux tensor\(\[([^\]]*)\]"


@dataclass(frozen=True)
class Logs(Experiment):
    """digest: the first 16 digits of the sha256 of all logs one after the other."""

    NAME: ClassVar[str] = "xiao2024.logs"

    digest: str = "2ec0c9a28a4c30a2"

    def reads(self):
        """The logs, as one."""
        return {"logs of FedLoGe": self.digest}

    def run(self, device="cpu"):
        """By `log`, `arm` and `round`: "exponent" of the norms, the start's 1/3 taken off their squares, and "spearman"
        with the class sizes, "rms" norm; of two logs the "norm" by `class` with its size `n`."""
        texts = {name: read(name) for name in SPARSE + OTHERS}
        if (found := digest(texts)) != self.digest:
            raise DataError(f"the logs in {data_folder() / 'FedLoGe'} have digest {found}, must be {self.digest}")
        return pd.concat([of_log(name, text) for name, text in texts.items()], ignore_index=True)


def read(name):
    path = data_folder() / "FedLoGe" / name
    if not path.exists():
        raise DataError(f"{path} is missing: clone github.com/ZackZikaiXiao/FedLoGe there")
    return path.read_text(encoding="utf-8", errors="replace")


def digest(texts):
    return hashlib.sha256("".join(texts.values()).encode()).hexdigest()[:16]


def of_log(name, text):
    """Rows of one log, at the printed rounds that are nearest to ROUNDS: lines are garbled now and then."""
    counts = np.array([int(v) for v in re.search(r"^\[(\d+(?:, *\d+)+)\]", text, re.M)[1].split(",")])
    norms = by_round(text, len(counts))
    tables = []
    for wanted in ROUNDS:
        at = min(norms, key=lambda known, wanted=wanted: abs(known - wanted))
        w = norms[at]
        values = {"exponent": exponent(counts, w), "spearman": spearmanr(counts, w)[0]}
        values |= {"rms": np.sqrt(np.mean(w**2))}
        tables.append(rows(values, round=at, wanted=wanted))
    table = pd.concat(tables, ignore_index=True)
    if name in DRAWN:
        shown = rows({"norm": norms[max(norms)]}, "class", round=max(norms), wanted=ROUNDS[-1])
        table = pd.concat([table, shown.assign(n=counts)], ignore_index=True)
    arm = "dense ETF" if name in OTHERS else "sparse ETF"
    return table.assign(log=name, arm=arm, classes=len(counts), seed=0)


def by_round(text, K):
    """{round: norms (K,)} of the global head: those printed after the line of a round."""
    found, at = {}, None
    for part in re.finditer(WORD, text):
        if part[1]:
            at = int(part[1])
        elif at is not None and len(w := np.array(re.findall(r"\d+\.\d*", part[2]), dtype=float)) == K:
            found[at] = w
    return found


def exponent(counts, w):
    """Of the classes whose norm is above the start's."""
    grown = w**2 > START
    return norm_law.exponent(counts[grown], np.sqrt(w[grown] ** 2 - START))
