"""Which levels go together: a run that could be described but not trained is refused before anything is.

Found by training every level with every other, see tests/test_fuzz_training.py, which also finds what is missing here when a level is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from folklore import datasets

if TYPE_CHECKING:
    from folklore.grid import Run

# nets whose first weights are shared by places of a row, so that they are not a matrix of all inputs
SHARING = ("cnn", "residual_cnn", "rnn", "rnn_stepwise")
ROWS = 1_000_000

# level -> least and most of its NUMBER, where not every number will do
AMOUNTS: dict[tuple[str, str], tuple[int, int]] = {
    ("norm", "ghost"): (1, ROWS),
    ("procedure", "cross_validation"): (2, 1000),
    ("procedure", "frozen"): (1, ROWS),
    ("procedure", "prune"): (0, 100),
    ("procedure", "prune_random"): (0, 100),
    ("procedure", "prune_return"): (0, 100),
    ("procedure", "subsample"): (1, ROWS),
    ("probe", "ensemble"): (1, 10_000),
    ("data.view", "noise_inputs"): (0, 10_000),
    ("data.view", "random_labels"): (0, 100),
    ("data.view", "twin_inputs"): (0, 100),
}

# (key, level) and what a run must also have: a key, the levels of it that will do, or with "not" those that will not
DENSE = ("model", "not", SHARING)
NEEDS: tuple[tuple[tuple[str, str], tuple[str, str, tuple[str, ...]]], ...] = (
    (("procedure", "transfer"), ("data.view", "one of", ("later_classes", "lengths"))),
    (("procedure", "autoencoder"), DENSE),
    (("procedure", "subsample"), DENSE),
    # the units that it leaves out would have to be left out wherever another matrix reads them, too
    (("procedure", "thinned"), ("model", "not", (*SHARING, "residual"))),
    (("procedure", "fallback"), ("activation", "not", ("maxout",))),
    (("procedure", "subsample"), ("activation", "not", ("maxout",))),
    (("probe", "input_share"), DENSE),
    (("probe", "twins"), DENSE),
    (("probe", "dead"), ("model", "not", ("no_activation",))),
    (("mask", "inputs"), DENSE),
    # its channels are those of the places of one row, which a recurrent net has one after another
    (("mask", "channels"), ("model", "not", ("rnn", "rnn_stepwise"))),
    # a convolution's rows are places, so that a ghost would hold a few places of one sample
    (("norm", "ghost"), ("model", "not", ("cnn", "residual_cnn"))),
    # it would count its steps on, while its averages begin anew
    (("procedure", "fallback"), ("optimizer", "not", ("adam",))),
    (("procedure", "remedies"), ("optimizer", "not", ("adam",))),
    *(
        # what they cut for good and what the mask drops would have to be multiplied
        (("procedure", name), ("mask", "not", ("weights",)))
        for name in ("grow", "prune", "prune_random", "prune_return")
    ),
    (("model", "no_activation"), ("activation", "not", ("maxout",))),
)


def unfit(run: Run) -> Iterator[str]:
    """What is wrong, a line each: key, value and what is allowed."""
    chosen = {key: read(run) for key, read in _KEYS.items()}
    for key, value in chosen.items():
        name, _, amount = value.partition("-")
        least, most = AMOUNTS.get((key, name), (0, ROWS))
        if amount and not least <= int(amount) <= most:
            yield f"{key}={value}: allowed is {name}-NUMBER with a number from {least} to {most}"
    for (key, level), (other, how, levels) in NEEDS:
        if _name(chosen[key]) == level and (_name(chosen[other]) in levels) == (how == "not"):
            yield f"{other}={chosen[other]}: allowed with {key}={chosen[key]} is {how.replace('not', 'none of')} {', '.join(levels)}"
    yield from _too_few(run)


def _too_few(run: Run) -> Iterator[str]:
    """Rows, inputs, layers or updates that do not suffice."""
    moments = _name(run.norm) in ("batch", "ghost")
    if moments and run.batch_size < 2:
        yield f"batch_size={run.batch_size}: allowed is 2 or more with norm={run.norm}, whose variance needs two rows"
    if run.procedure == "drift" and run.updates < 16:
        yield f"budget.updates={run.updates}: allowed is 16 or more with procedure=drift, which looks that often"
    if run.probe == "dead" and run.model == "bag" and run.depth < 2:
        yield f"model.depth={run.depth}: allowed is 2 or more with probe=dead and model=bag, whose first layer holds embeddings, not units"
    name, _, amount = run.procedure.partition("-")
    if name == "cross_validation" and amount:
        left = run.n_train - -(-run.n_train // max(1, int(amount)))
        if int(amount) > run.n_train or left < 1 + moments:
            yield f"data.n_train={run.n_train}: allowed are more rows with procedure={run.procedure}, which leaves a part of them out"
    matrices = 1 + run.depth * (2 if run.model in ("rnn", "rnn_stepwise") else 1)
    if name == "frozen" and amount and int(amount) > matrices:
        yield f"procedure={run.procedure}: allowed is frozen-NUMBER with a number up to {matrices}, the weight matrices of the net"
    name, _, amount = run.probe.partition("-")
    if name in ("input_share", "twins") and amount and int(amount) > datasets.get(run.data).inputs:
        most = datasets.get(run.data).inputs
        yield f"probe={run.probe}: allowed is {name}-NUMBER with a number up to {most}, the inputs of data={run.data}"


def _name(level: str) -> str:
    return level.partition("-")[0]


_KEYS: dict[str, Callable[[Run], str]] = {
    "model": lambda run: run.model,
    "activation": lambda run: run.activation,
    "norm": lambda run: run.norm,
    "optimizer": lambda run: run.optimizer,
    "mask": lambda run: run.mask,
    "data.view": lambda run: run.view,
    "data.augmentation": lambda run: run.augmentation,
    "procedure": lambda run: run.procedure,
    "probe": lambda run: run.probe,
}
