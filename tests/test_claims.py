"""Every claim that is found: its contract, and its judge against simulated studies whose truth is known."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from scipy.stats import binom

import folklore.claims
from folklore import criteria
from folklore.claims.base import FAMILIES, LECTURES, Criterion, LoadedClaim, discover
from folklore.config import compose
from folklore.grid import Study
from folklore.schema import CONF
from folklore.stats import estimates, findings
from folklore.stats.estimates import power
from folklore.stats.findings import Finding, Row
from folklore.studies import studies
from simulated_claims import CHANCE, MODELS
from simulation import Simulator, plants

CLAIMS = {claim.id: claim for claim in discover()}
TRAINED = [claim.id for claim in CLAIMS.values() if claim.claim.kind in ("S", "E+S")]
ORDERS = [claim.id for claim in CLAIMS.values() if claim.claim.kind == "Q"]
PLANTED = [name for name in TRAINED if name in MODELS or plants(CLAIMS[name])]
EXACT = [claim.id for claim in CLAIMS.values() if claim.claim.kind == "E"]

# ----------------------------------------------------------------------------------------------------------- the contract


@pytest.fixture(params=CLAIMS)
def claim(request: pytest.FixtureRequest) -> LoadedClaim:
    return CLAIMS[request.param]


def test_what_a_claim_says_is_complete(claim: LoadedClaim) -> None:
    assert 10 < len(claim.title) < 120
    assert len(claim.rule) >= 2
    assert all(len(paragraph) > 60 for paragraph in claim.rule)
    said = claim.claim
    assert said.kind in ("S", "E", "E+S", "Q")
    assert said.family in FAMILIES
    assert said.lectures
    assert set(said.lectures) <= set(LECTURES)
    assert min(len(said.paper), len(said.reported), len(said.limits)) > 10


def test_a_criterion_is_complete(claim: LoadedClaim) -> None:
    criterion = claim.criterion
    assert min(len(criterion.text), len(criterion.metric)) > 5
    assert criterion.scale > 0
    assert all(isinstance(v, int | float) for v in criterion.settings.values())
    if claim.claim.kind == "E":
        assert claim.design is None
        assert claim.criterion.settings["tolerance"] <= 1e-6
    elif claim.claim.kind == "Q":
        assert 0 < claim.criterion.settings["allowed"] <= 0.1
    else:
        assert criterion.delta > 0
        assert criterion.pilot_sd > 0
        assert criterion.unit


def test_a_statistical_claim_has_a_study_and_a_frozen_family(claim: LoadedClaim) -> None:
    if claim.claim.kind == "E":
        return
    assert claim.study in {s.name for s in studies(compose(["profile=laptop"]).profile)}
    if claim.claim.kind == "Q":  # no p-value that could be corrected
        return
    frozen = OmegaConf.to_container(OmegaConf.load(CONF / "families.yaml"))
    assert claim.id in frozen[claim.claim.family]


def test_families_are_frozen_and_overlap_nowhere() -> None:
    frozen = OmegaConf.to_container(OmegaConf.load(CONF / "families.yaml"))
    assert tuple(frozen) == FAMILIES
    members = [member for family in frozen.values() for member in family]
    assert len(members) == len(set(members))


FOLDER = Path(folklore.claims.__file__).parent
SHARED = [f"folklore.claims.{path.stem}" for path in FOLDER.glob("_[a-z]*.py")]
ALLOWED = ("folklore.claims.base", "folklore.grid", *SHARED)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_claim_imports_only_light_things_at_top_level(file: Path) -> None:
    tree = ast.parse(file.read_text())
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            assert node.module in ALLOWED or node.module.split(".")[0] in sys.stdlib_module_names
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names)


def test_finding_the_claims_imports_nothing_heavy(repository: Path) -> None:
    script = "import sys; from folklore.claims.base import discover; discover(); print(*sys.modules)"
    given = {**os.environ, "PYTHONPATH": str(repository / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=given, capture_output=True, text=True, check=True
    )
    heavy = {
        "torch",
        "mlflow",
        "matplotlib",
        "seaborn",
        "pandas",
        "numpy",
        "scipy",
        "statsmodels",
        "snakemake",
    }
    assert not heavy & set(done.stdout.split())


def test_the_criterion_is_registered_as_it_stands(claim: LoadedClaim) -> None:
    assert criteria.current(claim, criteria.read()) is not None, "register it: make register REASON=..."


def test_budgets_are_declared_and_add_up() -> None:
    """Core-seconds of the laptop profile: the grid and the headline claims, and all claims; import and the rest take 800 more."""
    designs = {c.design.name: c.design for c in CLAIMS.values() if isinstance(c.design, Study)}
    headline = {c.study for c in CLAIMS.values() if c.claim.headline}
    assert all(design.seconds > 0 for design in designs.values())
    grid = next(s for s in studies(compose().profile) if s.name == "six-factor").seconds
    assert grid > 0
    assert grid + sum(design.seconds for name, design in designs.items() if name in headline) <= 4600
    assert grid + sum(design.seconds for design in designs.values()) <= 3 * 3600 - 800


@pytest.mark.parametrize("name", EXACT)
def test_exact_claims_are_judged_without_runs(name: str) -> None:
    claim = CLAIMS[name]
    finding = claim.module.judge(None, claim.criterion)
    assert finding.estimate is None
    assert finding.checks
    tolerance = claim.criterion.settings["tolerance"]
    for check in finding.checks:
        assert check.form in ("printed", "right", "derived")
        assert check.holds == (check.error <= check.tolerance)
        assert check.tolerance <= tolerance
        json.dumps(asdict(check), allow_nan=False)
    assert all(check.holds for check in finding.checks if check.form != "printed")


# ------------------------------------------------------------------------------------------------------- the register


def test_the_register_is_one_line_a_version() -> None:
    entries = criteria.read()
    assert entries
    for entry in entries:
        assert set(entry) == {"claim", "hash", "commit", "reason", "criterion"}
        assert entry["claim"] in CLAIMS
        assert isinstance(criteria.criterion_of(entry), Criterion)
    assert len({(e["claim"], e["hash"]) for e in entries}) == len(entries)


def test_registering_appends_what_changed_and_nothing_else(tmp_path: Path) -> None:
    register, claims = tmp_path / "criteria.jsonl", discover()
    assert criteria.register(claims, "c1", "first", register) == [c.id for c in claims]
    before = register.read_text()
    assert criteria.register(claims, "c2", "again", register) == []
    changed = replace(claims[0], criterion=replace(claims[0].criterion, delta=0.5))
    assert criteria.current(changed, criteria.read(register)) is None
    assert criteria.register([changed, *claims[1:]], "c3", "stricter", register) == [changed.id]
    assert register.read_text().startswith(before)
    versions = criteria.versions(changed, criteria.read(register))
    assert [v["reason"] for v in versions] == ["first", "stricter"]
    assert criteria.criterion_of(versions[1]).delta == 0.5
    assert json.loads(before.splitlines()[0])["commit"] == "c1"


def test_prose_changes_no_hash() -> None:
    claim = CLAIMS[TRAINED[0]]
    assert replace(claim, title="Other words", rule=("...",)).criterion_hash == claim.criterion_hash
    share = replace(claim.design, title="Other words", seconds=1e6)
    assert replace(claim, design=share).criterion_hash == claim.criterion_hash
    assert replace(claim, design=replace(share, updates=1)).criterion_hash != claim.criterion_hash
    assert (
        replace(claim, criterion=replace(claim.criterion, delta=1.0)).criterion_hash != claim.criterion_hash
    )


# -------------------------------------------------------------------------------------------------- simulated studies

STUDIES, MORE, FEW = 200, 60, 40  # studies without an effect, with one either way, and of three replicates
ERROR = 0.001  # chance that a sound judge fails one of the tests of a share


@pytest.fixture(autouse=True)
def _no_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bootstrap and permutation test decide nothing and take most of the time."""
    monkeypatch.setattr(estimates, "_bca", lambda d, seed: (float("nan"),) * 2)
    monkeypatch.setattr(estimates, "_permutation", lambda d, seed: float("nan"))


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch, _exact_once: None) -> None:
    """For tests that judge many studies: leave out notes and intervals of the tables' rows, which decide nothing, either."""
    monkeypatch.setattr(findings, "arm_rows", mean_rows)
    monkeypatch.setattr(findings, "_edge_note", lambda runs: ())
    monkeypatch.setattr(findings, "_divergence_note", lambda confirmed, weights: ())


