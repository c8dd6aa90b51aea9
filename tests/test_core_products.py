"""The kernels of the core against the same in double precision, and their promise: the same bits in any stack and any place."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import ir
from torch import Tensor

from folklore import levels
from folklore.core import batch_norm, machine_code, norms, optimizers, products
from folklore.core.affine import Back, affine, gradient, input_slopes, multiply, operands
from folklore.core.calls import Calls, of_run
from folklore.core.compilation import compiled
from folklore.core.machine_code import LANES
from folklore.core.updates import Level, numbers_of, slots, update, update_affine, update_by, update_norm
from registers import same_bits_with_all_tiles, same_bits_with_shorter_ones

# below, at and above the sizes of vectors (16), tiles (6 x 64) and blocks of them
SHAPES = [
    (1, 1, 1, 1),
    (3, 2, 5, 10),
    (2, 7, 16, 16),
    (2, 13, 17, 33),
    (1, 6, 64, 64),
    (2, 5, 40, 65),
    (1, 30, 100, 130),
]
LEVELS = levels.names("optimizer")


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def factors(shape: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """inputs (R, B, in), weights (R, in, out), bias (R, 1, out), slopes (R, B, out)."""
    r, b, i, o = shape
    return draw(r, b, i, seed=1), draw(r, i, o, seed=2), draw(r, 1, o, seed=3), draw(r, b, o, seed=4)


def near(found: Tensor, expected: Tensor, sums: int = 1) -> None:
    """Within what rounding after each of the additions can do."""
    bound = 4e-7 * (1 + sums**0.5) * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=bound)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_those_of_double_precision(shape: tuple[int, int, int, int]) -> None:
    x, w, b, s = factors(shape)
    near(affine(x, w, b), b.double() + x.double() @ w.double(), shape[2])
    near(gradient(x, s), x.double().mT @ s.double(), shape[1])
    near(input_slopes(s, w), s.double() @ w.double().mT, shape[3])


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_a_run_has_the_same_bits_alone_and_in_any_place(shape: tuple[int, int, int, int]) -> None:
    x, w, b, s = factors((4, *shape[1:]))
    x[2], s[2] = float("nan"), float("inf")
    together = affine(x, w, b), gradient(x, s), input_slopes(s, w)
    for r in (0, 1, 3):
        at = slice(r, r + 1)
        alone = affine(x[at], w[at], b[at]), gradient(x[at], s[at]), input_slopes(s[at], w[at])
        for one, all_ in zip(alone, together, strict=True):
            assert torch.equal(one, all_[at])


@given(m=st.integers(1, 20), k=st.integers(1, 70), n=st.integers(1, 70))
def test_a_matrix_that_is_given_transposed_makes_no_difference(m: int, k: int, n: int) -> None:
    """Few rows take it another way than many, and so do few columns and what is left of a block."""
    a, b = draw(2, m, k, seed=1), draw(2, n, k, seed=2)
    assert torch.equal(input_slopes(a, b), gradient(a.mT, b.mT.contiguous()))


@pytest.mark.parametrize(
    "shape", [(2, 100, 100), (9, 100, 10), (2, 3, 1), (32, 17, 18), (7, 5, 8), (4, 9, 7)]
)
def test_nothing_is_read_behind_a_matrix(shape: tuple[int, int, int]) -> None:
    """Weights whose memory ends where the process may not read on."""
    m, n, k = shape
    held = mmap.mmap(-1, 32 * mmap.PAGESIZE)
    at = ctypes.addressof(ctypes.c_char.from_buffer(held))
    last = at + 31 * mmap.PAGESIZE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(last), mmap.PAGESIZE, 0) == 0
    b = torch.frombuffer(held, dtype=torch.float32, count=n * k, offset=31 * mmap.PAGESIZE - 4 * n * k)
    b = b.view(1, n, k).copy_(draw(1, n, k, seed=2))
    a = draw(1, m, k, seed=1)
    assert torch.equal(input_slopes(a, b), gradient(a.mT, b.mT.contiguous()))
    near(
        affine(draw(1, m, n, seed=3), b, torch.zeros(1, 1, k)), draw(1, m, n, seed=3).double() @ b.double(), n
    )


@pytest.mark.parametrize("m", range(1, 27))
def test_every_row_is_the_same_however_many_there_are(m: int) -> None:
    """Whatever the heights of the tiles that they are cut into."""
    x, w, b, s = factors((2, m, 19, 35))
    together = affine(x, w, b), input_slopes(s, w)
    for r in range(m):
        row = slice(r, r + 1)
        alone = affine(x[:, row], w, b), input_slopes(s[:, row].contiguous(), w)
        for one, all_ in zip(alone, together, strict=True):
            assert torch.equal(one, all_[:, row])


def test_of_a_vector_the_first_lanes_alone_are_stored() -> None:
    """Each at its place, nothing behind them."""
    numbers = torch.arange(1.0, LANES + 1)

    def write(code: machine_code.Code, given: Sequence[ir.Value]) -> None:
        count, source, address = given
        code.store(code.load(source), address, code.first_lanes(count))

    def stored() -> list[Tensor]:
        store, found = compiled(write, 3).call, torch.zeros(LANES + 1, 2 * LANES)
        for count, row in enumerate(found):
            store(count, numbers.data_ptr(), row.data_ptr())
        return [found]

    expected = torch.zeros(LANES + 1, 2 * LANES)
    expected[:, :LANES] = numbers
    assert torch.equal(stored()[0], expected.tril(-1))
    same_bits_with_shorter_ones(stored, products)


def test_rows_may_be_shared_and_given_in_another_order() -> None:
    x, w, b, s = factors((3, 7, 20, 24))
    shared = x[0].expand(3, -1, -1)
    assert torch.equal(affine(shared, w, b), affine(shared.contiguous(), w, b))
    turned = x.mT.contiguous().mT
    assert not turned.is_contiguous()
    assert torch.equal(affine(turned, w, b), affine(x, w, b))
    assert torch.equal(gradient(turned, s), gradient(x, s))


def test_nothing_is_written_beyond_the_result() -> None:
    """A page of guards on both sides of every result stays what it was."""
    for shape in SHAPES:
        x, w, _, s = factors(shape)
        held = torch.full((w.numel() + 512,), 7.0)
        weights = held[256:-256].view_as(w).copy_(w)
        ones = torch.ones(shape[0], 1, 1)
        numbers = numbers_of(optimizers.sgd, 0.1 * ones, ones, 0 * ones, 1.0)
        update(optimizers.sgd, [weights], numbers, 1.0, x, s)
        assert (held[:256] == 7).all()
        assert (held[-256:] == 7).all()
        near(weights, w.double() - 0.1 * (x.double().mT @ s.double()), shape[1])


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("back", Back)
def test_a_fused_update_is_the_level_on_the_gradient(name: str, back: Back) -> None:
    """In double precision and by torch, over some updates; and slopes are those by the weights before them."""
    level, r = getattr(optimizers, name), 3
    x, w, b, s = factors((r, 9, 21, 37))
    state = {k: [t.clone() for _ in range(1 + len(slots(level)))] for k, t in (("w", w), ("b", b))}
    for tensors in state.values():
        for tensor in tensors[1:]:
            tensor.zero_()
    doubled = {k: [t.double() for t in tensors] for k, tensors in state.items()}
    columns = [draw(r, 1, 1, seed=9).abs() * scale for scale in (0.01, 0.5, 0.1)]
    zero = torch.zeros(r, 1, 1)
    for t in (1.0, 2.0, 3.0):
        expected = s.double() @ doubled["w"][0].mT
        for kind, fused in ((torch.float32, state), (torch.float64, doubled)):
            lr, mu, decay = (c.to(kind) for c in columns)
            numbers = numbers_of(level, lr, mu, decay, t), numbers_of(level, lr, mu, zero.to(kind), t)
            found = update_affine(
                level, fused["w"], fused["b"], numbers, t, x.to(kind), s.to(kind), back=back
            )
            if back is Back.RECTIFIED:
                expected = expected.masked_fill(x <= 0, 0.0)
            if back is not Back.NOTHING and kind == torch.float32:
                near(found, expected, 37)
            assert (found is None) == (back is Back.NOTHING)
        for k in state:
            for ours, theirs in zip(state[k], doubled[k], strict=True):
                torch.testing.assert_close(ours.double(), theirs, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", LEVELS)
def test_a_gradient_that_is_there_gives_the_same_update(name: str) -> None:
    level = getattr(optimizers, name)
    x, w, _, s = factors((3, 9, 21, 37))
    ones = torch.ones(3, 1, 1)
    numbers = numbers_of(level, 0.01 * ones, 0.9 * ones, 0.1 * ones, 1.0)
    one, other = ([w.clone(), *(torch.zeros_like(w) for _ in slots(level))] for _ in range(2))
    update(level, one, numbers, 1.0, x, s)
    update_by(level, other, numbers, 1.0, gradient(x, s))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("shape", [(1, 2, 1), (3, 5, 17), (2, 33, 64), (2, 8, 100)])
def test_batch_normalisation_is_that_of_double_precision(shape: tuple[int, int, int]) -> None:
    r, _, units = shape
    h, dy = 3 * draw(*shape, seed=1) + 1, draw(*shape, seed=2)
    gain, shift = 1 + 0.1 * draw(r, 1, units, seed=3), draw(r, 1, units, seed=4)
    leaves = [t.double().requires_grad_() for t in (h, gain, shift)]
    mean = leaves[0].mean(1, keepdim=True)
    variance = (leaves[0] - mean).square().mean(1, keepdim=True)
    expected = (leaves[0] - mean) / (variance + 1e-5).sqrt() * leaves[1] + leaves[2]
    single = [t.requires_grad_() for t in (h, gain, shift)]
    y, *moments_found = batch_norm.normalised(*single)
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-5)
    for found, right in zip(moments_found, (mean, variance), strict=True):
        torch.testing.assert_close(found.double(), right, rtol=1e-5, atol=1e-6)
    right = torch.autograd.grad(expected, leaves, dy.double())
    for found, by in zip(torch.autograd.grad(y, single, dy), right, strict=True):
        torch.testing.assert_close(found.double(), by, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("rectify", [False, True])
def test_a_norm_that_is_updated_on_the_way_is_its_parts_one_by_one(
    name: str, kind: torch.dtype, rectify: bool
) -> None:
    """Norm, ReLU, running moments and the optimizer on gain and shift, over some updates: the same bits from the kernels."""
    level, shape = getattr(optimizers, name), (3, 7, 85)
    ones = torch.ones(3, 1, 1, dtype=kind)

    def start() -> tuple[list[list[Tensor]], tuple[Tensor, Tensor]]:
        tensors = [1 + draw(3, 1, 85, seed=3).to(kind), draw(3, 1, 85, seed=4).to(kind)]
        return [[w, *(torch.zeros_like(w) for _ in slots(level))] for w in tensors], (0 * ones + 1, 2 * ones)

    def numbers(t: float) -> Tensor:
        return numbers_of(level, 0.01 * ones, 0.9 * ones, 0.1 * ones, t)

    (one, known), (other, running) = start(), start()
    known, running = (tuple(m.repeat(1, 1, 85) for m in moments) for moments in (known, running))
    for t in (1.0, 2.0, 3.0):
        h, dy = draw(*shape, seed=int(t)).to(kind), draw(*shape, seed=int(t) + 5).to(kind)
        leaves = [h.clone().requires_grad_(), *(tensors[0].clone().requires_grad_() for tensors in one)]
        y, mean, variance = batch_norm.normalised(*leaves)
        slopes = torch.autograd.grad(y, leaves, dy)
        batch_norm.move(known, mean, variance, 7)
        for tensors, g in zip(one, slopes[1:], strict=True):
            update_by(level, tensors, numbers(t), t, g)

        h.requires_grad_()
        receive = partial(update_norm, level, *other, numbers(t), t)
        fused = batch_norm.moving(h, other[0][0], other[1][0], running, receive, rectify=rectify)
        (back,) = torch.autograd.grad(fused, h, dy)
        assert torch.equal(fused, torch.relu(y) if rectify else y)
        assert torch.equal(back, slopes[0])
        for ours, theirs in zip([*other[0], *other[1]], [*one[0], *one[1]], strict=True):
            assert torch.equal(ours, theirs)
        for ours, theirs in zip(running, known, strict=True):
            assert torch.equal(ours, theirs)


def test_a_norm_refuses_what_its_kernels_cannot_read() -> None:
    h, wrong = draw(2, 4, 8, seed=1), torch.ones(2, 1, 9)
    with pytest.raises(ValueError, match="without gaps"):
        batch_norm.normalised(h, wrong, wrong)


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, w, b, s = factors((2, 3, 4, 5))
    for wrong in (
        lambda: affine(x[:1], w, b),
        lambda: gradient(x[:, :2], s),
        lambda: input_slopes(s[..., :4].contiguous(), w),
    ):
        with pytest.raises(ValueError, match="do not fit"):
            wrong()


@pytest.mark.parametrize("name", ["batch", "ghost"])
def test_a_norm_has_the_same_bits_alone_and_in_a_stack(name: str) -> None:
    """Ghosts share the gains of their run: alone, as a view of one row."""
    level, options = getattr(norms, name), {"amount": 4} if name == "ghost" else {}

    def trained(at: slice) -> list[Tensor]:
        h, gain, shift = (t[at].clone().requires_grad_() for t in (rows, gains, shifts))
        y, moments = level(h, gain, shift, None, **options)
        return [y, *moments, *torch.autograd.grad(y, (h, gain, shift), outer[at])]

    rows, outer = draw(5, 12, 21, seed=1), draw(5, 12, 21, seed=2)
    gains, shifts = draw(5, 1, 21, seed=3), draw(5, 1, 21, seed=4)
    together = trained(slice(None))
    for r in range(5):
        for alone, all_ in zip(trained(slice(r, r + 1)), together, strict=True):
            assert torch.equal(alone, all_[r : r + 1])


# rows, sums, columns: fewer than a register has lanes and one more than two have, few rows and many, sums that go block by block and not
CUTS = [
    (1, 5, 3),
    (2, 3, 8),
    (13, 33, 77),
    (3, 200, 100),
    (8, 192, 24),
    (6, 193, 9),
    (33, 500, 41),
    (4, 784, 16),
]


@pytest.mark.parametrize("cut", CUTS)
def test_the_same_bits_in_all_registers_and_however_a_product_is_cut(cut: tuple[int, int, int]) -> None:
    """An update in place, for what is read twice must not be written between."""
    m, k, n = cut

    def end(
        code: machine_code.Code, found: machine_code.Vector, place: products.Place
    ) -> list[machine_code.Vector]:
        return [found / 3 + place.load(code, 0).sqrt()]

    def made(transposed: bool) -> Tensor:
        run, out = products.kernel(products.Product(end, transposed=transposed)), draw(3, m, n, seed=3).abs()
        b, scratch = draw(3, n, k, seed=2), torch.empty(products.scratch_floats(k))
        given = (b, scratch) if transposed else (b.mT.contiguous(), None)
        multiply(run, operands(x, given[0], [out], scratch=given[1]))
        return out

    def listed() -> Tensor:
        calls, out, b = Calls(), draw(3, m, n, seed=3).abs(), draw(3, n, k, seed=2).mT.contiguous()
        calls.product(products.Product(end), of_run(x), of_run(b), [of_run(out)])
        calls.make(runs=range(3), updates=1)
        return out

    def found() -> list[Tensor]:
        return [made(False), made(True), listed()]

    x = draw(3, m, k, seed=1)
    same_bits_with_all_tiles(found, products)
    straight, turned, in_list = found()
    assert torch.equal(straight, turned)
    assert torch.equal(straight, in_list)


def test_a_result_with_gaps_is_refused_and_nothing_is_written() -> None:
    x, _, _, s = factors((2, 3, 4, 5))
    gaps = torch.zeros(2, 4, 10)[:, :, ::2]
    numbers = numbers_of(optimizers.sgd, *(torch.ones(2, 1, 1),) * 3, 1.0)
    with pytest.raises(ValueError, match="without gaps"):
        update(optimizers.sgd, [gaps], numbers, 1.0, x, s)
    assert not gaps.any()


def lion(
    w: Tensor, g: Tensor, lr: Tensor, momentum: Tensor, t: float, *, first: Tensor
) -> tuple[Tensor, Tensor]:
    """Chen et al. 2023: the sign of a mean, which vectors do not know; here with a rate that warms up by comparing t."""
    warm = (1 - 0.9**t) * (0.1 if t <= 3 else 1.0)
    return w - warm * lr * (0.9 * first + 0.1 * g).sign(), 0.99 * first + 0.01 * g


def bounded(
    w: Tensor, g: Tensor, lr: Tensor, momentum: Tensor, t: float, *, first: Tensor
) -> tuple[Tensor, Tensor]:
    """Of t it takes what vectors know, of g something that they do not."""
    return w - lr / (1 - 0.9**t) * g.clamp(-1, 1), first + g


@pytest.mark.parametrize("t", [2.0, 5.0])
@pytest.mark.parametrize("level", [lion, bounded])
def test_a_level_that_does_more_than_vectors_can_is_called_with_tensors(level: Level, t: float) -> None:
    """In every way that an update takes; nothing but the speed tells a user of it."""
    x, w, b, s = factors((3, 7, 5, 9))
    numbers = numbers_of(level, *(torch.full((3, 1, 1), v) for v in (0.1, 0.9, 0.01)), t)
    weights, bias = [w, torch.zeros_like(w)], [b, torch.zeros_like(b)]
    before = [tensor.clone() for tensor in (*weights, *bias)]
    back = update_affine(level, weights, bias, (numbers, numbers), t, x, s, back=Back.SLOPES)
    assert torch.equal(back, input_slopes(s, before[0]))
    for (now, first), (then, zero), g in zip(
        (weights, bias), (before[:2], before[2:]), (gradient(x, s), s.sum(1, keepdim=True)), strict=True
    ):
        expected = level(then, g + 0.01 * then, 0.1, 0.9, t, first=zero)
        torch.testing.assert_close(now, expected[0])
        torch.testing.assert_close(first, expected[1])
