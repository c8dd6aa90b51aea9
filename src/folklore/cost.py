"""What a run costs, before it is trained: operations, and a rough time on one core, to size stacks and jobs and to foretell the end.

The constants were fitted to 60 kinds of steps (batch 2 to 512, all optimizers and activations, 40 and 784 inputs, 3 to 30 layers) on one
core of a 2025 server, which they meet within 7 %; they need only be right within a factor of two, since the remaining time is
predicted from the ratio of measured to expected seconds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folklore.grid import Run

INPUTS = {"mnist1d": 40, "digits": 64, "mnist": 784, "fashion_mnist": 784, "cifar10": 3072}
_CLASSES = 10
MOST_RUNS = 32
STACK_NUMBERS = 1 << 18  # batch x width x runs that fit the cache together
LAYER_NUMBERS = 1 << 20  # weights of one layer x runs: updates go layer by layer

# nanoseconds for a weight and update, beside the product; for a unit and row; and microseconds of calls for a layer of a full stack
_UPDATE = {"sgd": 0.2, "momentum": 0.4, "adagrad": 1.6, "rmsprop": 1.6, "adam": 2.3, "adadelta": 2.6}
_ACTIVATION = {"relu": 0.8, "leaky_relu": 0.8, "maxout": 4.0}
_EXPONENTIAL, _NORM, _DROPOUT = 1.9, 1.3, 3.5
_CALLS = 2.4
_OPERATIONS = 90e3  # a microsecond, in products of the size of a step


def _layers(run: Run) -> list[int]:
    """Weights of each layer (biases left out)."""
    pieces = 2 if run.activation == "maxout" else 1
    widths = [INPUTS.get(run.data, 784)] + [run.width] * run.depth
    return [*(a * b * pieces for a, b in pairwise(widths)), run.width * _CLASSES]


def parameters(run: Run) -> int:
    """Weights of the net (biases left out)."""
    return sum(_layers(run))


def operations(run: Run) -> int:
    """Multiplications and additions of a run's training: forward, and twice that backward."""
    return 6 * parameters(run) * run.batch_size * run.updates


def stack_width(run: Run) -> int:
    """Runs to train side by side: fewer as the batch and the net grow, so that a step stays in the cache."""
    rows = STACK_NUMBERS // (run.batch_size * run.width)
    weights = LAYER_NUMBERS // max(_layers(run))
    return max(1, min(MOST_RUNS, rows, weights))


def seconds(run: Run) -> float:
    """Expected seconds of one core, with evaluation."""
    scoring = 20_000 * 2 * parameters(run) / 60e9
    return run.updates * _step(run) * 1e-6 + scoring + 0.005


def _step(run: Run) -> float:
    """Microseconds a model-step."""
    normed, dropped = run.norm != "none", run.dropout > 0
    calls = _CALLS * run.depth * (1 + normed) * MOST_RUNS / stack_width(run)
    weights = parameters(run) * _UPDATE.get(run.optimizer, 2.0) * 1e-3
    products = 6 * parameters(run) * run.batch_size / _OPERATIONS
    unit = _ACTIVATION.get(run.activation, _EXPONENTIAL) + _NORM * normed + _DROPOUT * dropped
    return calls + weights + products + unit * run.depth * run.width * run.batch_size * 1e-3
