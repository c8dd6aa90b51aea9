"""From studies to cells and runs: the crossing, its variants, what profiles cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from folklore.config import compose
from folklore.errors import UsageError
from folklore.grid import CONFIRM, TUNE, Cell, Rates, Run, Study, Variant
from folklore.plan import make_plan
from folklore.studies import cells, scaled, studies

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
        "follows another": replace(
            STUDY,
            factors={},
            cells=({"label": "a", "lr_of": "b"}, {"label": "b", "lr_of": "c"}, {"label": "c"}),
            variants=(),
        ),
        "lr_of=itself": replace(
            STUDY, factors={}, cells=({"lr_of": "itself", "label": "itself"},), variants=()
        ),
        "the same": replace(STUDY, factors={}, cells=({"norm": "none"},) * 2, variants=()),
        "batch_size=8192": replace(STUDY, factors={"batch_size": (8192,)}),
    }
    for words, study in wrong.items():
        with pytest.raises(UsageError, match=words) as caught:
            cells_of(study)
        assert "\n" not in str(caught.value)


def test_the_full_profile_crosses_everything() -> None:
    (six,) = [s for s in studies(compose(["profile=full"]).profile) if s.name == "six-factor"]
    assert len(six.levels_of_cells()) == 12_600


def test_the_full_profile_makes_the_updates_that_the_source_prints() -> None:
    study = replace(STUDY, samples=0, updates=100, printed_updates=250, fixed={"loss_points": 30})
    ours, printed = cells_of(study), cells_of(study, "profile=full")
    assert {(c.run.updates, c.run.loss_points) for c in ours} == {(100, 30)}
    # windows of the loss curve stay as long
    assert {(c.run.updates, c.run.loss_points) for c in printed if c.variant == "main"} == {(250, 75)}


def test_profiles_cap_replicates_rates_and_seeds() -> None:
    smoke = make_plan(["profile=smoke"])
    assert {c.replicates for c in smoke.cells} == {2}
    assert max(c.rates.count for c in smoke.cells) == 3
    assert {c.tuning_seeds for c in smoke.cells} == {1}


def test_an_unknown_name_in_only_is_one_line() -> None:
    from folklore.studies import wanted_claims

    with pytest.raises(UsageError, match="no-such-claim"):
        wanted_claims(compose(["profile.only=[no-such-claim]"]).profile)


@pytest.mark.parametrize(("ground", "field"), [("twice the width", "width"), ("twice the budget", "updates")])
def test_a_further_ground_doubles_every_arm(ground: str, field: str) -> None:
    """Also what a cell sets itself; nets that match beside each other on the main ground match there, too."""
    config = compose(["profile=full"])
    for study in studies(config.profile):
        found = {(c.variant, c.label): getattr(c.run, field) for c in cells(study, config)}
        doubled = {label: value for (variant, label), value in found.items() if variant == ground}
        assert all(value == 2 * found["main", label] for label, value in doubled.items()), study.name
