"""Convolutional and residual nets against torch.nn, the windows that make a convolution a product, and dropout of whole channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from folklore import levels
from folklore.core import activations, lookup, masks
from folklore.core.batches import Batches
from folklore.core.draws import Draws
from folklore.core.models._convolution import stride
from folklore.core.networks import Anatomy, Layout, Parameters, Pass, forward, initial
from folklore.core.training import train
from folklore.grid import Run
from plain_nets import BASE, CLASSES, CPU, DATA, INPUTS, blobs, close, in_double
from test_core_promises import bits

MODELS = ("residual", "cnn", "residual_cnn")
POSITIONS = {  # of the hidden layers, from 40 inputs
    1: (20,),
    3: (20, 10, 10),
    9: (20, 10, 10, 10, 10, 5, 5, 5, 5),
    33: (20, *[10] * 16, *[5] * 16),
}


class TorchNet(nn.Module):
    """The same net of nn.Conv1d or nn.Linear, nn.BatchNorm1d and ReLU, with the weights of run r."""

    def __init__(self, layout: Layout, parameters: Parameters, r: int) -> None:
        super().__init__()
        self.convolves, self.skips = "cnn" in layout.model, "residual" in layout.model
        hidden = list(zip(layout.fans, parameters.weights, strict=True))[:-1]
        self.layers = nn.ModuleList(
            nn.Conv1d(a // 3, b, 3, stride=stride(layout.depth, i), padding=1)
            if self.convolves
            else nn.Linear(a, b)
            for i, ((a, b), _) in enumerate(hidden)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(b) if layout.norm == "batch" else nn.Identity() for (_, b), _ in hidden
        )
        self.last = nn.Linear(*layout.fans[-1])
        for layer, weight in zip([*self.layers, self.last], parameters.weights, strict=True):
            layer.weight.data = as_torch(weight[r], layer).to(weight.dtype)
            layer.bias.data.zero_()

    def forward(self, x: Tensor, factors: dict[int, Tensor]) -> Tensor:
        h, skip = x[:, None] if self.convolves else x, None
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            z = norm(layer(h))
            if self.skips and i % 2:
                skip = h
            elif skip is not None:
                z = z + skip[..., :: -(-skip.shape[-1] // z.shape[-1])]
            h = z.relu() * factors.get(i, 1.0)
        return self.last(h.mean(dim=2) if self.convolves else h)


def as_torch(weight: Tensor, layer: nn.Module) -> Tensor:
    """Of a product, (windows x channels, out), to that of a layer of torch."""
    if isinstance(layer, nn.Linear):
        return weight.T.clone()
    return weight.T.unflatten(1, (3, -1)).transpose(1, 2).clone()


def layout_of(run: Run, inputs: int = INPUTS) -> Layout:
    return Layout(inputs, CLASSES, run.depth, run.width, run.activation, run.norm, run.model)


def batches_of(run: Run) -> Iterator[tuple[Tensor, Tensor, dict[int, Tensor]]]:
    """Inputs, labels and factors of dropout as torch has them, of every update of a run."""
    pool = torch.from_numpy(DATA.pool_x), torch.from_numpy(DATA.pool_y)
    batches = Batches(*pool, [run.seed], run.n_train, run.batch_size)
    draws, anatomy = Draws([run.seed], [run.dropout], CPU), layout_of(run).anatomy
    for t in range(run.updates):
        x, y = batches.block(t, 1)
        sites = lookup.function(masks, run.mask)(draws.at(t, 1), run.batch_size, anatomy)
        factors = {i: f.tensor[0, 0] for (_, i), f in sites.items() if f is not None}
        if "cnn" in run.model:
            factors = {i: f.unflatten(0, (run.batch_size, -1)).mT for i, f in factors.items()}
        yield x.tensor[0, 0], y[0, 0], factors


@pytest.mark.parametrize("mask", ["units", "channels"])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("depth", [2, 7])
@pytest.mark.parametrize("model", MODELS)
def test_training_equals_the_torch_net(model: str, depth: int, norm: str, mask: str) -> None:
    """Every loss of 40 updates with momentum and dropout, and the test loss after them; float32, as users run it."""
    run = replace(BASE, model=model, depth=depth, norm=norm, mask=mask, dropout=0.25, optimizer="momentum")
    run = replace(run, lr=0.01, seed=3)
    (result,) = train([run], DATA)
    net = TorchNet(layout_of(run), initial(layout_of(run), [run.init], [run.seed], CPU), 0)
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=run.lr, momentum=0.9), []
    for x, y, factors in batches_of(run):
        loss = nn.functional.cross_entropy(net(x, factors), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    close(result["loss_curve"], losses, 3e-4)
    logits = net.eval()(torch.from_numpy(DATA.test_x), {})
    close(
        result["test_loss"], nn.functional.cross_entropy(logits, torch.from_numpy(DATA.test_y)).item(), 1e-3
    )


@pytest.mark.parametrize("depth", [1, 2, 9])
@pytest.mark.parametrize("inputs", [40, 11])
@pytest.mark.parametrize("model", MODELS)
def test_logits_equal_those_of_the_torch_net(model: str, inputs: int, depth: int) -> None:
    """In double precision, for run 1 of 2, with the batch's own moments, also where the positions are odd."""
    layout = Layout(inputs, CLASSES, depth, 8, "relu", "batch", model)
    parameters = in_double(initial(layout, ["he_normal"] * 2, [1, 2], CPU))
    x = torch.randn(2, 6, inputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = TorchNet(layout, parameters, 1).double()
    close(forward(layout, parameters, x, training=True)[1], net(x[1], {}), 1e-10)


@pytest.mark.parametrize("model", ["cnn", "residual_cnn"])
def test_positions_are_halved_where_they_should_be(model: str) -> None:
    for depth, positions in POSITIONS.items():
        layout = Layout(40, CLASSES, depth, 8, "relu", "batch", model)
        assert layout.anatomy.dropped == tuple((places, 8) for places in positions)


@pytest.mark.parametrize("model", MODELS)
def test_a_run_of_real_size_is_the_same_alone_and_in_company(model: str) -> None:
    """Other sizes of a product may take another routine; these are those of the studies."""
    x, y = blobs(128, 1)
    wide = {f"{split}_x": x.repeat(4, axis=1)[:, :40] for split in ("pool", "val", "test")}
    labels = {f"{split}_y": y for split in ("pool", "val", "test")}
    data = type(DATA)(classes=CLASSES, **wide, **labels)
    base = Run(model=model, depth=9, width=16, norm="batch", optimizer="momentum", n_train=96, updates=4)
    runs = [replace(base, lr=0.02, seed=seed) for seed in range(6)]
    together = train(runs, data)
    for run, result in zip(runs[:2], together, strict=False):
        assert bits(train([run], data)[0]) == bits(result)


def test_a_block_of_zeros_hands_on_what_it_got() -> None:
    """With the weights of all blocks 0 a residual net of 9 layers is its first and its last layer."""
    deep, flat = (
        Layout(INPUTS, CLASSES, depth, 8, "relu", "none", model)
        for depth, model in ((9, "residual"), (1, "mlp"))
    )
    parameters = initial(deep, ["he_normal"], [1], CPU)
    for weight in parameters.weights[1:-1]:
        weight.zero_()
    ends = replace(parameters, weights=[parameters.weights[0], parameters.weights[-1]])
    ends = replace(ends, biases=[parameters.biases[0], parameters.biases[-1]])
    x = torch.randn(1, 5, INPUTS, generator=torch.Generator().manual_seed(0))
    assert torch.equal(forward(deep, parameters, x), forward(flat, ends, x))


@pytest.mark.parametrize("model", ["residual", "residual_cnn"])
def test_every_piece_of_a_maxout_unit_gets_the_skip(model: str) -> None:
    """The larger of a + s and b + s is s more than the larger of a and b."""
    layout = Layout(INPUTS, CLASSES, 3, 4, "maxout", "none", model)
    net = Pass(layout, initial(layout, ["he_normal"], [1], CPU), {}, training=True)
    draw = torch.Generator().manual_seed(0)
    h, skip = torch.randn(1, 6, 8, generator=draw), torch.randn(1, 6, 4, generator=draw)
    joined = net.joined(h, skip)
    close(activations.maxout(joined), activations.maxout(h) + skip, 1e-6)
    assert net.logits(torch.zeros(1, 3, INPUTS)).shape == (1, 3, CLASSES)


# --- dropout of channels ----------------------------------------------------------------------------------------------


def channels(rates: list[float], seeds: list[int], steps: int = 30) -> Tensor:
    """Factors (S, R, B, positions, C) of 8 rows at 5 positions of 12 channels."""
    draws = Draws(seeds, rates, CPU).at(0, steps)
    return masks.channels(draws, 8, Anatomy((), (), ((5, 12),)))["unit", 0].tensor.unflatten(2, (8, 5))


def test_a_channel_is_dropped_at_all_positions_or_at_none() -> None:
    keep = channels([0.25], [1])
    assert (keep == keep[:, :, :, :1]).all()
    assert keep.unique().tolist() == pytest.approx([0, 4 / 3])
    drawn = keep[:, :, :, 0]
    assert abs((drawn == 0).double().mean().item() - 0.25) < 5 * (0.25 * 0.75 / drawn.numel()) ** 0.5
    for axis in (0, 2, 3):  # other updates, rows and channels have other draws
        assert not torch.equal(drawn, drawn.roll(1, axis))


def test_channels_do_not_depend_on_the_neighbour() -> None:
    assert torch.equal(channels([0.5], [3])[:, 0], channels([0.1, 0.5], [2, 3])[:, 1])
    assert (channels([0.0, 0.5], [2, 3])[:, 0] == 1).all()


def test_without_positions_a_channel_is_a_unit() -> None:
    draws, anatomy = Draws([1], [0.5], CPU).at(3, 2), Anatomy((), (), ((1, 7),))
    assert torch.equal(
        *(level(draws, 4, anatomy)["unit", 0].tensor for level in (masks.units, masks.channels))
    )


def test_the_models_are_those_tested_here() -> None:
    assert set(MODELS) <= set(levels.names("model"))
