"""The benchmark runs and says what it measured, of contestants that do the same work. Nothing here asks how fast it was: that is the
machine's business."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from folklore.bench import __main__ as bench
from folklore.bench import gpu, measure, nets, pipelines, shown, side_by_side
from folklore.bench.clocks import Times
from folklore.bench.contestants import jax_stack, plain
from folklore.grid import Run


@pytest.fixture(scope="module")
def _cores() -> Iterator[None]:
    """The benchmark keeps to one core; the tests after it should not."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    yield
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, _cores: None) -> Path:
    """What the quick benchmark writes."""
    path: Path = tmp_path_factory.mktemp("bench") / "deep" / "bench.json"
    bench.main(["--quick", "--steps-only", "--out", str(path)])
    return path


@pytest.fixture(scope="module")
def outcome(written: Path) -> dict:
    return json.loads(written.read_text())


def test_the_quick_benchmark_measures_every_net_at_two_batch_sizes(outcome: dict) -> None:
    assert [(row["net"], row["batch_size"]) for row in outcome["rows"]] == [
        (net, size) for net in nets.NETS for size in measure.QUICK.batches
    ]
    assert outcome["machine"]["cpu"]


def test_every_number_has_its_spread(outcome: dict) -> None:
    for row in outcome["rows"]:
        times = [
            *row["plain_us"].values(),
            *row["rival_us"].values(),
            row["stacked_us"],
            *row["gain"].values(),
        ]
        assert all(
            0 < found["min"] <= found["median"] <= found["max"] for found in [*times, row["peak_gflops"]]
        )
        fastest = min(found["median"] for found in row["plain_us"].values())
        assert row["plain_us"][row["plain_fastest"]]["median"] == fastest


def test_contestants_that_are_not_installed_are_named(outcome: dict) -> None:
    for row in outcome["rows"]:
        assert sorted([*row["rival_us"], *outcome["missing"]]) == sorted(measure.OPTIONAL)


def test_whole_pipelines_are_extrapolated_as_said_and_fill_mlflow(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    found = pipelines.pipelines(1, 2, 3, tmp_path)
    a, b = found["hydra_seconds"].values()
    assert found["hydra_extrapolated_seconds"] == pytest.approx(b + (b - a), abs=0.1)
    assert found["stacked_runs_a_minute"] == pytest.approx(60 * 3 / found["stacked_seconds"], rel=0.01)
    for name, experiment, count in (("hydra-2", "sweep", 2), ("stacked", pipelines.STUDY, 3)):
        client = MlflowClient(f"sqlite:///{tmp_path / name / 'mlflow.db'}")
        there = [e.experiment_id for e in client.search_experiments() if experiment in e.name]
        runs = [run for run in client.search_runs(there) if "lr" in run.data.params]
        assert len(runs) == count
        assert all(run.data.metrics["train_loss"] > 0 for run in runs)
    assert "Folklore" in shown.pipelines_in_words(found)


def test_two_jobs_at_once_are_compared_with_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "NETS", {"SGD": nets.NETS["SGD"]})
    effort = replace(measure.QUICK, batches=(32,))
    cores = sorted(os.sched_getaffinity(os.getppid()))  # this process may be kept to one by now
    rows = side_by_side.side_by_side(effort, cores[:2])
    assert len(rows) == (len(cores) > 1)
    assert all(0 < row["work"]["min"] <= row["work"]["median"] <= row["work"]["max"] for row in rows)
    assert side_by_side.side_by_side(effort, cores[:1]) == []
    rows = [{"net": "SGD", "batch_size": 2, "work": {"median": 1.955}}]
    assert "SGD: 1.96 at batch 2." in shown.side_by_side_in_words(rows)


def test_a_job_that_dies_is_no_silence() -> None:
    cores = sorted(os.sched_getaffinity(os.getppid()))  # this process may be kept to one by now
    with (
        side_by_side.jobs(replace(nets.NETS["SGD"], batch_size=-1), 1, cores[:1]) as at_work,
        pytest.raises((EOFError, ConnectionError)),
    ):
        side_by_side.elapsed(at_work, 1)


def test_the_figure_and_its_words_lie_beside(written: Path, outcome: dict) -> None:
    assert written.with_suffix(".svg").exists()
    said = written.with_suffix(".txt").read_text()
    assert f"{outcome['rows'][0]['gain']['plain']['median']:.1f} x plain" in said


