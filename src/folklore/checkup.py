"""The six steps that the lectures teach, on a configuration of a user's own: what each found, and what ails the training.

The steps: the initial loss; a small sample; a rate at which the loss falls; a coarse grid; a finer one; the curves. The diagnoses have
the lectures' names. Everything is decided on training and validation rows; the test split is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from folklore.config import central_rate
from folklore.core.evaluation import gradient_norms
from folklore.core.losses import correct, cross_entropy
from folklore.core.networks import forward
from folklore.core.training import Stack
from folklore.datasets.base import Arrays
from folklore.grid import PILOT, Run

ROWS = 1024  # training rows that a net is scored on
SAMPLE, SAMPLE_UPDATES = 20, 500
LADDER = tuple(4.0**k for k in range(-4, 4))  # rates that are looked at, around the optimizer's own
DECAYS = (0.0, 1e-4, 1e-3)
SHORT, LONG = 500, 4000  # most updates of a short run and of a refining one
GAP, FITTED, FAR, WORSE = 0.10, 0.90, 3.0, 1.15


@dataclass(frozen=True)
class Step:
    """One of the six. fine: whether it went as it should; said: its outcome in one line."""

    name: str
    fine: bool
    said: str


@dataclass(frozen=True)
class Diagnosis:
    """name: in the lectures' words; because: what shows it; advice: what to try next."""

    name: str
    because: str
    advice: str


@dataclass(frozen=True)
class Outcome:
    """A trained network. moved: norm of the change of each weight matrix over the norm of its start."""

    run: Run
    result: dict
    initial_loss: float
    gradients: tuple[float, ...]
    train_accuracy: float
    moved: tuple[float, ...]

    @property
    def loss(self) -> float:
        """Of the last updates; infinite when it diverged."""
        return self.result["train_loss"] if self.result["status"] == "ok" else math.inf

    @property
    def val_accuracy(self) -> float:
        return self.result["val_accuracy"]


@dataclass
class Checkup:
    """own, refined: the last step's networks, at the rate of the configuration and at the one that was found."""

    run: Run
    classes: int
    steps: list[Step] = field(default_factory=list)
    own: list[Outcome] = field(default_factory=list)
    refined: list[Outcome] = field(default_factory=list)

    @cached_property
    def diagnoses(self) -> list[Diagnosis]:
        return diagnose(self)


def examine(run: Run, data: Arrays, said: Callable[[Step], None] = lambda step: None) -> Checkup:
    """All six steps; `said` hears of each as it ends."""
    run = replace(run, seed=PILOT, score_test=False)
    found = Checkup(run, data.classes)

    def say(step: Step) -> None:
        found.steps.append(step)
        said(step)

    rates = sorted({run.lr, *(central_rate(run.optimizer, run.batch_size, run.norm) * f for f in LADDER)})
    say(_initial(run, data))
    say(_small_sample(run, rates, data))
    rate, step = _falling(run, rates, data)
    say(step)
    rate, decay, step = _coarse(run, rate, data)
    say(step)
    rate, step = _finer(run, rate, decay, data)
    say(step)
    seeds = range(PILOT, PILOT + 3)
    found.own = outcomes([replace(run, seed=s) for s in seeds], data)
    found.refined = outcomes([replace(run, seed=s, lr=rate, weight_decay=decay) for s in seeds], data)
    say(_curves(found))
    return found


def outcomes(runs: Sequence[Run], data: Arrays) -> list[Outcome]:
    """Train runs of one graph."""
    stack = Stack(runs, data, torch.device("cpu"))
    start = [w.clone() for w in stack.parameters.weights]
    x, y = stack.training_rows(min(ROWS, runs[0].n_train))
    with torch.no_grad():
        before = cross_entropy(forward(stack.layout, stack.parameters, x, training=True), y)
    for weight in stack.parameters.weights:
        weight.requires_grad_()
    gradients = gradient_norms(stack.layout, stack.parameters, x, y)
    results = stack.train(lambda fraction: None)
    with torch.no_grad():
        right = correct(forward(stack.layout, stack.parameters, x), y) / x.shape[1]
        moved = [
            ((w - s).flatten(1).norm(dim=1) / s.flatten(1).norm(dim=1).clamp(min=1e-30)).tolist()
            for w, s in zip(stack.parameters.weights, start, strict=True)
        ]
    return [
        Outcome(
            run,
            result,
            float(before[r]),
            tuple(gradients[r].tolist()),
            float(right[r]),
            tuple(m[r] for m in moved),
        )
        for r, (run, result) in enumerate(zip(runs, results, strict=True))
    ]


# The steps.


def _initial(run: Run, data: Arrays) -> Step:
    """Before any update, a net that knows nothing should lose log C, and every layer should get a gradient."""
    (first,) = outcomes([replace(run, updates=1, lr=0.0 if run.lr > 0 else run.lr)], data)
    expected, silent = math.log(data.classes), _silent(first)
    fine = abs(first.initial_loss - expected) < expected / 2 and not silent
    said = f"{first.initial_loss:.2f}; log {data.classes} = {expected:.2f}"
    if not fine and not silent:
        said += "; the output's weights start too large" if first.initial_loss > expected else ""
    if silent:
        said += f"; no gradient reaches {_layers(silent)}"
    return Step("initial loss", fine, said)


