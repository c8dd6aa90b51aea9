"""What a run costs, before it is trained: operations, and a rough time on one core, to size stacks and jobs and to foretell the end.

The constants were set by 13,000 networks of the headline claims and the grid, trained by two jobs at once on two cores of a 2025 server,
those of traced nets by one core of another; how well they meet these stands beside them. They need only be right within a factor of two, since
the remaining time is predicted from the ratio of measured to expected seconds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from folklore import device

if TYPE_CHECKING:
    from folklore.grid import Run

INPUTS = {
    "mnist1d": 40,
    "digits": 64,
    "mnist": 784,
    "fashion_mnist": 784,
    "cifar10": 3072,
    "bag_of_words": 160,
}
_CLASSES = 10
MOST_RUNS = 64
STACK_NUMBERS = 160_000  # batch x width x runs that fit the cache together
# weights of one layer x runs: 32 runs of 784 x 100 at batch 2 take 29 us each, 16 take 36, 64 take 47
LAYER_NUMBERS = 5 << 19
# times as many on a GPU, which has no such cache: on an H200 2,048 runs at batch 2 take .8 us each, 512 take 1.3; at batch 128 it is all one
WIDER = 1 << 7

# nanoseconds for a weight and update, beside the product; for a unit and row; microseconds of calls for a layer of a stack, and how many
# runs share them at most, since few graphs have more replicates than that. Measured over expected: 1.06 in all; 1.6 at batch 2, where a
# grid that is moved trains three at once, 1.1 at 8, 0.9 at 32, 1.0 at 512; 0.8 to 1.3 for every data set, norm, optimizer and activation
_UPDATE = {"sgd": 0.15, "momentum": 0.25, "adagrad": 0.4, "rmsprop": 0.4, "adam": 0.6, "adadelta": 0.6}
_ACTIVATION = {"relu": 0.8, "leaky_relu": 0.8, "maxout": 4.0}
_EXPONENTIAL, _NORM, _DROPOUT = 1.9, 0.5, 3.5
_CALLS, _SIDE_BY_SIDE = 90.0, 32
# of a traced net (`folklore.core.traces`): microseconds for a layer, which nothing shares, nanoseconds for a unit and row, and to lay windows out
_LAYER, _RELU, _CURVE, _LAID_OUT = 1.0, 0.5, 1.7, 1.0
_TRACED = ("mlp", "residual", "cnn", "residual_cnn", "norm_after", "rnn", "rnn_stepwise")
_OPERATIONS = 180e3  # a microsecond, in products of the size of a step
_CONVOLUTIONS = ("cnn", "residual_cnn")
_WORDS = 8  # of a text in the model of bags
_SCORED, _SCORED_STATE = 140e9, 1.9  # operations a second; nanoseconds for a unit, step and row
# rows that a probe passes through the net
_PROBED = {"ensemble": 102_000, "robustness": 100_000, "lengths": 20_000}
# positions of a window; nanoseconds for a channel, position and row to lay windows out
_KERNEL, _WINDOWS = 3, 3.0
_RECURRENT, _READ = ("rnn", "rnn_stepwise"), 2  # inputs a step of a recurrent net
# nanoseconds for a unit, step and row: states that are added and kept, and the norm of so few units at once
_STATE, _STEP_NORM = 0.7, 2.5
_CLIPPED = 0.3  # nanoseconds for a weight and update: a gradient is written and read
# a run with what its procedure trains before, over its own updates; tuning shares what comes before, confirming does not
_PROCEDURE = {"transfer": 2.8, "autoencoder": 3.0, "subsample": 1.7, "grow": 1.4}
_PROCEDURE |= {"prune": 1.3, "prune_return": 1.3, "prune_random": 1.3}
_PROCEDURE |= {"cross_validation": 8.5, "mislabelled": 1.3}  # the former with five folds
_PROCEDURE |= {"until_loss": 1.4}  # the loss on 512 rows every eight updates, until it is reached
# seconds of a run beside its own updates: an optimizer that is trained first (1.2 for a seed, which the rates share), clocks
_BESIDE = {"learned_quadratics": 0.6, "step_time": 0.1}


def _layers(run: Run) -> list[int]:
    """Weights of each layer (biases left out)."""
    pieces = 2 if run.activation == "maxout" else 1
    if run.model in _CONVOLUTIONS:
        channels = [1] + [run.width] * run.depth
        return [*(_KERNEL * a * b * pieces for a, b in pairwise(channels)), run.width * _CLASSES]
    if _steps(run):
        read = [_READ] + [run.width] * (run.depth - 1)
        return [*((a + run.width) * run.width * pieces for a in read), run.width * _CLASSES]
    widths = [INPUTS.get(run.data, 784)] + [run.width] * run.depth
    return [*(a * b * pieces for a, b in pairwise(widths)), run.width * _CLASSES]


def _steps(run: Run) -> int:
    """How often a recurrent net uses its weights in one pass; 0 for other nets."""
    return -(-INPUTS.get(run.data, 784) // _READ) if run.model in _RECURRENT else 0


def _positions(run: Run) -> list[int]:
    """At how many positions of a sample each layer's weights are used."""
    length, found = INPUTS.get(run.data, 784), []
    if run.model == "bag":
        return [_WORDS] + [1] * run.depth
    if _steps(run):
        return [_steps(run)] * run.depth + [1]
    if run.model not in _CONVOLUTIONS:
        return [1] * (run.depth + 1)
    for i in range(run.depth):
        length = -(-length // 2) if i in (0, 1, 1 + 2 * ((run.depth - 1) // 4)) else length
        found.append(length)
    return [*found, 1]


def _products(run: Run) -> int:
    """Multiplications of one sample's forward pass."""
    return sum(weights * places for weights, places in zip(_layers(run), _positions(run), strict=True))


def parameters(run: Run) -> int:
    """Weights of the net (biases left out)."""
    return sum(_layers(run))


def operations(run: Run) -> int:
    """Multiplications and additions of a run's training: forward, and twice that backward."""
    return 6 * _products(run) * run.batch_size * run.updates


def stack_width(run: Run) -> int:
    """Runs to train side by side: fewer as the batch and the net grow, so that a step stays in the cache of a processor."""
    wider = 1 if device.chosen() == "cpu" else WIDER
    together = 1 if _steps(run) else max(_positions(run))  # a recurrent net visits one step after the other
    rows = wider * STACK_NUMBERS // (run.batch_size * run.width * together)
    weights = wider * LAYER_NUMBERS // max(_layers(run))
    return max(1, min(wider * MOST_RUNS, rows, weights))


def seconds(run: Run) -> float:
    """Expected seconds of one core, with evaluation."""
    whole = _PROCEDURE.get(run.procedure.partition("-")[0], 1.0)
    beside = _BESIDE.get(run.procedure, 0.0) + _BESIDE.get(run.probe, 0.0)
    return run.updates * _step(run) * 1e-6 * whole + scoring(run) + 0.005 + beside


def scoring(run: Run) -> float:
    """Seconds of that for passing rows through the trained net: scores, and what its probe asks for."""
    rows = 20_000 + _PROBED.get(run.probe.partition("-")[0], 0)
    return rows * (2 * _products(run) / _SCORED + _SCORED_STATE * 1e-9 * run.width * run.depth * _steps(run))


def is_traced(run: Run) -> bool:
    """Whether the updates are most likely made by one compiled list of calls; see `folklore.core.traces`."""
    return run.model in _TRACED and not (
        _steps(run) and (run.mask == "weights" or run.norm.startswith("ghost"))
    )


def _step(run: Run) -> float:
    """Microseconds a model-step."""
    normed, dropped, traced = run.norm != "none", run.dropout > 0, is_traced(run)
    together = min(stack_width(run), _SIDE_BY_SIDE)
    of_layer = _LAYER if traced else _CALLS * (1 + normed) * max(1, _steps(run)) / together
    weights = parameters(run) * (_UPDATE.get(run.optimizer, 2.0) + _CLIPPED * (run.clip > 0)) * 1e-3
    products = 6 * _products(run) * run.batch_size / _OPERATIONS
    weights += _DROPOUT * dropped * sum(_layers(run)[1:]) * 1e-3 if run.mask == "weights" else 0.0
    dropped = dropped and run.mask not in ("weights", "batchwise", "frozen")
    costs, others = ({"relu": _RELU}, _CURVE) if traced else (_ACTIVATION, _EXPONENTIAL)
    unit = costs.get(run.activation, others)
    unit += (_STEP_NORM if _steps(run) else _NORM) * normed + _DROPOUT * dropped
    unit += (_LAID_OUT if traced else _WINDOWS) * (run.model in _CONVOLUTIONS)
    unit += 2 * _DROPOUT * run.mask.startswith("row_noise")
    unit += _STATE * (_steps(run) > 0)
    units = run.width * sum(_positions(run)[:-1])
    return of_layer * run.depth + weights + products + unit * units * run.batch_size * 1e-3