def test_a_ratio_compares_repetitions() -> None:
    ratios = Times((10.0, 40.0, 30.0)).over(Times((5.0, 10.0, 30.0)))
    assert ratios.values == (2.0, 4.0, 1.0)
    assert ratios.record() == {"median": 2.0, "min": 1.0, "max": 4.0}


def test_operations_of_an_update_by_hand() -> None:
    """40 x 3 x 3 x 10: forward 2 x (40 x 3 + 3 x 3 + 3 x 10), the same for weights, without the first layer for inputs."""
    assert nets.operations(Run(depth=2, width=3, batch_size=1)) == 2 * (2 * 159 + 39)
    assert nets.operations(Run(depth=2, width=3, batch_size=8)) == 8 * 2 * (2 * 159 + 39)


def test_the_plain_net_is_the_stack_s_net() -> None:
    """As many weights as the stack's, layer by layer."""
    net = plain.net(Run(norm="batch"))
    shapes = [tuple(p.shape) for p in net.parameters() if p.dim() == 2]
    assert shapes == [(100, 40), (100, 100), (100, 100), (10, 100)]
    assert len(list(net.parameters())) == 4 * 2 + 3 * 2


@pytest.mark.parametrize("name", nets.NETS)
def test_jax_trains_what_pytorch_trains(name: str) -> None:
    """From the same weights over the same rows: losses of 20 updates to 1e-4, and the moving averages."""
    pytest.importorskip("jax", reason="an optional contestant")
    run = replace(nets.NETS[name], batch_size=32)
    data, start = nets.synthetic(run), jax_stack.initial(run, 2)
    rows = jax_stack.orders(np.random.default_rng(0), run, 2)
    net = plain.net(run)
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, weights in zip(linear, start["trained"]["weights"], strict=True):
            layer.weight.copy_(torch.from_numpy(weights[1].T))
            layer.bias.zero_()
    after, losses = jax_stack.trainer(run, data)(start, rows)
    optimizer = plain.optimizer_of(run, net, "foreach")
    for step, expected in zip(rows[:, 1], np.asarray(losses)[:, 1], strict=True):
        x, y = torch.from_numpy(data.pool_x[step]), torch.from_numpy(data.pool_y[step])
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.item() == pytest.approx(float(expected), abs=1e-4)
    norms = [layer for layer in net if isinstance(layer, nn.BatchNorm1d)]
    for layer, (mean, variance) in zip(norms, after["running"], strict=True):
        assert np.allclose(np.asarray(mean)[1], layer.running_mean.numpy(), atol=1e-4)
        assert np.allclose(np.asarray(variance)[1], layer.running_var.numpy(), atol=1e-4)


def test_orders_visit_every_row_once_an_epoch() -> None:
    found = jax_stack.orders(np.random.default_rng(0), Run(batch_size=512), 3)
    assert found.shape == (jax_stack.TOGETHER, 3, 512)
    for network in range(3):
        seen = found[:, network].reshape(-1)
        for first, last in pairwise(range(0, len(seen) + 1, nets.ROWS)):
            assert sorted(seen[first:last]) == list(range(nets.ROWS))


def test_a_gain_is_shown_with_its_spread() -> None:
    assert shown.spread({"median": 2.0, "min": 1.0, "max": 4.0}) == "2.0 \\[1.0-4.0]"


def test_the_benchmark_for_a_gpu_runs_on_whatever_there_is(tmp_path: Path, data_root: Path) -> None:
    """Steps of all nets, and a sample of the smoke profile's grid, tuned and confirmed by two processes."""
    gpu.main(["--quick", "--data", str(data_root), "--out", str(tmp_path / "gpu.json")])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["net"] for row in found["rows"]] == list(nets.NETS)
    for row in found["rows"]:
        ours = row["stacked_us"][str(row["width"])]["median"]
        fastest = row["plain_us"][row["plain_fastest"]]["median"]
        assert ours > 0 and fastest == min(form["median"] for form in row["plain_us"].values())
    grid = found["grid"]
    assert grid["graphs_trained"] == sum(map(len, grid["seconds_a_graph"].values())) <= grid["graphs"]
    assert grid["whole_minutes_extrapolated"] > 0
