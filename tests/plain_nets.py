"""What tests of the core share: a small task, runs on it, and the same training as a plain PyTorch loop of one network.

Levels are discovered. One that PyTorch has under the same name (torch.nn.LeakyReLU for leaky_relu, torch.optim.Adagrad for
adagrad) becomes that; one that it has under another name stands in a table below; any other level is applied as it
is, but plainly, to one run at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR

from folklore import levels
from folklore.core import (
    activations,
    augmentations,
    lookup,
    masks,
    norms,
    optimizers,
    schedules,
)
from folklore.core.batches import Batches
from folklore.core.draws import Draws
from folklore.core.networks import Layout, Parameters, initial
from folklore.core.steps import Rule, make_step, optimizer_state
from folklore.core.updates import numbers_of, update_by
from folklore.grid import Run

CPU = torch.device("cpu")
UPDATES, INPUTS, CLASSES = 40, 12, 4
AMOUNT = 3  # for levels that take a number


def named(factor: str, level: str) -> str:
    return f"{level}-{AMOUNT}" if levels.takes_amount(factor, level) else level


LEVELS = [(factor, named(factor, level)) for factor in levels.MODULES for level in levels.names(factor)]
Factors = dict[tuple[str, int], Tensor]
BASE = Run(
    n_train=96,
    depth=2,
    width=16,
    batch_size=16,
    lr=0.05,
    updates=UPDATES,
    loss_points=UPDATES,
    score_test=True,
)
# the numbers that runs of one stack may differ in
NUMBERS = (
    {"seed": 1},
    {"seed": 2, "lr": 0.02, "weight_decay": 0.02},
    {"seed": 3, "dropout": 0.25, "momentum": 0.5},
    {"seed": 4, "dropout": 0.5, "momentum": 0.0, "weight_decay": 0.1},
)


def blobs(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four overlapping clouds, (rows, INPUTS) float32, and which of them a row is of."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, rows)
    centres = np.random.default_rng(0).standard_normal((CLASSES, INPUTS))
    return (centres[y] + rng.standard_normal((rows, INPUTS))).astype(np.float32), y


def synthetic() -> SimpleNamespace:
    splits = {"pool": blobs(128, 1), "val": blobs(200, 2), "test": blobs(200, 3)}
    arrays = {
        f"{name}_{axis}": value
        for name, pair in splits.items()
        for axis, value in zip("xy", pair, strict=True)
    }
    return SimpleNamespace(classes=CLASSES, **arrays)


DATA = synthetic()


def stack_of(**changes: object) -> list[Run]:
    return [replace(BASE, **{**numbers, **changes}) for numbers in NUMBERS]


def layout_of(run: Run) -> Layout:
    return Layout(INPUTS, CLASSES, run.depth, run.width, run.activation, run.norm)


# --- the plain loop -------------------------------------------------------------------------------------------------


def torch_has(module: ModuleType, name: str) -> type | None:
    """The class of a PyTorch module that goes by a level's name, whatever its capitals."""
    found = {key.lower(): value for key, value in vars(module).items() if isinstance(value, type)}
    return found.get(name.replace("_", ""))


class Maxout(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return h.unflatten(-1, (2, -1)).amax(-2)


class Plainly(nn.Module):
    """A norm that PyTorch does not have: the level itself, on one run."""

    def __init__(self, level: Callable, width: int) -> None:
        super().__init__()
        self.level = level
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.moments = torch.zeros(1, 1, width), torch.ones(1, 1, width)

    def forward(self, h: Tensor) -> Tensor:
        moments = None if self.training else self.moments
        return self.level(h[None], self.weight[None, None], self.bias[None, None], moments)[0][0]


def plain_activation(name: str) -> Callable[[Tensor], Tensor]:
    known = {"maxout": Maxout}.get(name) or torch_has(nn, name)
    return known() if known else getattr(activations, name)


class Ghosts(nn.BatchNorm1d):
    """Batch normalisation of AMOUNT rows after AMOUNT rows, the last time of whatever is left, and the means of their statistics."""

    def forward(self, h: Tensor) -> Tensor:
        if not self.training:
            return super().forward(h)
        ends = [*range(AMOUNT, len(h) - AMOUNT + 1, AMOUNT), len(h)]
        parts = [h[a:b] for a, b in pairwise([0, *ends])]
        with torch.no_grad():
            self.running_mean.lerp_(torch.stack([part.mean(0) for part in parts]).mean(0), 0.1)
            self.running_var.lerp_(torch.stack([part.var(0) for part in parts]).mean(0), 0.1)
        each = [nn.functional.batch_norm(p, None, None, self.weight, self.bias, True) for p in parts]
        return torch.cat(each)


def plain_norm(name: str, width: int) -> nn.Module:
    known = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "ghost": Ghosts}.get(
        name.partition("-")[0]
    )
    return known(width) if known else Plainly(lookup.function(norms, name), width)


