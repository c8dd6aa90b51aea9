"""Out of memory in a stack: half as many at once, the same numbers, a line that says so; and one line where not even one fits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from folklore.core import training
from folklore.errors import UsageError
from folklore.grid import Run
from folklore.stages.calibrate import Quiet
from folklore.stages.jobs import Trainer
from folklore.store import Store

RUN = Run(data="digits", n_train=256, width=16, updates=12, lr=0.1, score_test=True, loss_points=4)
RUNS = [replace(RUN, seed=seed, lr=0.05 * (1 + seed % 3)) for seed in range(11)]

ERRORS = {
    "python": MemoryError,
    "torch-cpu": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."
    ),
    "torch-gpu": lambda: torch.OutOfMemoryError("CUDA out of memory."),
}


def trained(out: Path, data_root: Path, runs: Sequence[Run] = RUNS) -> str:
    """All results as text that is equal for equal numbers only."""
    trainer = Trainer(out, Quiet())
    trainer.data_root = data_root
    trainer(runs)
    return shown(out)


def shown(out: Path) -> str:
    rows = Store(out).read()
    return str(rows.map(lambda v: v.tolist() if isinstance(v, np.ndarray) else v).to_dict("records"))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Makes training raise above a width; returns the widths that were tried."""

    def limit(widest: int, error: Callable[[], Exception]) -> list[int]:
        tried, train = [], training.train

        def limited(runs: Sequence[Run], *rest: object, **named: object) -> list[dict]:
            tried.append(len(runs))
            if len(runs) > widest:
                raise error()
            return train(runs, *rest, **named)

        monkeypatch.setattr(training, "train", limited)
        return tried

    return limit


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("widest", [1, 3, 10])
def test_a_stack_that_is_too_wide_goes_on_in_halves(
    error: str,
    widest: int,
    narrow: Callable[..., list[int]],
    data_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = trained(tmp_path / "whole", data_root)
    tried = narrow(widest, ERRORS[error])
    assert trained(tmp_path / "halved", data_root) == whole
    assert tried[0] == len(RUNS)
    assert sum(width for width in tried if width <= widest) == len(RUNS), "each run is trained once"
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert len(said) == sum(width > widest for width in tried)


def test_the_smaller_width_is_remembered(
    narrow: Callable[..., list[int]], data_root: Path, tmp_path: Path
) -> None:
    """A second stack of the same graph does not fail first."""
    runs = [replace(RUN, seed=seed) for seed in range(70)]
    tried = narrow(15, MemoryError)
    trained(tmp_path, data_root, runs)
    assert sum(width > 15 for width in tried) == 1


def test_one_network_that_does_not_fit_is_one_line(
    narrow: Callable[..., list[int]], data_root: Path, tmp_path: Path
) -> None:
    narrow(0, MemoryError)
    with pytest.raises(UsageError, match=r"model\.width=16, batch_size=32: .* does not fit") as caught:
        trained(tmp_path, data_root, RUNS[:4])
    assert "\n" not in str(caught.value)


def test_another_error_is_no_lack_of_memory(
    narrow: Callable[..., list[int]], data_root: Path, tmp_path: Path
) -> None:
    tried = narrow(0, lambda: RuntimeError("expected scalar type Float"))
    with pytest.raises(RuntimeError, match="scalar type"):
        trained(tmp_path, data_root)
    assert tried == [len(RUNS)]


LIMITED = """
import resource, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import torch
torch.set_num_threads(1)
from folklore import cost
from folklore.grid import Run
from test_faults_memory import WIDE, trained

trained(Path(sys.argv[1]), Path(sys.argv[3]), [replace(WIDE[0], width=8)])  # all that is loaded late is loaded
pages = int(Path("/proc/self/statm").read_text().split()[0])
allowed = pages * resource.getpagesize() + (int(sys.argv[5]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
trained(Path(sys.argv[2]), Path(sys.argv[3]), WIDE)
"""
# 16 of them hold 16 x 1,600 x 1,600 weights, 160 MB, and as much again for gradients and for each moment
WIDE = [replace(RUN, width=1600, depth=2, updates=2, optimizer="adam", seed=seed) for seed in range(16)]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is read from /proc")
def test_a_real_limit_on_the_memory(
    data_root: Path, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address space may grow by less than a stack of 16 needs, and by more than one network does."""
    monkeypatch.setattr("folklore.cost.LAYER_NUMBERS", 1 << 40)
    monkeypatch.setattr("folklore.cost.STACK_NUMBERS", 1 << 40)
    whole = trained(tmp_path / "whole", data_root, WIDE)
    script = LIMITED.replace(
        "from folklore import cost",
        "from folklore import cost; cost.LAYER_NUMBERS = cost.STACK_NUMBERS = 1 << 40",
    )
    arguments = [tmp_path / "first", tmp_path / "limited", data_root, repository / "tests", 300]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "out of memory with 16 x" in done.stderr
    assert shown(tmp_path / "limited") == whole
