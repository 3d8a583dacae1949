"""The fence around the global random states."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from kgrl.seeding import a_seed, fenced, generator_for


def draw() -> tuple[float, float, float]:
    """One number of each global generator."""
    return random.random(), np.random.rand(), torch.rand(()).item()


@pytest.mark.parametrize("seed", [None, 0, 7, 2**40])
def test_global_states_are_as_before(seed: int | None) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    undisturbed = [draw() for _ in range(2)]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = draw()
    with fenced(seed):
        draw()
    assert [first, draw()] == undisturbed


def test_global_states_are_as_before_an_exception() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with pytest.raises(RuntimeError, match="inside"), fenced(3):
        draw()
        raise RuntimeError("inside")
    assert draw() == expected


def test_same_seed_same_numbers() -> None:
    blocks = []
    for seed in (3, 3, 4):
        with fenced(seed):
            blocks.append(draw())
    assert blocks[0] == blocks[1]
    assert all(a != b for a, b in zip(blocks[0], blocks[2], strict=True))


def test_a_seeded_block_does_not_see_the_outside() -> None:
    blocks = []
    for outside in (1, 2):
        random.seed(outside), np.random.seed(outside), torch.manual_seed(outside)
        with fenced(3):
            blocks.append(draw())
    assert blocks[0] == blocks[1]


def test_without_a_seed_the_block_goes_on_from_the_present() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with fenced():
        inside = draw()
    assert inside == draw()


def test_fences_nest() -> None:
    with fenced(1):
        plain = [draw(), draw()]
    with fenced(1):
        first = draw()
        with fenced(2):
            draw()
        assert [first, draw()] == plain


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_is_fenced_too() -> None:
    torch.cuda.manual_seed(1)
    expected = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(1)
    with fenced(3):
        torch.rand(4, device="cuda")
    assert torch.equal(torch.rand(4, device="cuda"), expected)


def test_generator_for_is_seeded_and_on_the_device(device: torch.device) -> None:
    before = torch.get_rng_state()
    one, two, other = (generator_for(device, seed) for seed in (5, 5, 6))
    draws = [torch.rand(8, device=device, generator=generator) for generator in (one, two, other)]
    assert one.device.type == device.type
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 - 2, -(2**63) + 1, np.int32(7), torch.tensor(7)])
def test_a_seed_is_what_a_generator_starts_from(seed: int) -> None:
    assert a_seed("seed", seed) == int(seed)
    torch.Generator().manual_seed(a_seed("seed", seed))


@pytest.mark.parametrize("seed", [True, 1.0, "1", None])
def test_what_is_no_whole_number_is_no_seed(seed: object) -> None:
    with pytest.raises(TypeError, match="`seed` must be a whole number"):
        a_seed("seed", seed)


def test_a_seed_beyond_64_bits() -> None:
    with pytest.raises(ValueError, match="`seed` must be a whole number of 64 bits, got"):
        a_seed("seed", 2**64)
