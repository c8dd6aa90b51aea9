"""From a study to its runs: cells, learning rates, seeds, and the keys that identify each trained network.

Standard library only: this module is imported while the Snakefile is parsed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, cached_property

from folklore import levels

SIX_FACTOR = "six-factor"  # the study of conf/study that is analysed as a grid
CONFIRM, TUNE, PILOT, PLACEBO = (
    0,
    10_000,
    20_000,
    30_000,
)  # first seed of each phase: no phase sees another's seeds


@dataclass(frozen=True)
class Run:
    """One trained network, fully specified: cell, learning rate, seed. The field names are the column names everywhere."""

    data: str = "mnist1d"
    n_train: int = 4096
    model: str = "mlp"
    depth: int = 3
    width: int = 100
    init: str = "he_normal"
    activation: str = "relu"
    norm: str = "none"
    dropout: float = 0.0
    batch_size: int = 32
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    lr: float = 0.0
    schedule: str = "constant"
    updates: int = 2000
    seed: int = 0
    score_test: bool = False
    loss_points: int = 100
    view: str = "plain"
    bias: float = 0.0
    mask: str = "units"
    order: str = "reshuffled"
    augmentation: str = "none"
    l1: float = 0.0
    penalised: str = "all"
    clip: float = 0.0
    procedure: str = "once"
    probe: str = "none"

    @property
    def code(self) -> str:
        """Identity of the code that this run's numbers depend on."""
        return levels.code_hash(**{f: getattr(self, f) for f in (*levels.MODULES, *levels.PACKAGES)})

    @cached_property
    def key(self) -> str:
        """Same key, same numbers: 24 hex digits of configuration, data, code and numerics."""
        identity = self._configuration() | {
            "code": self.code,
            "numerics": levels.numerics(),
            "dataset": data_identity(self.data),
        }
        if self.view != "plain":
            identity["view_code"] = levels.view_hash(self.view)
        return digest(identity, 24)

    def _configuration(self) -> dict[str, object]:
        """The fields, without those of LATER_FIELDS that have their default: a new field leaves the keys of older runs as they are."""
        return {n: v for n, v in self.values().items() if n not in LATER_FIELDS or v != _DEFAULTS[n]}

    def values(self) -> dict[str, object]:
        """Field -> value; `asdict`, which copies deeply, takes ten times as long, and a full plan asks for a hundred thousand."""
        return {name: getattr(self, name) for name in FIELDS}

    @property
    def graph(self) -> tuple:
        """What the compute graph depends on. Runs that agree in it can train in one stack."""
        return tuple(getattr(self, name) for name in GRAPH_FIELDS)


NUMBER_FIELDS = (
    "init",
    "dropout",
    "momentum",
    "weight_decay",
    "lr",
    "seed",
    "score_test",
    "bias",
    "l1",
    "clip",
)
FIELDS = tuple(f.name for f in fields(Run))
LATER_FIELDS = frozenset(FIELDS[FIELDS.index("view") :])
_DEFAULTS = {f.name: f.default for f in fields(Run)}
GRAPH_FIELDS = tuple(name for name in FIELDS if name not in NUMBER_FIELDS)


@dataclass(frozen=True)
class Rates:
    """The learning rates that every arm is tuned over: `count` of them, `octaves` apart in log2, around `center`.

    center None: the optimizer's own rate from its configuration, scaled with the batch (see `folklore.config`).
    widen: octave steps by which a grid may be moved on each side when the optimum sits at its edge.
    """

    count: int = 7
    octaves: float = 1.0
    widen: int = 3
    center: float | None = None

    def around(self, center: float) -> tuple[float, ...]:
        half = (self.count - 1) // 2
        return tuple(self.at(center, i - half) for i in range(self.count))

    def at(self, center: float, position: float) -> float:
        """The rate `position` steps above the centre, rounded so that a key does not hang on the last bit."""
        return float(f"{center * 2 ** (position * self.octaves):.6g}")


