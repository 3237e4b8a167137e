"""Studies: the runs on which a page stands, and the rows of these runs as one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from nclib._progress import bar
from nclib.runs import store
from nclib.runs.arguments import choose, overrides
from nclib.runs.experiment import Experiment, MissingRun, typed
from nclib.runs.workers import each

ADDED = ("experiment", "run", "part", "beside", "profile")


@dataclass(frozen=True)
class Study:
    """The runs of a page in named parts, and those of a larger scale that are shown beside them.

    name      as on the command line: the name of the page.
    parts     parts(profile, *, seed=0, ...) -> {part: [runs]}; its arguments have been read by `arguments.overrides`,
              and it raises ValueError for bad ones.
    beside    {label: (profile, overrides)} of runs that are shown where they are archived, and never done: all of
              them that are, and those that are the page's own.
    whole     whether the claims of such a scale need all of its runs; else each says what it needs.
    cost      {profile: what its runs cost, in words}.
    """

    name: str
    parts: Callable
    beside: dict = field(default_factory=dict)
    whole: bool = False
    cost: dict = field(default_factory=dict)

    def named(self, profile, **given) -> dict[str, list[Experiment]]:
        """Return {part: [runs]} of a profile. An override that is None is left to the profile."""
        choose(profile, dict.fromkeys(store.PROFILES))
        return self.parts(profile, **overrides(self.parts, given))

    def runs(self, profile="laptop", **given) -> list[Experiment]:
        """Return every run of a profile once, in the order of the parts."""
        return list(dict.fromkeys(run for runs in self.named(profile, **given).values() for run in runs))

    def table(self, profile="laptop", device="auto", **given) -> pd.DataFrame:
        """Return the rows of all runs of a profile as one table; runs that are not stored are done.

        To the columns of the runs it adds `ADDED` and those fields of a run that are numbers, text, or tuples of whole
        numbers, as text such as "30 10 5". `run` is the key; `beside` is "" for the runs of this profile, else a label.
        `attrs["lacking"]` is what the archive lacks of profile `paper`, by `lacking`, where that is not the profile,
        and `attrs["unjudged"]` the labels of scales that are not `whole`, where they have to be. Runs of profile
        `paper` are stored in the archive. Raises MissingRun, with the command and its cost, where a run is neither
        stored nor possible here.
        """
        runs = self.runs(profile, **given)
        found, tables = each(runs, device, store.root_for(profile)), {}
        for run in bar(runs, desc=self.name):
            try:
                tables[run] = next(found)
            except MissingRun as reason:
                raise MissingRun(
                    f"{run.NAME} {run.key()} is not archived, and {reason}; {self.advice(profile)}"
                ) from None
        frames, unjudged = _parts(self.named(profile, **given), tables, "", profile), []
        for label, (other, more) in self.beside.items():
            parts = self.parts(other, **more)
            others = {run for runs in parts.values() for run in runs if run not in tables}
            stored = {run: found[0] for run in others if (found := store.find(run, archived_only=True))}
            if stored:
                frames += _parts(parts, tables | stored, label, other)
            if self.whole and stored.keys() != others:
                unjudged.append(label)
        table = typed(pd.concat(frames, ignore_index=True))
        table.attrs["lacking"] = {} if profile == "paper" else self.lacking()
        table.attrs["unjudged"] = unjudged
        return table

    def lacking(self) -> dict[str, object]:
        """Return {"runs": their number, "archived": how many are archived, "command", "cost"} of profile `paper`, those
        left out that profile laptop does; {} where none is lacking."""
        shown = set(self.runs())
        runs = [run for run in self.runs("paper") if run not in shown] if "paper" in self.cost else []
        archived = sum(store.place(run, store.archive_folder()).exists() for run in runs)
        if archived == len(runs):
            return {}
        about = {"command": self.command("paper"), "cost": self.cost["paper"]}
        return {"runs": len(runs), "archived": archived} | about

    def advice(self, profile) -> str:
        """The command that makes the runs of a profile, and what they cost."""
        return f"run: {self.command(profile)}  ({self.cost.get(profile, 'cost not stated')})"

    def command(self, profile) -> str:
        """The command that makes the runs of a profile."""
        return f"nclib run {self.name} --profile {profile}"


def own_runs(table) -> pd.DataFrame:
    """Return the rows of a study's table that are of the page's own profile, without what is shown beside."""
    return table[table["beside"] == ""]


def _parts(parts, tables, beside, profile):
    return [
        _with_fields(tables[run], run).assign(part=part, beside=beside, profile=profile)
        for part, runs in parts.items()
        for run in runs
        if run in tables
    ]


def _with_fields(table, run):
    given = {
        name: " ".join(map(str, value)) if isinstance(value, tuple) and {*map(type, value)} == {int} else value
        for name, value in dataclasses.asdict(run).items()
    }
    fields = {name: value for name, value in given.items() if isinstance(value, (bool, int, float, str))}
    taken = [name for name in fields if name in table or name in ADDED]
    if taken:
        raise ValueError(f"{run.NAME}: its fields {taken} are columns of its table already")
    return typed(table.assign(experiment=run.NAME, run=run.key(), **fields))
