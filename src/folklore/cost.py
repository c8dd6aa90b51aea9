"""What a run costs, before it is trained: operations, and a rough time on one core, to size stacks and jobs and to foretell the end.

The constants were fitted to eager and compiled steps of 3 x 100 nets on one core of a 2025 server; they need only be right
within a factor of two, since the remaining time is predicted from the ratio of measured to expected seconds.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folklore.grid import Run

INPUTS = {"mnist1d": 40, "digits": 64, "mnist": 784, "fashion_mnist": 784, "cifar10": 3072}
_UPDATE = {"sgd": 1.0, "momentum": 1.6, "adagrad": 2.6, "rmsprop": 2.6, "adam": 3.5, "adadelta": 4.5}
_CLASSES = 10
COMPILE_GAIN = 0.5  # seconds a run must gain before its graph is worth compiling
MOST_RUNS = 32
STACK_NUMBERS = 1 << 18  # batch x width x runs that fit the cache together


def parameters(run: Run) -> int:
    """Weights of the net (biases left out)."""
    pieces = 2 if run.activation == "maxout" else 1
    inputs, width = INPUTS.get(run.data, 784), run.width * pieces
    return inputs * width + (run.depth - 1) * run.width * width + run.width * _CLASSES


def operations(run: Run) -> int:
    """Multiplications and additions of a run's training: forward, and twice that backward."""
    return 6 * parameters(run) * run.batch_size * run.updates


def stack_width(run: Run) -> int:
    """Runs to train side by side: fewer as the batch and the net grow, so that a step stays in the cache."""
    fit = STACK_NUMBERS // (run.batch_size * run.width)
    small = max(1, (1 << 20) // parameters(run))  # weights and state, too, should stay near
    return max(1, min(MOST_RUNS, fit, small * 2))


def seconds(run: Run) -> float:
    """Expected seconds of one core, with evaluation."""
    step = _compiled_step(run) if run.backend == "compiled" else _eager_step(run)
    scoring = 20_000 * 2 * parameters(run) / 60e9
    return run.updates * step * 1e-6 + scoring + 0.005


def pays_to_compile(run: Run) -> bool:
    """Whether this run is long enough for torch.compile, and there is a C++ compiler."""
    gain = run.updates * (_eager_step(run) - _compiled_step(run)) * 1e-6
    return gain >= COMPILE_GAIN and has_compiler()


def has_compiler() -> bool:
    return any(shutil.which(name) for name in ("g++", "c++", "clang++"))


def _eager_step(run: Run) -> float:
    """Microseconds a model-step."""
    units = run.depth * run.width
    normed, dropped = run.norm != "none", run.dropout > 0
    fixed = parameters(run) * 1e-3 * _UPDATE.get(run.optimizer, 3.0) + run.depth * (1 + 10 * normed)
    row = parameters(run) * 6 / 95e3 + units * (0.0018 + 0.0042 * normed + 0.003 * dropped)
    return fixed + row * run.batch_size * (1.5 if run.activation == "maxout" else 1)


def _compiled_step(run: Run) -> float:
    units = run.depth * run.width
    row = parameters(run) * 6 / 95e3 + units * (0.0009 + 0.001 * (run.norm != "none"))
    return parameters(run) * 4e-4 * _UPDATE.get(run.optimizer, 3.0) ** 0.5 + row * run.batch_size
