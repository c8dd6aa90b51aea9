"""Updates of a traced net by one compiled list of calls.

A run makes all updates of a block before the next run makes any: its weights stay in the cache from one update to the next, what is between
its layers never leaves it, and Python is called once a block. What is computed is what `folklore.core.steps` computes, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from folklore.core.blocks import Block, Site
from folklore.core.calls import Calls, of_update
from folklore.core.learning import Learning, numbers
from folklore.core.networks import Parameters
from folklore.core.recurrence import going
from folklore.core.softmax import cross_entropy_part
from folklore.core.sources import Given, Source
from folklore.core.steps import Hyper, Rule, State
from folklore.core.traced_passes import TracedPass
from folklore.core.traces import Trace


def make_updates(
    trace: Trace, rule: Rule, parameters: Parameters, state: State, hyper: Hyper, block: Block
) -> list[Tensor]:
    """All updates of a block that `fits`; the losses (R,) before each of them, NaN where a run has diverged before the block."""
    x, factors, calls = block.x, _factors(block), Calls()
    if (factor := factors.get(("input", 0))) is not None:
        x = Given(x.tensor * factor.tensor)
    y, losses = block.y.long().contiguous(), torch.full((len(block), x.shape[1]), torch.nan)
    # these must live until the calls are made, as x, y, factors and losses do: the calls know addresses only
    own = numbers(rule, hyper, block)
    learning = Learning(calls, rule, parameters, state, own)
    steps = {} if trace.reading is None else steps_of(trace, x.tensor)
    written = TracedPass(
        trace,
        parameters,
        calls,
        learning=learning,
        factors={site: factor.written(calls) for site, factor in factors.items() if site != ("input", 0)},
        **{name: of_update(tensor) for name, tensor in steps.items()},
    )
    logits = written.forward(x.written(calls))
    labels, loss = of_update(y.unsqueeze(3)).spot, of_update(losses[..., None, None]).spot
    calls.add(cross_entropy_part(), logits.height, logits.width, logits, labels, loss)
    written.backward(logits)
    learning.finish()
    calls.make(runs=_going(parameters), updates=len(block))
    return list(losses)


def _going(parameters: Parameters) -> list[int]:
    """The numbers of the runs that have not diverged. Where all biases of the outputs are NaN all losses will be, and nothing needs to be done."""
    diverged = parameters.biases[-1].isnan().flatten(1).all(dim=1)
    return torch.nonzero(~diverged).flatten().tolist()


def steps_of(trace: Trace, x: Tensor) -> dict[str, Tensor]:
    """What a `TracedPass` is to know of a net that reads x (S, R, B, F) step by step: `goes_on` (S, R, T, B), if any row waits, `reached`."""
    if trace.reading is None:
        return {}
    there = going(x, trace.reading)
    found = {"reached": there.any(dim=3, keepdim=True).to(x)}
    return found if bool(there.all()) else found | {"goes_on": there.to(x)}


def _factors(block: Block) -> dict[Site, Source]:
    fixed = {site: Given(f.contiguous().expand(len(block), *f.shape)) for site, f in block.fixed.items()}
    return fixed | block.factors
