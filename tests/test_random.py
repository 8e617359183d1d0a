"""Explicit randomness: streams of a seed are independent, and global state stays where it stood."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisymodel._random import array_generator, seeded, tensor_generator


def test_same_seed_and_stream_same_numbers() -> None:
    assert np.array_equal(array_generator(3, 1).random(5), array_generator(3, 1).random(5))
    assert torch.equal(torch.rand(5, generator=tensor_generator(3, 1)), torch.rand(5, generator=tensor_generator(3, 1)))


def test_streams_do_not_collide() -> None:
    """Appended to the seed's own words, a stream of zeros or a large seed would meet another one."""
    keys = [(5,), (5, 0), (5, 0, 0), (5, 1), (2**32 + 5,), (6,), (0,), (0, 0)]
    drawn = {array_generator(seed, *stream).integers(2**62) for seed, *stream in keys}
    assert len(drawn) == len(keys)
    seeds = {tensor_generator(seed, *stream).initial_seed() for seed, *stream in keys}
    assert len(seeds) == len(keys)


def test_bad_seeds_are_named() -> None:
    for make in (array_generator, tensor_generator):
        with pytest.raises(ValueError, match="`seed` must be in"):
            make(-1)
        with pytest.raises(TypeError, match="`seed` must be an integer, got 'one'"):
            make("one")


def test_seeded_draws_the_same_and_puts_the_global_state_back() -> None:
    before = torch.random.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded(11):
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), seeded(11):
        torch.rand(1) + torch.rand(2, 2) @ torch.rand(3, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_a_seed_nothing_is_done() -> None:
    before = torch.random.get_rng_state()
    with seeded(None):
        assert torch.equal(torch.random.get_rng_state(), before)


def test_devices_without_generators_of_their_own_are_left_out() -> None:
    with seeded(3, [torch.device("cpu")]):
        first = torch.rand(2)
    with seeded(3):
        assert torch.equal(first, torch.rand(2))
