"""Option checks: what passes comes back, what fails says what was expected, what came and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kgrl.options import (
    a_tensor,
    at_least,
    between,
    dense_vectors,
    did_you_mean,
    expected,
    one_of,
    real,
    resolve,
    single,
)


class Shape:
    def __init__(self, size: int = 1) -> None:
        self.size = size


class Square(Shape):
    pass


class Circle(Shape):
    pass


SHAPES = {"square": Square, "circle": Circle}


def test_expected_has_one_wording() -> None:
    assert expected("hops", "at least 1", 0) == "`hops` must be at least 1, got 0"
    assert expected("name", "known", "x", "choose from a, b") == "`name` must be known, got 'x'; choose from a, b"


@pytest.mark.parametrize(("value", "nearest"), [
    ("gta", "gat"), ("mena", "mean"), ("MENA", "mean"), ("neighbour", "neighbor"),
])
def test_did_you_mean_names_the_nearest(value: str, nearest: str) -> None:
    text = did_you_mean(value, ["mean", "gat", "neighbor"])
    assert text == f"choose from gat, mean, neighbor; did you mean {nearest!r}?"


def test_did_you_mean_does_not_guess_wildly() -> None:
    assert did_you_mean("xyzzy", ["mean", "gat"]) == "choose from gat, mean"


def test_one_of() -> None:
    assert one_of("kind", "mf", iter(["rating", "mf"])) == "mf"
    with pytest.raises(ValueError, match=r"`kind` must be a known name, got 'mff'; choose from mf, rating; did"):
        one_of("kind", "mff", iter(["rating", "mf"]))  # a generator can be read only once: the error needs it again


@given(value=st.integers(), low=st.integers())
def test_at_least_keeps_what_is_large_enough_and_nothing_else(value: int, low: int) -> None:
    if value >= low and value >= 2**63:
        with pytest.raises(ValueError, match="`n` must be at most"):
            at_least("n", value, low)
    elif value >= low:
        assert at_least("n", value, low) == value
    else:
        with pytest.raises(ValueError, match=f"`n` must be at least {low}, got {value}"):
            at_least("n", value, low)


def test_at_least_takes_every_kind_of_whole_number() -> None:
    for value in (3, np.int64(3), torch.tensor(3)):
        result = at_least("n", value, 1)
        assert result == 3
        assert type(result) is int


@pytest.mark.parametrize("value", [True, 2.0, "3", None, np.float32(2), [2]])
def test_at_least_refuses_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(TypeError, match="`n` must be a whole number"):
        at_least("n", value, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 1, 0.5, 0.0, 1.0, np.float64(0.25)])
def test_between_is_closed_on_both_sides(value: float) -> None:
    result = between("p", value, 0, 1)
    assert result == value
    assert type(result) is float


@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9, math.nan, math.inf, -math.inf])
def test_between_refuses_numbers_outside(value: float) -> None:
    with pytest.raises(ValueError, match=r"`p` must be a finite number in \[0, 1\]"):
        between("p", value, 0, 1)


def test_between_refuses_infinity_even_in_an_open_range() -> None:
    with pytest.raises(ValueError, match="finite"):
        between("p", math.inf, 0, math.inf)


@pytest.mark.parametrize("value", [True, "0.5", None, [0.5]])
def test_between_refuses_what_is_no_number(value: object) -> None:
    with pytest.raises(TypeError, match="`p` must be a number"):
        between("p", value, 0, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.int8(1), 1])
def test_between_takes_any_real_number(value: object) -> None:
    found = between("p", value, 0, 1)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("name", ["square", "Square", "SQUARE"])
def test_resolve_by_name_gives_the_arguments_on(name: str) -> None:
    part = resolve("shape", name, SHAPES, Shape, size=4)
    assert type(part) is Square
    assert part.size == 4


def test_resolve_by_class_need_not_be_a_known_one() -> None:
    class Triangle(Shape):
        pass

    part = resolve("shape", Triangle, SHAPES, Shape, size=4)
    assert type(part) is Triangle
    assert part.size == 4


def test_resolve_by_instance_leaves_it_alone() -> None:
    part = Circle(7)
    assert resolve("shape", part, SHAPES, Shape, size=4) is part
    assert part.size == 7


def test_resolve_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"`shape` .* choose from circle, square; did you mean 'circle'\?"):
        resolve("shape", "circel", SHAPES, Shape)


@pytest.mark.parametrize("value", [3, dict, object()])
def test_resolve_refuses_another_family(value: object) -> None:
    with pytest.raises(TypeError, match="a name, a subclass or an instance of Shape.*choose from circle, square"):
        resolve("shape", value, SHAPES, Shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [[1.0, 2.0], np.ones(2), None])
@pytest.mark.parametrize("check", [a_tensor, real, single, dense_vectors])
def test_what_is_no_tensor(check: Callable[[str, Tensor], Tensor], value: object) -> None:
    with pytest.raises(TypeError, match=rf"`x` must be a tensor, got '{type(value).__name__}'; torch.as_tensor makes"):
        check("x", value)  # type: ignore[arg-type]


def test_tensors_come_back() -> None:
    vectors = torch.ones(2, 3, dtype=torch.double)
    assert a_tensor("x", vectors) is vectors
    assert dense_vectors("x", vectors) is vectors
    assert torch.equal(single("x", vectors), torch.ones(2, 3))


@pytest.mark.parametrize(("vectors", "text"), [
    (torch.ones(3), r"`x` must be dense \[N, d\], got 'torch.strided \[3\]'"),
    (torch.ones(0, 3), r"`x` must be dense \[N, d\], got 'torch.strided \[0, 3\]'"),
    (torch.ones(2, 3).to_sparse(), r"`x` must be dense \[N, d\], got 'torch.sparse_coo \[2, 3\]'"),
    (torch.tensor([[1.0, math.nan]]), "`x` must be finite numbers"),
    (torch.tensor([[1.0, math.inf]]), "`x` must be finite numbers"),
])
def test_vectors_that_are_none(vectors: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        dense_vectors("x", vectors)


@pytest.mark.parametrize("check", [real, single, dense_vectors])
@pytest.mark.parametrize("kind", [torch.complex64, torch.complex128])
def test_complex_vectors_keep_their_imaginary_part(check: Callable[[str, Tensor], Tensor], kind: torch.dtype) -> None:
    vectors = torch.ones(4, 3, dtype=kind)
    with pytest.raises(ValueError, match=rf"`x` must be real numbers, got '{kind}'; torch.view_as_real.* \[N, 2d\]"):
        check("x", vectors)
    assert check("x", torch.view_as_real(vectors).flatten(1)).shape == (4, 6)  # what the error says


@pytest.mark.parametrize("rows", [3, 300])
def test_as_many_vectors_as_things(rows: int) -> None:
    assert len(dense_vectors("x", torch.ones(5, 2), 5)) == 5
    with pytest.raises(ValueError, match=rf"`x` must be finite vectors \[5, d\], one an entity, got \[{rows}, 2\]; .*"
                                         "aligned puts"):
        dense_vectors("x", torch.ones(rows, 2), 5, "entity")
