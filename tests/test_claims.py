"""Every claim that is found: its contract, its registration, and its judge on bad days."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

import folklore.claims
from folklore import criteria
from folklore.claims.base import FAMILIES, LECTURES, Criterion, LoadedClaim, discover
from folklore.config import compose
from folklore.grid import Study
from folklore.report.build import FORMULAS, TEMPLATES, formula_pictures
from folklore.schema import CONF
from folklore.stats.findings import Finding
from folklore.studies import cells, studies
from judged import CLAIMS, EXACT, ORDERS, TRAINED
from simulated_claims import CHANCE, MODELS
from simulation import Simulator

pytestmark = pytest.mark.usefixtures("_no_resampling")

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
ALLOWED = ("folklore.claims.base", "folklore.errors", "folklore.grid", *SHARED)


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


@cache
def exactly(name: str) -> Finding:
    """What an exact claim finds, by its current criterion."""
    return CLAIMS[name].module.judge(None, CLAIMS[name].criterion)


@pytest.mark.parametrize("name", EXACT)
def test_exact_claims_are_judged_without_runs(name: str) -> None:
    claim = CLAIMS[name]
    finding = exactly(name)
    assert finding.estimate is None
    assert finding.checks
    tolerance = claim.criterion.settings["tolerance"]
    for check in finding.checks:
        assert check.form in ("printed", "right", "derived")
        assert check.holds == (check.error <= check.tolerance)
        assert check.tolerance <= tolerance
        json.dumps(asdict(check), allow_nan=False)
    assert all(check.holds for check in finding.checks if check.form != "printed")


# ------------------------------------------------------------------------------------------------------- the formulas

STATED = [name for name, claim in CLAIMS.items() if claim.claim.formulas]


@pytest.mark.parametrize("name", STATED)
def test_formulas_are_few_and_start_from_what_is_claimed(name: str) -> None:
    forms = [formula.form for formula in CLAIMS[name].claim.formulas]
    assert len(forms) <= 4
    assert set(forms) <= {"printed", "right", "derived"}
    assert {"printed", "right"} & set(forms)
    assert forms.count("derived") <= 1


@pytest.mark.parametrize("name", STATED)
def test_formulas_can_be_read_aloud(name: str) -> None:
    for formula in CLAIMS[name].claim.formulas:
        assert len(formula.words) >= 15
        assert not formula.words.endswith(".")
        assert not set(formula.words) & set("^_\\={}()")


@pytest.mark.parametrize("name", EXACT)
def test_what_fails_as_printed_is_shown_put_right(name: str) -> None:
    forms = [formula.form for formula in CLAIMS[name].claim.formulas]
    if exactly(name).verdict(CLAIMS[name].criterion.delta, None).verdict == "fails":
        assert ("printed", "right") in pairwise(forms)


def test_all_formulas_are_typeset(tmp_path: Path) -> None:
    stated = [{"formulas": [asdict(formula) for formula in CLAIMS[name].claim.formulas]} for name in STATED]
    (tmp_path / "data.json").write_text(json.dumps({"claims": stated}))
    shutil.copyfile(TEMPLATES / FORMULAS, tmp_path / FORMULAS)
    pictures = formula_pictures(tmp_path)
    assert len(pictures) == sum(len(claim["formulas"]) for claim in stated) > 0


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


@pytest.mark.parametrize(("ground", "field"), [("twice the width", "width"), ("twice the budget", "updates")])
def test_a_further_ground_doubles_every_arm(ground: str, field: str) -> None:
    """Also what a cell sets itself; nets that match beside each other on the main ground match there, too."""
    config = compose(["profile=full"])
    for study in studies(config.profile):
        found = {(c.variant, c.label): getattr(c.run, field) for c in cells(study, config)}
        doubled = {label: value for (variant, label), value in found.items() if variant == ground}
        assert all(value == 2 * found["main", label] for label, value in doubled.items()), study.name


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


@pytest.mark.parametrize(("still", "notes"), [(0.55, 1), (0.59, 0)])
def test_a_loss_to_noise_is_said_not_to_be_one_to_drift(still: float, notes: int) -> None:
    means = {"no norm": 0.60, "batch norm": 0.62, "BN, drifting noise": 0.57, "BN, still noise": still}
    rows = [
        {"replicate": k, "arm": arm, "test_accuracy": mean + 0.001 * (k % 3)}
        for k in range(6)
        for arm, mean in means.items()
    ]
    found = CLAIMS["internal-covariate-shift"].module._whose_harm(pd.DataFrame(rows))
    assert len(found) == notes
    assert all("differ by +2.0 (+2.0 to +2.0) points" in note for note in found)


def test_halves_of_a_rule_that_part_ways_are_told() -> None:
    parted = CLAIMS["l1-sparsity"].module._parted
    assert parted("+70 (+60 to +80)", "+9 (+7 to +11)") == parted("not trained", "not trained") == ()
    (note,) = parted("+70 (+60 to +80)", "-9 (-11 to -7)")
    assert "+70 (+60 to +80) points of exact zeros" in note and "-9 (-11 to -7) points of pairs" in note
