"""What a net does, written down: which parts follow which, found by passing a mark through its model.

The updates of a net all of whose parts are known here are made without coming back to Python, see `folklore.core.traced_updates`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from folklore.core import activations, lookup, optimizers
from folklore.core.affine import in_registers
from folklore.core.blocks import Block
from folklore.core.curves import writes as writes_curve
from folklore.core.machine_code import LANES
from folklore.core.networks import Layout, Parameters, Pass
from folklore.core.steps import Rule
from folklore.core.updates import writes

NORMS = ("none", "batch", "layer")


@dataclass(frozen=True)
class Node:
    """Something done to value `reads`: value 0 is the inputs, value n what the n-th node makes."""

    reads: int


@dataclass(frozen=True)
class Linear(Node):
    layer: int


@dataclass(frozen=True)
class Norm(Node):
    """Batch norm, also of ghosts, or layer norm."""

    place: int
    level: str


@dataclass(frozen=True)
class Activation(Node):
    level: str

    @property
    def rectifies(self) -> bool:
        return getattr(activations, self.level) is activations.relu


@dataclass(frozen=True)
class Drop(Node):
    place: int


@dataclass(frozen=True)
class Positions(Node):
    pass


@dataclass(frozen=True)
class Windows(Node):
    length: int
    stride: int


@dataclass(frozen=True)
class Mean(Node):
    length: int


@dataclass(frozen=True)
class Joined(Node):
    """Value `skip`, of whose `length` positions every `stride`-th is taken, is added."""

    skip: int
    length: int
    stride: int


@dataclass(frozen=True)
class BySteps(Node):
    read: int


@dataclass(frozen=True)
class States(Node):
    """Those of a recurrent layer after each step; its norms are those at `places`, of level "none" if there are none."""

    layer: int
    steps: int
    places: range
    norm: str
    activation: str


@dataclass(frozen=True)
class AtLast(Node):
    steps: int


@dataclass(frozen=True)
class Trace:
    """The nodes of a net in order; the last one makes the logits."""

    nodes: tuple[Node, ...]

    @property
    def numbered(self) -> Iterator[tuple[int, Node]]:
        """Each with the number of the value that it makes."""
        return enumerate(self.nodes, 1)

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """The values that are made of each value."""
        found: dict[int, list[int]] = {value: [] for value in range(len(self.nodes) + 1)}
        for number, node in self.numbered:
            found[node.reads].append(number)
            if isinstance(node, Joined):
                found[node.skip].append(number)
        return found

    @cached_property
    def trained(self) -> frozenset[int]:
        """The values that parameters have a part in: only their slopes are wanted."""
        found: set[int] = set()
        for number, node in self.numbered:
            if isinstance(node, Linear | Norm | States) or node.reads in found:
                found.add(number)
        return frozenset(found)

    @cached_property
    def rectifying(self) -> frozenset[int]:
        """Maps and norms that nothing but a ReLU reads: they rectify what they make themselves."""
        return frozenset(
            node.reads
            for _, node in self.numbered
            if isinstance(node, Activation)
            and node.rectifies
            and len(self.readers[node.reads]) == 1
            and isinstance(self.nodes[node.reads - 1], Linear | Norm)
        )

    @cached_property
    def reading(self) -> int | None:
        """How many inputs a step reads, if the net reads its inputs step by step."""
        return next((node.read for node in self.nodes if isinstance(node, BySteps)), None)

    def masking(self, number: int) -> int | None:
        """On the way back to ReLU `number`: the node whose slopes are made zero already where the ReLU was, if there is one.

        It must be the only one to read what ReLU, or dropout behind it, has made: that is above zero where ReLU was, for factors are 0 or
        above.
        """
        if len(self.readers[number]) != 1:
            return None
        (reader,) = self.readers[number]
        match self.nodes[reader - 1]:
            case Drop():
                return self.masking(reader)
            case Linear() | Windows():
                return reader
        return None

    @cached_property
    def masked(self) -> frozenset[int]:
        """All nodes that are `masking` for a ReLU."""
        relus = (n for n, node in self.numbered if isinstance(node, Activation) and node.rectifies)
        return frozenset(found for n in relus if (found := self.masking(n)) is not None)


def trace_of(layout: Layout, rule: Rule) -> Trace | None:
    """The trace of a net whose updates can be made by it, else None."""
    if rule.frozen or not writes(getattr(optimizers, rule.optimizer)):
        return None
    return trace_of_pass(layout)


@cache
def trace_of_pass(layout: Layout) -> Trace | None:
    """The trace of a net whose passes can be made by it, else None."""
    tracing = _Tracing(layout)
    try:
        end = tracing.logits(_Mark(0))
    except (TypeError, AttributeError, IndexError):
        return None
    trace = Trace(tuple(tracing.nodes))
    layers = sorted(node.layer for node in trace.nodes if isinstance(node, Linear | States))
    places = Counter(node.place for node in trace.nodes if isinstance(node, Norm))
    known = (
        layout.classes <= LANES
        and layers == list(range(len(layout.fans)))
        and max(places.values(), default=1) == 1
        and end.number == len(trace.nodes)
        and isinstance(trace.nodes[-1], Linear)
        # slopes of more than two readers would have to be added in autograd's order
        and all(1 <= len(trace.readers[value]) <= 2 for value in range(end.number))
    )
    return trace if known else None


def fits(trace: Trace, parameters: Parameters, block: Block) -> bool:
    """Whether a block asks for no more than the compiled calls do."""
    sites = {("input", 0), *(("unit", node.place) for node in trace.nodes if isinstance(node, Drop))}
    sites |= {("weight", node.layer) for node in trace.nodes if isinstance(node, Linear)}
    known = {*block.factors, *block.fixed} <= sites
    sources = [block.x, *block.factors.values()]
    tensors = [*block.fixed.values(), *parameters.trained()]
    return known and all(source.in_registers() for source in sources) and in_registers(*tensors)


class _Mark:
    """Stands for a value: nothing else can be done with it."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Tracing(Pass):
    """A pass that only writes down what is done."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, Parameters([], [], [], [], []), {}, training=True)
        self.nodes: list[Node] = []

    def linear(self, i: int, h: _Mark) -> _Mark:
        return self._made(Linear(h.number, i))

    def norm(self, i: int, h: _Mark) -> _Mark:
        level = self._known_norm("ghost")
        return h if level == "none" else self._made(Norm(h.number, i, level))

    def activate(self, h: _Mark) -> _Mark:
        return self._made(Activation(h.number, self._known_activation()))

    def drop(self, i: int, h: _Mark) -> _Mark:
        return self._made(Drop(h.number, i))

    def positions(self, x: _Mark) -> _Mark:
        return self._made(Positions(x.number))

    def windows(self, h: _Mark, length: int, stride: int) -> _Mark:
        return self._made(Windows(h.number, length, stride))

    def mean(self, h: _Mark, length: int) -> _Mark:
        return self._made(Mean(h.number, length))

    def joined(self, h: _Mark, skip: _Mark, length: int = 1, stride: int = 1) -> _Mark:
        return self._made(Joined(h.number, skip.number, length, stride))

    def by_step(self, x: _Mark, read: int) -> _Mark:
        return self._made(BySteps(x.number, read))

    def states(self, i: int, read: _Mark, steps: int, places: range) -> _Mark:
        return self._made(States(read.number, i, steps, places, self._known_norm(), self._known_activation()))

    def at_last(self, h: _Mark, steps: int) -> _Mark:
        return self._made(AtLast(h.number, steps))

    def _known_norm(self, *others: str) -> str:
        name, _ = lookup.split(self.layout.norm)
        if name not in (*NORMS, *others):
            raise TypeError("a norm that needs tensors")
        return self.layout.norm

    def _known_activation(self) -> str:
        level = getattr(activations, self.layout.activation)
        if not (level is activations.relu or writes_curve(level) or _takes_the_larger(self.layout)):
            raise TypeError("an activation that needs tensors")
        return self.layout.activation

    def _made(self, node: Node) -> _Mark:
        self.nodes.append(node)
        return _Mark(len(self.nodes))


def _takes_the_larger(layout: Layout) -> bool:
    return getattr(activations, layout.activation) is activations.maxout and layout.pieces == 2
