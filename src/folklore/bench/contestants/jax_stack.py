"""JAX, stacked as Folklore stacks: `vmap` over networks inside a `scan` over updates, compiled as one program.

The data lie in the program; the orders of the rows are drawn by numpy, an update of every network at a time.
"""

from __future__ import annotations

import os
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from folklore.bench.clocks import Updates
from folklore.bench.nets import ROWS, widths
from folklore.grid import Run

REQUIRES = "jax"
TOGETHER = 20  # updates of one call
DECAY, EPSILON = 0.1, 1e-5  # of batch normalisation's moving averages, and beside its variance
Net = dict[str, Any]


def clock(run: Run, data: SimpleNamespace, width: int) -> Updates:
    # one thread, as everyone
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    import jax

    train, nets, rng = trainer(run, data), initial(run, width), np.random.default_rng(0)

    def measure(updates: int) -> float:
        nonlocal nets
        calls, start = -(-updates // TOGETHER), time.process_time()
        for _ in range(calls):
            nets, losses = train(nets, orders(rng, run, width))
        jax.block_until_ready(losses)
        return (time.process_time() - start) / (calls * TOGETHER * width) * 1e6

    return measure


def orders(rng: np.random.Generator, run: Run, width: int) -> np.ndarray:
    """Rows (TOGETHER, width, batch) of the next updates: as many shuffled orders as these need."""
    needed = TOGETHER * run.batch_size
    drawn = np.tile(np.arange(ROWS, dtype=np.int32), (width, -(-needed // ROWS), 1))
    shuffled = rng.permuted(drawn, axis=2).reshape(width, -1)[:, :needed]
    return shuffled.reshape(width, TOGETHER, run.batch_size).swapaxes(0, 1)


def initial(run: Run, width: int) -> Net:
    """Parameters, their velocities and moving averages, each with a leading axis of networks."""
    rng, fans = np.random.default_rng(1), list(pairwise(widths(run)))
    weights = [
        rng.standard_normal((width, a, b), dtype=np.float32) * np.float32(np.sqrt(2 / a)) for a, b in fans
    ]
    trained = {"weights": weights, "biases": [np.zeros((width, b), np.float32) for _, b in fans]}
    running = []
    if run.norm == "batch":
        hidden = [b for _, b in fans[:-1]]
        trained["gains"] = [np.ones((width, b), np.float32) for b in hidden]
        trained["shifts"] = [np.zeros((width, b), np.float32) for b in hidden]
        running = [(np.zeros((width, b), np.float32), np.ones((width, b), np.float32)) for b in hidden]
    velocity = {name: [np.zeros_like(part) for part in parts] for name, parts in trained.items()}
    return {
        "trained": trained,
        "velocity": velocity if run.optimizer == "momentum" else {},
        "running": running,
    }


def trainer(run: Run, data: SimpleNamespace) -> Any:
    """A compiled function of nets and orders (U, R, B): nets after U updates, and their losses (U, R)."""
    import jax
    from jax import numpy as jnp

    x, y = jnp.asarray(data.pool_x), jnp.asarray(data.pool_y)

    def loss_of(trained: Net, rows: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        h, moments = x[rows], []
        layers = list(zip(trained["weights"], trained["biases"], strict=True))
        for i, (weights, bias) in enumerate(layers[:-1]):
            h = h @ weights + bias
            if run.norm == "batch":
                mean, variance = h.mean(0), h.var(0)
                moments.append((mean, variance * (run.batch_size / (run.batch_size - 1))))
                h = (h - mean) * jax.lax.rsqrt(variance + EPSILON) * trained["gains"][i] + trained["shifts"][
                    i
                ]
            h = jax.nn.relu(h)
        weights, bias = layers[-1]
        scores = jax.nn.log_softmax(h @ weights + bias)
        return -jnp.take_along_axis(scores, y[rows][:, None], axis=1).mean(), moments

    def update(net: Net, rows: Any) -> tuple[Net, Any]:
        (loss, moments), grads = jax.value_and_grad(loss_of, has_aux=True)(net["trained"], rows)
        velocity = net["velocity"]
        if velocity:
            grads = velocity = jax.tree.map(lambda v, g: run.momentum * v + g, velocity, grads)
        trained = jax.tree.map(lambda w, g: w - run.lr * g, net["trained"], grads)
        running = jax.tree.map(lambda old, new: old + DECAY * (new - old), net["running"], moments)
        return {"trained": trained, "velocity": velocity, "running": running}, loss

    return jax.jit(lambda nets, rows: jax.lax.scan(jax.vmap(update), nets, rows), donate_argnums=0)
