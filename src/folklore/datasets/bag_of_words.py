"""Bag of words: texts of eight different words out of 160, on ten topics that share most of their words.

Generated, nothing is fetched: in every topic a word has its general frequency (a power law) times a factor of its own; the words of a text are
drawn one after the other, without replacement. An input is 1 where the word occurs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from folklore.datasets.base import Dataset, Raw, hold_out

_COUNT, _TOPICS, _VOCABULARY, _WORDS = 20_000, 10, 160, 8
_LEANING = 1.0  # how much topics differ: the power of the factor


def read(contents: Mapping[str, bytes]) -> Raw:
    """Texts (N, 160) of 0 and 1."""
    frequency = 1 / (5.0 + np.arange(_VOCABULARY))
    factor = -np.log(_uniform("topics", (_TOPICS, _VOCABULARY)))
    y = np.arange(_COUNT) % _TOPICS
    # the words of highest log weight plus Gumbel noise are a draw without replacement (Gumbel-top-k)
    noise = -np.log(-np.log(_uniform("texts", (_COUNT, _VOCABULARY))))
    score = (np.log(frequency) + _LEANING * np.log(factor))[y] + noise
    words = np.argpartition(-score, _WORDS, axis=1)[:, :_WORDS]
    x = np.zeros((_COUNT, _VOCABULARY))
    np.put_along_axis(x, words, 1.0, axis=1)
    return hold_out(x, y, test=10_000, purpose="bag_of_words/test")


def _uniform(purpose: str, shape: tuple[int, ...]) -> np.ndarray:
    """Between 0 and 1, from raw words of Philox, whose stream numpy promises to keep."""
    key = int.from_bytes(hashlib.sha256(f"bag_of_words/{purpose}".encode()).digest()[:16], "little")
    raw = np.random.Philox(key=key).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(12)).astype(np.float64).reshape(shape) + 0.5) / 2.0**52


DATASET = Dataset(
    name="bag_of_words",
    classes=_TOPICS,
    inputs=_VOCABULARY,
    validation=2_000,
    licence="CC0 1.0, generated",
    read=read,
)
