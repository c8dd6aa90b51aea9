"""From studies to runs and jobs: what a key depends on, and that a plan is complete, minimal and the same every time."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from folklore import datasets, grid, levels
from folklore import plan as plan_module
from folklore.config import compose
from folklore.errors import UsageError
from folklore.grid import CONFIRM, FIELDS, LATER_FIELDS, TUNE, Cell, Rates, Run, Study, Variant
from folklore.plan import Job, Plan, make_plan
from folklore.studies import cells, scaled, studies

OTHER = {
    "data": "digits",
    "n_train": 1024,
    "model": "brand_new",
    "depth": 4,
    "width": 64,
    "init": "glorot_normal",
    "activation": "tanh",
    "norm": "batch",
    "dropout": 0.2,
    "batch_size": 8,
    "optimizer": "adam",
    "momentum": 0.8,
    "weight_decay": 1e-4,
    "lr": 0.3,
    "schedule": "step",
    "updates": 2001,
    "seed": 1,
    "score_test": True,
    "loss_points": 50,
    "view": "brand_new",
    "bias": -1.0,
    "mask": "brand_new",
    "order": "brand_new",
    "augmentation": "brand_new",
    "l1": 1e-4,
    "penalised": "first",
    "clip": 1.0,
    "procedure": "brand_new",
    "probe": "brand_new",
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_part_of_the_key(field: str, core: Path) -> None:
    add_levels(core)
    assert replace(Run(), **{field: OTHER[field]}).key != Run().key


def test_a_later_field_leaves_older_keys_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is that of a Run without the fields that came later, as long as these have their defaults."""
    older = {name: value for name, value in asdict(Run()).items() if name not in LATER_FIELDS}
    assert Run()._configuration() == older
    assert replace(Run(), l1=0.1)._configuration() == older | {"l1": 0.1}


def test_equal_runs_have_equal_keys() -> None:
    assert Run(lr=0.1).key == Run(lr=0.1).key
    assert len(Run().key) == 24


def test_version_of_torch_and_kind_of_processor_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Run().key
    monkeypatch.setattr(levels, "numerics", lambda: "another machine")
    assert Run().key != before


def clear_caches() -> None:
    for name in dir(levels):
        if hasattr(getattr(levels, name), "cache_clear"):
            getattr(levels, name).cache_clear()
    grid.data_identity.cache_clear()
    plan_module.decisions.cache_clear()


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the core's source, and of the views, that keys are made from, to be edited."""
    for name in ("CORE", "VIEWS"):
        shutil.copytree(getattr(levels, name), tmp_path / name.lower())
        monkeypatch.setattr(levels, name, tmp_path / name.lower())
    clear_caches()
    yield tmp_path / "core"
    clear_caches()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    clear_caches()


def keys() -> dict[str, str]:
    """Keys of a run with He's start and one with Glorot's."""
    return {init: Run(init=init).key for init in ("he_normal", "glorot_normal")}


def insert(path: Path, function: str, statement: str) -> None:
    """Put a statement before the last one of a function."""
    text = path.read_text()
    node = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == function)
    lines = text.splitlines()
    lines.insert(node.body[-1].lineno - 1, f"    {statement}")
    path.write_text("\n".join(lines) + "\n")
    clear_caches()


def test_an_edited_initialiser_retrains_the_runs_that_use_it_only(core: Path) -> None:
    before = keys()
    insert(core / "initializers.py", "he_normal", "fan_in = 2 * fan_in")
    after = keys()
    assert after["he_normal"] != before["he_normal"]
    assert after["glorot_normal"] == before["glorot_normal"]


def add_levels(core: Path) -> None:
    """A level `brand_new` of every factor."""
    source = "\n\ndef brand_new(x):\n    return _twice(x)\n\n\ndef _twice(x):\n    return 2 * x\n"
    for module in levels.MODULES.values():
        with (core / f"{module}.py").open("a") as file:
            file.write(source)
    for folder in (*(core / package for package in levels.PACKAGES.values()), levels.VIEWS):
        (folder / "brand_new.py").write_text(source)
    clear_caches()


