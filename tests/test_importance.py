"""The factor analysis against hand-computed cases, planted effects, and simulated studies."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.special import expit, logit
from statsmodels.stats.anova import anova_lm

from folklore.stages import analyse as stage
from folklore.stages.design import GRAPH_FACTORS, read_cells, read_factors
from folklore.stats import design
from folklore.stats import importance as im
from folklore.stats.importance import best, components, fitting, resampling

ROOT = Path(__file__).parents[1]
TOY = {**{f: [0, 1] for f in "abcde"}, "n": ["p", "q", "r"], "m": [0, 1]}
TOY_GRAPH = tuple("abcde")
PLANTED = {
    ("init",): 0.5,
    ("activation",): 0.4,
    ("norm",): 0.3,
    ("init", "activation"): 0.3,
    ("norm", "optimizer"): 0.25,
}


@pytest.fixture(scope="module")
def factors() -> dict[str, list]:
    return read_factors(ROOT / "conf" / "factors.yaml")


@pytest.fixture(scope="module")
def cells(factors) -> list[dict]:
    return read_cells(ROOT / "conf" / "study" / "six_factor.csv", factors)


@pytest.fixture(scope="module")
def planted(factors, cells) -> pd.DataFrame:
    coef = surface(factors, PLANTED, np.random.default_rng(5))
    return runs(cells, factors, GRAPH_FACTORS, coef, np.random.default_rng(6), graph=0.1, cell=0.15)


@pytest.fixture(scope="module")
def result(planted, factors) -> im.GridResult:
    return im.analyse(planted, factors, GRAPH_FACTORS, rng=np.random.default_rng(0), resamples=500)


def crossing(factors) -> list[dict]:
    return [dict(zip(factors, levels, strict=True)) for levels in product(*factors.values())]


def surface(factors, sizes, rng) -> np.ndarray:
    """Coefficients (p,) whose terms have these standard deviations over the complete crossing."""
    parts = [np.zeros(1)]
    for term in design.terms(factors):
        coef = rng.normal(size=components.effect_map(factors, term).shape[1])
        spread = np.sqrt(np.mean((components.effect_map(factors, term) @ coef) ** 2))
        parts.append(coef / spread * sizes.get(term, 0.0))
    return np.concatenate(parts)


def runs(cells, factors, graph_factors, coef, rng, *, graph=0.0, cell=0.0, seed=0.05) -> pd.DataFrame:
    """A simulated study: errors of graph cells, cells and 3 replicates about a known surface of the logit."""
    keys = [tuple(c[f] for f in graph_factors) for c in cells]
    shared = {key: graph * rng.normal() for key in dict.fromkeys(keys)}
    mean = design.model_matrix(cells, factors) @ coef + cell * rng.normal(size=len(cells))
    logits = [m + shared[k] + seed * rng.normal(size=3) for k, m in zip(keys, mean, strict=True)]
    rows = [
        {**c, "replicate": r, "test_accuracy": expit(y)}
        for c, ys in zip(cells, logits, strict=True)
        for r, y in enumerate(ys)
    ]
    return pd.DataFrame(rows).assign(status="ok", lr=0.01, edge="")


# ---------------------------------------------------------------------------------------------- hand-computed


def fitted_like(cells, factors) -> SimpleNamespace:
    """As much of a Fit as sums of squares need."""
    x, slices = fitting._design(design.encode(cells, factors), factors, design.terms(factors))
    return SimpleNamespace(x_np=x, slices=slices, factors=factors)


def test_two_by_two_by_hand():
    factors = {"a": [0, 1], "b": [0, 1]}
    fitted, y = fitted_like(crossing(factors), factors), np.array([1.0, 2.0, 3.0, 6.0])
    # means of a 1.5 and 4.5, of b 2 and 4, interaction (1 - 2 - 3 + 6) / 4
    assert fitting.type2(fitted, y) == pytest.approx({("a",): 9, ("b",): 4, ("a", "b"): 1})
    squares = components.squares(fitted, np.linalg.solve(fitted.x_np, y)[None])
    by_hand = {("a",): 9 / 4, ("b",): 1, ("a", "b"): 1 / 4}
    assert {t: v[0] for t, v in squares.items()} == pytest.approx(by_hand)


def test_type_two_equals_statsmodels_on_an_unbalanced_design():
    factors, rng = {"a": ["x", "y", "z"], "b": ["u", "v"], "c": ["k", "l", "m"]}, np.random.default_rng(1)
    table = pd.DataFrame([c for c in crossing(factors) * 4 if rng.random() < 0.6])
    table["y"] = rng.normal(size=len(table))
    fit = smf.ols("y ~ (C(a, Sum) + C(b, Sum) + C(c, Sum)) ** 2", table).fit()
    expected = anova_lm(fit, typ=2)["sum_sq"][:-1].to_numpy()
    ours = fitting.type2(fitted_like(table.to_dict("records"), factors), table["y"].to_numpy())
    np.testing.assert_allclose(list(ours.values()), expected)


def test_shares_of_a_complete_crossing_without_noise_are_the_planted_ones():
    sizes = {("a",): 0.6, ("n",): 0.3, ("a", "n"): 0.2}
    coef = surface(TOY, sizes, np.random.default_rng(0))
    frame = runs(crossing(TOY), TOY, TOY_GRAPH, coef, np.random.default_rng(1), seed=0)
    analysis = analysis_of(frame, TOY, TOY_GRAPH)
    shares = analysis.shares.set_index("term")["share"]
    total = 0.36 + 0.09 + 0.04
    expected = [0.36 / total, 0.09 / total, 0.04 / total]
    assert shares[["a", "n", "a x n"]].tolist() == pytest.approx(expected, abs=1e-6)
    shapley = analysis.factors.set_index("factor")["share"]
    assert shapley["a"] == pytest.approx(0.38 / total, abs=1e-6)
    assert analysis.model.r_squared == pytest.approx(1)


def analysis_of(frame, factors, graph_factors, *, pairs=(("a", "n"),), resamples=200, seed=0) -> im.Analysis:
    grid = im.make_grid(frame, factors, graph_factors)
    return im.analyse_cells(grid, "x", "x", rng=np.random.default_rng(seed), resamples=resamples, pairs=pairs)


def test_accuracies_are_clipped_half_a_sample_from_the_ends():
    frame = pd.DataFrame({"a": [0, 1], "b": [0, 0], "replicate": [0, 0], "test_accuracy": [0.0, 1.0]})
    grid = im.make_grid(frame, {"a": [0, 1], "b": [0]}, ("a",))
    assert grid.y_n.tolist() == pytest.approx([logit(1 / 20000), logit(1 - 1 / 20000)])


def test_whitening_is_the_inverse_root_of_the_covariance():
    blocks = fitting.Blocks([np.array([0, 2, 3]), np.array([1, 4])], 1.7)
    member = np.array([0, 1, 0, 0, 1])
    covariance = np.eye(5) + 1.7 * (member[:, None] == member)
    w = blocks.whiten(np.eye(5))
    np.testing.assert_allclose(w @ covariance @ w.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(blocks.colour(w), np.eye(5), atol=1e-12)
    assert blocks.log_det() == pytest.approx(np.linalg.slogdet(covariance)[1])


def test_multipliers_have_mean_zero_and_variance_one():
    draws = resampling.mammen(np.random.default_rng(0), (200_000,))
    assert [draws.mean(), draws.var(), (draws**3).mean()] == pytest.approx([0, 1, 1], abs=0.02)
    weights = resampling.seed_weights(np.random.default_rng(0), 3, 100_000)
    # three values of variance 1: their mean has 1/3
    assert (weights @ [1.0, 0.0, -1.0]).var() == pytest.approx(1 / 3, rel=0.02)


def test_enrichment_by_hand():
    has, top = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool), np.array([1, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
    row = best._enrichment(has, top)
    assert row["ratio"] == pytest.approx((2 / 2) / (3 / 8))
    assert row["p"] == pytest.approx(3 / 28)  # hypergeometric: 3 of the 28 pairs; no other outcome is as rare


def test_rates_by_hand():
    frame = pd.DataFrame({"init": [0, 1, 2], "lr": [0.01, 0.04, 0.16], "edge": ["high", "", "high"]})
    frame = frame.assign(optimizer="sgd", batch_size=2, replicate=0, test_accuracy=0.5)
    factors = {"init": [0, 1, 2], "optimizer": ["sgd"], "batch_size": [2]}
    grid = im.make_grid(frame, factors, ("optimizer", "batch_size"))
    row = im.rates_table(grid).iloc[0]
    assert [row["median"], row["q1"], row["q3"], row["at_edge"]] == pytest.approx([0.04, 0.02, 0.08, 2])
    assert im.rate_levels_table(grid)["relative"].tolist() == pytest.approx([0.25, 1, 4])


# ------------------------------------------------------------------------------------------- planted effects


def test_planted_effects_are_recovered_on_the_committed_design(result):
    model = result.analyses["all"].model
    assert (model.parameters, model.rank, model.residual_df, model.complete) == (311, 311, 109, True)
    assert 1 < model.max_vif < 20
    table = result.analyses["all"].shares.set_index("term")
    total = sum(v**2 for v in PLANTED.values()) + 0.1**2 + 0.15**2 + 0.05**2
    for term, size in PLANTED.items():
        assert table["share"][" x ".join(term)] == pytest.approx(size**2 / total, abs=0.05)
        assert table["lo"][" x ".join(term)] > 0.02
    idle = table.drop([" x ".join(t) for t in PLANTED] + ["rest", "seeds"])
    assert idle["share"].max() < 0.03 and (idle["lo"] < 0.01).all()
    assert result.analyses["all"].factors.set_index("factor")["share"].idxmax() == "init"


def test_adjusted_means_follow_the_surface_not_the_sample(result, factors):
    """Their intervals cover the truth of the complete crossing about as often as they say."""
    coef = surface(factors, PLANTED, np.random.default_rng(5))
    everything = crossing(factors)
    truth = pd.DataFrame(everything).assign(y=design.model_matrix(everything, factors) @ coef)
    hits = []
    for row in result.analyses["all"].levels.itertuples():
        y = expit(truth.loc[truth[row.factor] == row.level, "y"].mean())
        hits.append(row.lo <= y <= row.hi)
    assert np.mean(hits) > 0.8


def test_the_lectures_pairs_are_there_in_full(result, factors):
    pairs = result.analyses["all"].pairs
    sizes = pairs.groupby(["a", "b"]).size().to_dict()
    assert sizes == {(a, b): len(factors[a]) * len(factors[b]) for a, b in im.PAIRS}
    assert ((pairs["lo"] <= pairs["accuracy"]) & (pairs["accuracy"] <= pairs["hi"])).all()


def test_constant_and_dead_cells_are_left_out_where_they_should(planted, factors):
    frame = planted.copy()
    frame.loc[(frame["init"] == "he_normal") & (frame["activation"] == "relu"), "test_accuracy"] = 0.1
    frame.loc[frame["init"] == "constant", "test_accuracy"] = 0.6
    grid = im.make_grid(frame, factors, GRAPH_FACTORS)
    assert set(grid.table[grid.dead_n]["init"]) >= {"he_normal"} and 0 < grid.dead_n.sum() < 30
    small = im.analyse(frame, factors, GRAPH_FACTORS, rng=np.random.default_rng(0), resamples=50)
    counts = {name: a.model.cells for name, a in small.analyses.items()}
    assert counts["all"] == 420
    assert counts["no_constant"] == 420 - (grid.table["init"] == "constant").sum()
    assert counts["alive"] == counts["no_constant"] - small.dead_cells
    assert "constant" not in set(small.analyses["alive"].levels["level"])


def test_the_order_of_the_runs_does_not_matter(planted, factors, result):
    shuffled = planted.sample(frac=1, random_state=np.random.default_rng(3))
    again = im.analyse(shuffled, factors, GRAPH_FACTORS, rng=np.random.default_rng(0), resamples=500)
    assert again.to_json() == result.to_json()


def test_a_level_that_all_best_cells_share_is_found(factors, cells):
    coef = np.zeros(311)
    frame = runs(cells, factors, GRAPH_FACTORS, coef, np.random.default_rng(0), cell=0.1)
    good = (frame["activation"] == "elu").to_numpy()
    frame["test_accuracy"] = expit(logit(frame["test_accuracy"]) + 2.0 * good)
    grid = im.make_grid(frame, factors, GRAPH_FACTORS)
    table, why = im.best_cells(grid, resamples=200, rng=np.random.default_rng(0))
    best = table.set_index("level").loc["elu"]
    assert why == "" and best["top"] == 21 and best["ratio"] == pytest.approx(7)
    assert best["p_holm"] < 1e-6 and best["lo"] > 4
    assert (table[table["factor"] != "activation"]["p_holm"] > 0.05).all()
    absent = table.set_index("level").loc["relu"]
    assert absent["ratio"] == 0 and absent["hi"] > 0.5


# ---------------------------------------------------------------------------------------------- coverage


def test_intervals_cover_in_simulated_studies():
    """Bootstrap intervals of shares and adjusted means, with errors that graph cells share and without."""
    chosen = design.optimise(TOY, TOY_GRAPH, 28, 3, seed=0)
    sizes = {("a",): 0.4, ("n",): 0.3, ("a", "n"): 0.25}
    coef = surface(TOY, sizes, np.random.default_rng(0))
    hits: dict[str, list[bool]] = {"planted": [], "idle": [], "levels": []}
    for trial in range(80):
        graph, cell = ((0.15, 0.15), (0.0, 0.2))[trial % 2]
        frame = runs(chosen, TOY, TOY_GRAPH, coef, np.random.default_rng(100 + trial), graph=graph, cell=cell)
        total = sum(v**2 for v in sizes.values()) + graph**2 + cell**2 + 0.05**2
        truth = {" x ".join(t): sizes.get(t, 0.0) ** 2 / total for t in design.terms(TOY)}
        analysis = analysis_of(frame, TOY, TOY_GRAPH, resamples=250, seed=trial)
        for row in analysis.shares[:-2].itertuples():
            covered = row.lo <= truth[row.term] <= row.hi
            hits["planted" if truth[row.term] else "idle"].append(covered)
        hits["levels"] += list(level_hits(analysis, coef))
    print({name: round(float(np.mean(values)), 3) for name, values in hits.items()})
    assert np.mean(hits["planted"]) > 0.88
    assert np.mean(hits["idle"]) > 0.93
    assert np.mean(hits["levels"]) > 0.88


def level_hits(analysis, coef) -> np.ndarray:
    x, at = [], 1
    for levels in TOY.values():
        rows = np.zeros((len(levels), len(coef)))
        rows[:, 0] = 1
        rows[:, at : at + len(levels) - 1] = design.contrasts(len(levels))
        at += len(levels) - 1
        x.append(rows)
    truth = expit(np.vstack(x) @ coef)
    return (analysis.levels["lo"].to_numpy() <= truth) & (truth <= analysis.levels["hi"].to_numpy())


def test_pure_noise_gives_no_factor_a_share(factors, cells):
    frame = runs(cells, factors, GRAPH_FACTORS, np.zeros(311), np.random.default_rng(0), cell=0.2)
    grid = im.make_grid(frame, factors, GRAPH_FACTORS)
    analysis = im.analyse_cells(grid, "x", "x", rng=np.random.default_rng(0), resamples=200)
    table = analysis.shares.set_index("term")
    assert table["share"]["rest"] > 0.6
    assert (table.drop(["rest", "seeds"])["lo"] == 0).mean() > 0.8


# ------------------------------------------------------------------------------------------- small fractions


def few(planted, cells, n) -> pd.DataFrame:
    return planted.merge(pd.DataFrame(design.subset(cells, n)))


@pytest.mark.parametrize("n", [1, 2, 10])
def test_a_handful_of_cells_says_that_it_is_not_enough(planted, cells, factors, n):
    frame = few(planted, cells, n)
    result = im.analyse(frame, factors, GRAPH_FACTORS, rng=np.random.default_rng(0), resamples=50)
    analysis = result.analyses["all"]
    assert not analysis.model.estimable and analysis.model.reason
    assert all(getattr(analysis, t).empty for t in ("shares", "factors", "levels", "pairs", "best"))
    assert "at least 5 are needed" in analysis.best_reason
    assert len(result.rates) and len(result.cells) == n
    assert json.loads(result.to_json())["analyses"]["all"]["model"]["estimable"] is False


def test_more_cells_estimate_main_effects_and_some_interactions(planted, cells, factors):
    grid = im.make_grid(few(planted, cells, 70), factors, GRAPH_FACTORS)
    analysis = im.analyse_cells(grid, "x", "x", rng=np.random.default_rng(0), resamples=100)
    model = analysis.model
    assert model.estimable and not model.complete and "do not estimate all" in model.reason
    assert model.rank == model.parameters and model.residual_df >= fitting.MIN_RESIDUAL_DF
    assert "init x activation" in model.left_out
    assert analysis.pairs.empty or "init" not in set(analysis.pairs["a"])
    assert set(analysis.factors["factor"]) == set(factors)


def test_equal_accuracies_everywhere_are_not_analysed(planted, factors):
    frame = planted.assign(test_accuracy=0.1)
    result = im.analyse(frame, factors, GRAPH_FACTORS, rng=np.random.default_rng(0), resamples=20)
    assert result.analyses["all"].model.reason == "all cells have the same accuracy"
    assert result.dead_cells == 420 and "alive" not in result.analyses


def test_missing_replicates_and_accuracies_are_no_obstacle(planted, factors, cells):
    frame = planted.drop(index=planted.index[[0, 5]])
    frame.loc[frame.index[3], "test_accuracy"] = math.nan  # diverged: counts as chance
    grid = im.make_grid(frame, factors, GRAPH_FACTORS)
    assert len(grid.table) == 420 and np.isfinite(grid.y_n).all()
    assert np.isfinite(im.fit(grid).coef_p).all()


def test_one_replicate_has_no_seed_variance(planted, factors):
    grid = im.make_grid(planted[planted["replicate"] == 0], factors, GRAPH_FACTORS)
    analysis = im.analyse_cells(grid, "x", "x", rng=np.random.default_rng(0), resamples=50)
    assert analysis.shares.set_index("term")["share"]["seeds"] == 0


def test_an_empty_frame_is_refused(planted, factors):
    with pytest.raises(ValueError, match="no confirmed run"):
        im.analyse(planted[:0], factors, GRAPH_FACTORS, rng=np.random.default_rng(0))


# ----------------------------------------------------------------------------------------- stage and figures


def written(frame, factors, folder) -> dict[str, bytes]:
    """What the stage writes for these runs: path -> bytes."""
    result = im.analyse(frame, factors, GRAPH_FACTORS, rng=np.random.default_rng(0), resamples=50)
    stage.write(result, factors, folder, {"schema": 1, "profile": "smoke"})
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.*")) if p.is_file()}


def test_the_same_files_whatever_the_size_and_the_same_bytes_twice(tmp_path, planted, cells, factors):
    large = written(planted, factors, tmp_path / "large")
    small = written(few(planted, cells, 10), factors, tmp_path / "small")
    assert small == written(few(planted, cells, 10), factors, tmp_path / "again")
    assert set(large) == set(small) >= {"grid.json", "figures/grid-shares.svg", "tables/grid-pairs.csv"}
    assert b"not estimable" in small["figures/grid-shares.txt"]
    assert b"Bars with 95 % intervals" in large["figures/grid-shares.txt"]
    assert json.loads(large["grid.json"])["profile"] == "smoke"


def test_rank_and_inflation_are_printed(result):
    assert "420 cells, rank 311 of 311, max VIF 1" in stage.summary(result)
