"""Every claim that is found: its contract, its budget, its formulas."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import folklore.claims
from folklore import criteria
from folklore.claims.base import FAMILIES, LECTURES, LoadedClaim
from folklore.grid import Study
from folklore.report.build import FORMULAS, TEMPLATES, formula_pictures
from folklore.schema import CONF
from folklore.stats.findings import Finding
from folklore.studies import studies
from judged import CLAIMS, EXACT
from simulation import composed

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
    assert claim.study in {s.name for s in studies(composed("laptop").profile)}
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
    grid = next(s for s in studies(composed("laptop").profile) if s.name == "six-factor").seconds
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
