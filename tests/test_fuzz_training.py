"""Whatever combination of levels is accepted can be trained: levels drawn at random, nets and budgets as small as they get."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from folklore import datasets, levels
from folklore.core import making
from folklore.core.training import train
from folklore.datasets.views import seen
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.stages.jobs import check_rows
from folklore.validation import check_run
from hostile import fuzz, refused

FACTORS = (*levels.MODULES, *levels.PACKAGES, "view")
AMOUNTS = (0, 1, 2, 5, 32, 50, 64, 65, 99, 100, 101, 200)
OTHERS = {
    "n_train": (1, 2, 3, 33, 64, 200, 301),
    "batch_size": (1, 2, 3, 32),
    "updates": (1, 2, 15, 16, 33),
    "width": (1, 2, 8),
    "depth": (1, 2, 4),
    "dropout": (0.0, 0.5, 0.999),
    "lr": (1e-300, 0.05, 1e30, 1e300),
    "momentum": (0.0, 0.9),
    "weight_decay": (0.0, 0.1, 1e300),
    "l1": (0.0, 0.1),
    "clip": (0.0, 1e-300, 1.0),
    "bias": (0.0, -1e300),
    "penalised": ("all", "first", "last"),
    "loss_points": (1, 100),
    "score_test": (True, False),
}


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Up to five levels and four numbers that are not the usual ones."""
    changed = {name: draw(st.sampled_from(OTHERS[name])) for name in draw(_some(sorted(OTHERS), 4))}
    for factor in draw(_some(FACTORS, 5)):
        name = draw(st.sampled_from(levels.names(factor)))
        numbered = levels.takes_amount(factor, name)
        changed[factor] = f"{name}-{draw(st.sampled_from(AMOUNTS))}" if numbered else name
    usual = Run(data="digits", n_train=64, batch_size=4, updates=17, width=4, depth=3, lr=0.05, dropout=0.5)
    return replace(usual, **changed)


def _some(names: object, most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), max_size=most, unique=True)


@pytest.fixture(scope="module")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("digits")
    datasets.prepare("digits", root)
    return root


@cache
def small(root: Path) -> datasets.Arrays:
    """A few rows of digits."""
    whole = datasets.load("digits", root)
    cut = {"pool": 300, "val": 60, "test": 60}
    return replace(
        whole,
        **{
            f"{part}_{axis}": getattr(whole, f"{part}_{axis}")[:n] for part, n in cut.items() for axis in "xy"
        },
    )


@cache
def viewed(root: Path, view: str) -> datasets.Arrays:
    return seen(small(root), view)


@fuzz(0.2, run=runs())
def test_what_is_accepted_trains(run: Run, digits_root: Path) -> None:
    try:
        check_run(run)
        check_rows(run, viewed(digits_root, run.view))
    except UsageError as error:
        refused(error)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers of no use overflow: divergence is a result
        (result,) = train([run], viewed(digits_root, run.view))
    assert result["status"] in ("ok", "diverged")
    assert 0 <= result["val_accuracy"] <= 1
    assert len(result["loss_curve"]) == len(result["loss_step"]) <= run.loss_points
    assert result["loss_step"][-1] == run.updates
    assert (result["test_accuracy"] is None) == (not run.score_test)


@fuzz(0.1, run=runs())
def test_a_traced_net_does_to_the_bit_what_steps_do(run: Run, digits_root: Path) -> None:
    """Also where numbers overflow: the same update is the first bad one."""
    if run.probe == "step_time":  # clocks
        return
    try:
        check_run(run)
        check_rows(run, viewed(digits_root, run.view))
    except UsageError:
        return
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patched:
        warnings.simplefilter("ignore")
        found = train([run], viewed(digits_root, run.view))
        patched.setattr(making, "trace_of", lambda *_: None)
        assert repr(train([run], viewed(digits_root, run.view))) == repr(found)


REFUSED = [
    ({"procedure": "transfer-2"}, "data.view=plain: allowed with procedure=transfer-2"),
    ({"procedure": "drift", "updates": 15}, "budget.updates=15: allowed is 16 or more"),
    ({"procedure": "cross_validation-65"}, "data.n_train=64"),
    ({"procedure": "prune-101"}, "procedure=prune-101: allowed is prune-NUMBER with a number from 0 to 100"),
    ({"model": "cnn", "probe": "input_share-5"}, "model=cnn: allowed with probe=input_share-5 is none of"),
    ({"probe": "twins-65"}, "probe=twins-65: allowed is twins-NUMBER with a number up to 64"),
    ({"norm": "ghost-2", "batch_size": 1}, "batch_size=1: allowed is 2 or more with norm=ghost-2"),
    ({"width": 65536, "depth": 1000}, "model.width=65536"),
    ({"n_train": 60000, "batch_size": 60000, "width": 10000, "depth": 2}, "batch_size=60000: allowed is at most 13,421"),
    ({"model": "cnn", "procedure": "autoencoder"}, "model=cnn: allowed with procedure=autoencoder"),
    ({"model": "rnn", "procedure": "subsample-16"}, "model=rnn: allowed with procedure=subsample-16"),
    ({"model": "cnn", "procedure": "thinned"}, "model=cnn: allowed with procedure=thinned"),
    ({"activation": "maxout", "procedure": "fallback-5"}, "activation=maxout: allowed with procedure=fallback-5"),
    ({"activation": "maxout", "procedure": "subsample-16"}, "activation=maxout: allowed with procedure=subsample-16"),
    ({"activation": "maxout", "model": "no_activation"}, "activation=maxout: allowed with model=no_activation"),
    ({"model": "no_activation", "probe": "dead"}, "model=no_activation: allowed with probe=dead"),
    ({"model": "bag", "depth": 1, "probe": "dead"}, "model.depth=1: allowed is 2 or more with probe=dead"),
    ({"model": "rnn", "probe": "twins-5"}, "model=rnn: allowed with probe=twins-5"),
    ({"model": "rnn_stepwise", "mask": "inputs"}, "model=rnn_stepwise: allowed with mask=inputs"),
    ({"norm": "ghost-0"}, "norm=ghost-0: allowed is ghost-NUMBER with a number from 1"),
    ({"procedure": "cross_validation-1"}, "procedure=cross_validation-1"),
    ({"procedure": "subsample-0"}, "procedure=subsample-0"),
    ({"probe": "ensemble-0"}, "probe=ensemble-0"),
    ({"view": "twin_inputs-101"}, "data.view=twin_inputs-101"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"), REFUSED, ids=[" ".join(map(str, c.values())) for c, _ in REFUSED]
)
def test_a_combination_that_cannot_be_trained_is_named(changed: dict, said: str) -> None:
    usual = Run(data="digits", n_train=64, batch_size=4, updates=17, lr=0.05)
    with pytest.raises(UsageError) as caught:
        check_run(replace(usual, **changed))
    assert refused(caught.value).startswith(said)


def test_a_view_with_fewer_rows_counts(digits_root: Path) -> None:
    """Half of the classes are half of the rows."""
    run = Run(data="digits", n_train=200, view="later_classes", lr=0.05)
    rows = len(viewed(digits_root, "later_classes").pool_y)
    assert rows < 200
    with pytest.raises(
        UsageError, match=rf"data.n_train=200: allowed is at most {rows}, .* as data.view=later_classes"
    ):
        check_rows(run, viewed(digits_root, "later_classes"))
    assert np.unique(viewed(digits_root, "later_classes").pool_y).tolist() == [0, 1, 2, 3, 4]
