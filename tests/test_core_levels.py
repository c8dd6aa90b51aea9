"""Every level of the stacked core against plain PyTorch, and every draw against its stated distribution.

Levels are discovered. One that PyTorch has under the same name (torch.nn.LeakyReLU for leaky_relu, torch.optim.Adagrad for
adagrad) is compared with that; one that it has under another name stands in a table below; any other level is applied as it
is, but plainly, to one run at a time. So a new level is tested without a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR

from folklore import levels
from folklore.core import (
    activations,
    augmentations,
    initializers,
    lookup,
    masks,
    norms,
    optimizers,
    schedules,
)
from folklore.core.batches import Batches
from folklore.core.draws import Draws
from folklore.core.evaluation import gradient_norms
from folklore.core.networks import Anatomy, Layout, Parameters, Pass, initial
from folklore.core.randomness import generator
from folklore.core.steps import Rule, make_step, optimizer_state
from folklore.core.training import train
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
                self.level(as_stack(p), as_stack(g), lr, momentum, self.t, **slots)


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
        yield augment(x, now)[0], y[0], {site: f[0] for site, f in factors.items() if f is not None}


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


# --- levels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "level"), LEVELS)
def test_training_equals_the_plain_loop(factor: str, level: str) -> None:
    """As users run it: every loss of 40 updates, and the scores after them.

    Both sides round to float32 (6e-8) in another order; 40 updates amplify that, the adaptive optimizers most, as they divide
    small gradients by small gradients. A wrong constant anywhere moves the losses by more than 1e-3.
    """
    runs = stack_of(**{factor: level})
    for run, result in zip(runs, train(runs, DATA), strict=True):
        losses, net = plain_training(run, torch.float32)
        # three rows that lie close together are divided by little
        close(result["loss_curve"], losses, 6e-4 if level == f"ghost-{AMOUNT}" else 1e-4)
        logits = net.eval()(torch.from_numpy(DATA.test_x))
        y = torch.from_numpy(DATA.test_y)
        close(result["test_loss"], nn.functional.cross_entropy(logits, y).item(), 2e-4)
        close(result["test_accuracy"], (logits.argmax(1) == y).float().mean().item(), 1.01 / len(y))


@pytest.mark.parametrize(("factor", "level"), LEVELS)
def test_in_double_precision_the_step_equals_the_plain_one(factor: str, level: str) -> None:
    """Losses and every trained number after 40 updates, within 1e-9: float64 rounding (1e-16), amplified."""
    runs = stack_of(**{factor: level})
    stack = stacked_in_double(runs)
    for r, run in enumerate(runs):
        losses, net = plain_training(run, torch.float64)
        close([loss[r].item() for loss in stack.losses], losses, 1e-9)
        for ours, plain in zip(stack.parameters.trained(), net.weights() + net.others(), strict=True):
            close(ours[r].T.reshape(plain.shape), plain, 1e-9)


@pytest.mark.parametrize("optimizer", levels.names("optimizer"))
def test_every_optimizer_also_with_batch_norm(optimizer: str) -> None:
    """Gains and shifts are trained, too, and are not decayed."""
    runs = stack_of(optimizer=optimizer, norm="batch")
    stack = stacked_in_double(runs)
    for r, run in enumerate(runs):
        losses, _ = plain_training(run, torch.float64)
        close([loss[r].item() for loss in stack.losses], losses, 1e-7)


@pytest.mark.parametrize("norm", [named("norm", level) for level in levels.names("norm")])
@pytest.mark.parametrize("activation", levels.names("activation"))
def test_gradients_equal_autograd_of_the_plain_net(activation: str, norm: str) -> None:
    """An update of plain gradient descent at rate 1 is the gradient; float64, so to 1e-12."""
    runs = [
        replace(run, lr=1.0, weight_decay=0.0, updates=1)
        for run in stack_of(activation=activation, norm=norm)
    ]
    before = in_double(
        initial(layout_of(runs[0]), [run.init for run in runs], [run.seed for run in runs], CPU)
    )
    after = stacked_in_double(runs).parameters
    x, y, factors = next(batches_of(runs))
    for r in range(len(runs)):
        net = PlainNet(layout_of(runs[0]), before, r).double()
        nn.functional.cross_entropy(net(x[r].double(), of_run(factors, r)), y[r]).backward()
        plain = [parameter.grad for parameter in net.weights() + net.others()]
        for old, new, gradient in zip(before.trained(), after.trained(), plain, strict=True):
            close((old - new)[r].T.reshape(gradient.shape), gradient, 1e-12)


@pytest.mark.parametrize("norm", [named("norm", level) for level in levels.names("norm")])
def test_gradient_norms(norm: str) -> None:
    runs = [replace(run, dropout=0.0) for run in stack_of(norm=norm)]
    layout = layout_of(runs[0])
    parameters = in_double(initial(layout, [run.init for run in runs], [run.seed for run in runs], CPU))
    x, y, _ = next(batches_of(runs))
    for weight in parameters.weights:
        weight.requires_grad_()
    found = gradient_norms(layout, parameters, x.double(), y)
    for r in range(len(runs)):
        net = PlainNet(layout, parameters, r).double()
        nn.functional.cross_entropy(net(x[r].double()), y[r]).backward()
        close(found[r], [weight.grad.norm().item() for weight in net.weights()], 1e-12)


def test_running_moments_equal_those_of_torch() -> None:
    runs = stack_of(norm="batch")
    running = stacked_in_double(runs).parameters.running
    for r, run in enumerate(runs):
        _, net = plain_training(run, torch.float64)
        for (mean, variance), norm in zip(running, net.norms, strict=True):
            close(mean[r, 0], norm.running_mean, 1e-10)
            close(variance[r, 0], norm.running_var, 1e-10)


def test_evaluation_uses_the_running_moments() -> None:
    """The level in evaluation mode is torch.nn.functional.batch_norm with given moments."""
    draw = torch.Generator().manual_seed(0)
    h, gain, shift = (torch.randn(2, rows, 5, generator=draw) for rows in (7, 1, 1))
    moments = torch.randn(2, 1, 5, generator=draw), torch.rand(2, 1, 5, generator=draw)
    ours, _ = norms.batch(h, gain, shift, moments)
    for r in range(2):
        mean, variance, weight, bias = (t[r, 0] for t in (*moments, gain, shift))
        close(ours[r], nn.functional.batch_norm(h[r], mean, variance, weight, bias), 1e-5)


def test_weight_decay_pulls_weight_matrices_only() -> None:
    """Of two runs that differ in nothing else, one update moves the weights apart by lr x decay x weight, the rest not at all."""
    plain = replace(BASE, norm="batch", updates=1, lr=0.5)
    runs = [plain, replace(plain, weight_decay=0.1)]
    start = in_double(initial(layout_of(plain), [plain.init] * 2, [plain.seed] * 2, CPU))
    end = stacked_in_double(runs).parameters
    for before, after in zip(start.weights, end.weights, strict=True):
        close(after[0] - after[1], 0.5 * 0.1 * before[0], 1e-12)
    for tensor in (*end.biases, *end.gains, *end.shifts):
        assert torch.equal(tensor[0], tensor[1])


def test_schedules_start_at_the_base_rate_or_below_and_never_rise() -> None:
    tests = {"range_test"}  # rises on purpose: it looks for the rate at which training breaks
    for name in sorted(set(levels.names("schedule")) - tests):
        factors = [getattr(schedules, name)(t, 1000) for t in range(1, 1001)]
        assert 0 < factors[-1] <= factors[0] <= 1
        assert all(b <= a for a, b in pairwise(factors))


# --- initial weights ------------------------------------------------------------------------------------------------


def uniform(bound: float) -> stats.rv_continuous:
    return stats.uniform(-bound, 2 * bound)


# what the papers state, by fan-in n and fan-out m
STATED: dict[str, Callable[[int, int], stats.rv_continuous]] = {
    "normal_001": lambda n, m: stats.norm(0, 0.01),
    "uniform_fanin": lambda n, m: uniform(n**-0.5),
    "uniform_005": lambda n, m: uniform(0.05),
    "uniform_sqrt3": lambda n, m: uniform((3 / n) ** 0.5),
    "glorot_uniform": lambda n, m: uniform((6 / (n + m)) ** 0.5),
    "glorot_normal": lambda n, m: stats.norm(0, (2 / (n + m)) ** 0.5),
    "he_uniform": lambda n, m: uniform((6 / n) ** 0.5),
    "he_normal": lambda n, m: stats.norm(0, (2 / n) ** 0.5),
}
FANS = [(300, 200), (150, 400)]


@pytest.mark.parametrize("fans", FANS)
@pytest.mark.parametrize("level", [name for name in levels.names("init") if name in STATED])
def test_initial_weights_follow_the_stated_distribution(level: str, fans: tuple[int, int]) -> None:
    """60,000 weights: variance within five standard errors (3 % for a normal one), bounds, and Kolmogorov-Smirnov."""
    stated = STATED[level](*fans)
    weights = getattr(initializers, level)(generator(7, "init/0"), *fans).ravel()
    kurtosis = stated.stats("k")
    error = np.sqrt((kurtosis + 2) / weights.size)
    assert abs(weights.var() / stated.var() - 1) < 5 * error
    assert np.isclose(weights.mean(), 0, atol=5 * stated.std() / weights.size**0.5)
    low, high = stated.support()
    assert low <= weights.min()
    assert weights.max() <= high
    assert stats.kstest(weights, stated.cdf).pvalue > 1e-3


@pytest.mark.parametrize("level", levels.names("init"))
def test_every_initialiser_keeps_the_contract(level: str) -> None:
    """Shape, finite numbers, and the same numbers for the same seed."""
    draw = getattr(initializers, level)
    for fans in ((5, 3), (3, 5), (1, 1)):
        weights = draw(generator(1, "w"), *fans)
        assert weights.shape == fans
        assert np.isfinite(weights).all()
        assert np.array_equal(weights, draw(generator(1, "w"), *fans))


def test_deterministic_initialisers() -> None:
    assert (initializers.constant(generator(1, "w"), 4, 3) == 0.01).all()
    assert not initializers.zero(generator(1, "w"), 4, 3).any()


@pytest.mark.parametrize("fans", [(30, 20), (20, 30), (25, 25)])
def test_orthogonal_weights_are_orthonormal(fans: tuple[int, int]) -> None:
    w = initializers.orthogonal(generator(3, "w"), *fans)
    gram = w.T @ w if fans[0] >= fans[1] else w @ w.T
    close(gram, np.eye(min(fans)), 1e-12)


def test_orthogonal_weights_are_uniform_over_the_orthogonal_group() -> None:
    """An entry of a uniform 4 x 4 matrix has square ~ Beta(1/2, 3/2) and either sign alike; determinants are +1 and -1 alike."""
    drawn = np.stack([initializers.orthogonal(generator(seed, "w"), 4, 4) for seed in range(1000)])
    assert stats.kstest(drawn[:, 0, 0] ** 2, stats.beta(0.5, 1.5).cdf).pvalue > 1e-3
    assert stats.kstest(drawn[:, 2, 2] ** 2, stats.beta(0.5, 1.5).cdf).pvalue > 1e-3
    for positive in (drawn[:, 0, 0] > 0, np.linalg.det(drawn) > 0):
        assert stats.binomtest(int(positive.sum()), 1000).pvalue > 1e-3


def test_initialisers_of_one_shape_share_their_noise() -> None:
    """Arms that differ in the initialiser are paired: the same draws on another scale."""
    he, glorot = (
        getattr(initializers, name)(generator(5, "w"), 40, 100) for name in ("he_normal", "glorot_normal")
    )
    close(he / glorot, np.full((40, 100), np.sqrt((2 / 40) / (2 / 140))), 1e-12)


@pytest.mark.parametrize("norm", [named("norm", level) for level in levels.names("norm")])
def test_initial_parameters_of_a_stack(norm: str) -> None:
    """Zero biases and shifts, unit gains, runs told apart by seed and by initialiser only."""
    layout = Layout(INPUTS, CLASSES, 2, 16, "relu", norm)
    p = initial(layout, ["he_normal", "he_normal", "glorot_uniform"], [1, 2, 1], CPU)
    alone = initial(layout, ["glorot_uniform"], [1], CPU)
    assert [tuple(w.shape) for w in p.weights] == [(3, 12, 16), (3, 16, 16), (3, 16, 4)]
    assert not any(t.any() for t in (*p.biases, *p.shifts))
    assert all((t == 1).all() for t in p.gains)
    assert not torch.equal(p.weights[0][0], p.weights[0][1])
    assert all(torch.equal(w[2], v[0]) for w, v in zip(p.weights, alone.weights, strict=True))


@pytest.mark.parametrize("init", levels.names("init"))
def test_the_layout_of_initial_weights_hangs_on_their_shape_only(init: str) -> None:
    """Whatever layout a level returns: the layout picks the kernel of a product, and a stack may mix levels."""
    layout = Layout(INPUTS, CLASSES, 2, 16, "relu", "none")
    strides = [
        (INPUTS * 16, 16, 1),
        (16 * 16, 16, 1),
        (16 * CLASSES, 1, 16),
    ]  # the narrow one is column-major
    for runs in ([init], [init, "he_normal"], ["he_normal", init]):
        weights = initial(layout, runs, range(len(runs)), CPU).weights
        assert [weight.stride() for weight in weights] == strides


def test_pieces_of_maxout_are_drawn_apart_with_the_fans_of_one_unit() -> None:
    weights = initial(Layout(200, CLASSES, 1, 300, "maxout", "none"), ["glorot_uniform"], [1], CPU).weights
    assert weights[0].shape == (1, 200, 600)
    first, second = weights[0][0].split(300, dim=1)
    assert not torch.equal(first, second)
    for piece in (first, second):
        assert stats.kstest(piece.numpy().ravel(), uniform((6 / 500) ** 0.5).cdf).pvalue > 1e-3


# --- dropout masks --------------------------------------------------------------------------------------------------


def dropped(
    seeds: Sequence[int], rates: Sequence[float], shape: tuple[int, int, int], step: int, steps: int
) -> Tensor | None:
    """Factors (S, layers, R, B, H) on hidden layers; `shape`: layers, rows, units."""
    layers, rows, width = shape
    anatomy = Anatomy((), (), ((1, width),) * layers)
    found = masks.units(Draws(seeds, rates, CPU).at(step, steps), rows, anatomy)
    factors = [found["unit", i] for i in range(layers)]
    return None if factors[0] is None else torch.stack(factors, dim=1)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_dropout_rate_and_scale(rate: float) -> None:
    """Each factor is 0 or 1/(1 - rate), the rate in steps of 2^-16; 160,000 draws, five standard errors."""
    keep = dropped([3], [rate], (2, 40, 50), 0, 40)
    rounded = round(rate * 2**16) / 2**16
    assert set(keep.unique().tolist()) == {0.0, float(np.float32(1 / (1 - rounded)))}
    share = (keep == 0).double().mean().item()
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / keep.numel())
    assert abs(keep.double().mean().item() - 1) < 5 * np.sqrt(rate / (1 - rate) / keep.numel())


def test_dropout_draws_are_uncorrelated_over_steps_layers_rows_and_units() -> None:
    """Shifting the masks along any axis leaves 96,000 products whose mean is zero within five standard errors."""
    kept = (dropped([3, 4], [0.5, 0.5], (2, 20, 30), 0, 40) > 0).double() * 2 - 1
    for axis in range(kept.dim()):
        assert abs((kept * kept.roll(1, axis)).mean().item()) < 5 / kept.numel() ** 0.5


@settings(deadline=None, max_examples=40)
@given(
    seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=3),
    start=st.integers(0, 1000),
    cuts=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 9)),
)
def test_the_length_of_a_block_cannot_change_masks(seeds, start, cuts, shape) -> None:
    rates = [0.5, 0.2, 0.0][: len(seeds)]
    whole = dropped(seeds, rates, shape, start, sum(cuts))
    ends = np.cumsum(cuts)
    parts = [
        dropped(seeds, rates, shape, start + int(end) - cut, cut) for cut, end in zip(cuts, ends, strict=True)
    ]
    assert torch.equal(whole, torch.cat(parts))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 90), st.integers(0, 90))
def test_masks_do_not_depend_on_the_neighbour(seed, other, percent, other_percent) -> None:
    alone = dropped([seed], [percent / 100], (2, 4, 8), 3, 2)
    beside = dropped([other, seed], [other_percent / 100, percent / 100], (2, 4, 8), 3, 2)
    assert torch.equal(alone[:, :, 0], beside[:, :, 1])


def test_a_run_without_dropout_keeps_every_unit_as_it_is() -> None:
    assert (dropped([1, 2], [0.0, 0.5], (1, 8, 8), 0, 3)[:, :, 0] == 1).all()
    assert dropped([1, 2], [0.0, 0.0], (1, 8, 8), 0, 3) is None


def test_dropout_acts_after_the_activation() -> None:
    """A dropped unit is silent even where the activation of zero is not zero."""
    layout = Layout(INPUTS, CLASSES, 1, 8, "sigmoid", "none")
    parameters = initial(layout, ["he_normal"], [1], CPU)
    net = Pass(layout, parameters, {("unit", 0): torch.zeros(1, 3, 8)}, training=True)
    assert not net.logits(torch.ones(1, 3, INPUTS)).any()


# --- data order -----------------------------------------------------------------------------------------------------


def indexed(seeds: Sequence[int], n_train: int, batch_size: int, pool: int = 64) -> Batches:
    """Batches whose inputs and labels are the row numbers of the pool."""
    rows = torch.arange(pool)
    return Batches(rows[:, None].float(), rows, seeds, n_train, batch_size)


def epoch_of(batches: Batches, epoch: int) -> np.ndarray:
    """Row numbers (R, n) of an epoch, in order."""
    steps = batches.steps_per_epoch
    x, y = batches.block(epoch * steps, steps)
    assert torch.equal(x[..., 0].long(), y)
    return y.transpose(0, 1).flatten(1).numpy()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 50), sizes=st.permutations([1, 2, 4, 8, 16, 48]))
def test_batch_sizes_see_the_same_samples_in_the_same_order(seed, epoch, sizes) -> None:
    first, second = (epoch_of(indexed([seed], 48, size), epoch) for size in sizes[:2])
    assert np.array_equal(first, second)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**40), n_train=st.integers(2, 64))
def test_every_epoch_is_another_permutation_of_the_same_rows(seed, n_train) -> None:
    batches = indexed([seed], n_train, 1)
    first, later = epoch_of(batches, 0)[0], epoch_of(batches, 7)[0]
    assert sorted(first) == sorted(later) == sorted(set(batches.rows[0]))
    assert n_train < 10 or not np.array_equal(first, later)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**40), st.integers(0, 2**40), st.sampled_from([1, 4, 16]))
def test_the_rows_of_a_run_depend_on_its_seed_only(seed, other, batch_size) -> None:
    alone, beside = indexed([seed], 32, 8), indexed([other, seed], 32, batch_size)
    assert np.array_equal(alone.rows[0], beside.rows[1])
    assert np.array_equal(epoch_of(alone, 2)[0], epoch_of(beside, 2)[1])
    more = indexed([seed], 48, 8)
    assert np.array_equal(alone.rows[0], more.rows[0, :32])  # a larger training set contains the smaller one


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**40), st.integers(0, 3), st.integers(1, 7), st.integers(1, 7))
def test_the_length_of_a_block_cannot_change_batches(seed, first, left, right) -> None:
    batches = indexed([seed, seed + 1], 51, 3)
    whole, _ = batches.block(first, left + right)
    parts = [batches.block(first, left)[0], batches.block(first + left, right)[0]]
    assert torch.equal(whole, torch.cat(parts))


def test_the_incomplete_batch_of_an_epoch_is_dropped() -> None:
    batches = indexed([1], 50, 16)
    assert batches.steps_per_epoch == 3
    assert [batches.steps_left(step) for step in range(4)] == [3, 2, 1, 3]
    assert len(set(epoch_of(batches, 0)[0])) == 48


def test_rows_and_orders_are_uniform() -> None:
    """Which row comes first, over 3,000 seeds: chi-square over the 30 rows of the pool."""
    first = [epoch_of(indexed([seed], 20, 20, pool=30), 0)[0, 0] for seed in range(3000)]
    assert stats.chisquare(np.bincount(first, minlength=30)).pvalue > 1e-3
