"""D-optimal fractions of a factorial whose cells come in groups that share a compute graph.

A cell is a dict factor -> level. A *graph cell* is its restriction to the factors that change the compute
graph, a *numeric combination* the restriction to the others. The model is intercept, main effects and all
two-way interactions.

Axes: n cells, p parameters, G graph cells of the complete crossing, K numeric combinations, k cells of one
block.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

Cell = dict[str, Any]
Factors = Mapping[str, Sequence[Any]]

RIDGE = 1e-3  # makes a start invertible whose cells do not estimate everything yet
GAIN = 1e-6  # smallest relative gain of the determinant that counts as an improvement
MAX_SWEEPS = 60


def terms(factors: Factors, *, pairs: bool = True) -> list[tuple[str, ...]]:
    """Main effects, then the two-way interactions, in the order of the factors."""
    return [(name,) for name in factors] + (list(combinations(factors, 2)) if pairs else [])


def contrasts(n_levels: int) -> np.ndarray:
    """Sum-to-zero coding, (levels, levels - 1): identity above a row of -1."""
    return np.vstack([np.eye(n_levels - 1), -np.ones(n_levels - 1)])


def term_columns(codes: Mapping[str, np.ndarray], factors: Factors, term: tuple[str, ...]) -> np.ndarray:
    """Columns of one term, (n, degrees of freedom), from the level numbers (n,) of every factor."""
    columns = np.ones((len(next(iter(codes.values()))), 1))
    for name in term:
        coded = contrasts(len(factors[name]))[codes[name]]
        columns = (columns[:, :, None] * coded[:, None, :]).reshape(len(columns), -1)
    return columns


def encode(cells: Sequence[Mapping[str, Any]], factors: Factors) -> dict[str, np.ndarray]:
    """Level numbers, factor -> (n,). Raises ValueError for a level that the factors do not have."""
    try:
        return {f: np.array([list(levels).index(cell[f]) for cell in cells]) for f, levels in factors.items()}
    except (KeyError, ValueError) as error:
        raise ValueError(f"a cell does not fit the factors: {error}") from error


def model_matrix(cells: Sequence[Mapping[str, Any]], factors: Factors, *, pairs: bool = True) -> np.ndarray:
    """Design matrix (n, p): intercept, main effects and, with `pairs`, two-way interactions."""
    return _matrix(encode(cells, factors), factors, pairs=pairs)


def _matrix(codes: Mapping[str, np.ndarray], factors: Factors, *, pairs: bool = True) -> np.ndarray:
    columns = [term_columns(codes, factors, term) for term in terms(factors, pairs=pairs)]
    return np.hstack([np.ones((len(columns[0]), 1)), *columns])


def sort_cells(cells: Sequence[Cell], factors: Factors, graph_factors: Sequence[str]) -> list[Cell]:
    """By graph cell, then numeric combination, in the order of the levels."""
    order = [*graph_factors, *(f for f in factors if f not in graph_factors)]
    place = {f: {level: i for i, level in enumerate(factors[f])} for f in factors}
    return sorted(cells, key=lambda cell: [place[f][cell[f]] for f in order])


# ---------------------------------------------------------------------------------------------- diagnosis


def rank(x: np.ndarray) -> int:
    """Rank of a design matrix (n, p), from X'X: its columns are small integers, which forgives the squaring."""
    values = np.linalg.eigvalsh(x.T @ x)
    return int((values > 1e-10 * values[-1]).sum())


def max_vif(x: np.ndarray) -> float:
    """Largest variance inflation of the columns of `x` (n, p), the first of which is the intercept.

    inf if they are dependent. With sum-to-zero coding even the complete crossing of two factors with k and l
    levels has 4 (k - 1) (l - 1) / (k l).
    """
    if rank(x) < x.shape[1]:
        return math.inf
    spread = ((x - x.mean(axis=0)) ** 2).sum(axis=0)
    return float((np.diag(np.linalg.inv(x.T @ x)) * spread)[1:].max(initial=1.0))


def crossing_log_det(factors: Factors) -> float:
    """log det of the information of one cell in the complete crossing, where terms are orthogonal."""
    size = {f: len(levels) for f, levels in factors.items()}
    log_det = {f: np.linalg.slogdet(contrasts(k).T @ contrasts(k) / k)[1] for f, k in size.items()}
    main = sum(log_det.values())
    pairs = sum((size[b] - 1) * log_det[a] + (size[a] - 1) * log_det[b] for a, b in combinations(factors, 2))
    return float(main + pairs)


