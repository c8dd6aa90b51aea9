"""Jobs: the cells of all studies packed into pieces of work of about equal length, for tuning and for confirmation.

A unit is the cells of one study that share a compute graph: they are tuned together, in stacks. A tuning job holds units; a confirming
job holds replicates of units and waits for the tuning jobs that choose their rates. Where a study is looked at before all of its replicates
are there (`folklore.looks`), an extending job holds the later ones, and waits for the confirming jobs of its studies, too. All of it
is known before anything is trained, but for whether a look leaves anything to extend.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise

from folklore import cost, levels
from folklore.config import compose
from folklore.errors import UsageError
from folklore.grid import Cell, Study, digest
from folklore.schema import Config
from folklore.studies import cells, check_only, look_identity, look_of, studies

CHUNK_RUNS = 4000
CONFIRMING = ("confirm", "extend")  # phases that train fresh replicates
# beside what is trained, the code that decides what is written: which rate is chosen, which rates are confirmed, and what a look says
DECIDES = {
    "tune": ("tuning.py", "stats/tuning.py", "stats/curves.py"),
    "confirm": ("choices.py",),
    "extend": (
        "choices.py",
        "frames.py",
        "looks.py",
        "claim_calls.py",
        *(f"stats/{name}.py" for name in ("sequential", "findings", "estimates", "verdicts", "curves")),
        *(f"claims/{helper.name}" for helper in sorted((levels.HERE / "claims").glob("_[!_]*.py"))),
    ),
}


@dataclass(frozen=True)
class Unit:
    """Cells of one graph, and which of their replicates (all of them while tuning)."""

    cells: tuple[Cell, ...]
    first: int = 0
    last: int = 0

    @property
    def study(self) -> str:
        return self.cells[0].study

    @property
    def replicates(self) -> range:
        return range(self.first, self.last)

    def seconds(self, phase: str) -> float:
        """Expected core-seconds."""
        runs = len(self.replicates) if phase in CONFIRMING else None
        return sum(
            cost.seconds(c.run) * (runs if runs is not None else c.rates.count * c.tuning_seeds * c.tuned)
            for c in self.cells
        )

    def runs(self, phase: str) -> int:
        if phase in CONFIRMING:
            return len(self.cells) * len(self.replicates)
        return sum(c.rates.count * c.tuning_seeds for c in self.cells if c.tuned)


@dataclass(frozen=True)
class Job:
    """A piece of work for one core. `needs`: names of the tuning jobs that choose this job's rates, or those of all arms that a look is at.
    `after`: of the confirming jobs whose runs a look is at; `looks`: identity of what the looks at the studies ask.
    """

    name: str
    phase: str
    units: tuple[Unit, ...]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    looks: str = ""

    @property
    def studies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(unit.study for unit in self.units))

    @cached_property
    def seconds(self) -> float:
        return sum(unit.seconds(self.phase) for unit in self.units)

    @cached_property
    def runs(self) -> int:
        return sum(unit.runs(self.phase) for unit in self.units)

    @cached_property
    def identity(self) -> str:
        """Changes when anything that the job trains or decides changes: cells, rates, seeds, code or data."""
        parts = [
            (cell.values(), cell.run.key, unit.first, unit.last) for unit in self.units for cell in unit.cells
        ]
        return digest([self.phase, decisions(self.phase), self.looks, *parts], 16)


@dataclass(frozen=True)
class Plan:
    config: Config
    studies: tuple[Study, ...]
    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]

    def phase(self, phase: str) -> list[Job]:
        return [job for job in self.jobs if job.phase == phase]

    def job(self, phase: str, name: str) -> Job:
        """UsageError when the plan has no such job."""
        for job in self.jobs:
            if (job.phase, job.name) == (phase, name):
                return job
        raise UsageError(
            f"{phase} {name}: no such job in profile {self.config.profile.name}; `snakemake -n` shows all of them"
        )

    def chunks(self) -> list[list[Job]]:
        """Jobs of fresh replicates in groups that are imported into the tracker together: few, for an import costs seconds to start."""
        jobs = [job for phase in CONFIRMING for job in self.phase(phase)]
        if not jobs:  # exact claims alone train nothing
            return []
        # two at least, or none would go beside the training
        count = min(len(jobs), max(2, math.ceil(self.runs / CHUNK_RUNS)))
        cuts = [round(len(jobs) * i / count) for i in range(count + 1)]
        return [jobs[a:b] for a, b in pairwise(cuts)]

    @property
    def runs(self) -> int:
        """Runs at most, grids not widened: a look may leave some out."""
        return sum(job.runs for job in self.jobs)

    @property
    def data(self) -> list[str]:
        return sorted({cell.run.data for cell in self.cells})


@cache
def decisions(phase: str) -> str:
    """Identity of the code that decides in a phase. Comments and docstrings do not count."""
    return digest([levels.file_hash(levels.HERE / place) for place in DECIDES[phase]], 16)


def make_plan(overrides: Sequence[str] = ()) -> Plan:
    """The plan of a profile, from overrides such as `profile=smoke`."""
    return plan_of(compose(overrides))


def plan_of(config: Config) -> Plan:
    """The plan of a configuration."""
    check_only(config.profile)
    found = studies(config.profile)
    looks = {study.name: look_of(study, config.profile) for study in found}
    all_cells = [replace(cell, look=looks[study.name]) for study in found for cell in cells(study, config)]
    asked = {study.name: look_identity(study) for study in found if looks[study.name]}
    return Plan(config, tuple(found), tuple(all_cells), packed(all_cells, config.profile.job_seconds, asked))


def packed(
    all_cells: Sequence[Cell], limit: float, looks: Mapping[str, str] | None = None
) -> tuple[Job, ...]:
    """Jobs of about `limit` expected seconds: those that tune, those that confirm, and those that extend what a look leaves open; each knows which
    it waits for. looks: identity of the look by study, for those that have one.
    """
    units = _units(all_cells)
    tuning = _pack([u for u in units if any(c.tuned for c in u.cells)], "tune", limit)
    tuned_in = {
        cell.key: job.name for job in tuning for unit in job.units for cell in unit.cells if cell.tuned
    }
    confirming = _pack([piece for unit in units for piece in _pieces(unit, limit)], "confirm", limit)
    later = [replace(unit, first=unit.last, last=unit.cells[0].replicates) for unit in units]
    extending = _pack(
        [piece for unit in later if unit.replicates for piece in _pieces(unit, limit)], "extend", limit
    )
    by_label = {(c.study, c.variant, c.label): c for c in all_cells}
    confirming = [replace(job, needs=_needs(job, tuned_in, by_label)) for job in confirming]
    extending = [_after_looks(job, tuning, confirming, looks or {}) for job in extending]
    return (*tuning, *confirming, *extending)


def _units(all_cells: Sequence[Cell]) -> list[Unit]:
    """With the replicates that no look comes before. Cells of a study's ground have equally many."""
    groups: dict[tuple, list[Cell]] = defaultdict(list)
    for cell in all_cells:
        groups[cell.study, cell.variant, cell.run.graph].append(cell)
    return [Unit(tuple(group), 0, group[0].before_look) for group in groups.values()]


