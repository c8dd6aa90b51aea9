"""If its inputs are positive, all gradients of a neuron's weights share one sign

The sigmoid gives only positive values, so the neurons of the next layer receive only positive inputs. The
lecture concludes that the gradients by the weights of such a neuron are positive, too, that all its weights
therefore move in one direction, and that training has to zigzag towards a goal for which some must rise
while others fall. It is the usual argument for centred activations such as tanh.

For one sample the gradient by a weight is the error signal of the neuron times the input of that weight.
Positive inputs leave its sign to the error signal, which all weights of the neuron share: they do move
together. But the common sign is not always positive, or weights could only ever fall. And a minibatch adds
such products over its samples. Where the error signals of the samples differ in sign, the sum may have any
sign, weight by weight.

We built nets with two hidden layers in double precision, took the gradient of the loss by the second weight
matrix on random inputs, and counted neurons whose incoming gradients all share a sign, by batch size, for the
sigmoid, ReLU and tanh. A batch splits the two activations that are not centred: ReLU's outputs vary from sample
to sample as much as they are large, and hardly a neuron keeps one sign; a sigmoid's stay close to one half, so
that the sum of the error signals decides for all weights of many neurons, in batches of any size. What the lecture
warns of is a matter of degree, and the mean of the inputs compared with their spread is what counts.

The rule holds if not a single neuron breaks it: its gradients must be positive, as the slide says, and share
a sign for one sample as well as for a minibatch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from folklore.claims._exact import check, relative_error, slope
from folklore.claims.base import Claim, Criterion, Formula

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from folklore.stats.findings import Check, Finding, Table

    Net = dict[str, torch.Tensor]

CLAIM = Claim(
    kind="E",
    family="activations",
    lectures=(2,),
    paper="LeCun, Bottou, Orr & Mueller 1998, Efficient BackProp, section 4.3",
    reported="for one pattern with positive inputs the weights of a node can only rise together or fall "
    "together; hence inputs and activations with a mean near zero",
    limits="Signs at initialisation, on synthetic data; it does not say whether training is slower for it, which "
    "is a claim of its own. A share below one is still a tendency: see how far it falls.",
    headline=False,
    formulas=(
        Formula(
            "printed",
            "o_i = sigma(h_i) > 0 quad arrow.r.double quad frac(partial L, partial w_(i j)) > 0",
            "the lecture's words in symbols: the sigmoid's outputs are positive, and therefore so are the gradients by the "
            "weights that read them",
        ),
        Formula(
            "right",
            "frac(partial L, partial w_(i j)) = delta_j o_i",
            "for one sample the gradient by a weight is the error signal of its neuron times the input, and has the sign of "
            "that signal",
        ),
        Formula(
            "right",
            "frac(partial L, partial w_(i j)) = sum_(k=1)^m delta_j^((k)) o_i^((k))",
            "for a batch the gradient is the sum over its m samples of error signal times input, and may have any sign",
        ),
    ),
)
DESIGN = None
CRITERION = Criterion(
    text="In float64, no neuron of the second hidden layer of 8 sigmoid nets may have an incoming gradient "
    "that is not positive, or of another sign than the others, for one sample and for 64: the share of "
    "such neurons is below 1e-6.",
    metric="share of neurons, or relative error",
    unit="",
    delta=0.0,
    settings={"tolerance": 1e-6, "nets": 8, "width": 100, "inputs": 40, "classes": 10, "batch": 64},
)
ACTIVATIONS = {"sigmoid": "sigmoid", "relu": "ReLU", "tanh": "tanh"}
BATCHES = (1, 2, 4, 8, 16, 32, 64, 256)
SMALL = {"nets": 1, "width": 5, "inputs": 4, "classes": 3}


def judge(runs: None, criterion: Criterion) -> Finding:
    """Signs for one sample and for many, and the two reasons for what is found."""
    from folklore.stats.findings import Finding

    tolerance, many = criterion.settings["tolerance"], int(criterion.settings["batch"])
    one, batch = _net("sigmoid", 1, criterion.settings), _net("sigmoid", many, criterion.settings)
    single, summed = _gradients(one), _gradients(batch)
    product = one["h"].transpose(1, 2) @ single["signal"]
    alike = {**batch, "labels": batch["labels"] * 0}
    found = [
        ("all gradients positive, one sample", 1 - _share(_positive(single["w2"])), "printed"),
        ("one sign, one sample", 1 - _share(_one_signed(single["w2"])), "printed"),
        (f"all gradients positive, batch of {many}", 1 - _share(_positive(summed["w2"])), "printed"),
        (f"one sign, batch of {many}", 1 - _share(_one_signed(summed["w2"])), "printed"),
        ("one sample: error signal times input", relative_error(product, single["w2"]), "right"),
        (
            f"one sign, batch of {many}, signals alike",
            1 - _share(_one_signed(_gradients(alike)["w3"])),
            "right",
        ),
        ("finite differences agree with autograd", _finite_differences(), "derived"),
    ]
    checks = tuple(check(name, error, tolerance, form) for name, error, form in found)
    table = _by_batch(criterion)
    return Finding(checks=checks, tables=(table,), notes=_notes(checks, table))


def plot(runs: None, finding: Finding) -> tuple[Figure, str]:
    """Signs of the gradients of one net for one sample and for 64, and the share of one-signed neurons by batch size."""
    from folklore.figures import style

    style.apply()
    many = int(CRITERION.settings["batch"])
    fig, (left, middle, right) = style.new(7.0, ncols=3, width_ratios=(1, 1, 1.5))
    _signs(left, 1)
    _signs(middle, many)
    middle.set_ylabel("")
    batches, *shares = zip(*finding.tables[0].rows, strict=True)
    for name, share, look in zip(ACTIVATIONS.values(), shares, ("o-", "s--", "^:"), strict=True):
        right.plot(batches, [100 * value for value in share], look, label=name)
    right.set(xscale="log", xlabel="samples in the batch", ylabel="neurons of one sign (%)", ylim=(-5, 105))
    right.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
    right.set_xticks([], minor=True)
    right.legend(loc="center right", bbox_to_anchor=(1, 0.38))
    return fig, _alt(finding, many)


def _signs(ax: Axes, batch: int) -> None:
    """Signs of the gradients into 30 neurons of the first net: white positive, dark negative."""
    shown = _gradients(_net("sigmoid", batch, CRITERION.settings))["w2"][0, :60, :30].numpy() > 0
    ax.imshow(shown, cmap="gray", vmin=-0.6, vmax=1, aspect="auto", interpolation="nearest")
    ax.grid(visible=False)
    ax.set(xlabel="neuron", ylabel="input", xticks=[0, 10, 20], yticks=[0, 20, 40])
    ax.set_title("one sample" if batch == 1 else f"batch of {batch}")


def _alt(finding: Finding, many: int) -> str:
    shares = {row[0]: row[1:] for row in finding.tables[0].rows}
    said = [
        f"{name} {shares[1][i]:.0%} for one sample, {shares[many][i]:.0%} for {many}"
        for i, name in enumerate(ACTIVATIONS.values())
    ]
    return (
        "Left and middle: signs of the gradients of a sigmoid net's second weight matrix, inputs downwards and "
        f"neurons across. For one sample every column has one colour, for {many} many columns are mixed. Right: "
        f"neurons whose incoming gradients all share a sign, by batch size: {'; '.join(said)}."
    )


def _notes(checks: tuple[Check, ...], table: Table) -> tuple[str, ...]:
    shares, many = {row[0]: row[1:] for row in table.rows}, int(CRITERION.settings["batch"])
    return (
        f"For one sample all sigmoid neurons have gradients of one sign, but for {checks[0].error:.0%} of them it "
        f"is not the positive one. In a batch of {many} the gradients of {checks[3].error:.0%} of the sigmoid "
        f"neurons and of {1 - shares[many][1]:.0%} of the ReLU neurons differ in sign.",
    )


def _net(activation: str, batch: int, sizes: dict[str, float]) -> Net:
    """A stack of nets on data of linear teachers, its first hidden layer's output h, and its function; always the same for one size."""
    import numpy as np
    import torch

    from folklore.core import activations, initializers

    nets, width, inputs, classes = (int(sizes[name]) for name in ("nets", "width", "inputs", "classes"))
    rng = np.random.default_rng([nets, width, batch])
    fans = ((inputs, width), (width, width), (width, classes))
    drawn = [np.stack([initializers.glorot_uniform(rng, *fan) for _ in range(nets)]) for fan in fans]
    w1, w2, w3 = (torch.from_numpy(weights) for weights in drawn)
    x = torch.from_numpy(rng.standard_normal((nets, batch, inputs)))
    labels = (x @ torch.from_numpy(rng.standard_normal((nets, inputs, classes)))).argmax(dim=2)
    f = getattr(activations, activation)
    return {"h": f(x @ w1), "w2": w2, "w3": w3, "labels": labels, "f": f}


