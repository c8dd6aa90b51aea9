"""Train a stack: runs of one compute graph, side by side, each exactly as it would train alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from folklore.core import augmentations, lookup, masks, schedules
from folklore.core.batches import Batches
from folklore.core.blocks import Block
from folklore.core.draws import Draws
from folklore.core.evaluation import gradient_norms, scores
from folklore.core.making import updating
from folklore.core.networks import Layout, Pass, initial
from folklore.core.norms import WITHOUT_MOMENTS
from folklore.core.sources import Given, Source
from folklore.core.steps import HYPER, Rule, optimizer_state

# inputs and mask factors of a block: enough to share the cost of a call, few enough for the memory (on a GPU, for 1 GiB of it) where they are made
# ahead. On a processor, two at work, 2^21, 2^22, 2^23, 2^24, when all were: 97, 87, 81, 81 us an update with dropout at batch 32, 229, 216, 213, 245
# us with 784 inputs
BLOCK_NUMBERS = {"cpu": 1 << 23, "cuda": 1 << 28}
VALIDATION_POINTS = 10
VALIDATION_APART = 8  # updates, or a short run would take less time than its validations
VALIDATION_ROWS = 512
GRADIENT_ROWS = 256
RECALIBRATION_ROWS = 1024


class Spec(Protocol):
    """What the core reads of a run's specification; see `folklore.grid.Run`."""

    n_train: int
    model: str
    depth: int
    width: int
    init: str
    bias: float
    activation: str
    norm: str
    dropout: float
    mask: str
    batch_size: int
    order: str
    augmentation: str
    optimizer: str
    momentum: float
    weight_decay: float
    l1: float
    penalised: str
    clip: float
    lr: float
    schedule: str
    updates: int
    seed: int
    score_test: bool
    loss_points: int
    procedure: str
    probe: str


class Data(Protocol):
    """Arrays of a data set, inputs (N, F) float32 and labels (N,) int64; see `folklore.datasets`."""

    classes: int
    pool_x: np.ndarray
    pool_y: np.ndarray
    val_x: np.ndarray
    val_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def train(
    runs: Sequence[Spec],
    data: Data,
    *,
    device: str = "cpu",
    tick: Callable[[float], None] = lambda fraction: None,
) -> list[dict]:
    """Train the runs of one graph together; one dictionary of results a run, in the order given.

    Divergence is a result: `status`, the update at which the loss stopped being finite, and scores at chance.
    `tick` is told the finished fraction now and then.
    """
    return Stack(runs, data, torch.device(device)).train(tick)