def _small_sample(run: Run, rates: Sequence[float], data: Arrays) -> Step:
    """Without regularisation, a healthy net learns twenty rows by heart."""
    small = replace(
        run,
        n_train=SAMPLE,
        batch_size=min(run.batch_size, SAMPLE),
        updates=SAMPLE_UPDATES,
        dropout=0.0,
        weight_decay=0.0,
        l1=0.0,
    )
    tried = outcomes([replace(small, lr=rate) for rate in rates], data)
    fitted = [o.run.lr for o in tried if o.train_accuracy == 1.0 and o.result["status"] == "ok"]
    best = max(o.train_accuracy for o in tried)
    if run.lr in fitted:
        return Step("small sample", True, f"{SAMPLE} rows to 100 % in {SAMPLE_UPDATES} updates")
    if fitted:
        return Step(
            "small sample",
            False,
            f"{SAMPLE} rows to 100 % at rate {in_digits(_near(fitted, run.lr))}, not at yours",
        )
    return Step(
        "small sample", False, f"{SAMPLE} rows to {best:.0%} at best, in {SAMPLE_UPDATES} updates at any rate"
    )


def _falling(run: Run, rates: Sequence[float], data: Arrays) -> tuple[float, Step]:
    """A rate at which the loss falls within about an epoch."""
    updates = min(SHORT, max(100, run.n_train // run.batch_size), run.updates)
    tried = outcomes([replace(run, lr=rate, updates=updates, loss_points=10) for rate in rates], data)
    falling = [o for o in tried if o.loss < 0.95 * o.initial_loss]
    if not falling:
        return run.lr, Step("a rate", False, f"the loss falls at none of {len(rates)} rates")
    best = min(falling, key=lambda o: o.loss).run.lr
    span = f"{in_digits(falling[0].run.lr)} to {in_digits(falling[-1].run.lr)}"
    said = f"the loss falls at rates from {span}, fastest at {in_digits(best)}; yours is {in_digits(run.lr)}"
    return best, Step("a rate", any(o.run.lr == run.lr for o in falling), said)


def _coarse(run: Run, rate: float, data: Arrays) -> tuple[float, float, Step]:
    """Rates and weight decays, a few epochs each."""
    updates = min(run.updates, max(100, 5 * run.n_train // run.batch_size), 3 * SHORT)
    grid = [
        replace(run, lr=rate * f, weight_decay=decay, updates=updates)
        for f in (0.25, 1.0, 4.0)
        for decay in DECAYS
    ]
    best = max(outcomes(grid, data), key=lambda o: o.val_accuracy)
    way = f"rate {in_digits(best.run.lr)}, weight decay {best.run.weight_decay:g}"
    said = f"best of {len(grid)}: {way}: {best.val_accuracy:.1%} in {updates:,} updates"
    fine = _no_guess(best.val_accuracy, data.classes)
    return best.run.lr, best.run.weight_decay, Step("coarse grid", fine, said)


def _finer(run: Run, rate: float, decay: float, data: Arrays) -> tuple[float, Step]:
    """Half octaves around the best, longer, two seeds."""
    updates, rates = min(run.updates, LONG), [rate * 2 ** (k / 2) for k in (-2, -1, 0, 1, 2)]
    tried = outcomes(
        [
            replace(run, lr=r, weight_decay=decay, updates=updates, seed=PILOT + s)
            for r in rates
            for s in (0, 1)
        ],
        data,
    )
    means = [np.mean([o.val_accuracy for o in tried if o.run.lr == r]) for r in rates]
    best, fine = rates[int(np.argmax(means))], _no_guess(max(means), data.classes)
    said = f"rate {in_digits(best)}: {max(means):.1%} on validation rows in {updates:,} updates"
    return best, Step("finer grid", fine, said)


def _curves(found: Checkup) -> Step:
    """What the configuration does over its whole budget."""
    own = found.own
    lost = sum(o.result["status"] != "ok" for o in own)
    if lost:
        return Step("curves", False, f"{lost} of {len(own)} networks diverge at your rate")
    train, val = _mean(own, "train_accuracy"), _mean(own, "val_accuracy")
    sound = [d.name for d in found.diagnoses] == ["healthy"]
    return Step("curves", sound, f"training accuracy {train:.1%}, validation {val:.1%}")


# The diagnoses.


def diagnose(found: Checkup) -> list[Diagnosis]:
    """What the last step shows, gravest first; "healthy" when nothing does."""
    tests = (_dead, _unmoved, _unpaired, _diverges, _plateau, _slow, _overfits, _underfits)
    shown = [d for test in tests if (d := test(found)) is not None]
    if shown and shown[0].name in ("dead units", "labels that do not belong to their rows"):
        return shown[:1]  # what else there is follows from it
    return shown or [
        Diagnosis("healthy", "the loss falls, validation follows", "compare ideas at equal tuning budgets")
    ]


def _dead(found: Checkup) -> Diagnosis | None:
    silent = _silent(found.own[0])
    if not silent:
        return None
    return Diagnosis(
        "dead units",
        f"no gradient reaches {_layers(silent)}: units are silent for every row",
        "start from zero biases and He's weights; where units die later, a lower rate or a leaky ReLU",
    )


def _unmoved(found: Checkup) -> Diagnosis | None:
    still = [i for i, m in enumerate(found.own[0].moved, start=1) if m == 0]
    if not still or len(still) == len(found.own[0].moved) or _silent(found.own[0]):
        return None
    return Diagnosis(
        "a layer that does not move",
        f"the weights of {_layers(still)} are those of the start, though a gradient reaches them",
        "is it frozen, or left out of the optimizer? watch the ratio of update to weight, layer by layer",
    )


def _unpaired(found: Checkup) -> Diagnosis | None:
    """Validation at chance at the best rate that there is, though training rows are learnt."""
    best = max(_mean(found.own, "val_accuracy"), _mean(found.refined, "val_accuracy"))
    learnt = max(_mean(found.own, "train_accuracy"), _mean(found.refined, "train_accuracy"))
    if _no_guess(best, found.classes) or not _no_guess(learnt, found.classes):
        return None
    return Diagnosis(
        "labels that do not belong to their rows",
        f"training rows are learnt ({learnt:.1%}), yet validation stays at {best:.1%}, which is chance",
        "look at some rows with their labels; was one shuffled without the other?",
    )


def _diverges(found: Checkup) -> Diagnosis | None:
    worst = max(o.loss for o in found.own)
    start = max(o.initial_loss for o in found.own)
    if worst <= 1.05 * max(start, math.log(found.classes)):
        return None
    how = (
        "stops being finite" if math.isinf(worst) else f"ends at {worst:.2f}, above its start of {start:.2f}"
    )
    return Diagnosis(
        "divergence", f"the loss {how}", f"a lower rate: {in_digits(_rate(found))} was found here"
    )


def _plateau(found: Checkup) -> Diagnosis | None:
    if _diverges(found) or not (found.run.lr > FAR * _rate(found) and _loses(found)):
        return None
    return Diagnosis(
        "plateau, the rate is too high", _compared(found), f"a rate near {in_digits(_rate(found))}"
    )


def _slow(found: Checkup) -> Diagnosis | None:
    if not (found.run.lr < _rate(found) / FAR and _loses(found)):
        return None
    return Diagnosis("too low a rate", _compared(found), f"a rate near {in_digits(_rate(found))}")


def _overfits(found: Checkup) -> Diagnosis | None:
    train, val = _mean(found.own, "train_accuracy"), _mean(found.own, "val_accuracy")
    if train - val < GAP or _diverges(found):
        return None
    return Diagnosis(
        "overfitting",
        f"training accuracy {train:.1%}, validation {val:.1%}",
        "more rows or augmentation, dropout, weight decay, an earlier stop",
    )


def _underfits(found: Checkup) -> Diagnosis | None:
    train, val = _mean(found.refined, "train_accuracy"), _mean(found.refined, "val_accuracy")
    if train >= FITTED or train - val >= GAP / 2:
        return None
    return Diagnosis(
        "underfitting",
        f"even at the rate found here training accuracy ends at {train:.1%}, validation at {val:.1%}",
        "a wider or deeper net, a longer training, less regularisation",
    )


def _no_guess(accuracy: float, classes: int) -> bool:
    """Whether an accuracy on some 2,000 rows is clearly above chance."""
    chance = 1 / classes
    return accuracy > chance + 3 * math.sqrt(chance * (1 - chance) / 2000) + 0.01


def in_digits(rate: float) -> str:
    """Two digits that count: 200, not 2e+02."""
    return f"{float(f'{rate:.2g}'):g}"


def _silent(outcome: Outcome) -> list[int]:
    """Layers, from 1, that get no gradient at the start."""
    return [i for i, g in enumerate(outcome.gradients, start=1) if g == 0]


def _loses(found: Checkup) -> bool:
    """Whether the configuration's training loss is clearly above the one that a better rate reaches."""
    own, best = (np.mean([o.loss for o in side]) for side in (found.own, found.refined))
    return bool(own > WORSE * best + 0.02)


def _compared(found: Checkup) -> str:
    own, best = (np.mean([o.loss for o in side]) for side in (found.own, found.refined))
    return (
        f"training loss {own:.2f} at rate {in_digits(found.run.lr)}, {best:.2f} at {in_digits(_rate(found))}"
    )


def _rate(found: Checkup) -> float:
    return found.refined[0].run.lr


def _mean(side: Sequence[Outcome], name: str) -> float:
    return float(np.mean([getattr(o, name) for o in side]))


def _near(rates: Sequence[float], rate: float) -> float:
    return min(rates, key=lambda r: abs(math.log(r / rate)))


def _layers(numbers: Sequence[int]) -> str:
    return f"layer{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
