"""Probes of the weights against plain calculations on small matrices made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from folklore.core.probes import input_share, twins, weights


def stack(*layers: Sequence, rows: Sequence | None = None) -> SimpleNamespace:
    """What a probe reads: weights (R, in, out) of each layer, and training rows (R, B, in)."""
    tensors = [torch.tensor(layer, dtype=torch.float32) for layer in layers]
    seen = torch.ones(1, 1, tensors[0].shape[1]) if rows is None else torch.tensor(rows, dtype=torch.float32)
    return SimpleNamespace(
        parameters=SimpleNamespace(weights=tensors), training_rows=lambda count: (seen[:, :count], None)
    )


def test_norms_and_zeros_of_all_layers() -> None:
    two = stack([[[3.0, 0.0], [0.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]], [[[12.0], [0.0]], [[0.0], [0.0]]])
    found = weights.measure(two)
    assert found["norm"] == pytest.approx([13, 2])
    assert found["norm_first"] == pytest.approx([5, 2])
    assert found["norm_last"] == pytest.approx([12, 0])
    assert found["zeros"] == pytest.approx([3 / 6, 2 / 6])


def test_biases_and_tiny_weights_are_no_zeros() -> None:
    one = stack([[[1e-30, 0.0]]], [[[1.0], [-1e-38]]])
    assert weights.measure(one)["zeros"] == pytest.approx([1 / 4])


def test_a_matrix_stored_column_by_column_is_read_alike() -> None:
    rng = np.random.default_rng(0)
    one = stack(rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 3, 2)))
    before = weights.measure(one)
    one.parameters.weights[1] = one.parameters.weights[1].mT.contiguous().mT
    after = weights.measure(one)
    assert all((before[name] == after[name]).all() for name in before)


# inputs 0 and 1 are real, 2 and 3 marked; squared weights 9 + 16, 0, 1, 0
MARKED = stack(
    [[[3.0, 4.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]], [[[1.0], [2.0]]], rows=[[[1, 5, 5, 7]] * 2]
)


def test_shares_of_weight_and_of_signal() -> None:
    found = input_share.measure(MARKED, amount=2)
    assert found["weight_share"] == pytest.approx([1 / 26])
    assert found["signal_share"] == pytest.approx([25 / 50])


def test_inputs_that_are_off() -> None:
    found = input_share.measure(MARKED, amount=2)
    assert found["dropped"] == pytest.approx([1 / 2])
    assert found["kept"] == pytest.approx([1 / 2])
    assert found["zeros"] == pytest.approx([5 / 10])


def test_marked_inputs_are_found_by_their_lesser_weight() -> None:
    # pairs (marked, real): 1 < 25, 1 > 0, 0 < 25, 0 = 0
    assert input_share.measure(MARKED, amount=2)["found"] == pytest.approx([(1 + 0 + 1 + 0.5) / 4])
    apart = stack([[[2.0], [3.0], [1.0]]], [[[1.0]]])
    assert input_share.measure(apart, amount=2)["found"] == [1.0]


def test_a_layer_without_weights_shares_nothing() -> None:
    found = input_share.measure(stack([[[0.0], [0.0]]], [[[0.0]]]), amount=1)
    assert (found["weight_share"], found["signal_share"]) == ([0.0], [0.0])
    assert (found["found"], found["dropped"], found["kept"]) == ([0.5], [1.0], [0.0])


@pytest.mark.parametrize(
    ("a", "b", "agreement", "alone"),
    [
        ([1.0, -2.0], [1.0, -2.0], 1.0, 0.0),
        ([1.0, -2.0], [-1.0, 2.0], -1.0, 0.0),
        ([3.0, 0.0], [0.0, 1.0], 0.0, 1.0),
        ([2.0, 0.0], [0.0, 0.0], 0.0, 1.0),
        ([2.0, 1.0], [1.0, 0.0], 2 * 2 / 6, 1 / 2),
        ([0.0, 0.0], [0.0, 0.0], 0.0, 0.0),
    ],
)
def test_agreement_of_twins(a: list[float], b: list[float], agreement: float, alone: float) -> None:
    found = twins.measure(stack([[a, b]]), amount=1)
    assert found["agreement"] == pytest.approx([agreement])
    assert found["alone"] == pytest.approx([alone])


def test_twins_stand_amount_inputs_apart() -> None:
    found = twins.measure(stack([[[1.0], [2.0], [1.0], [2.0], [9.0]]]), amount=2)
    assert found["agreement"] == pytest.approx([1.0])