class Stack:
    """Runs that train together, and what procedures and probes may use of them.

    runs (all of one graph; `one` is the first), data, layout, parameters, state (of the optimizer), hyper (columns (R, 1, 1)), fixed
    (factors by site, see `folklore.core.masks`, that hold in every update), measures (a name -> an array (R,)), done (updates made),
    losses (U, R).
    """

    def __init__(self, runs: Sequence[Spec], data: Data, device: torch.device) -> None:
        one, seeds = runs[0], [run.seed for run in runs]
        self.runs, self.one, self.data, self.device = runs, one, data, device
        inputs = data.pool_x.shape[1]
        self.layout = Layout(inputs, data.classes, one.depth, one.width, one.activation, one.norm, one.model)
        self.parameters = initial(self.layout, [run.init for run in runs], seeds, device)
        for bias in self.parameters.biases[:-1]:
            bias.add_(self.column("bias"))
        self.state = optimizer_state(one.optimizer, self.parameters.trained())
        self.hyper = {name: self.column(name) for name in HYPER}
        pool = torch.from_numpy(data.pool_x), torch.from_numpy(data.pool_y)
        self.batches = Batches(*pool, seeds, one.n_train, one.batch_size, one.order, device)
        self.draws = Draws(seeds, [run.dropout for run in runs], device)
        self.rule = Rule(
            one.optimizer,
            decays=any(run.weight_decay for run in runs),
            shrinks=any(run.l1 for run in runs),
            clips=any(run.clip for run in runs),
            penalised=one.penalised,
        )
        self.fixed: dict[tuple[str, int], Tensor] = {}
        self.measures: dict[str, np.ndarray] = {}
        self.done, self.losses = 0, np.full((one.updates, len(runs)), np.nan, dtype=np.float32)
        self.marks, self.checks = validation_marks(one.updates), []
        self.tick: Callable[[float], None] = lambda fraction: None

    @property
    def rule(self) -> Rule:
        """What an update does; a procedure may set another, such as one that freezes layers."""
        return self._rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        self._rule, self._updates = rule, updating(self.layout, rule, self.device)

    def train(self, tick: Callable[[float], None]) -> list[dict]:
        """All updates as the runs' procedure makes them, then the final scores."""
        torch.set_flush_denormal(True)  # dying weights would otherwise slow the arithmetic down a hundredfold
        try:
            return self._train(tick)
        finally:
            torch.set_flush_denormal(False)  # the caller's own arithmetic stays as it was

    def _train(self, tick: Callable[[float], None]) -> list[dict]:
        self.tick = tick
        norms = gradient_norms(self.layout, self.parameters, *self.training_rows(GRADIENT_ROWS))
        lookup.from_file("procedures", self.one.procedure, "train")(self)
        if self.done != self.one.updates:
            raise RuntimeError(
                f"procedure {self.one.procedure}: {self.done} of {self.one.updates} updates made"
            )
        self.measures |= lookup.from_file("probes", self.one.probe, "measure")(self)
        return self._results(norms)

    def advance(self, until: int) -> None:
        """Make the updates up to number `until`, with validation scores on the way; from a device losses are read only there and at the end."""
        losses: list[Tensor] = []
        while self.done < until:
            steps = self._block_length(until)
            losses += self._updates(self.parameters, self.state, self.hyper, self._block(self.done, steps))
            self.done += steps
            if self.done == until or self.done in self.marks:
                self.losses[self.done - len(losses) : self.done] = torch.stack(losses).cpu().numpy()
                losses = []
            if self.done in self.marks:
                self.checks.append(self.score("val", VALIDATION_ROWS)[0])
            self.tick(self.done / self.one.updates)

    def _block(self, first: int, steps: int) -> Block:
        """The updates first .. first + S - 1, counted from 0."""
        x, y = self.batches.block(first, steps)
        draws, augmented = self.draws.at(first, steps), lookup.function(augmentations, self.one.augmentation)
        if augmented is not augmentations.none:
            x = Given(augmented(x.tensor, draws))
        factors = self._factors(draws)
        schedule = getattr(schedules, self.one.schedule)
        rates = [schedule(first + i + 1, self.one.updates) for i in range(steps)]
        return Block(x, y, factors, self.fixed, rates, first + 1)

    def _factors(self, draws: Draws) -> dict[tuple[str, int], Source]:
        """What dropout multiplies at each site, (S, R, m, n)."""
        drawn = lookup.function(masks, self.one.mask)(draws, self.one.batch_size, self.layout.anatomy)
        return {site: factor for site, factor in drawn.items() if factor is not None}

    def _block_length(self, until: int) -> int:
        ahead = min(until, *(mark for mark in self.marks if mark > self.done)) - self.done
        fit = BLOCK_NUMBERS[self.device.type] // self._numbers
        return max(1, min(fit, ahead, self.batches.steps_left(self.done)))

    @cached_property
    def _numbers(self) -> int:
        """Numbers of one update's inputs and factors."""
        factors = self._factors(self.draws.at(0, 1)).values()
        inputs = self.one.batch_size * len(self.runs) * self.layout.inputs
        return inputs + sum(factor.shape.numel() for factor in factors)

    def _recalibrated_accuracy(self) -> np.ndarray | None:
        """Test accuracy (R,) with the moving averages replaced by the moments of RECALIBRATION_ROWS training rows at once.

        It separates what batch normalisation learnt from the noise of its moving averages, which is large at small batches.
        """
        norm, _ = lookup.split(self.one.norm)
        if norm in WITHOUT_MOMENTS or not any(run.score_test for run in self.runs):
            return None
        x, _ = self.training_rows(RECALIBRATION_ROWS)
        with torch.no_grad():
            net = Pass(self.layout, self.parameters, {}, training=True)
            net.logits(x)
        if not net.seen:
            return None
        kept, self.parameters.running = self.parameters.running, list(self.parameters.running)
        for i, (mean, variance), rows in net.seen:
            self.parameters.running[i] = (mean, variance * (rows / (rows - 1)))
        accuracy, _ = self.score("test")
        self.parameters.running = kept
        return accuracy

    def training_rows(self, rows: int) -> tuple[Tensor, Tensor]:
        """The first training rows of every run, (R, B, F) and (R, B)."""
        index = torch.from_numpy(np.ascontiguousarray(self.batches.rows[:, :rows])).to(self.device)
        return self.batches.x[index], self.batches.y[index]

    def score(self, split: str, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Accuracy and loss (R,) on the first rows (all by default) of "val" or "test"."""
        x, y = self.tensors(split)
        return scores(self.layout, self.parameters, x[:rows], y[:rows])

    def _results(self, norms: np.ndarray) -> list[dict]:
        losses, checks = self.losses, np.stack(self.checks)
        ends = curve_marks(self.one.updates, self.one.loss_points)
        starts = np.array([0, *ends[:-1]])
        curve = np.add.reduceat(losses.astype(np.float64), starts, axis=0) / np.diff([0, *ends])[:, None]
        val_accuracy, val_loss = self.score("val")
        test_accuracy, test_loss = (
            self.score("test") if any(r.score_test for r in self.runs) else (val_accuracy,) * 2
        )
        recalibrated = self._recalibrated_accuracy()
        bad = first_bad(losses, val_loss)
        chance = 1 / self.data.classes
        results = []
        for r, run in enumerate(self.runs):
            fine, test = bad[r] is None, run.score_test
            results.append(
                {
                    "status": "ok" if fine else "diverged",
                    "diverged_step": bad[r],
                    "train_loss": float(curve[-1, r]) if fine else float("nan"),
                    "val_accuracy": float(val_accuracy[r]) if fine else chance,
                    "val_loss": float(val_loss[r]) if fine else float("nan"),
                    "test_accuracy": None if not test else float(test_accuracy[r]) if fine else chance,
                    "test_loss": None if not test else float(test_loss[r]) if fine else float("nan"),
                    "recalibrated_accuracy": None
                    if not test or recalibrated is None
                    else float(recalibrated[r])
                    if fine
                    else chance,
                    "loss_step": ends,
                    "loss_curve": [float(v) for v in curve[:, r].astype(np.float32)],
                    "val_step": self.marks,
                    "val_curve": [float(v) for v in checks[:, r]],
                    "grad_norms": [float(v) for v in norms[r]],
                    "measures": {name: float(values[r]) for name, values in sorted(self.measures.items())},
                }
            )
        return results

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (N, F) and labels (N,) of "pool", "val" or "test"."""
        x, y = (getattr(self.data, f"{split}_{axis}") for axis in "xy")
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)

    def column(self, name: str) -> Tensor:
        """A number of each run's specification, (R, 1, 1)."""
        values = [getattr(run, name) for run in self.runs]
        return torch.tensor(values, dtype=torch.float32, device=self.device).view(-1, 1, 1)


def validation_marks(updates: int) -> list[int]:
    """The updates after which a run is validated."""
    return curve_marks(updates, max(1, min(VALIDATION_POINTS, updates // VALIDATION_APART)))


def curve_marks(updates: int, points: int) -> list[int]:
    """At most `points` update numbers, evenly spread, the last one `updates`."""
    return sorted({round(updates * (i + 1) / points) for i in range(points)} - {0})


def first_bad(losses: np.ndarray, final: np.ndarray) -> list[int | None]:
    """For each run the first update (from 1) with a non-finite loss in (U, R), the last update if only the final loss is, else None."""
    bad = ~np.isfinite(losses)
    steps = np.where(bad.any(axis=0), bad.argmax(axis=0) + 1, np.where(np.isfinite(final), 0, len(losses)))
    return [int(step) or None for step in steps]
