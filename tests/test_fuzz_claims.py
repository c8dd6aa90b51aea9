"""Claim files that break their contract: one line that names file and remedy, whether it is found when read, when judged or when drawn."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import strategies as st

import folklore.claims
from folklore import criteria, workflow
from folklore.claim_calls import finding_of, plot_of
from folklore.claims.base import Claim, Criterion, Formula, LoadedClaim, discover, load
from folklore.errors import UsageError
from folklore.grid import Rates, Study, Variant
from folklore.schema import ProfileConfig
from folklore.stats.estimates import Estimate
from folklore.stats.findings import Check, Finding
from folklore.studies import cells, studies
from hostile import TEXTS, fuzz, refused, values
from test_fuzz_config import base, completed

FILE = "src/folklore/claims/sound_claim.py"
CLAIM = Claim(
    kind="S", family="activations", lectures=(1,), paper="A paper", reported="A number", limits="Much"
)
DESIGN = Study(
    name="sound-claim", factors={"activation": ("relu", "tanh")}, samples=64, fixed={"n_train": 64}
)
CRITERION = Criterion(text="The rule.", metric="accuracy", unit="points", delta=0.01, scale=100)
ESTIMATE = Estimate(0.1, (0.0, 0.2), (0.01, 0.19), (0.0, 0.2), 0.01, 0.01, 0.1, 8)


def judge(runs, criterion):
    return Finding(estimate=ESTIMATE, p=0.01)


def plot(runs, finding):
    from matplotlib.figure import Figure

    return Figure(), "A figure of nothing."


def sound(**changed: object) -> ModuleType:
    """A claim's module; None takes a name away."""
    module = ModuleType("folklore.claims.sound_claim", "A title.\n\nA rule in a sentence.")
    held = {"CLAIM": CLAIM, "DESIGN": DESIGN, "CRITERION": CRITERION, "judge": judge, "plot": plot}
    for name, value in (held | changed).items():
        if value is not GONE:
            setattr(module, name, value)
    return module


GONE = object()


def complaint(module: ModuleType) -> str:
    with pytest.raises(UsageError) as caught:
        load(module)
    return refused(caught.value, FILE)


def test_a_sound_claim_is_read() -> None:
    claim = load(sound())
    assert (claim.id, claim.title, claim.rule, claim.file) == (
        "sound-claim",
        "A title",
        ("A rule in a sentence.",),
        FILE,
    )
    assert finding_of(claim, None).p == 0.01
    assert plot_of(claim, None, finding_of(claim, None))[1]


@pytest.mark.parametrize("name", ["CLAIM", "DESIGN", "CRITERION", "judge", "plot"])
def test_a_name_that_is_missing_or_of_another_kind(name: str) -> None:
    assert complaint(sound(**{name: GONE})).startswith(f"{FILE}: {name}: missing; allowed is")
    assert f"{FILE}: {name}" in complaint(sound(**{name: 3.5}))