def test_added_levels_and_their_helpers_retrain_nothing(core: Path) -> None:
    before = keys()
    add_levels(core)
    assert keys() == before
    assert all("brand_new" in levels.names(f) for f in (*levels.MODULES, *levels.PACKAGES, "view"))


@pytest.mark.parametrize("factor", [*levels.MODULES, *levels.PACKAGES, "view"])
def test_an_edited_helper_of_a_level_retrains_the_runs_that_use_it_only(factor: str, core: Path) -> None:
    add_levels(core)
    before, other = replace(Run(), **{factor: "brand_new"}).key, keys()
    folder = levels.VIEWS if factor == "view" else core / levels.PACKAGES.get(factor, "")
    edit(folder / f"{levels.MODULES.get(factor, 'brand_new')}.py", "2 * x", "3 * x")
    assert replace(Run(), **{factor: "brand_new"}).key != before
    assert keys() == other


def test_a_file_that_a_level_imports_from_its_package_counts_as_its_own(core: Path) -> None:
    for name, source in (("_common", "N = 1\n"), ("uses", "from folklore.core.probes._common import N\n")):
        (core / "probes" / f"{name}.py").write_text(source)
    clear_caches()
    before, other = replace(Run(), probe="uses").key, keys()
    assert "_common" not in levels.names("probe")
    edit(core / "probes" / "_common.py", "N = 1", "N = 2")
    assert replace(Run(), probe="uses").key != before
    assert keys() == other


BORROWED = {
    "an import": "from folklore.core.optimizers import brand_new\n",
    "an attribute": "from folklore.core import optimizers\nfound = optimizers.brand_new\n",
    "a call": 'found = dict(optimizer="brand_new")\n',
    "a dictionary": 'found = {"optimizer": "brand_new"}\n',
}


@pytest.mark.parametrize("how", BORROWED)
def test_a_level_that_another_one_borrows_counts_as_its_own(how: str, core: Path) -> None:
    add_levels(core)
    (core / "procedures" / "uses.py").write_text(BORROWED[how])
    clear_caches()
    before, other = replace(Run(), procedure="uses").key, keys()
    edit(core / "optimizers.py", "2 * x", "3 * x")
    assert replace(Run(), procedure="uses").key != before
    assert keys() == other


def test_comments_and_docstrings_retrain_nothing(core: Path) -> None:
    before = keys()
    for path in core.rglob("*.py"):
        text = path.read_text()
        assert text.startswith('"""')
        path.write_text('"""Another sentence.' + text[3:] + "\n# a remark\n")
    edit(core / "initializers.py", "def he_normal", "# a remark\n\n\ndef he_normal")
    assert keys() == before


def test_freeing_memory_retrains_nothing_and_removing_an_element_does(core: Path) -> None:
    before = keys()
    insert(core / "initializers.py", "he_normal", "del fan_out")
    insert(core / "networks.py", "initial", "del layout.spare")
    assert keys() == before
    insert(core / "initializers.py", "he_normal", "del rng[0]")
    assert keys()["he_normal"] != before["he_normal"]


def test_shared_code_retrains_everything(core: Path) -> None:
    before = keys()
    with (core / "training.py").open("a") as file:
        file.write("\nEXTRA = 1\n")
    clear_caches()
    assert not set(keys().values()) & set(before.values())


def test_a_level_that_calls_another_depends_on_its_code(core: Path) -> None:
    before = replace(Run(), norm="ghost-8").key, Run(norm="batch").key, Run(norm="layer").key
    insert(core / "norms.py", "batch", "h = h + 0")
    after = replace(Run(), norm="ghost-8").key, Run(norm="batch").key, Run(norm="layer").key
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]


