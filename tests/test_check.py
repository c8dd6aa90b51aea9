"""The six steps on configurations of known health: one that is sound, and one for each thing that the lectures teach to recognise."""

from __future__ import annotations

from pathlib import Path

import pytest

from folklore import config, datasets
from folklore.checkup import Checkup, examine
from folklore.datasets.base import Arrays
from folklore.datasets.views import seen
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.stages.check import check

SOUND = [
    "data=digits",
    "data.n_train=1024",
    "model.depth=2",
    "model.width=32",
    "init=glorot_uniform",
    "lr=0.1",
    "budget.samples=20000",
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    root: Path = tmp_path_factory.mktemp("data")
    datasets.prepare("digits", root)
    return datasets.load("digits", root)


def run(*overrides: str) -> Run:
    return config.run_of(config.compose([o.replace("lr=", "optimizer.lr=") for o in (*SOUND, *overrides)]))


def names(found: Checkup) -> list[str]:
    return [diagnosis.name for diagnosis in found.diagnoses]


def test_a_sound_configuration_is_healthy_at_every_step(digits: Arrays) -> None:
    found = examine(run(), digits)
    assert names(found) == ["healthy"]
    assert [step.name for step in found.steps] == [
        "initial loss",
        "small sample",
        "a rate",
        "coarse grid",
        "finer grid",
        "curves",
    ]
    assert all(step.fine for step in found.steps)


@pytest.mark.parametrize(
    ("override", "name", "failing"),
    [
        ("lr=100", "divergence", "a rate"),
        ("lr=0.0001", "too low a rate", "curves"),
        ("model.bias=-100", "dead units", "initial loss"),
        ("data.n_train=64", "overfitting", "curves"),
        ("model.width=2 activation=tanh", "underfitting", "curves"),
    ],
)
def test_what_is_broken_is_named(override: str, name: str, failing: str, digits: Arrays) -> None:
    found = examine(run(*override.split()), digits)
    assert names(found) == [name]
    assert failing in [step.name for step in found.steps if not step.fine]


def test_shuffled_labels_are_noticed_though_the_sample_is_learnt_by_heart(digits: Arrays) -> None:
    """Validation at chance is what tells them from overfitting."""
    shuffled = seen(digits, "random_labels-100")
    found = examine(run("budget.samples=200000"), shuffled)
    assert names(found) == ["labels that do not belong to their rows"]
    assert [step.fine for step in found.steps] == [True, True, True, False, False, False]


def test_a_frozen_layer_is_named(digits: Arrays) -> None:
    found = examine(run("procedure=frozen-2"), digits)
    assert names(found)[0] == "a layer that does not move"
    assert "layer 2 " in found.diagnoses[0].because


def test_the_command_says_each_step_and_draws_the_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(["--out", str(tmp_path), *SOUND, "budget.samples=4000"])
    said = capsys.readouterr().out
    assert sum(line.startswith(("  ok  ", "  !!  ")) for line in said.splitlines()) == 6
    picture = Path(said.splitlines()[-1].removeprefix("curves: "))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (
        "learning" in picture.with_suffix(".txt").read_text()
        or "loss" in picture.with_suffix(".txt").read_text()
    )


@pytest.mark.parametrize("bad", ["batch_size=0", "activation=rleu", "data.n_train=10", "procedure=frozen-5"])
def test_bad_input_is_one_line_and_writes_nothing(bad: str, tmp_path: Path) -> None:
    smaller = ["batch_size=8"] if "n_train" in bad else []
    with pytest.raises(UsageError, match=bad.partition("=")[0]):
        check(["--out", str(tmp_path / "out"), "data=digits", *smaller, bad])
    assert not (tmp_path / "out" / "check").exists()
