"""The benchmark runs and says what it measured. Nothing here asks how fast it was: that is the machine's business."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from folklore import bench
from folklore.grid import Run


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the quick benchmark writes."""
    path: Path = tmp_path_factory.mktemp("bench") / "deep" / "bench.json"
    bench.main(["--quick", "--out", str(path)])
    return json.loads(path.read_text())


def test_the_quick_benchmark_measures_every_net_at_two_batch_sizes(outcome: dict) -> None:
    assert [(row["net"], row["batch_size"]) for row in outcome["rows"]] == [
        (net, size) for net in bench.NETS for size in bench.QUICK.batches
    ]
    assert outcome["threads"] == 1
    assert outcome["machine"]["cpu"]


def test_every_number_has_its_spread(outcome: dict) -> None:
    for row in outcome["rows"]:
        times = [*row["plain_us"].values(), row["stacked_us"], row["peak_gflops"], row["gain"]]
        assert all(0 < found["min"] <= found["median"] <= found["max"] for found in times)
        fastest = min(found["median"] for found in row["plain_us"].values())
        assert row["plain_us"][row["plain_fastest"]]["median"] == fastest


def test_a_ratio_compares_repetitions() -> None:
    ratios = bench.Times((10.0, 40.0, 30.0)).over(bench.Times((5.0, 10.0, 30.0)))
    assert ratios.values == (2.0, 4.0, 1.0)
    assert ratios.record() == {"median": 2.0, "min": 1.0, "max": 4.0}


def test_operations_of_an_update_by_hand() -> None:
    """40 x 3 x 3 x 10: forward 2 x (40 x 3 + 3 x 3 + 3 x 10), the same for weights, without the first layer for inputs."""
    assert bench.operations(Run(depth=2, width=3, batch_size=1)) == 2 * (2 * 159 + 39)
    assert bench.operations(Run(depth=2, width=3, batch_size=8)) == 8 * 2 * (2 * 159 + 39)


def test_the_plain_net_is_the_stack_s_net() -> None:
    """As many weights as the stack's, layer by layer."""
    net = bench.plain_net(Run(norm="batch"))
    shapes = [tuple(p.shape) for p in net.parameters() if p.dim() == 2]
    assert shapes == [(100, 40), (100, 100), (100, 100), (10, 100)]
    assert len(list(net.parameters())) == 4 * 2 + 3 * 2
