"""The choice of a learning rate, and the grid that moves until the optimum lies inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from folklore import tuning
from folklore.grid import TUNE, Cell, Rates, Run
from folklore.stats.tuning import Choice, below_cliff, choose, every_second
from folklore.tuning import MORE_SEEDS, Grid, tune

CHANCE = 0.1
SEEDS = np.array([-0.02, 0.0, 0.02])  # how three seeds differ


def bowl(best: float, *, rates: int = 7, curvature: float = 0.02, seeds: int = 3) -> np.ndarray:
    """Scores (rates, seeds) without noise: a parabola over the position with its maximum at `best`."""
    means = 0.8 - curvature * (np.arange(rates) - best) ** 2
    return np.repeat(means[:, None], seeds, axis=1)


@pytest.mark.parametrize("best", [1, 2, 3, 4, 5])
def test_an_interior_optimum_is_found_and_not_flagged(best: int) -> None:
    assert choose(bowl(best)) == Choice(best, "")
    assert choose(bowl(best, curvature=0.05) + SEEDS) == Choice(best, "")


@pytest.mark.parametrize(("best", "position"), [(2.5, 2.5), (3.2, 3.25), (2.7, 2.75)])
def test_an_optimum_between_two_rates_is_found_to_a_quarter(best: float, position: float) -> None:
    assert choose(bowl(best, curvature=0.01) + SEEDS).position == position


@pytest.mark.parametrize(
    ("best", "position", "edge"), [(0, 0, "low"), (-2, 0, "low"), (6, 6, "high"), (9, 6, "high")]
)
def test_an_optimum_at_an_end_is_flagged(best: float, position: float, edge: str) -> None:
    assert choose(bowl(best)) == Choice(position, edge)


def test_an_end_with_the_best_mean_is_flagged_though_the_choice_is_inside() -> None:
    means = np.array([0.70, 0.72, 0.74, 0.79, 0.80, 0.799, 0.801])
    chosen = choose(means[:, None] + SEEDS)
    assert chosen == Choice(5.0, "high")


def test_each_rate_has_a_say_by_its_likelihood() -> None:
    """By hand: spread .02 and 3 seeds, so the standard error of a difference is .02 sqrt(2/3); .01 below the best is .612 of it."""
    means = np.array([0.1, 0.1, 0.79, 0.80, 0.1, 0.1, 0.1])
    weight = np.exp(-((0.01 / (0.02 * np.sqrt(2 / 3))) ** 2) / 2)
    position = (2 * weight + 3) / (weight + 1)
    assert position == pytest.approx(2.547, abs=1e-3)
    assert choose(means[:, None] + SEEDS).position == 2.5


def test_one_lucky_seed_does_not_carry_the_choice() -> None:
    """A spike of one seed beside a broad optimum: the argmax follows it, the choice stays with its neighbours."""
    scores = bowl(3, curvature=0.004) + SEEDS
    scores[1, 0] += 0.05
    assert scores.mean(axis=1).argmax() == 1
    assert choose(scores).position >= 1.75


def test_the_best_rate_before_a_cliff_stands() -> None:
    """A curve that rises to the largest stable rate and collapses there."""
    means = np.array([0.50, 0.58, 0.65, 0.71, 0.76, CHANCE, CHANCE])
    assert choose(means[:, None] + 0.2 * SEEDS) == Choice(4, "")


CLIFF = np.array([0.50, 0.58, 0.65, 0.71, 0.76, 0.80, CHANCE])[:, None] + 0.2 * SEEDS


def test_a_cliff_is_a_collapse_at_the_next_rate() -> None:
    assert below_cliff(CLIFF, 5)
    assert not below_cliff(CLIFF, 4)
    assert not below_cliff(CLIFF, 6)  # nothing is known above the grid
    assert not below_cliff(bowl(3), 3)  # a decline is no cliff
    assert not below_cliff(np.full((7, 3), CHANCE), 3)  # nor is it when nothing learns


def test_one_collapsed_seed_of_the_next_rate_makes_a_cliff() -> None:
    scores = CLIFF.copy()
    scores[6] = 0.81, 0.82, CHANCE
    assert below_cliff(scores, 5)


def test_seeds_may_differ_in_number() -> None:
    ragged = [list(row) for row in bowl(3) + SEEDS]
    ragged[3] += [0.8] * 8
    assert choose(ragged).position == 3


def test_a_single_seed_tells_no_noise_so_the_best_counts() -> None:
    scores = bowl(3, curvature=0.004, seeds=1)
    scores[1] += 0.02
    assert choose(scores).position == 1


def test_rates_that_diverge_count_as_chance_and_have_no_say() -> None:
    scores = bowl(3, curvature=0.01)
    scores[5:] = CHANCE
    assert choose(scores) == Choice(3, "")


def test_ties_are_settled_the_same_way_every_time() -> None:
    flat = np.full((7, 3), CHANCE)
    assert choose(flat) == choose(flat.copy())
    assert choose(flat).edge  # an arm that learns nowhere has no interior optimum
    plateau = np.repeat(np.array([0.1, 0.6, 0.8, 0.8, 0.8, 0.6, 0.1])[:, None], 3, axis=1)
    assert choose(plateau).position == 3


@pytest.mark.parametrize("rates", [1, 2])
def test_toy_grids_take_the_best_mean(rates: int) -> None:
    scores = bowl(rates - 1, rates=rates)
    assert choose(scores) == Choice(rates - 1, "")


@pytest.mark.parametrize(("n", "kept"), [(7, [1, 3, 5]), (5, [0, 2, 4]), (3, [1]), (1, [0]), (6, [0, 2, 4])])
def test_every_second_keeps_the_middle(n: int, kept: list[int]) -> None:
    assert list(every_second(n)) == kept


def argmax(scores: np.ndarray) -> int:
    return int(scores.mean(axis=1).argmax())


def false_differences(pick: Callable[[np.ndarray], float], trials: int = 3000) -> float:
    """Share of pairs of identical arms whose true scores at the two chosen rates differ by more than a point.

    Seven rates, three seeds each, a spread of two points between seeds: the optimum is flat at the top and falls
    steeply towards high rates, as on MNIST-1D.
    """
    rng = np.random.default_rng(11)
    truth = np.array([0.60, 0.66, 0.695, 0.71, 0.705, 0.68, 0.55])
    picked = [pick(truth[:, None] + 0.02 * rng.standard_normal((7, 3))) for _ in range(2 * trials)]
    pairs = np.interp(picked, range(7), truth).reshape(trials, 2)
    return float(np.mean(np.abs(pairs[:, 0] - pairs[:, 1]) > 0.01))


def test_the_choice_makes_identical_arms_differ_less_often_than_the_argmax() -> None:
    weighted, plain = false_differences(lambda s: choose(s).position), false_differences(argmax)
    assert weighted < 0.4 * plain
    assert plain > 0.1  # otherwise this compares nothing


def cell(**changes: object) -> Cell:
    given = {
        "study": "test",
        "variant": "main",
        "label": "arm",
        "run": Run(),
        "rates": Rates(),
        "center": 0.1,
        "tuning_seeds": 3,
        "replicates": 4,
        "half_replicates": 2,
        "tune_on": "val_accuracy",
        "target": None,
    }
    return Cell(**(given | changes))


@pytest.mark.parametrize(
    ("measure", "status", "score"),
    [("peak_accuracy", "ok", 0.7), ("peak_accuracy", "diverged", 0.1), ("decades", "diverged", 0.7)],
)
def test_an_accuracy_from_before_a_run_broke_counts_as_chance(
    measure: str, status: str, score: float
) -> None:
    """As it does in the replicates; what counts steps or decades had its time before."""
    result = {"status": status, "val_accuracy": 0.1, "measures": {measure: 0.7}}
    assert tuning._score(cell(tune_on=measure), result) == score


def trainer(best: float, calls: list[Run] | None = None) -> Callable[[Sequence[Run]], dict[str, dict]]:
    """Scores a run by the distance of its rate from `best`, in octaves; `calls` collects what was asked for."""

    def train(runs: Sequence[Run]) -> dict[str, dict]:
        if calls is not None:
            calls.extend(runs)
        return {run.key: {"val_accuracy": 0.8 - 0.02 * np.log2(run.lr / best) ** 2} for run in runs}

    return train


def outcome(best: float, calls: list[Run] | None = None, **changes: object) -> dict:
    (found,) = tune([cell(**changes)], trainer(best, calls)).values()
    return found


def test_a_grid_that_holds_the_optimum_stays() -> None:
    calls: list[Run] = []
    found = outcome(0.2, calls)
    assert found["lr"] == 0.2
    assert (found["edge"], found["moved"]) == ("", 0)
    assert len(calls) == 21
    assert {run.seed for run in calls} == {TUNE, TUNE + 1, TUNE + 2}
    assert not any(run.score_test for run in calls)


@pytest.mark.parametrize(("octaves", "moved"), [(3, 1), (4, 2), (5, 3), (-4, -2)])
def test_a_grid_moves_until_the_optimum_is_inside(octaves: int, moved: int) -> None:
    calls: list[Run] = []
    found = outcome(0.1 * 2.0**octaves, calls)
    assert found["lr"] == pytest.approx(0.1 * 2.0**octaves)
    assert (found["edge"], found["moved"]) == ("", moved)
    assert len(calls) == 21 + 3 * abs(moved)  # the old rates are not trained again
    assert len(found["rates"]) == 7 + abs(moved)


@pytest.mark.parametrize(("best", "edge", "moved"), [(1e6, "high", 3), (1e-6, "low", -3)])
def test_a_grid_moves_three_octaves_at_most_and_is_flagged(best: float, edge: str, moved: int) -> None:
    found = outcome(best)
    assert (found["edge"], found["moved"]) == (edge, moved)


def test_no_widening_where_the_study_forbids_it() -> None:
    found = outcome(1e6, rates=Rates(widen=0))
    assert (found["edge"], found["moved"]) == ("high", 0)


def test_as_many_rates_decide_after_a_move() -> None:
    """Every arm gets the same number of rates: those that fell out of the window do not take part in the choice."""
    grid = Grid.of(cell())
    grid.scores = {p: [0.1 * p] * 3 for p in grid.window}
    assert grid.move()
    assert grid.missing() == [4]
    grid.scores[4] = [0.4] * 3
    assert grid.window == [-2, -1, 0, 1, 2, 3, 4]
    assert len(grid.window) == 7


def test_a_grid_does_not_turn_back() -> None:
    """Noise could send it to and fro for ever: after a move up, an optimum at the low end is flagged, not followed."""
    grid = Grid.of(cell())
    grid.scores = {p: [float(p)] * 3 for p in range(-10, 11)}
    assert grid.move()
    grid.scores = {p: [-float(p)] * 3 for p in range(-10, 11)}
    assert grid.choice().edge == "low"
    assert not grid.move()
    assert grid.moved == 1


def test_any_noise_ends() -> None:
    rng = np.random.default_rng(0)

    def train(runs: Sequence[Run]) -> dict[str, dict]:
        return {run.key: {"val_accuracy": rng.random()} for run in runs}

    for _ in range(100):
        (found,) = tune([cell()], train).values()
        assert abs(found["moved"]) <= 3
        assert len(found["rates"]) <= 10


def unstable(share: float, calls: list[Run] | None = None) -> Callable[[Sequence[Run]], dict[str, dict]]:
    """Accuracy rises with the rate; at .8 every run collapses, at .4 all seeds after the first three do with this probability."""
    rng = np.random.default_rng(3)

    def score(run: Run) -> float:
        late = run.seed >= TUNE + 3
        collapsed = run.lr > 0.5 or (run.lr > 0.3 and late and rng.random() < share)
        return CHANCE if collapsed else 0.7 + 0.03 * np.log2(run.lr) + 0.002 * rng.standard_normal()

    def train(runs: Sequence[Run]) -> dict[str, dict]:
        if calls is not None:
            calls.extend(runs)
        return {run.key: {"val_accuracy": score(run)} for run in runs}

    return train


def test_a_choice_below_a_cliff_is_measured_again_and_left_when_it_collapses() -> None:
    calls: list[Run] = []
    (found,) = tune([cell()], unstable(0.5, calls)).values()
    assert found["lr"] == 0.2
    seeds = {rate: len(scores) for rate, scores in found["rates"].items() if len(scores) > 3}
    assert seeds == {"0.4": 3 + MORE_SEEDS, "0.2": 3 + MORE_SEEDS}  # what replaces it is below a cliff, too
    assert len(calls) == len({run.key for run in calls}) == 21 + 2 * MORE_SEEDS


def test_a_choice_below_a_cliff_that_holds_is_kept() -> None:
    (found,) = tune([cell()], unstable(0.0)).values()
    assert found["lr"] == 0.4
    assert len(found["rates"]["0.4"]) == 3 + MORE_SEEDS


def test_a_single_tuning_seed_is_not_followed_by_more() -> None:
    calls: list[Run] = []
    tune([cell(tuning_seeds=1)], unstable(0.5, calls))
    assert {run.seed for run in calls} == {TUNE}


def test_an_arm_that_learns_nowhere_is_flagged() -> None:
    def train(runs: Sequence[Run]) -> dict[str, dict]:
        return {run.key: {"val_accuracy": CHANCE} for run in runs}

    (found,) = tune([cell()], train).values()
    assert found["edge"]


def test_the_halved_grid_chooses_among_its_own_rates() -> None:
    found = outcome(0.1)
    assert found["half_lr"] == found["lr"] == 0.1  # the middle is in both
    halved = outcome(0.2)
    assert halved["lr"] == 0.2
    assert halved["half_lr"] == 0.2  # between its rates .1 and .4, which are equally good


def test_tuning_for_speed_reads_the_loss_curve() -> None:
    steps = np.arange(100, 1100, 100)

    def train(runs: Sequence[Run]) -> dict[str, dict]:
        times = {run.key: 200 * 2 ** abs(np.log2(run.lr / 0.1)) for run in runs}
        return {key: {"loss_step": steps, "loss_curve": 2 * t / (steps + t)} for key, t in times.items()}

    (found,) = tune([cell(tune_on="steps", target=1.0)], train).values()
    assert found["lr"] == 0.1


def test_arms_that_fix_their_rate_are_not_tuned() -> None:
    fixed, follower = cell(run=Run(lr=0.5)), cell(leader="arm")
    assert tune([fixed, follower], trainer(0.1)) == {}


def test_rates_are_rounded_so_that_keys_are_stable() -> None:
    assert Rates(count=3).around(0.1) == (0.05, 0.1, 0.2)
    assert Rates().at(1 / 3, 1) == 0.666667
    assert len(Rates(count=5, octaves=2.0).around(0.1)) == 5