def _pieces(unit: Unit, limit: float) -> list[Unit]:
    """The unit's replicates cut so that no piece is much longer than a job, yet fills a stack: narrower ones cost more."""
    whole, width = unit.seconds("confirm"), max(cost.stack_width(cell.run) for cell in unit.cells)
    many = len(unit.replicates)
    count = max(1, min(round(whole / limit), (many * len(unit.cells)) // width, many))
    cuts = [unit.first + round(many * i / count) for i in range(count + 1)]
    return [replace(unit, first=a, last=b) for a, b in pairwise(cuts)]


def _pack(units: Sequence[Unit], phase: str, limit: float) -> list[Job]:
    """As few jobs as the limit asks for, of about equal length, the longest first.

    Units of the same data lie side by side, so that few jobs read a data set, and wait for few others.
    """
    ordered = sorted(units, key=lambda unit: (unit.cells[0].run.data, unit.cells[0].run.view))
    lengths = [unit.seconds(phase) for unit in ordered]
    whole, before = sum(lengths), 0.0
    held: list[list[tuple[float, Unit]]] = [[] for _ in range(max(1, math.ceil(whole / limit)))]
    for unit, length in zip(ordered, lengths, strict=True):
        held[int((before + length / 2) / whole * len(held))].append((length, unit))
        before += length
    by_length = sorted(filter(None, held), key=lambda each: -sum(length for length, _ in each))
    return [Job(f"{i:03d}", phase, tuple(unit for _, unit in each)) for i, each in enumerate(by_length)]


def _after_looks(job: Job, tuning: Sequence[Job], confirming: Sequence[Job], looks: Mapping[str, str]) -> Job:
    """With what the looks at its studies are at."""

    def holding(jobs: Sequence[Job]) -> tuple[str, ...]:
        return tuple(sorted(each.name for each in jobs if set(each.studies) & set(job.studies)))

    asked = digest([looks[study] for study in job.studies], 16)
    return replace(job, needs=holding(tuning), after=holding(confirming), looks=asked)


def _needs(job: Job, tuned_in: dict[str, str], by_label: dict[tuple, Cell]) -> tuple[str, ...]:
    sources = set()
    for unit in job.units:
        for cell in unit.cells:
            source = by_label[cell.study, cell.variant, cell.leader] if cell.leader else cell
            if source.key in tuned_in:
                sources.add(tuned_in[source.key])
    return tuple(sorted(sources))
