"""The contract of a claim file, and the discovery of all of them.

A claim is one file in this package, named after its id (`he_vs_glorot_relu.py` is he-vs-glorot-relu). Its docstring is what the
report prints: the first line is the title, the rest the rule in our own words, written for a student. It defines

    CLAIM = Claim(...)           who says so
    DESIGN = Study(...)          what is trained; the id of another claim to share that one's study; None for exact checks
    CRITERION = Criterion(...)   fixed before the runs; registered in conf/criteria.jsonl
    def judge(runs, criterion)   -> Finding (folklore.stats.findings); runs is the frame of the study, None for exact checks
    def plot(runs, finding)      -> (matplotlib Figure, alternative text)

At top level a claim imports only the standard library, this module, `folklore.grid` and helpers that claims share (files that begin with
an underscore, under the same rule), so that planning stays light.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import asdict, dataclass, field
from functools import cache
from types import ModuleType

from folklore.errors import UsageError
from folklore.grid import Study, digest

LECTURES = {
    0: "Tricks in Deep Learning (slides, in Russian and English)",
    1: "Applied Deep Learning, Practical Tips (NTU MiuLab, 2020)",
    2: "Heuristics for training networks (Soloviev & Shigapova, 2021)",
    3: "Deep Learning Clinic 7, Tricks and Tips (Sun, 2018)",
    4: "Backpropagation, optimizers, normalisation, regularisation (course slides)",
}
KINDS = ("S", "E", "E+S", "Q")
FAMILIES = (
    "initialisation",
    "activations",
    "normalisation",
    "regularisation",
    "batch-size",
    "optimisation",
    "architecture",
    "preprocessing",
    "procedure",
    "transfer",
)


@dataclass(frozen=True)
class Formula:
    """A formula that the report sets. form: "printed", "right" or "derived", as of checks; typst: in Typst's mathematical notation;
    words: the same as one would say it, for those who cannot see it."""

    form: str
    typst: str
    words: str


@dataclass(frozen=True)
class Claim:
    """Who says so. kind: "S" statistical, "E" exact, "E+S" both, "Q" an order that nearly every seed has to show.

    family: the ledger's table, within which p-values are corrected.

    paper: source; reported: what it reports, in our words; limits: what a verdict here does not say. headline: gets robustness rows.
    formulas: what an exact claim checks, as printed in the lecture and, where that is wrong, as it should be.
    """

    kind: str
    family: str
    lectures: tuple[int, ...]
    paper: str
    reported: str
    limits: str
    headline: bool = True
    formulas: tuple[Formula, ...] = ()


@dataclass(frozen=True)
class Criterion:
    """What decides, fixed before the runs.

    text: the rule of decision in one or two sentences; metric and unit: for print; delta: the smallest effect of interest in raw
    units; scale: raw effect times scale is printed in `unit`. equivalence: the claim predicts no difference. pilot_sd: the spread of
    the effect's replicates (raw units) that pilots, not used again, let expect when n was first fixed. settings: numbers
    that `judge` uses.
    """

    text: str
    metric: str
    unit: str
    delta: float
    scale: float = 1.0
    equivalence: bool = False
    pilot_sd: float | None = None
    settings: dict[str, float] = field(default_factory=dict)


_NOT_COUNTED = ("title", "seconds", "printed_updates")


@dataclass(frozen=True)
class LoadedClaim:
    """A claim file, read."""

    id: str
    title: str
    rule: tuple[str, ...]
    claim: Claim
    design: Study | str | None
    criterion: Criterion
    module: ModuleType

    @property
    def file(self) -> str:
        """Where it is written, for messages."""
        return _file(self.module.__name__.rsplit(".", 1)[-1])

    @property
    def study(self) -> str | None:
        """Name of the study that serves this claim."""
        return self.design.name if isinstance(self.design, Study) else self.design

    @property
    def criterion_hash(self) -> str:
        """Identity of design and criterion; prose, a study's title and its share of the budget decide nothing and do not count, nor does
        what the profile of all data makes of the design.
        """
        design = self.design
        if isinstance(design, Study):
            design = {k: v for k, v in asdict(design).items() if k not in _NOT_COUNTED}
        return digest({"design": design, "criterion": asdict(self.criterion)}, 16)


@cache
def discover() -> tuple[LoadedClaim, ...]:
    """All claims of this package, by id. UsageError for a file that does not keep the contract, and for two claims of one id."""
    from folklore.claims._contract import imported

    package = importlib.import_module("folklore.claims")
    stems = [
        m.name
        for m in pkgutil.iter_modules(package.__path__)
        if m.name != "base" and not m.name.startswith("_")
    ]
    for stem in stems:
        if stem != stem.replace("-", "_") and stem.replace("-", "_") in stems:
            raise UsageError(
                f"{_file(stem)}: id={stem}: allowed is an id that no other file has; rename one of the two"
            )
    return tuple(load(imported(stem)) for stem in sorted(stems))


def load(module: ModuleType) -> LoadedClaim:
    """Read one claim module. UsageError in one line where it does not keep the contract."""
    from folklore.claims._contract import check

    stem = module.__name__.rsplit(".", 1)[-1]
    check(module, _file(stem))
    title, *rest = inspect.cleandoc(module.__doc__ or "").split("\n\n")
    paragraphs = tuple(" ".join(part.split()) for part in rest)
    return LoadedClaim(
        stem.replace("_", "-"),
        title.strip().rstrip("."),
        paragraphs,
        module.CLAIM,
        module.DESIGN,
        module.CRITERION,
        module,
    )


def _file(stem: str) -> str:
    return f"src/folklore/claims/{stem}.py"
