"""A bag of words: the embeddings of a text's words, each word a vector, are added up and read by hidden layers (Iyyer et al. 2015).

Inputs are numbers by word of the vocabulary; the WORDS largest of a text are its words. Row v of the first weight matrix is the embedding of
word v. The first place with dropout are the single entries of the words' embeddings, before they are added; the others follow hidden layers, of
which there are depth - 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from folklore.core.networks import Anatomy, Layout, Pass

WORDS = 8


def anatomy(layout: Layout) -> Anatomy:
    hidden = layout.depth - 1
    fans = ((layout.inputs, layout.width), *((layout.width, layout.width * layout.pieces),) * hidden)
    return Anatomy(
        fans=(*fans, (layout.width, layout.classes)),
        normed=tuple(fan_out for _, fan_out in fans),
        dropped=((_words(layout), layout.width), *((1, layout.width),) * hidden),
    )


def forward(net: Pass, x: Tensor) -> Tensor:
    embedded = net.linear(0, _one_word_a_row(x, _words(net.layout)))
    dropped = net.drop(0, embedded).unflatten(1, (x.shape[1], -1))
    h = net.norm(0, dropped.sum(dim=2))
    for i in range(1, net.layout.depth):
        h = net.hidden(i, h)
    return net.linear(net.layout.depth, h)


def _words(layout: Layout) -> int:
    return min(WORDS, layout.inputs)


def _one_word_a_row(x: Tensor, words: int) -> Tensor:
    """(R, B, V) to (R, B * words, V): each word of a text alone, in the order of the vocabulary."""
    which = x.topk(words, dim=-1).indices.sort(dim=-1).values
    alone = x.new_zeros(*x.shape[:2], words, x.shape[2])
    alone.scatter_(3, which.unsqueeze(3), torch.gather(x, 2, which).unsqueeze(3))
    return alone.flatten(1, 2)
