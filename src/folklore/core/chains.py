"""Which nets are chains: their layers follow one another, each an affine map and perhaps a batch norm, an activation and dropout.

Their updates can be made without coming back to Python, see `folklore.core.chain_updates`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

from folklore.core import activations, lookup, norms, optimizers
from folklore.core.affine import in_registers
from folklore.core.blocks import Block
from folklore.core.curves import writes as writes_curve
from folklore.core.machine_code import LANES
from folklore.core.networks import Layout, Parameters, Pass
from folklore.core.steps import Rule
from folklore.core.updates import writes


@dataclass(frozen=True)
class Stage:
    """A layer: the affine map, then perhaps the batch norm at place `norm`, an activation, and dropout at place `dropped`."""

    layer: int
    norm: int | None = None
    activation: str | None = None
    dropped: int | None = None

    @property
    def rectified(self) -> bool:
        """ReLU is part of the maps and norms around it."""
        return self.activation is not None and getattr(activations, self.activation) is activations.relu


def chain_of(layout: Layout, rule: Rule) -> tuple[Stage, ...] | None:
    """The layers of a net whose updates can be made here, else None."""
    if rule.clips or rule.shrinks or rule.frozen or layout.classes > LANES:
        return None
    return _stages(layout) if writes(getattr(optimizers, rule.optimizer)) else None


def fits(stages: tuple[Stage, ...], parameters: Parameters, block: Block) -> bool:
    """Whether a block asks for no more than the compiled calls do."""
    sites = {("input", 0), *(("unit", stage.dropped) for stage in stages)}
    factors = [*block.factors.values(), *block.fixed.values()]
    tensors = [block.x, *factors, *parameters.trained()]
    return {*block.factors, *block.fixed} <= sites and in_registers(*tensors)


class _Traced(Pass):
    """A pass that only remembers in what order the parts of a layer come, if one follows the other."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, Parameters([], [], [], [], []), {}, training=True)
        self.last = object()
        self.stages: list[Stage] = []

    def linear(self, i: int, h: object) -> object:
        self.stages.append(Stage(i))
        return self._behind(h)

    def norm(self, i: int, h: object) -> object:
        if self.layout.norm == "none":
            return h
        if lookup.function(norms, self.layout.norm) is not norms.batch:
            raise TypeError("no batch norm")
        return self._with(h, norm=i)

    def activate(self, h: object) -> object:
        level = getattr(activations, self.layout.activation)
        if level is not activations.relu and not writes_curve(level):
            raise TypeError("an activation that needs tensors")
        return self._with(h, activation=self.layout.activation)

    def drop(self, i: int, h: object) -> object:
        return self._with(h, dropped=i)

    def _with(self, h: object, **part: object) -> object:
        """The last layer with a part more; parts come in the order of a stage's fields."""
        stage, names = self.stages[-1], [field.name for field in fields(Stage)]
        behind = names[names.index(next(iter(part))) :]
        if any(getattr(stage, name) is not None for name in behind):
            raise TypeError("another order of the parts")
        self.stages[-1] = replace(stage, **part)
        return self._behind(h)

    def _behind(self, h: object) -> object:
        if h is not self.last:
            raise TypeError("no chain")
        self.last = object()
        return self.last


@cache
def _stages(layout: Layout) -> tuple[Stage, ...] | None:
    """The layers of a net if it is a chain of them, found by passing a mark through it on which nothing else can be done."""
    traced = _Traced(layout)
    try:
        end = traced.logits(traced.last)
    except (TypeError, AttributeError, IndexError):
        return None
    layers = [stage.layer for stage in traced.stages]
    plain_end = end is traced.last and traced.stages[-1] == Stage(len(layers) - 1)
    return tuple(traced.stages) if plain_end and layers == list(range(len(layout.fans))) else None