def test_the_code_of_a_data_set_is_part_of_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Run().key, Run(data="digits").key
    shutil.copytree(datasets._FOLDER, tmp_path / "datasets")
    edit(tmp_path / "datasets" / "mnist1d.py", "_COUNT = 40_000", "_COUNT = 40_001")
    monkeypatch.setattr(datasets, "_FOLDER", tmp_path / "datasets")
    clear_caches()
    try:
        assert Run().key != before[0]
        assert Run(data="digits").key == before[1]
    finally:
        monkeypatch.undo()
        clear_caches()


STUDY = Study(
    "little",
    factors={"norm": ("none", "batch"), "batch_size": (8, 32)},
    samples=4096,
    replicates=4,
    variants=(Variant("wide", fixed={"width": 200}, study={"replicates": 2, "rates": Rates(count=3)}),),
)


def cells_of(study: Study, *overrides: str) -> list[Cell]:
    config = compose(overrides)
    return cells(scaled(study, config.profile), config)


def confirming(study: Study) -> set[str]:
    """Run keys of the confirming phase at a rate of .1."""
    return {r.key for c in cells_of(study) for r in c.confirming_runs(0.1, range(c.replicates))}


def tuning_runs(cell: Cell) -> list[Run]:
    """Those of a grid that stays where it is."""
    rates = cell.rates.around(cell.center)
    return [run for lr in rates for run in cell.tuning_runs(lr, range(cell.tuning_seeds))]


def tuning(study: Study) -> set[str]:
    return {r.key for c in cells_of(study) for r in tuning_runs(c)}


def test_cells_are_the_crossing_and_variants_change_what_they_say() -> None:
    found = cells_of(STUDY)
    assert len(found) == 8
    main, wide = [c for c in found if c.variant == "main"], [c for c in found if c.variant == "wide"]
    assert {(c.run.norm, c.run.batch_size) for c in main} == {
        ("none", 8),
        ("none", 32),
        ("batch", 8),
        ("batch", 32),
    }
    assert {c.label for c in main} == {c.label for c in wide}
    assert {c.run.width for c in wide} == {200}
    assert {(c.replicates, c.rates.count) for c in wide} == {(2, 3)}
    assert {c.run.updates for c in found if c.run.batch_size == 8} == {512}


def test_phases_never_share_seeds() -> None:
    (cell, *_) = cells_of(STUDY)
    tuned = {run.seed for run in cell.tuning_runs(0.1, range(cell.tuning_seeds))}
    fresh = {run.seed for run in cell.confirming_runs(0.1, range(64))}
    assert (min(fresh), min(tuned)) == (CONFIRM, TUNE)
    assert not tuned & fresh
    assert all(run.score_test for run in cell.confirming_runs(0.1, range(3)))
    assert not any(run.score_test for run in cell.tuning_runs(0.1, range(cell.tuning_seeds)))


def test_an_added_replicate_adds_only_new_runs() -> None:
    more = replace(STUDY, replicates=5)
    assert confirming(STUDY) < confirming(more)
    assert len(confirming(more) - confirming(STUDY)) == 4  # one for each arm of the main ground
    assert tuning(more) == tuning(STUDY)


def test_an_added_level_adds_only_its_runs() -> None:
    more = replace(STUDY, factors={**STUDY.factors, "batch_size": (8, 32, 128)})
    new = {r.key for c in cells_of(more) if c.run.batch_size == 128 for r in tuning_runs(c)}
    assert tuning(more) - tuning(STUDY) == new


def test_two_studies_share_the_runs_that_are_equal() -> None:
    other = replace(STUDY, name="other", factors={"norm": ("none",), "batch_size": (32,)}, variants=())
    assert confirming(other) <= confirming(STUDY)
    assert {c.key for c in cells_of(other)}.isdisjoint({c.key for c in cells_of(STUDY)})