def diagnose(cells: Sequence[Mapping[str, Any]], factors: Factors) -> dict[str, Any]:
    """Rank, parameters, max_vif, counts (factor -> level -> cells), imbalance, log_det, d_efficiency.

    `imbalance` is the largest relative distance of a one-way count from the balanced one. `d_efficiency`
    compares the information per cell and parameter with that of the complete crossing, which has 1.
    """
    x = model_matrix(cells, factors)
    sign, log_det = np.linalg.slogdet(x.T @ x)
    found = rank(x)
    log_det = float(log_det) if sign > 0 and found == x.shape[1] else -math.inf
    per_cell = log_det - x.shape[1] * math.log(len(x)) - crossing_log_det(factors)
    return {
        "cells": len(x),
        "parameters": x.shape[1],
        "rank": found,
        "max_vif": max_vif(x),
        "counts": counts(cells, factors),
        "imbalance": imbalance(cells, factors),
        "log_det": log_det,
        "d_efficiency": math.exp(per_cell / x.shape[1]),
    }


def counts(cells: Sequence[Mapping[str, Any]], factors: Factors) -> dict[str, dict[Any, int]]:
    """Cells of every level, factor -> level -> count."""
    tally = {f: Counter(cell[f] for cell in cells) for f in factors}
    return {f: {level: tally[f][level] for level in levels} for f, levels in factors.items()}


def imbalance(cells: Sequence[Mapping[str, Any]], factors: Factors) -> float:
    """Largest |count - balanced| / balanced over all levels."""
    tally = counts(cells, factors)
    return max(abs(c * len(factors[f]) / len(cells) - 1) for f in factors for c in tally[f].values())


# ---------------------------------------------------------------------------------------------- exchange


@dataclass
class _Candidates:
    """The complete crossing, seen as graph cells x numeric combinations."""

    factors: Factors
    graph: list[Cell]  # G
    numeric: list[Cell]  # K
    x_GKp: np.ndarray

    @classmethod
    def build(cls, factors: Factors, graph_factors: Sequence[str]) -> _Candidates:
        graph = _crossing(factors, graph_factors)
        numeric = _crossing(factors, [f for f in factors if f not in graph_factors])
        x = model_matrix([g | n for g in graph for n in numeric], factors)
        return cls(factors, graph, numeric, x.reshape(len(graph), len(numeric), -1))

    def cell(self, g: int, k: int) -> Cell:
        merged = self.graph[g] | self.numeric[k]
        return {f: merged[f] for f in self.factors}

    def locate(self, cell: Mapping[str, Any]) -> tuple[int, int]:
        graph = {f: cell[f] for f in self.graph[0]}
        numeric = {f: cell[f] for f in self.numeric[0]}
        return self.graph.index(graph), self.numeric.index(numeric)


def _crossing(factors: Factors, names: Sequence[str]) -> list[Cell]:
    return [dict(zip(names, levels, strict=True)) for levels in product(*(factors[f] for f in names))]