WRONG = [
    ({"CLAIM": replace(CLAIM, kind="X")}, "CLAIM.kind='X': allowed is one of S, E, E+S, Q"),
    ({"CLAIM": replace(CLAIM, family="cookery")}, "CLAIM.family='cookery': allowed is one of initialisation"),
    ({"CLAIM": replace(CLAIM, lectures=(9,))}, "CLAIM.lectures=(9,)"),
    ({"CLAIM": replace(CLAIM, lectures=())}, "CLAIM.lectures=()"),
    ({"CLAIM": replace(CLAIM, formulas=("x",))}, "CLAIM.formulas=('x',)"),
    ({"CLAIM": replace(CLAIM, paper=None)}, "CLAIM.paper=None"),
    ({"DESIGN": None}, "DESIGN=None: allowed with kind S is a Study"),
    ({"CLAIM": replace(CLAIM, kind="E"), "CRITERION": replace(CRITERION, settings={"tolerance": 1e-6})}, "DESIGN="),
    ({"CRITERION": replace(CRITERION, delta=0)}, "CRITERION.delta=0: allowed is a finite number above 0"),
    ({"CRITERION": replace(CRITERION, delta=float("nan"))}, "CRITERION.delta=nan"),
    ({"CRITERION": replace(CRITERION, settings={"a": "b"})}, "CRITERION.settings={'a': 'b'}"),
    ({"CLAIM": replace(CLAIM, kind="Q")}, "CRITERION.settings={}: allowed with kind Q is one with 'allowed'"),
    ({"DESIGN": replace(DESIGN, name="a b")}, "DESIGN.name='a b'"),
    ({"DESIGN": replace(DESIGN, factors={"activation": "relu"})}, "DESIGN.factors="),
    ({"DESIGN": replace(DESIGN, replicates="8")}, "DESIGN.replicates='8'"),
    ({"DESIGN": replace(DESIGN, rates=7)}, "DESIGN.rates=7"),
    ({"DESIGN": replace(DESIGN, variants=(Variant("main"),))}, "DESIGN.variants="),
    ({"DESIGN": replace(DESIGN, variants=(Variant("a"), Variant("a")))}, "DESIGN.variants="),
    ({"DESIGN": replace(DESIGN, variants=(Variant("a", study={"seeds": 3}),))}, "DESIGN.variants="),
    ({"CLAIM": replace(CLAIM, formulas=(Formula("wrong", "x", "x"),))}, "CLAIM.formulas: form='wrong': allowed is one of printed, right, derived"),
    ({"CLAIM": replace(CLAIM, formulas=(Formula("right", " ", "x"),))}, "CLAIM.formulas: typst=' ': allowed is a text"),
    ({"CLAIM": replace(CLAIM, formulas=(Formula("right", "x", None),))}, "CLAIM.formulas: words=None: allowed is a text"),
    ({"DESIGN": replace(DESIGN, variants=(Variant("a", study={"replicates": "many"}),))}, "DESIGN.variants: a.replicates='many': allowed is a whole"),
    ({"DESIGN": replace(DESIGN, variants=(Variant("a", study={"rates": 3}),))}, "DESIGN.variants: a.rates=3: allowed is Rates(...)"),
    ({"DESIGN": replace(DESIGN, variants=(Variant("a"), Variant("b", study={"cells": 3})))}, "DESIGN.variants: b.cells=3"),
    ({"DESIGN": replace(DESIGN, variants=(Variant("a", study={"tune_on": "steps"}),))}, "DESIGN.variants: a.target=None: allowed with tune_on=steps"),
    ({"DESIGN": replace(DESIGN, tune_on="steps")}, "DESIGN.target=None: allowed with tune_on=steps is the training loss to reach"),
    ({"DESIGN": replace(DESIGN, tune_on="val_acuracy")}, "DESIGN.tune_on=val_acuracy: nothing measures it; did you mean val_accuracy?"),
    ({"judge": lambda runs: None}, "judge(runs): allowed is def judge(runs, criterion)"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_a_value_that_is_not_allowed(changed: dict[str, object], said: str) -> None:
    assert complaint(sound(**changed)).startswith(f"{FILE}: {said}")


@pytest.mark.parametrize("name", ["val_accuracy", "cv_accuracy", "training_accuracy", "decades", "speed"])
def test_what_something_measures_can_be_tuned_for(name: str) -> None:
    assert load(sound(DESIGN=replace(DESIGN, tune_on=name))).design.tune_on == name
    assert load(sound(DESIGN=replace(DESIGN, tune_on="steps", target=0.1))).design.target == 0.1


PARTS = {"CLAIM": CLAIM, "DESIGN": DESIGN, "CRITERION": CRITERION}
FIELDS = [(part, field.name) for part, held in PARTS.items() for field in fields(held)]
DEEP = st.sampled_from(
    [
        Rates(),
        Rates(count=0),
        Rates(octaves=-1.0),
        Rates(count=2.5),
        (Variant("a", {"colour": 1}),),
        (Variant("a", {3: 1}),),
        (Variant("a", study={"half_replicates": "few", "factors": 3}),),
        (Formula("printed", "x", "x"), Formula("", "x", "x")),
        ({"lr_of": "nobody"},),
    ]
)


@fuzz(0.3, field=st.sampled_from(FIELDS), value=st.one_of(values(), DEEP))
def test_any_value_in_any_field(field: tuple[str, str], value: object) -> None:
    """Read, then planned: as far as a run's identity."""
    part, name = field
    changed = sound(**{part: replace(PARTS[part], **{name: value})})
    try:
        claim = load(changed)
        (study,) = studies(ProfileConfig(only=[claim.id]), [claim])
        assert all(len(cell.run.key) == 24 for cell in cells(study, completed(base())))
        assert len(claim.criterion_hash) == 16
    except UsageError as error:
        refused(error, FILE, "study ", "DESIGN")


@fuzz(
    0.15,
    levels=st.dictionaries(
        st.sampled_from(
            ["activation", "batch_size", "norm", "lr", "lr_of", "lr_times", "label", "updates", "colour"]
        ),
        values(),
        max_size=3,
    ),
)
def test_any_arm(levels: dict[str, object]) -> None:
    """An arm that is not trainable, or follows one that does not exist."""
    arms = ({"activation": "relu", "label": "plain"}, levels)
    claim = load(sound(DESIGN=replace(DESIGN, factors={}, cells=arms)))
    try:
        found = cells(studies(ProfileConfig(only=[claim.id]), [claim])[0], completed(base()))
    except UsageError as error:
        refused(error, "sound-claim")
    else:
        assert len({cell.key for cell in found}) == 2


@pytest.mark.parametrize(("leader", "said"), [("relu", "relu"), ("\u202ex", " x")])
def test_an_arm_that_does_not_exist_is_named(leader: str, said: str) -> None:
    arms = ({"activation": "relu"}, {"activation": "tanh", "lr_of": leader})
    claim = load(sound(DESIGN=replace(DESIGN, factors={}, cells=arms)))
    with pytest.raises(UsageError, match=rf"study sound-claim: lr_of={said}: no such arm"):
        cells(studies(ProfileConfig(only=[claim.id]), [claim])[0], completed(base()))


# Files


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files count as claims, too."""
    monkeypatch.setattr(folklore.claims, "__path__", [*folklore.claims.__path__, str(tmp_path)])
    return tmp_path


TITLE = '"""A title.\n\nA rule.\n"""\n'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("zz_broken.py", "def judge(:\n", "zz_broken.py: cannot be read: SyntaxError"),
        (
            "zz_raises.py",
            f"{TITLE}raise RuntimeError('a\\nb')\n",
            "zz_raises.py: cannot be read: RuntimeError: a b (line",
        ),
        (
            "zz_imports.py",
            f"{TITLE}import nowhere_to_be_found\n",
            "zz_imports.py: cannot be read: ModuleNotFoundError",
        ),
        ("zz_null.py", "\0", "zz_null.py: cannot be read"),
        ("zz_empty.py", "", "zz_empty.py: docstring: missing"),
        ("zz_few.py", TITLE, "zz_few.py: CLAIM: missing"),
        ("Zz;id.py", TITLE, "Zz;id.py: id=Zz;id: allowed are file names"),
        (
            "bn-accelerates.py",
            TITLE,
            "bn-accelerates.py: id=bn-accelerates: allowed is an id that no other file has",
        ),
    ],
)
def test_a_file_that_is_no_claim(name: str, text: str, said: str, beside: Path) -> None:
    (beside / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        discover.__wrapped__()
    assert refused(caught.value).startswith(f"src/folklore/claims/{said}")
    sys.modules.pop(f"folklore.claims.{name.removesuffix('.py')}", None)


def test_two_claims_cannot_define_one_study() -> None:
    first, second = load(sound()), load(sound(DESIGN=replace(DESIGN, samples=128)))
    with pytest.raises(UsageError, match=r"DESIGN.name=sound-claim: allowed is a name of its own"):
        studies(ProfileConfig(), [first, second])
    with pytest.raises(UsageError, match=rf"{FILE}: DESIGN='nobody': no claim defines a study of this name"):
        studies(ProfileConfig(), [first, load(sound(DESIGN="nobody"))])


def test_as_a_process(tmp_path: Path, repository: Path) -> None:
    """A broken file ends every command in one line."""
    shutil.copytree(
        repository / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    shutil.copytree(repository / "conf", tmp_path / "conf")
    (tmp_path / "src/folklore/claims/mine.py").write_text(f"{TITLE}CLAIM = 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "folklore.stages.jobs", "tune", "000", "profile=nano"],
        cwd=tmp_path / "src",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: src/folklore/claims/mine.py: CLAIM=3: allowed is Claim(...)")


# Judges and plots


def claim_with(**changed: object) -> LoadedClaim:
    return load(sound(**changed))


RUBBISH = st.one_of(
    values(), st.sampled_from([Finding(), Finding(checks=(Check("a", 0.0, 1.0, True),)), np.nan, ESTIMATE])
)


@fuzz(0.1, rubbish=RUBBISH)
def test_a_judge_that_gives_rubbish(rubbish: object) -> None:
    with pytest.raises(UsageError) as caught:
        finding_of(claim_with(judge=lambda runs, criterion: rubbish), None)
    assert refused(caught.value, FILE).startswith(f"{FILE}: judge gave ")


@fuzz(0.1, name=st.sampled_from([f.name for f in fields(Finding)]), value=values())
def test_a_finding_with_any_value_in_any_field(name: str, value: object) -> None:
    """Whatever passes gives a verdict."""
    wrong = replace(judge(None, None), **{name: value})
    try:
        found = finding_of(claim_with(judge=lambda runs, criterion: wrong), None)
    except UsageError as error:
        refused(error, FILE)
    else:
        assert found.verdict(0.01, None).verdict in ("supported", "refuted", "inconclusive")


def test_a_nan_for_p_would_spoil_its_family() -> None:
    bad = replace(judge(None, None), p=float("nan"))
    with pytest.raises(UsageError, match=r"judge gave Finding.p=nan: allowed is a number from 0 to 1"):
        finding_of(claim_with(judge=lambda runs, criterion: bad), None)


@fuzz(
    0.05,
    text=st.sampled_from(TEXTS),
    kind=st.sampled_from(
        [ValueError, KeyError, ZeroDivisionError, AssertionError, RecursionError, MemoryError]
    ),
)
def test_a_judge_or_a_plot_that_raises(text: str, kind: type[Exception]) -> None:
    def bad(runs, criterion):
        raise kind(text)

    claim = claim_with(judge=bad, plot=bad)
    for call in (lambda: finding_of(claim, None), lambda: plot_of(claim, None, judge(None, None))):
        with pytest.raises(UsageError) as caught:
            call()
        assert kind.__name__ in refused_short(caught.value)


def refused_short(error: UsageError) -> str:
    said = str(error)
    assert said.isprintable() and said.startswith(f"{FILE}: ") and " failed: " in said and "mend " in said
    return said


@pytest.mark.parametrize("rubbish", [None, (), (1, 2), ("a", "b")])
def test_a_plot_that_gives_rubbish(rubbish: object) -> None:
    claim = claim_with(plot=lambda runs, finding: rubbish)
    with pytest.raises(
        UsageError, match=rf"{FILE}: plot gave .*: allowed is \(a matplotlib Figure, its text\)"
    ):
        plot_of(claim, None, judge(None, None))


# The register


def test_a_criterion_that_is_not_registered_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (line,) = criteria.unregistered([claim_with()])
    assert line.startswith(
        f"{FILE}: its criterion is not registered; register it before its runs by: make register"
    )
    known = discover()
    changed = replace(known[0], criterion=replace(known[0].criterion, delta=0.123))
    monkeypatch.setattr(workflow, "wanted_claims", lambda profile: [changed, *known[1:]])
    workflow.planned({"profile": "nano"})
    said = capsys.readouterr().err
    assert (
        said.startswith(f"warning: {known[0].file}: its criterion is not registered")
        and said.count("\n") == 1
    )


ENTRY = {
    "claim": "a",
    "hash": "b",
    "commit": "c",
    "reason": "d",
    "criterion": {"text": "t", "metric": "m", "unit": "u", "delta": 1},
}


@fuzz(0.1, key=st.sampled_from([*ENTRY, "surplus"]), value=values(), cut=st.integers(0, 200))
def test_lines_of_the_register(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "criteria.jsonl"
    path.write_text(json.dumps(ENTRY) + "\n" + json.dumps(ENTRY | {key: value})[: 200 - cut] + "\n")
    try:
        assert all(criteria.criterion_of(entry) for entry in criteria.read(path))
    except UsageError as error:
        assert "criteria.jsonl: line 2: " in refused(error)


@pytest.mark.parametrize(
    "text", ["", "[1]", "a: 3", "a: [x, x]", "a: [x]\nb: [x]", "a: [1]", "a: [", "3: [x]", "\xff"]
)
def test_families_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "families.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"families.yaml: .*allowed"):
        criteria.families(tmp_path / "families.yaml")
