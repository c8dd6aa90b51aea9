"""Train a stack: runs of one compute graph, side by side, each exactly as it would train alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from folklore.core import schedules
from folklore.core.batches import Batches, Masks
from folklore.core.evaluation import gradient_norms, scores
from folklore.core.models import Layout, forward, initial
from folklore.core.steps import make_step, optimizer_state

# inputs and mask factors drawn ahead: enough to share the cost of a call, few enough for the memory
BLOCK_NUMBERS = 1 << 21
VALIDATION_POINTS = 10
VALIDATION_ROWS = 512
GRADIENT_ROWS = 256
RECALIBRATION_ROWS = 1024


class Spec(Protocol):
    """What the core reads of a run's specification; see `folklore.grid.Run`."""

    n_train: int
    depth: int
    width: int
    init: str
    activation: str
    norm: str
    dropout: float
    batch_size: int
    optimizer: str
    momentum: float
    weight_decay: float
    lr: float
    schedule: str
    updates: int
    seed: int
    score_test: bool
    loss_points: int


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
    torch.set_flush_denormal(True)  # dying weights would otherwise slow the arithmetic down a hundredfold
    try:
        return Stack(runs, data, torch.device(device)).train(tick)
    finally:
        torch.set_flush_denormal(False)  # the caller's own arithmetic stays as it was


class Stack:
    """The tensors of runs that train together."""

    def __init__(self, runs: Sequence[Spec], data: Data, device: torch.device) -> None:
        one, seeds = runs[0], [run.seed for run in runs]
        self.runs, self.one, self.data, self.device = runs, one, data, device
        self.layout = Layout(
            data.pool_x.shape[1], data.classes, one.depth, one.width, one.activation, one.norm
        )
        self.parameters = initial(self.layout, [run.init for run in runs], seeds, device)
        self.state = optimizer_state(one.optimizer, self.parameters.trained())
        self.hyper = {name: self._column(name) for name in ("lr", "momentum", "weight_decay")}
        self.batches = Batches(*self._tensors("pool"), seeds, one.n_train, one.batch_size)
        self.masks = Masks(
            seeds, [run.dropout for run in runs], (one.depth, one.batch_size, one.width), device
        )
        self.step = make_step(self.layout, one.optimizer, any(run.weight_decay for run in runs))

    def train(self, tick: Callable[[float], None]) -> list[dict]:
        """All updates, then the final scores."""
        updates, norms = self.one.updates, self._gradient_norms()
        marks, checks = curve_marks(updates, VALIDATION_POINTS), []
        losses = np.full((updates, len(self.runs)), np.nan, dtype=np.float32)
        done = 0
        while done < updates:
            steps = self._block_length(done, marks)
            losses[done : done + steps] = self._block(done, steps)
            done += steps
            if done in marks:
                checks.append(self._score("val", VALIDATION_ROWS)[0])
            tick(done / updates)
        return self._results(losses, marks, np.stack(checks), norms)

    def _block(self, first: int, steps: int) -> np.ndarray:
        """Losses (S, R) of the updates first .. first + S - 1; nothing is read back from the device in between."""
        x, y = self.batches.block(first, steps)
        keep, losses, base = self.masks.block(first, steps), [], self.hyper["lr"]
        factor = getattr(schedules, self.one.schedule)
        for i in range(steps):
            t = first + i + 1
            hyper = self.hyper | {"lr": base * factor(t, self.one.updates)}
            drops = [] if keep is None else list(keep[i])
            losses.append(self.step(self.parameters, self.state, hyper, x[i], y[i], drops, float(t)))
        return torch.stack(losses).cpu().numpy()

    def _block_length(self, done: int, marks: Sequence[int]) -> int:
        per_step = (
            self.one.batch_size
            * len(self.runs)
            * (self.layout.inputs + (self.layout.depth * self.layout.width if self.masks.active else 0))
        )
        ahead = min(mark for mark in marks if mark > done) - done
        return max(1, min(BLOCK_NUMBERS // per_step, ahead, self.batches.steps_left(done)))

    def _gradient_norms(self) -> np.ndarray:
        for weight in self.parameters.weights:
            weight.requires_grad_()
        return gradient_norms(self.layout, self.parameters, *self._training_rows(GRADIENT_ROWS))

    def _recalibrated_accuracy(self) -> np.ndarray | None:
        """Test accuracy (R,) with the moving averages replaced by the moments of RECALIBRATION_ROWS training rows at once.

        It separates what batch normalisation learnt from the noise of its moving averages, which is large at small batches.
        """
        if not self.parameters.running or not any(run.score_test for run in self.runs):
            return None
        x, _ = self._training_rows(RECALIBRATION_ROWS)
        with torch.no_grad():
            _, seen = forward(self.layout, self.parameters, x, [], training=True)
        if not seen:
            return None
        kept, rows = self.parameters.running, x.shape[1]
        self.parameters.running = [(mean, variance * (rows / (rows - 1))) for mean, variance in seen]
        accuracy, _ = self._score("test")
        self.parameters.running = kept
        return accuracy

    def _training_rows(self, rows: int) -> tuple[Tensor, Tensor]:
        """The first training rows of every run, (R, B, F) and (R, B)."""
        index = torch.from_numpy(np.ascontiguousarray(self.batches.rows[:, :rows])).to(self.device)
        return self.batches.x[index], self.batches.y[index]

    def _score(self, split: str, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        x, y = self._tensors(split)
        return scores(self.layout, self.parameters, x[:rows], y[:rows])

    def _results(
        self, losses: np.ndarray, marks: list[int], checks: np.ndarray, norms: np.ndarray
    ) -> list[dict]:
        ends = curve_marks(self.one.updates, self.one.loss_points)
        starts = np.array([0, *ends[:-1]])
        curve = np.add.reduceat(losses.astype(np.float64), starts, axis=0) / np.diff([0, *ends])[:, None]
        val_accuracy, val_loss = self._score("val")
        test_accuracy, test_loss = (
            self._score("test") if any(r.score_test for r in self.runs) else (val_accuracy,) * 2
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
                    "val_step": marks,
                    "val_curve": [float(v) for v in checks[:, r]],
                    "grad_norms": [float(v) for v in norms[r]],
                }
            )
        return results

    def _tensors(self, split: str) -> tuple[Tensor, Tensor]:
        x, y = (getattr(self.data, f"{split}_{axis}") for axis in "xy")
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)

    def _column(self, name: str) -> Tensor:
        values = [getattr(run, name) for run in self.runs]
        return torch.tensor(values, dtype=torch.float32, device=self.device).view(-1, 1, 1)


def curve_marks(updates: int, points: int) -> list[int]:
    """At most `points` update numbers, evenly spread, the last one `updates`."""
    return sorted({round(updates * (i + 1) / points) for i in range(points)} - {0})


def first_bad(losses: np.ndarray, final: np.ndarray) -> list[int | None]:
    """For each run the first update (from 1) with a non-finite loss in (U, R), the last update if only the final loss is, else None."""
    bad = ~np.isfinite(losses)
    steps = np.where(bad.any(axis=0), bad.argmax(axis=0) + 1, np.where(np.isfinite(final), 0, len(losses)))
    return [int(step) or None for step in steps]
