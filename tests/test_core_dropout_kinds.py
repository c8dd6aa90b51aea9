"""Kinds of dropout masks, and what is measured on nets that were trained with them, against closed forms, by hand and torch.nn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from folklore import datasets
from folklore.core import masks
from folklore.core.draws import Draws
from folklore.core.models import bag
from folklore.core.networks import Anatomy, Layout, Pass, initial
from folklore.core.probes import ensemble, robustness, variance_shift
from folklore.core.training import Stack, train
from plain_nets import BASE, CLASSES, CPU, DATA, close

RATE, ROWS = 0.25, 6
ANATOMY = Anatomy(fans=((5, 8), (8, 7), (7, 3)), normed=(8, 7), dropped=((2, 8), (1, 7)))
SHAPES = {
    "units": {("unit", 0): (2 * ROWS, 8), ("unit", 1): (ROWS, 7)},
    "batchwise": {("unit", 0): (1, 8), ("unit", 1): (1, 7)},
    "frozen": {("unit", 0): (1, 8), ("unit", 1): (1, 7)},
    "first": {("unit", 0): (2 * ROWS, 8)},
    "last": {("unit", 1): (ROWS, 7)},
    "inputs": {("input", 0): (ROWS, 5)},
    "weights": {("weight", 1): (8, 7), ("weight", 2): (7, 3)},
}


def drawn(mask: str, steps: int, rates: tuple[float, ...] = (RATE, 0.5)) -> dict:
    return tensors(getattr(masks, mask)(Draws([3, 4], rates, CPU).at(0, steps), ROWS, ANATOMY))


def tensors(sources: dict) -> dict:
    return {site: None if source is None else source.tensor for site, source in sources.items()}


@pytest.mark.parametrize("mask", SHAPES)
def test_a_mask_acts_on_its_sites_at_the_rate_of_each_run(mask: str) -> None:
    """300 updates: share of zeros within five standard errors, where draws are fresh; 1/(1 - rate) for what is kept."""
    found = drawn(mask, 300)
    assert {site: tuple(f.shape[2:]) for site, f in found.items()} == SHAPES[mask]
    for factor in found.values():
        for r, rate in enumerate((RATE, 0.5)):
            mine = factor[:, r]
            assert set(mine.unique().tolist()) <= {0.0, float(np.float32(1 / (1 - rate)))}
            if mask != "frozen":
                error = (rate * (1 - rate) / mine.numel()) ** 0.5
                assert abs((mine == 0).double().mean().item() - rate) < 5 * error
    assert set(drawn(mask, 2, (0.0, 0.0)).values()) == {None}


def test_a_frozen_mask_stays_and_the_others_do_not() -> None:
    for mask in SHAPES:
        same = all((factor == factor[:1]).all() for factor in drawn(mask, 5).values())
        assert same == (mask == "frozen")
    ahead = tensors(masks.frozen(Draws([3, 4], (RATE, 0.5), CPU).at(900, 1), ROWS, ANATOMY))
    assert all(torch.equal(ahead[site][0], factor[0]) for site, factor in drawn("frozen", 1).items())


def test_first_and_last_are_parts_of_units() -> None:
    whole = drawn("units", 4)
    for mask in ("first", "last"):
        assert all(torch.equal(factor, whole[site]) for site, factor in drawn(mask, 4).items())


# --- one mask for good ----------------------------------------------------------------------------------------------


def trained(**changes: object) -> Stack:
    runs = [replace(BASE, seed=s, dropout=d, **changes) for s, d in ((1, 0.0), (2, 0.25), (3, 0.5))]
    stack = Stack(runs, DATA, CPU)
    stack.train(lambda fraction: None)
    return stack


def test_a_thinned_net_is_the_one_that_was_trained() -> None:
    """Scores of the procedure's net are those of the whole net with the frozen mask on its units; it has less to it."""
    thinned, whole = (trained(mask="frozen", procedure=name) for name in ("thinned", "once"))
    drawn = tensors(masks.frozen(whole.draws.at(0, 1), 16, whole.layout.anatomy))
    factors = {site: f[0] for site, f in drawn.items()}
    x = torch.from_numpy(DATA.test_x).expand(3, -1, -1)
    with_mask = Pass(whole.layout, whole.parameters, factors, training=False).logits(x)
    alone = Pass(thinned.layout, thinned.parameters, {}, training=False).logits(x)
    close(alone, with_mask, 1e-5)
    assert not thinned.parameters.weights[1][2][factors["unit", 0][2, 0] == 0].any()
    assert torch.equal(thinned.parameters.weights[1][0], whole.parameters.weights[1][0])