@dataclass(frozen=True)
class Variant:
    """The same arms on other ground: another data set, size or budget. `study` holds the fields of Study that differ."""

    label: str
    fixed: Mapping[str, object] = field(default_factory=dict)
    study: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A design: which factors vary (crossed, or listed as cells), what is fixed, the budget and the replicates.

    A cell may fix `lr` (then it is not tuned) or follow another arm's tuned rate by `lr_of` (an arm's label) and `lr_times`.
    Budget of a run: max(samples / batch_size, updates) updates, or `cell_updates` given in the cell as `updates`.
    tune_on: "val_accuracy", "steps" (to the training loss `target`), or the name of a measure that is better when it is higher
    (one whose name ends in `accuracy` counts as chance where the run diverged later).
    half_replicates: replicates, on the main ground, of what half as many rates would have chosen: a headline claim's robustness row.
    seconds: core-seconds that the study may cost in the laptop profile. printed_updates: what the source has for `updates`, made where the
    profile trains on all data, too; 0 where that is the same.
    """

    name: str
    factors: Mapping[str, tuple] = field(default_factory=dict)
    cells: tuple[Mapping[str, object], ...] = ()
    fixed: Mapping[str, object] = field(default_factory=dict)
    rates: Rates = Rates()
    tuning_seeds: int = 3
    replicates: int = 32
    half_replicates: int = 0
    samples: int = 0
    updates: int = 0
    tune_on: str = "val_accuracy"
    target: float | None = None
    variants: tuple[Variant, ...] = ()
    seconds: float = 0.0
    printed_updates: int = 0
    title: str = ""

    def versions(self) -> Iterator[tuple[str, Study]]:
        """The main study and its variants, each as (label, study)."""
        yield "main", self
        for variant in self.variants:
            fixed = {**self.fixed, **variant.fixed}
            changed = {"half_replicates": 0, **variant.study, "fixed": fixed, "variants": ()}
            yield variant.label, replace(self, **changed)

    def levels_of_cells(self) -> list[dict[str, object]]:
        """What each cell changes: the crossing of the factors, or the listed cells."""
        if self.cells:
            return [dict(cell) for cell in self.cells]
        return [
            dict(zip(self.factors, combo, strict=True)) for combo in itertools.product(*self.factors.values())
        ]


@dataclass(frozen=True)
class Cell:
    """An arm of a study: a run without learning rate and seed, and where its learning rate comes from.

    look: replicates after which the study is looked at, and may end; 0: it has no look.
    """

    study: str
    variant: str
    label: str
    run: Run
    rates: Rates
    center: float
    tuning_seeds: int
    replicates: int
    half_replicates: int
    tune_on: str
    target: float | None
    leader: str = ""
    times: float = 1.0
    look: int = 0

    @property
    def tuned(self) -> bool:
        return self.run.lr == 0 and not self.leader

    @cached_property
    def key(self) -> str:
        return digest(
            {"study": self.study, "variant": self.variant, "run": self.run.values(), "label": self.label}, 16
        )

    @property
    def before_look(self) -> int:
        """Replicates that are trained whatever the look says."""
        return min(self.look, self.replicates) if self.look else self.replicates

    def tuning_runs(self, lr: float, seeds: range) -> list[Run]:
        """Runs of the tuning phase at one rate; they never see the test split."""
        return [replace(self.run, lr=lr, seed=TUNE + i) for i in seeds]

    def confirming_runs(self, lr: float, replicates: range) -> list[Run]:
        """Fresh replicates at the chosen rate, the only runs that are scored on the test split."""
        return [replace(self.run, lr=lr, seed=CONFIRM + i, score_test=True) for i in replicates]

    def values(self) -> dict[str, object]:
        """Field -> value, those of the run and the rates as mappings, too."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return own | {"run": self.run.values(), "rates": asdict(self.rates)}


def arm_label(levels_of_cell: Mapping[str, object]) -> str:
    """`norm=batch batch_size=8`, or the cell's own `label`."""
    if "label" in levels_of_cell:
        return str(levels_of_cell["label"])
    return " ".join(f"{k}={v}" for k, v in levels_of_cell.items() if k not in ("lr_of", "lr_times"))


def digest(value: object, length: int) -> str:
    """Hex digest of the canonical JSON form (sorted keys)."""
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@cache
def data_identity(name: str) -> str:
    """Identity of a data set before it is fetched: its source file, which pins checksums, generator and splits."""
    from folklore import datasets

    return datasets.code_digest(name)
