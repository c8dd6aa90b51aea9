"""Another device: chosen by a variable, part of every key, wide stacks, places on it as a resource. What needs a GPU is in test_core_recorded.py."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from folklore import cost, device, levels
from folklore.core import lookup, training
from folklore.core.training import Stack
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.stages.jobs import Trainer
from folklore.workflow import Flow
from test_core_files import TASK, named, stack

ROOT = Path(__file__).resolve().parents[1]

# A rule's command that trains.
TRAINS = re.compile(r"python -m folklore\.stages\.(jobs|calibrate) ")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device.VARIABLE, "cuda")


def test_the_processor_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for unset in ("", None):
        monkeypatch.setenv(device.VARIABLE, unset or "")
        assert device.chosen() == device.ready() == "cpu"
    assert Flow({"profile": "nano"}).gpu_slots == 0


def test_runs_of_another_device_are_other_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Run(lr=0.1).key
    monkeypatch.setenv(device.VARIABLE, "cuda")
    there = Run(lr=0.1).key
    monkeypatch.delenv(device.VARIABLE)
    assert there != before == Run(lr=0.1).key


@pytest.mark.usefixtures("cuda")
def test_stacks_are_wide_and_jobs_take_a_place() -> None:
    assert cost.stack_width(Run(batch_size=8)) == cost.WIDER * cost.MOST_RUNS
    assert Flow({"profile": "nano"}).gpu_slots == 1
    profile = (ROOT / "profiles/gpu/config.v8+.yaml").read_text()
    assert "gpu_slots=4" in profile and "tracker=1" in profile
    rules = (ROOT / "Snakefile").read_text().split("\nrule ")
    trains = {rule.split(":")[0]: "gpu_slots=flow.gpu_slots" in rule for rule in rules if TRAINS.search(rule)}
    assert {"tune", "confirm", "extend", "calibrate"} <= trains.keys()
    assert all(trains.values()), trains


def test_training_gets_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the device `meta`, which has shapes and no numbers, up to the first number that is asked for."""
    asked: list[str] = []

    def train(runs: Sequence[Run], data: object, *, device: str, tick: object) -> list[dict]:
        asked.append(device)
        raise StopIteration

    monkeypatch.setattr("folklore.core.training.train", train)
    monkeypatch.setattr(device, "ready", lambda: "meta")
    monkeypatch.setattr(Trainer, "_data", lambda self, run: None)
    with pytest.raises(StopIteration):
        Trainer(tmp_path, None)._train([Run(lr=0.1)])
    assert asked == ["meta"]


@pytest.mark.parametrize("model", levels.names("model"))
def test_an_update_stays_on_the_device(model: str) -> None:
    """On `meta` again, where a tensor of the processor cannot take part, and no number can be asked for, as in a recorded update."""
    runs = [replace(run, norm="batch") for run in stack(model=model, augmentation="lengths")]
    there = Stack(runs, TASK, torch.device("meta"))
    losses = there._updates(there.parameters, there.state, there.hyper, there._block(0, 1))
    assert [loss.device.type for loss in losses] == ["meta"]


def test_a_procedures_batches_are_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every procedure up to the first number that it asks for; its first update has found its batches by then."""
    monkeypatch.setitem(training.BLOCK_NUMBERS, "meta", 1 << 21)
    for procedure in levels.names("procedure"):
        one = named("procedure", procedure)
        there = Stack(stack(procedure=one), TASK, torch.device("meta"))
        # `meta` holds no numbers: whoever asks for one gets one of these two, and that is as far as a procedure can go there
        with suppress(NotImplementedError, RuntimeError):
            lookup.from_file("procedures", one, "train")(there)
        assert there.batches.x.device.type == "meta", procedure


def test_a_kind_that_there_is_not_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(device.VARIABLE, "tpu")
    with pytest.raises(UsageError, match="FOLKLORE_DEVICE='tpu': allowed are cpu, cuda"):
        device.chosen()
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-n", "--cores", "1"]
    done = subprocess.run(
        [*command, "--directory", str(tmp_path), "--config", "profile=nano"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "FOLKLORE_DEVICE" in line] == [
        "error: FOLKLORE_DEVICE='tpu': allowed are cpu, cuda"
    ]


@pytest.mark.usefixtures("cuda")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line() -> None:
    with pytest.raises(
        UsageError, match=r"FOLKLORE_DEVICE=cuda: torch .* finds no GPU here; allowed without one is cpu"
    ):
        device.ready()