# --- probes ---------------------------------------------------------------------------------------------------------


def measures(probe: str, **changes: object) -> list[dict]:
    runs = [replace(BASE, seed=s, dropout=d, probe=probe, **changes) for s, d in ((1, 0.0), (2, 0.5))]
    return [result["measures"] for result in train(runs, DATA)]


@pytest.mark.parametrize("probe", ["ensemble-3", "robustness"])
def test_a_run_that_is_not_scored_on_test_rows_is_not_measured_on_them(probe: str) -> None:
    assert all(np.isnan(v) for found in measures(probe, score_test=False) for v in found.values())
    runs = [replace(BASE, seed=s, dropout=0.5, probe=probe, score_test=s == 2) for s in (1, 2)]
    unscored, scored = (result["measures"] for result in train(runs, DATA))
    assert all(np.isnan(v) for v in unscored.values())
    assert all(0 <= v <= 1 for v in scored.values())


def test_the_ensemble_is_the_mean_of_thinned_nets_one_by_one() -> None:
    """Against softmax and argmax of torch on nets whose weights are multiplied by the masks; all test rows fit into ROWS."""
    stack = trained()
    found = ensemble.measure(stack, amount=7)
    assert all(np.isnan(values[0]) for values in found.values())
    y = torch.from_numpy(DATA.test_y)
    for r, rate in ((1, 0.25), (2, 0.5)):
        nets = Draws([stack.runs[r].seed], [rate], CPU).at(0, 7)
        keep = [nets.keep(f"probe/ensemble/{i}", (1, 16))[:, 0, 0] for i in range(2)]
        each = torch.stack([plain(stack, r, [k[n] for k in keep]) for n in range(7)]).softmax(dim=-1)
        expected = {
            "single_accuracy": (each.argmax(dim=-1) == y).double().mean(),
            "ensemble_accuracy": (each.mean(dim=0).argmax(dim=-1) == y).double().mean(),
            "geometric_accuracy": (each.log().mean(dim=0).argmax(dim=-1) == y).double().mean(),
            "scaled_accuracy": (plain(stack, r, [torch.ones(16)] * 2).argmax(dim=-1) == y).double().mean(),
        }
        for name, value in expected.items():
            close(found[name][r], value.item(), 1e-9)


def plain(stack: Stack, r: int, factors: list[Tensor]) -> Tensor:
    """Logits of one run on the test rows, the factors multiplied into the weights that leave each unit."""
    h = torch.from_numpy(DATA.test_x)
    weights, biases = stack.parameters.weights, stack.parameters.biases
    for factor, w, b in zip([None, *factors], weights, biases, strict=True):
        w = w[r].detach() if factor is None else factor[:, None] * w[r].detach()
        h = (torch.relu(h) if factor is not None else h) @ w + b[r].detach()
    return h


def test_removing_units_without_and_with_scaling() -> None:
    found, stack = robustness.measure(stack := trained()), stack
    y = torch.from_numpy(DATA.test_y)
    for r, run in enumerate(stack.runs):
        draws = Draws([run.seed], [0.5], CPU).at(0, robustness.DRAWS)
        keep = [draws.keep(f"probe/robustness/50/{i}", (1, 16))[:, 0, 0] for i in range(2)]
        for name, scale in (("rescaled_50", 1.0), ("removed_50", 0.5)):
            right = [
                plain(stack, r, [k[n] * scale for k in keep]).argmax(dim=-1) == y for n in range(len(keep[0]))
            ]
            close(found[name][r], torch.stack(right).double().mean().item(), 1e-9)
        whole = plain(stack, r, [torch.ones(16)] * 2).argmax(dim=-1) == y
        close(found["whole_accuracy"][r], whole.double().mean().item(), 1e-9)