def mean_rows(runs: pd.DataFrame) -> tuple[Row, ...]:
    means = runs[runs["phase"] == "confirm"].groupby(["variant", "arm"], sort=False)["measure"].mean()
    return tuple(
        Row(arm, mean, None, None, 0, 0, None, "", variant) for (variant, arm), mean in means.items()
    )


@pytest.fixture
def _exact_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact calculations inside a judge depend on no run: do them once."""
    for name, function in (
        ("zero-init-symmetry", "_differences_of_units"),
        ("sigmoid-vanishing-gradient", "_theory"),
    ):
        if name in CLAIMS:
            monkeypatch.setattr(CLAIMS[name].module, function, _once(name, function))


@cache
def _once(name: str, function: str) -> Callable:
    original, kept = getattr(CLAIMS[name].module, function), []

    def same(*arguments: object) -> object:
        if not kept:
            kept.append(original(*arguments))
        return kept[0]

    return same


@cache
def simulator(name: str) -> Simulator:
    """Main ground, as many replicates as designed, the spread that the pilot found."""
    claim = CLAIMS[name]
    return Simulator(claim).spread_to(claim.criterion.pilot_sd)


@cache
def short(name: str, replicates: int) -> Simulator:
    """The same with fewer replicates."""
    sim = Simulator(CLAIMS[name], replicates=replicates)
    sim.sigma = simulator(name).sigma
    return sim


def verdicts(sim: Simulator, effect: float, count: int, seed: int) -> list[str]:
    """Verdicts of simulated studies with a planted effect, before the correction over the family."""
    rng, shifts = np.random.default_rng(seed), sim.shifts(effect)
    found = (sim.judge(sim.frame(shifts, rng)) for _ in range(count))
    return [f.verdict(sim.claim.criterion.delta, None).verdict for f in found]


def at_most(share: float, count: int) -> float:
    """The largest share that `count` studies may show when the true one is `share`."""
    return float(binom.ppf(1 - ERROR, count, share)) / count


def at_least(share: float, count: int) -> float:
    return float(binom.ppf(ERROR, count, share)) / count


def share(found: list[str], verdict: str = "supported") -> float:
    return found.count(verdict) / len(found)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_the_judge_reads_the_arms_as_the_claim_means_them(name: str) -> None:
    """Better arms that the claim favours raise the effect, better ones of the other side lower it, the rest do nothing."""
    sim = simulator(name)
    found = {g: np.sign(w) for g, w in sim.sensitivities.items()}
    if sim.model.favoured is not None:
        assert found == {g: np.sign(s) for g, s in sim.model.favoured.items()}


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_without_an_effect_support_is_rare(name: str) -> None:
    sim = simulator(name)
    # a study of many rates takes long to judge; false support does not hang on the number of replicates
    found = verdicts(short(name, 8) if sim.model.shared else sim, 0.0, STUDIES, 1)
    if sim.claim.criterion.equivalence:
        assert share(found) >= at_least(0.8, STUDIES)
    else:
        assert share(found) <= at_most(0.05, STUDIES)


def expected_power(claim: LoadedClaim) -> float:
    """Power for twice the smallest effect of interest with the pilot's spread, before the correction."""
    criterion = claim.criterion
    (study,) = [s for s in studies(compose(["profile=laptop"]).profile) if s.name == claim.study]
    return power(criterion.pilot_sd, study.replicates, 2 * criterion.delta, 0.05)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_an_effect_is_found_and_its_opposite_is_not(name: str, record_property: Callable) -> None:
    sim = simulator(name)
    delta, equivalence = sim.claim.criterion.delta, sim.claim.criterion.equivalence
    found, opposed = (verdicts(sim, effect, MORE, 2) for effect in (2 * delta, -2 * delta))
    assert share(opposed) <= at_most(0.05, MORE)
    if equivalence:
        assert share(found) <= at_most(0.05, MORE)
        return
    assert share(opposed, "refuted") > 0.5 or not sim.model.reverses
    record_property("expected_power", expected_power(sim.claim))
    record_property("found", share(found))
    if expected_power(sim.claim) >= 0.8:
        assert share(found) >= at_least(0.8, MORE)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_a_judge_with_a_swapped_sign_would_be_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation that these tests are there to catch."""
    sim = simulator(name)
    shifts = sim.shifts(2 * sim.claim.criterion.delta)
    frames = [sim.frame(shifts, np.random.default_rng(seed)) for seed in range(10)]
    sound = findings.differences
    monkeypatch.setattr(findings, "differences", lambda runs, weights: -sound(runs, weights))
    found = [sim.judge(frame).verdict(sim.claim.criterion.delta, None).verdict for frame in frames]
    assert "supported" not in found


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("name", PLANTED)
def test_three_replicates_do_not_support_by_chance(name: str) -> None:
    claim = CLAIMS[name]
    found = verdicts(
        short(name, 3), 2 * claim.criterion.delta if claim.criterion.equivalence else 0.0, FEW, 3
    )
    assert share(found) <= at_most(0.05, FEW)


# ------------------------------------------------------------------------------------------- studies that went badly


@cache
def whole(name: str) -> Simulator:
    """All grounds, three replicates, halved grids: a study as large as the report's, as short as a smoke run's."""
    sim = Simulator(CLAIMS[name], replicates=3, everything=True)
    sim.sigma = 0.02
    return sim


def diverge(frame: pd.DataFrame, which: np.ndarray) -> pd.DataFrame:
    """These runs as the store has them when they diverge at once."""
    frame = frame.copy()
    frame.loc[which, "status"] = "diverged"
    frame.loc[which, "diverged_step"] = 3
    frame.loc[which, ["train_loss", "val_loss", "test_loss"]] = np.nan
    frame.loc[which, "val_accuracy"] = CHANCE
    for name in ("test_accuracy", "recalibrated_accuracy"):
        frame.loc[which & frame[name].notna(), name] = CHANCE
    curves = [[np.nan] * len(c) if w else c for c, w in zip(frame["loss_curve"], which, strict=True)]
    return frame.assign(loss_curve=curves)


def ties(frame: pd.DataFrame) -> pd.DataFrame:
    kept = frame.assign(val_accuracy=0.5, train_loss=1.0)
    kept["test_accuracy"] = kept["test_accuracy"].where(kept["test_accuracy"].isna(), 0.5)
    return kept.assign(loss_curve=[frame["loss_curve"].iloc[0]] * len(frame))


def all_diverged(frame: pd.DataFrame) -> pd.DataFrame:
    return diverge(frame, np.full(len(frame), True))


def some_diverged(frame: pd.DataFrame) -> pd.DataFrame:
    return diverge(frame, np.arange(len(frame)) % 3 == 0)


def an_arm_diverged(frame: pd.DataFrame) -> pd.DataFrame:
    return diverge(frame, (frame["arm"] == frame["arm"].iloc[0]).to_numpy())


def censored(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(
        loss_curve=[list(9.0 + 0.0 * np.asarray(c)) for c in frame["loss_curve"]], train_loss=9.0
    )


def at_the_edge(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(edge="high")


def only_main(frame: pd.DataFrame) -> pd.DataFrame:
    """Another profile may leave out grounds, tuning and halved grids."""
    return frame[(frame["variant"] == "main") & (frame["phase"] == "confirm")].reset_index(drop=True)


BAD_DAYS = [ties, all_diverged, some_diverged, an_arm_diverged, censored, at_the_edge, only_main]


@pytest.mark.usefixtures("_exact_once")
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("happening", BAD_DAYS)
@pytest.mark.parametrize("name", TRAINED)
def test_a_judge_survives(name: str, happening: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    claim, sim = CLAIMS[name], whole(name)
    frame = happening(sim.frame({}, np.random.default_rng(4)))
    finding = claim.module.judge(frame, claim.criterion)
    verdict = finding.verdict(claim.criterion.delta, None)
    assert verdict.verdict in ("supported", "refuted", "inconclusive")
    assert np.isfinite(finding.estimate.effect)
    if happening is all_diverged:
        assert verdict.verdict == "inconclusive"
    if happening is ties and not claim.criterion.equivalence:
        assert verdict.verdict != "supported"
    if happening is at_the_edge and not sim.model.shared:
        assert "end of its widened grid" in " ".join(finding.notes)


SAID = ("supported", "refuted", "inconclusive", "holds", "fails")


@pytest.mark.usefixtures("_exact_once")
@pytest.mark.parametrize("name", CLAIMS)
def test_a_judge_reads_every_registered_version_of_its_criterion(name: str) -> None:
    claim = CLAIMS[name]
    frame = whole(name).frame({}, np.random.default_rng(7)) if claim.design else None
    for entry in criteria.versions(claim, criteria.read()):
        criterion = criteria.criterion_of(entry)
        found = claim.module.judge(frame, criterion).verdict(criterion.delta, None)
        assert found.verdict in SAID, entry["reason"]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("happening", BAD_DAYS)
@pytest.mark.parametrize("name", ORDERS)
def test_an_order_counts_the_seeds_that_break_it(
    name: str, happening: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    claim, sim = CLAIMS[name], whole(name)
    frame = happening(sim.frame({}, np.random.default_rng(4)))
    finding = claim.module.judge(frame, claim.criterion)
    seeds = frame.loc[frame["variant"] == "main", "replicate"].nunique()
    assert finding.estimate is None and finding.p is None
    assert finding.checks
    for check in finding.checks:
        assert check.form == "printed"
        assert check.tolerance == int(claim.criterion.settings["allowed"] * seeds)
        assert check.holds == (check.error <= check.tolerance)
        assert check.error in range(seeds + 1)
    if happening in (ties, all_diverged):
        assert finding.verdict(claim.criterion.delta, None).verdict == "fails"


@pytest.mark.usefixtures("_exact_once")
@pytest.mark.parametrize("name", TRAINED)
def test_divergence_is_counted(name: str) -> None:
    sim = whole(name)
    if sim.model.shared:
        return  # divergence is what these measure
    finding = sim.judge(some_diverged(sim.frame({}, np.random.default_rng(5))))
    assert finding.diverged > 0
    assert sum(row.diverged for row in finding.rows) >= finding.diverged


@pytest.mark.usefixtures("_exact_once")
@pytest.mark.parametrize("name", TRAINED)
def test_other_grounds_become_robustness_rows(name: str) -> None:
    sim = whole(name)
    finding: Finding = sim.judge(sim.frame({}, np.random.default_rng(6)))
    labels = [row.label for row in finding.robustness]
    assert len(labels) == len(set(labels))
    tuned = (sim.template["phase"] == "half").any()
    assert ("half as many rates" in labels) == tuned
    assert {row.variant for row in finding.rows} <= set(sim.template["variant"])


@pytest.fixture(scope="module")
def _figures_closed() -> Iterator[None]:
    from matplotlib import pyplot

    yield
    pyplot.close("all")


@pytest.mark.usefixtures("_exact_once", "_figures_closed")
@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_draws_its_finding(name: str) -> None:
    from matplotlib import pyplot

    claim = CLAIMS[name]
    runs = None if name in EXACT else whole(name).frame({}, np.random.default_rng(7))
    figure, said = claim.module.plot(runs, claim.module.judge(runs, claim.criterion))
    width, height = figure.get_size_inches() * 2.54
    assert width <= 16.1
    assert height <= 9.1
    assert len(said) > 40
    assert "nan" not in said
    pyplot.close(figure)


def test_no_model_is_left_over() -> None:
    assert set(MODELS) <= set(TRAINED)