def test_what_a_study_says_wrongly_is_one_line() -> None:
    wrong = {
        "colour": replace(STUDY, fixed={"colour": "red"}),
        "norm=goast": replace(STUDY, factors={"norm": ("goast",)}),
        "lr_of=nobody": replace(STUDY, factors={}, cells=({"lr_of": "nobody", "label": "x"},), variants=()),
        "the same": replace(STUDY, factors={}, cells=({"norm": "none"},) * 2, variants=()),
        "batch_size=8192": replace(STUDY, factors={"batch_size": (8192,)}),
    }
    for words, study in wrong.items():
        with pytest.raises(UsageError, match=words) as caught:
            cells_of(study)
        assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def laptop() -> Plan:
    return make_plan(["profile=laptop"])


@pytest.fixture(scope="module", params=["nano", "smoke", "laptop"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return make_plan([f"profile={request.param}"])


def identities(plan: Plan) -> list[tuple[str, str, str]]:
    return [(job.phase, job.name, job.identity) for job in plan.jobs]


def test_every_cell_is_tuned_once(plan: Plan) -> None:
    tuned = Counter(c.key for job in plan.phase("tune") for u in job.units for c in u.cells if c.tuned)
    assert set(tuned) == {cell.key for cell in plan.cells if cell.tuned}
    assert set(tuned.values()) == {1}


def test_every_replicate_is_confirmed_once(plan: Plan) -> None:
    found = Counter(
        (cell.key, i)
        for job in plan.phase("confirm")
        for u in job.units
        for cell in u.cells
        for i in u.replicates
    )
    assert set(found) == {(cell.key, i) for cell in plan.cells for i in range(cell.replicates)}
    assert set(found.values()) == {1}


def sources(job: Job, plan: Plan) -> Iterator[Cell]:
    """Cells whose tuned rate the job needs: its own, or those that its cells follow."""
    by_label = {(c.study, c.variant, c.label): c for c in plan.cells}
    for unit in job.units:
        for cell in unit.cells:
            yield by_label[cell.study, cell.variant, cell.leader] if cell.leader else cell


def test_confirming_waits_for_the_tuning_that_chooses_its_rates_and_for_nothing_else(plan: Plan) -> None:
    holds = {job.name: {c.key for u in job.units for c in u.cells if c.tuned} for job in plan.phase("tune")}
    for job in plan.phase("confirm"):
        wanted = {cell.key for cell in sources(job, plan) if cell.tuned}
        assert job.needs == tuple(sorted(name for name, held in holds.items() if held & wanted))
        assert wanted <= set().union(*(holds[name] for name in job.needs))


def test_jobs_that_follow_another_arm_wait_for_it(laptop: Plan) -> None:
    followers = [c for c in laptop.cells if c.leader]
    assert followers
    for cell in followers:
        (leader,) = [
            c
            for c in laptop.cells
            if (c.study, c.variant, c.label) == (cell.study, cell.variant, cell.leader)
        ]
        assert leader.tuned
        assert not cell.tuned


def test_units_share_one_graph(plan: Plan) -> None:
    for job in plan.jobs:
        for unit in job.units:
            assert len({cell.run.graph for cell in unit.cells}) == 1
            assert len({(cell.study, cell.variant) for cell in unit.cells}) == 1


def test_jobs_are_of_a_length(laptop: Plan) -> None:
    limit = laptop.config.profile.job_seconds
    for phase in ("tune", "confirm"):
        jobs = laptop.phase(phase)
        lengths = [job.seconds for job in jobs]
        assert lengths == sorted(lengths, reverse=True)  # the long ones start first
        assert len(jobs) <= -(-sum(lengths) // limit)
        for job in jobs:
            longest = max(unit.seconds(phase) for unit in job.units)
            assert job.seconds <= limit + longest
    assert len(laptop.jobs) < 150  # starting an interpreter is not free


def test_jobs_read_few_data_sets_and_wait_for_few_others(laptop: Plan) -> None:
    data = len(laptop.data)
    for phase in ("tune", "confirm"):
        jobs = laptop.phase(phase)
        read = sum(len({unit.cells[0].run.data for unit in job.units}) for job in jobs)
        assert read < len(jobs) + data
    assert sum(len(job.needs) for job in laptop.phase("confirm")) < 2 * len(laptop.phase("confirm"))


def test_chunks_hold_every_confirming_job_once(plan: Plan) -> None:
    assert [job.name for chunk in plan.chunks() for job in chunk] == [
        job.name for job in plan.phase("confirm")
    ]


def test_an_unknown_job_is_one_line(laptop: Plan) -> None:
    with pytest.raises(UsageError, match="no such job"):
        laptop.job("tune", "999")


def test_the_grid_of_the_laptop_is_large_enough(laptop: Plan) -> None:
    mine = [cell for cell in laptop.cells if cell.study == "six-factor"]
    assert len(mine) >= 420
    assert {cell.rates.count for cell in mine} == {5}
    assert {cell.replicates for cell in mine} == {3}
    assert {cell.run.updates for cell in mine} == {max(16_384 // b, 256) for b in (2, 8, 32, 128, 512)}


def test_the_full_profile_crosses_everything() -> None:
    (six,) = [s for s in studies(compose(["profile=full"]).profile) if s.name == "six-factor"]
    assert len(six.levels_of_cells()) == 12_600


def test_profiles_cap_replicates_rates_and_seeds() -> None:
    smoke = make_plan(["profile=smoke"])
    assert {c.replicates for c in smoke.cells} == {2}
    assert max(c.rates.count for c in smoke.cells) == 3
    assert {c.tuning_seeds for c in smoke.cells} == {1}


def test_an_unknown_name_in_only_is_one_line() -> None:
    from folklore.studies import wanted_claims

    with pytest.raises(UsageError, match="no-such-claim"):
        wanted_claims(compose(["profile.only=[no-such-claim]"]).profile)


SCRIPT = """
import sys
from folklore.plan import make_plan
plan = make_plan(["profile=laptop"])
heavy = {"torch", "mlflow", "pandas", "scipy", "matplotlib", "statsmodels"} & set(sys.modules)
print(sorted(heavy), "heavy")
print("\\n".join(f"{j.phase} {j.name} {j.identity}" for j in plan.jobs))
"""


def test_planning_is_light_and_the_same_in_another_process(laptop: Plan, repository: Path) -> None:
    given = {**os.environ, "PYTHONPATH": str(repository / "src"), "PYTHONHASHSEED": "123"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=given, capture_output=True, text=True, check=True
    )
    first, *rest = done.stdout.splitlines()
    assert first.startswith("[] ")
    assert rest == [" ".join(entry) for entry in identities(laptop)]


def test_identity_changes_with_what_a_job_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(study: Study) -> str:
        from folklore import plan as module

        monkeypatch.setattr(module, "studies", lambda profile: [study])
        return make_plan(["profile=laptop"]).phase("tune")[0].identity

    base = first(STUDY)
    assert first(STUDY) == base
    assert first(replace(STUDY, samples=8192)) != base
    assert first(replace(STUDY, rates=Rates(count=9))) != base
    assert first(replace(STUDY, title="other words")) == base


@pytest.mark.parametrize(
    "phase, place", [(phase, place) for phase, places in plan_module.DECIDES.items() for place in places]
)
def test_identity_changes_with_the_code_that_decides(
    phase: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed rule of tuning makes the choices again. What is stored is not trained again for that: the keys of runs stay."""
    for file in (file for places in plan_module.DECIDES.values() for file in places):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(levels.HERE / file, tmp_path / file)
    monkeypatch.setattr(levels, "HERE", tmp_path)
    clear_caches()

    def found() -> dict[str, str]:
        return {name: Job("000", name, ()).identity for name in plan_module.DECIDES}

    before, key = found(), Run().key
    edit(tmp_path / place, "\ndef ", "\n# a remark\ndef ")
    assert found() == before
    edit(tmp_path / place, "\ndef ", "\nEXTRA = 1\n\n\ndef ")
    after = found()
    clear_caches()
    assert {name for name in before if before[name] != after[name]} == {phase}
    assert Run().key == key