class _Exchange:
    """Local search over blocks (a graph cell with k numeric combinations), beside `fixed` rows that stay.

    State: graph_B, numeric_Bk and the inverse information, kept by rank-one updates.
    Sources: Fedorov (1972), exchange of rows; Cook and Nachtsheim (1989), of rows in blocks.
    """

    def __init__(self, candidates: _Candidates, allowed_GK: np.ndarray, fixed_np: np.ndarray, ridge: float):
        self.x_GKp, self.allowed_GK = candidates.x_GKp, allowed_GK
        self.fixed_info = fixed_np.T @ fixed_np
        self.ridge = ridge

    def start(self, n_blocks: int, per_block: int, rng: np.random.Generator) -> None:
        usable = np.flatnonzero(self.allowed_GK.sum(axis=1) >= per_block)
        if len(usable) < n_blocks:
            raise ValueError(f"{n_blocks} graph cells wanted, {len(usable)} to choose from")
        self.usable, self.graph_B = usable, rng.choice(usable, n_blocks, replace=False)
        chosen = [
            rng.choice(np.flatnonzero(self.allowed_GK[g]), per_block, replace=False) for g in self.graph_B
        ]
        self.numeric_Bk = np.array(chosen)
        self.refresh()

    def refresh(self) -> float:
        """Recompute the inverse from the rows (updates drift); returns log det of the information."""
        x = self.x_GKp[self.graph_B[:, None], self.numeric_Bk].reshape(-1, self.x_GKp.shape[2])
        info = self.fixed_info + x.T @ x + self.ridge * np.eye(x.shape[1])
        self.inverse = np.linalg.inv(info)
        return float(np.linalg.slogdet(info)[1])

    def search(self, rng: np.random.Generator) -> float:
        """Sweep over all blocks until a whole sweep gains nothing that counts; returns log det."""
        log_det = self.refresh()
        for _ in range(MAX_SWEEPS):
            for block in rng.permutation(len(self.graph_B)):
                self.exchange_numeric(block)
                self.swap_graph(block)
            before, log_det = log_det, self.refresh()
            if log_det - before < 1e-4:
                break
        return log_det

    def exchange_numeric(self, block: int) -> None:
        """Replace numeric combinations of a block, best first, while that raises the determinant."""
        x_Kp, numeric = self.x_GKp[self.graph_B[block]], self.numeric_Bk[block]
        for _ in range(len(numeric)):
            d_KK = x_Kp @ self.inverse @ x_Kp.T
            d_k = np.diag(d_KK)[numeric]
            gain_kK = (1 - d_k)[:, None] * (1 + np.diag(d_KK)) + d_KK[numeric] ** 2
            gain_kK[:, ~self.allowed_GK[self.graph_B[block]]] = -1
            gain_kK[:, numeric] = -1
            k, new = np.unravel_index(gain_kK.argmax(), gain_kK.shape)
            if gain_kK[k, new] < 1 + GAIN:
                return
            self.update(x_Kp[[numeric[k]]], x_Kp[[new]])
            numeric[k] = new

    def swap_graph(self, block: int) -> None:
        """Move a block, with its numeric combinations, to the unused graph cell that gains most."""
        numeric = self.numeric_Bk[block]
        free = np.setdiff1d(self.usable, self.graph_B)
        free = free[self.allowed_GK[free][:, numeric].all(axis=1)]
        if not len(free):
            return
        old_kp = self.x_GKp[self.graph_B[block], numeric]
        new_Fkp = self.x_GKp[free[:, None], numeric]
        gain_F = self.swap_gains(old_kp, new_Fkp)
        best = int(gain_F.argmax())
        if gain_F[best] > 1 + GAIN:
            self.update(old_kp, new_Fkp[best])
            self.graph_B[block] = free[best]

    def swap_gains(self, old_kp: np.ndarray, new_Fkp: np.ndarray) -> np.ndarray:
        """det(I + S W inverse W'), W the rows that enter over those that leave, S their signs; (F,)."""
        k, old_inverse = len(old_kp), old_kp @ self.inverse
        new_inverse_Fkp = (new_Fkp.reshape(-1, new_Fkp.shape[2]) @ self.inverse).reshape(new_Fkp.shape)
        small = np.empty((len(new_Fkp), 2 * k, 2 * k))
        small[:, :k, :k] = np.eye(k) + new_inverse_Fkp @ new_Fkp.transpose(0, 2, 1)
        small[:, :k, k:] = new_inverse_Fkp @ old_kp.T
        small[:, k:, :k] = -small[:, :k, k:].transpose(0, 2, 1)
        small[:, k:, k:] = np.eye(k) - old_inverse @ old_kp.T
        return np.linalg.det(small)

    def update(self, old_kp: np.ndarray, new_kp: np.ndarray) -> None:
        """Rank-one updates of the inverse; rows enter before others leave, so that it never is singular."""
        for sign, row in [*((1.0, r) for r in new_kp), *((-1.0, r) for r in old_kp)]:
            v = self.inverse @ row
            self.inverse -= np.outer(v, v) * (sign / (1 + sign * (row @ v)))