def _loss(net: Net, a: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, added over nets, from the pre-activations a of the second hidden layer."""
    from folklore.core import losses

    return losses.cross_entropy(net["f"](a) @ net["w3"], net["labels"]).sum()


def _gradients(net: Net) -> Net:
    """Gradients of the loss by both upper weight matrices, and by the pre-activations between them (the error signals)."""
    import torch

    leaves = {name: net[name].clone().requires_grad_() for name in ("w2", "w3")}
    a = net["h"] @ leaves["w2"]
    found = torch.autograd.grad(_loss({**net, **leaves}, a), [leaves["w2"], leaves["w3"], a])
    return dict(zip(("w2", "w3", "signal"), found, strict=True))


def _finite_differences() -> float:
    """Of a small net with three samples."""
    net = _net("sigmoid", 3, SMALL)
    return relative_error(slope(lambda: _loss(net, net["h"] @ net["w2"]), net["w2"]), _gradients(net)["w2"])


def _positive(gradients: torch.Tensor) -> torch.Tensor:
    """Per net and neuron: are all incoming gradients positive?"""
    return (gradients > 0).all(dim=1)


def _one_signed(gradients: torch.Tensor) -> torch.Tensor:
    """The same for one sign; zeros go with either, neurons that get no gradient at all are left out."""
    alike = (gradients >= 0).all(dim=1) | (gradients <= 0).all(dim=1)
    return alike[(gradients != 0).any(dim=1)]


def _share(outcomes: torch.Tensor) -> float:
    return float(outcomes.double().mean())


def _by_batch(criterion: Criterion) -> Table:
    from folklore.stats.findings import Table

    rows = []
    for batch in BATCHES:
        nets = [_net(activation, batch, criterion.settings) for activation in ACTIVATIONS]
        rows.append((batch, *(_share(_one_signed(_gradients(net)["w2"])) for net in nets)))
    caption = "Share of neurons whose incoming gradients all have the same sign, by the number of samples."
    return Table(caption, ("samples", *ACTIVATIONS.values()), tuple(rows))