def test_mean_correlation_is_that_of_numpy_without_constant_units() -> None:
    h = torch.randn(2, 40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h[0, :, 1], h[1, :, 1] = 3.0, h[1, :, 0] + 0.5 * h[1, :, 1]
    for r, alive in enumerate(([0, 2, 3, 4], range(5))):
        matrix = np.abs(np.corrcoef(h[r][:, list(alive)].numpy().T))
        expected = matrix[~np.eye(len(matrix), dtype=bool)].mean()
        close(robustness.mean_correlation(h)[r], expected, 1e-12)
    assert robustness.mean_correlation(torch.ones(1, 4, 3)).isnan().all()


def test_the_variance_shift_is_log2_of_evaluation_over_running_variance() -> None:
    stack = trained(norm="batch")
    found = variance_shift.measure(stack)
    x, _ = stack.training_rows(variance_shift.ROWS)
    for r in range(3):
        h = x[r]
        for i in range(2):
            mean, variance = (m[r, 0] for m in stack.parameters.running[i])
            h = h @ stack.parameters.weights[i][r].detach() + stack.parameters.biases[i][r].detach()
            close(
                found[f"variance_shift_{i}"][r], torch.log2(h.var(dim=0).sum() / variance.sum()).item(), 1e-4
            )
            gain, shift = stack.parameters.gains[i][r, 0].detach(), stack.parameters.shifts[i][r, 0].detach()
            h = torch.relu(nn.functional.batch_norm(h, mean, variance, gain, shift))
    assert variance_shift.measure(trained()) == {}


def test_dropout_before_a_norm_adds_the_variance_that_is_stated() -> None:
    """Of a linear unit reading inverted dropout at rate q: q/(1 - q) times the sum of squared terms, within 2 % over 200,000 draws."""
    draws = Draws([5], [0.5], CPU).at(0, 200_000)
    h, w = torch.linspace(0.2, 1.4, 7), torch.linspace(-1.0, 2.0, 7)
    noisy = (draws.keep("x", (7,))[:, 0] * h) @ w
    close(noisy.var().item(), (h * w).square().sum().item(), 0.02)


# --- bags of words --------------------------------------------------------------------------------------------------


def test_a_bag_adds_up_the_embeddings_of_its_words() -> None:
    layout = Layout(20, CLASSES, 2, 6, "relu", "none", "bag")
    parameters = initial(layout, ["he_normal"] * 2, [1, 2], CPU)
    x = torch.zeros(2, 3, 20)
    for row in range(3):
        x[:, row, row : row + bag.WORDS] = 2.0
    table, hidden, out = parameters.weights
    expected = torch.relu(x @ table @ hidden) @ out
    close(Pass(layout, parameters, {}, training=True).logits(x), expected, 1e-5)


def test_entries_of_one_word_in_one_text_are_dropped_apart() -> None:
    """Setting one factor to zero takes that entry of that word, and nothing else, out of that text's sum."""
    layout = Layout(20, 6, 1, 6, "relu", "none", "bag")
    parameters = initial(layout, ["he_normal"], [1], CPU)
    parameters.weights[1] = torch.eye(6)[None]
    x = torch.zeros(1, 2, 20)
    x[..., 5 : 5 + bag.WORDS] = 1.0
    factor = torch.ones(1, 2 * bag.WORDS, 6)
    factor[0, bag.WORDS + 3, 4] = 0.0  # text 1, its fourth word, entry 4
    whole, less = (Pass(layout, parameters, f, training=True).logits(x) for f in ({}, {("unit", 0): factor}))
    missing = torch.zeros(1, 2, 6)
    missing[0, 1, 4] = parameters.weights[0][0, 8, 4]
    close(whole - less, missing, 1e-5)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> datasets.Arrays:
    root: Path = tmp_path_factory.mktemp("bag")
    datasets.prepare("bag_of_words", root)
    return datasets.load("bag_of_words", root)


def test_texts_have_as_many_words_as_the_model_reads(texts: datasets.Arrays) -> None:
    for x in (texts.pool_x, texts.val_x, texts.test_x):
        assert ((x > 0).sum(axis=1) == bag.WORDS).all()
        assert len(np.unique(x)) == 2
    assert (len(texts.pool_y), len(texts.val_y), len(texts.test_y)) == (8_000, 2_000, 10_000)
    assert np.bincount(texts.pool_y, minlength=10).min() > 700


def test_words_tell_the_topic_but_not_all_of_it(texts: datasets.Arrays) -> None:
    """Naive Bayes on the pool, nearly the law that made the texts: far above chance and far below certainty."""
    counts = np.stack([(texts.pool_x[texts.pool_y == k] > 0).sum(axis=0) for k in range(10)]) + 1.0
    scores = (texts.test_x > 0) @ np.log(counts / counts.sum(axis=1, keepdims=True)).T
    assert 0.6 < (scores.argmax(axis=1) == texts.test_y).mean() < 0.9