def _best_blocks(
    candidates: _Candidates,
    allowed_GK: np.ndarray,
    fixed: Sequence[Cell],
    n_blocks: int,
    per_block: int,
    *,
    seed: int,
    starts: int,
) -> list[Cell]:
    """The cells of the best of several local searches."""
    p = candidates.x_GKp.shape[2]
    fixed_np = np.array([candidates.x_GKp[candidates.locate(c)] for c in fixed]).reshape(-1, p)
    best: tuple[float, list[Cell]] = (-math.inf, [])
    for rng in [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(starts)]:
        search = _Exchange(candidates, allowed_GK, fixed_np, RIDGE)
        search.start(n_blocks, per_block, rng)
        search.search(rng)
        search.ridge = (
            RIDGE * 1e-3
        )  # polish without the ridge's pull; what is left only guards a singular design
        log_det = search.search(rng)
        if log_det > best[0]:
            pairs = zip(search.graph_B, search.numeric_Bk, strict=True)
            best = log_det, [candidates.cell(int(g), int(k)) for g, ks in pairs for k in ks]
    return best[1]


# ---------------------------------------------------------------------------------------------- interface


def optimise(
    factors: Factors,
    graph_factors: Sequence[str],
    n_graph: int,
    per_graph: int,
    *,
    seed: int,
    fixed: Sequence[Cell] | None = None,
    starts: int = 1,
) -> list[Cell]:
    """A locally D-optimal fraction: n_graph graph cells, each with per_graph numeric combinations; sorted.

    With `fixed`, those cells stay and others join them: a new level of a graph factor gets graph cells of
    its own, a new level of a numeric factor gets cells in graph cells that are there; in both cases as many
    cells as the old levels of its factor have on average. Then graph cells are added until there are
    n_graph. Measured: a design optimised for errors that the cells of a graph cell share (as much as their
    own) is no better for them than this one, which takes errors for independent.

    Raises ValueError when more graph cells are wanted than exist, or a fixed cell has an unknown level.
    """
    candidates = _Candidates.build(factors, graph_factors)
    cells = [dict(cell) for cell in fixed or []]
    new = {
        f: [v for v in levels if cells and v not in {c[f] for c in cells}] for f, levels in factors.items()
    }
    for factor in sorted(factors, key=lambda f: f not in graph_factors):
        if new[factor]:
            plan = _plan_level(candidates, cells, factor, new[factor], factor in graph_factors, per_graph)
            cells += _best_blocks(candidates, plan[0], cells, plan[1], plan[2], seed=seed, starts=starts)
    missing = n_graph - len({candidates.locate(c)[0] for c in cells})
    if missing > 0:
        allowed = ~_used_graphs(candidates, cells)[:, None] & np.ones(candidates.x_GKp.shape[:2], dtype=bool)
        cells += _best_blocks(candidates, allowed, cells, missing, per_graph, seed=seed, starts=starts)
    return sort_cells(cells, factors, graph_factors)


def _plan_level(
    candidates: _Candidates,
    cells: Sequence[Cell],
    factor: str,
    new: list[Any],
    is_graph: bool,
    per_graph: int,
) -> tuple[np.ndarray, int, int]:
    """Where cells of new levels may go (G, K), how many blocks, how many cells a block."""
    n_old = len(candidates.factors[factor]) - len(new)
    wanted = math.ceil(len(new) * len(cells) / n_old)
    used = _used_graphs(candidates, cells)
    graph_new = np.array([g.get(factor) in new for g in candidates.graph])
    if is_graph:
        n_blocks = min(math.ceil(wanted / per_graph), int(graph_new.sum()))
        return graph_new[:, None] & np.ones((1, len(candidates.numeric)), dtype=bool), n_blocks, per_graph
    numeric_new = np.array([n.get(factor) in new for n in candidates.numeric])
    per_block = min(math.ceil(wanted / used.sum()), int(numeric_new.sum()))
    return used[:, None] & numeric_new, min(math.ceil(wanted / per_block), int(used.sum())), per_block


def _used_graphs(candidates: _Candidates, cells: Sequence[Cell]) -> np.ndarray:
    used = np.zeros(len(candidates.graph), dtype=bool)
    used[[candidates.locate(c)[0] for c in cells]] = True
    return used


def subset(cells: Sequence[Cell], n: int) -> list[Cell]:
    """n of the cells that touch many levels, for a first look; deterministic, in the order of the cells.

    Greedy: each time the cell whose levels were taken least often so far (new levels first), the earliest of
    equals.
    """
    taken: Counter[tuple[str, Any]] = Counter()
    left = list(range(len(cells)))
    for _ in range(min(n, len(cells))):
        best = min(left, key=lambda i: sorted(taken[item] for item in cells[i].items()))
        left.remove(best)
        taken.update(cells[best].items())
    return [cell for i, cell in enumerate(cells) if i not in set(left)]
