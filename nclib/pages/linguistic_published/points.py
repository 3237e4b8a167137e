"""The points of the page's figures: what they draw of each of the 230 models, as Wu and Papyan measured it."""

from dataclasses import dataclass
from typing import ClassVar

from nclib.data import files
from nclib.pages.linguistic_published.measurements import MAY, OCTOBER, read
from nclib.pages.linguistic_published.tables import SHOWN
from nclib.runs.experiment import Experiment, rows

DIGITS = 5  # significant ones: more than a figure shows, fewer than the files hold


@dataclass(frozen=True)
class Points(Experiment):
    """may, october: sha256 of the authors' two files."""

    NAME: ClassVar[str] = "wu2024.published_points"

    may: str = files.MEASUREMENTS[MAY]
    october: str = files.MEASUREMENTS[OCTOBER]

    def reads(self):
        """The authors' two files."""
        return {MAY: self.may, OCTOBER: self.october}

    def run(self, device="cpu"):
        """parameters, loss and the statistics that are drawn, to five digits, by `model`. DataError without files."""
        table = read().set_index("model")[["parameters", "loss", *SHOWN]]
        found = rows({name: [float(f"{x:.{DIGITS}g}") for x in column] for name, column in table.items()}, "index")
        return found.assign(model=table.index[found["index"]]).drop(columns="index")
