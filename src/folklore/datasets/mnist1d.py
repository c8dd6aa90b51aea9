"""MNIST-1D: ten short curves, scaled, shifted, sheared and made noisy (Greydanus & Kobak, arXiv:2011.14439).

Generated, nothing is fetched: one pool of 40,000 with the authors' own settings and seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from folklore.datasets.base import Dataset, Raw, hold_out

_COUNT = 40_000


def read(contents: Mapping[str, bytes]) -> Raw:
    """Curves (N, 40), float64. The authors' train and test parts are joined and split anew."""
    from mnist1d.data import get_dataset_args, make_dataset

    settings = get_dataset_args()
    settings.num_samples = _COUNT
    with _global_generators_kept():
        made = make_dataset(settings)
    x = np.concatenate([made["x"], made["x_test"]])
    y = np.concatenate([made["y"], made["y_test"]])
    return hold_out(x, y, test=10_000, purpose="mnist1d/test")


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """The authors' code seeds and draws from the global generators: give them back as they were."""
    python, legacy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


DATASET = Dataset(
    name="mnist1d",
    classes=10,
    inputs=40,
    validation=2_000,
    licence="Apache-2.0, S. Greydanus",
    read=read,
)