class Alone:
    """An optimizer that PyTorch does not have: the level itself, on one run."""

    def __init__(self, name: str, groups: Sequence[dict], lr: float, momentum: float) -> None:
        self.level, self.t, self.momentum, self.param_groups = getattr(optimizers, name), 0, momentum, groups
        for group in groups:
            group["lr"] = lr
            group["slots"] = optimizer_state(name, [as_stack(p) for p in group["params"]])

    @torch.no_grad()
    def step(self) -> None:
        self.t += 1
        for group in self.param_groups:
            for p, slots in zip(group["params"], group["slots"], strict=True):
                lr, momentum = p.new_full((1, 1, 1), group["lr"]), p.new_full((1, 1, 1), self.momentum)
                g = p.grad + group["weight_decay"] * p
                update_by(
                    self.level,
                    [as_stack(p), *slots],
                    numbers_of(self.level, lr, momentum, 0 * lr, self.t),
                    self.t,
                    as_stack(g),
                )


def as_stack(p: Tensor) -> Tensor:
    """A parameter of one network as a view (1, rows, columns)."""
    return torch.atleast_2d(p.detach())[None]


def plain_optimizer(run: Run, weights: list[Tensor], others: list[Tensor]) -> torch.optim.Optimizer | Alone:
    """L2 on the weight matrices only."""
    groups = [{"params": weights, "weight_decay": run.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if run.optimizer == "momentum":
        return torch.optim.SGD(groups, lr=run.lr, momentum=run.momentum)
    known = torch_has(torch.optim, run.optimizer)
    return known(groups, lr=run.lr) if known else Alone(run.optimizer, groups, run.lr, run.momentum)


def plain_schedule(run: Run, optimizer: torch.optim.Optimizer) -> LRScheduler:
    if run.schedule == "step":
        return MultiStepLR(optimizer, [run.updates // 2, run.updates * 3 // 4], gamma=0.1)
    if run.schedule == "exponential":
        return LambdaLR(optimizer, lambda done: 100 ** -((done + 1) / run.updates))
    if run.schedule == "inverse_time":
        return LambdaLR(optimizer, lambda done: run.updates / (run.updates + 9 * (done + 1)))
    return LambdaLR(optimizer, lambda done: getattr(schedules, run.schedule)(done + 1, run.updates))


class PlainNet(nn.Module):
    """One network of a stack, by torch.nn, with that network's weights."""

    def __init__(self, layout: Layout, parameters: Parameters, r: int) -> None:
        super().__init__()
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in layout.fans)
        self.norms = nn.ModuleList(plain_norm(layout.norm, b) for _, b in layout.fans[:-1])
        self.activation = plain_activation(layout.activation)
        for linear, weight in zip(self.linear, parameters.weights, strict=True):
            linear.weight.data.copy_(weight[r].T)
            linear.bias.data.zero_()

    def forward(self, x: Tensor, factors: Factors | None = None) -> Tensor:
        """`factors`: of this run, by site, see `folklore.core.masks`."""
        factors = factors or {}
        x = x * factors.get(("input", 0), 1.0)
        for i, norm in enumerate(self.norms):
            x = self.activation(norm(self._affine(i, x, factors))) * factors.get(("unit", i), 1.0)
        return self._affine(len(self.norms), x, factors)

    def _affine(self, i: int, x: Tensor, factors: Factors) -> Tensor:
        mask, linear = factors.get(("weight", i)), self.linear[i]
        return nn.functional.linear(x, linear.weight if mask is None else linear.weight * mask.T, linear.bias)

    def weights(self) -> list[Tensor]:
        return [linear.weight for linear in self.linear]

    def others(self) -> list[Tensor]:
        normed = [norm for norm in self.norms if hasattr(norm, "weight")]
        return [layer.bias for layer in self.linear] + [n.weight for n in normed] + [n.bias for n in normed]


def plain_training(run: Run, dtype: torch.dtype) -> tuple[list[float], PlainNet]:
    """The losses and the net of an ordinary training loop, with the batches and the masks of this run."""
    net = PlainNet(layout_of(run), initial(layout_of(run), [run.init], [run.seed], CPU), 0).to(dtype)
    optimizer = plain_optimizer(run, net.weights(), net.others())
    schedule = plain_schedule(run, optimizer) if isinstance(optimizer, torch.optim.Optimizer) else None
    losses = []
    for x, y, factors in batches_of([run]):
        loss = nn.functional.cross_entropy(net(x[0].to(dtype), of_run(factors, 0)), y[0])
        net.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule:
            schedule.step()
        losses.append(loss.item())
    return losses, net


def batches_of(runs: Sequence[Run]):
    """(x (R, B, F), y (R, B), factors by site) of every update."""
    one, seeds = runs[0], [run.seed for run in runs]
    pool = torch.from_numpy(DATA.pool_x), torch.from_numpy(DATA.pool_y)
    batches = Batches(*pool, seeds, one.n_train, one.batch_size, one.order)
    draws, anatomy = Draws(seeds, [run.dropout for run in runs], CPU), layout_of(one).anatomy
    augment, drop = lookup.function(augmentations, one.augmentation), lookup.function(masks, one.mask)
    for step in range(one.updates):
        (x, y), now = batches.block(step, 1), draws.at(step, 1)
        factors = drop(now, one.batch_size, anatomy)
        yield (
            augment(x.tensor, now)[0],
            y[0],
            {site: f.tensor[0] for site, f in factors.items() if f is not None},
        )


def of_run(factors: Factors, r: int) -> Factors:
    return {site: factor[r] for site, factor in factors.items()}


# --- the stack in double precision ----------------------------------------------------------------------------------


@dataclass
class Trained:
    losses: list[Tensor]
    parameters: Parameters


def in_double(parameters: Parameters) -> Parameters:
    running = [(mean.double(), variance.double()) for mean, variance in parameters.running]
    return replace(parameters.with_trained([w.double() for w in parameters.trained()]), running=running)


def stacked_in_double(runs: Sequence[Run]) -> Trained:
    """The core's own pieces with float64 numbers: what is left of a difference is then the formula's, not the rounding's."""
    one, layout = runs[0], layout_of(runs[0])
    parameters = in_double(initial(layout, [run.init for run in runs], [run.seed for run in runs], CPU))
    state = optimizer_state(one.optimizer, parameters.trained())
    hyper = {
        name: column([getattr(run, name) for run in runs]) for name in ("lr", "momentum", "weight_decay")
    }
    step = make_step(layout, Rule(one.optimizer, decays=True))
    losses = []
    for t, (x, y, factors) in enumerate(batches_of(runs), start=1):
        factor = getattr(schedules, one.schedule)(t, one.updates)
        now = hyper | {"lr": hyper["lr"] * factor}
        losses.append(step(parameters, state, now, x.double(), y, factors, float(t)))
    return Trained(losses, parameters)


def column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


def close(actual: object, expected: object, tolerance: float) -> None:
    """Within `tolerance`, of the number or, near zero, absolutely."""
    arrays = (a.detach().numpy() if isinstance(a, Tensor) else np.asarray(a) for a in (actual, expected))
    np.testing.assert_allclose(*arrays, rtol=tolerance, atol=tolerance)
