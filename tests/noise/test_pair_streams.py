"""Caption noise of streams: a pure function of key and seed, its law, the pool, bad input."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest

from noisymodel.noise import LabelNoise, PairNoise
from noisymodel.noise.stream_keys import uniforms

POOL = [f"caption {index}" for index in range(50)]
KEYS = [f"{index:06d}" for index in range(20_000)]


def test_the_law_of_the_realised_rate() -> None:
    for seed, rate in enumerate((0.05, 0.3, 0.9)):
        noise = PairNoise(rate, POOL, seed=seed)
        wrong = [noise.at(key, "own") != "own" for key in KEYS]
        assert np.mean(wrong) == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / len(KEYS)))
        assert wrong == [noise.mismatched(key) for key in KEYS]


def test_wrong_captions_are_uniform_in_the_pool_without_the_own() -> None:
    noise = PairNoise(1.0, POOL, seed=4)
    drawn = [noise.at(key, POOL[7]) for key in KEYS]
    counts = np.array([drawn.count(caption) for caption in POOL])
    assert counts[7] == 0
    expected = len(KEYS) / 49
    assert (np.abs(np.delete(counts, 7) - expected) < 5 * np.sqrt(expected)).all()


def test_nested_and_independent_of_everything_but_key_and_seed() -> None:
    low, high = PairNoise(0.2, POOL, seed=1), PairNoise(0.6, POOL, seed=1)
    for key in KEYS[:2000]:
        if low.mismatched(key):
            assert high.at(key, "own") == low.at(key, "own")
    other = PairNoise(0.2, POOL, seed=2)
    assert [low.mismatched(key) for key in KEYS[:200]] != [other.mismatched(key) for key in KEYS[:200]]
    again = pickle.loads(pickle.dumps(low))  # noqa: S301 - our own bytes
    assert [again.at(key, "own") for key in KEYS[-1:0:-7]] == [low.at(key, "own") for key in KEYS[-1:0:-7]]


def test_labels_and_captions_of_one_seed_are_noisy_independently() -> None:
    labels, captions = LabelNoise("symmetric", 0.5, num_classes=2, seed=3), PairNoise(0.5, POOL, seed=3)
    both = np.mean([labels.at(key, 0) == 1 and captions.mismatched(key) for key in KEYS])
    assert both == pytest.approx(0.25, abs=5 * np.sqrt(0.1875 / len(KEYS)))


def test_rates_at_the_ends() -> None:
    assert all(PairNoise(0.0, POOL, seed=0).at(key, "own") == "own" for key in KEYS[:100])
    assert all(PairNoise(1.0, POOL, seed=0).at(key, "own") != "own" for key in KEYS[:100])
    assert PairNoise(Fraction(1, 4), POOL, seed=0).rate == 0.25


def test_a_caption_with_the_key_of_the_sample_is_passed_over() -> None:
    pool, keys = ["a", "b", "c"], ["x", b"y", 3]
    for key, own in (("x", "a"), ("y", "b"), (3, "c"), (b"x", "a")):
        drawn = {PairNoise(1.0, pool, keys=keys, seed=seed).at(key, "own") for seed in range(60)}
        assert drawn == {"a", "b", "c"} - {own}


def test_bytes_give_bytes() -> None:
    noise = PairNoise(1.0, ["käse", "brot"], seed=0)
    assert noise.at("k", "käse".encode()) == b"brot"
    assert noise.at("k", b"brot") == "käse".encode()
    assert PairNoise(0.0, POOL, seed=0).at("k", b"\xff own".decode("latin1").encode()) is not None


def test_one_caption_that_differs_is_found() -> None:
    pool = ["same"] * 5000 + ["other"]
    assert {PairNoise(1.0, pool, seed=seed).at("k", "same") for seed in range(5)} == {"other"}


def test_a_pool_that_is_read_lazily() -> None:
    class Pool:
        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, index: int) -> str:
            return f"caption {index}"

    noise = PairNoise(1.0, Pool(), seed=0)
    index = int(noise.at("k", "own").split()[1])
    assert 0 <= index < 10**9
    assert index == int(uniforms(["k"], 0, 0x70616972 << 32)[1][0] * 10**9), "as the docstring defines it"


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="`captions` must be a sequence of str, got "):
        PairNoise(0.5, "a caption", seed=0)
    with pytest.raises(TypeError, match="`captions` must be a sequence of str, got "):
        PairNoise(0.5, {"a"}, seed=0)
    with pytest.raises(ValueError, match="`captions` must hold at least one caption, got none"):
        PairNoise(0.5, [], seed=0)
    with pytest.raises(ValueError, match="`keys` must be one for each of the 50 captions, got 2"):
        PairNoise(0.5, POOL, keys=["a", "b"], seed=0)
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\], got -0.5"):
        PairNoise(-0.5, POOL, seed=0)
    with pytest.raises(ValueError, match="`seed` must be in"):
        PairNoise(0.5, POOL, seed=-1)
    with pytest.raises(ValueError, match="`captions` must hold one that is not the sample's own, 'a' of key 'k'"):
        PairNoise(1.0, ["a", "a"], seed=0).at("k", "a")
    with pytest.raises(TypeError, match="`text` must be a str or bytes, got list: apply the noise before tokens"):
        PairNoise(1.0, POOL, seed=0).at("k", [1, 2])
    with pytest.raises(TypeError, match="`key` must be a str, bytes or an integer"):
        PairNoise(1.0, POOL, seed=0).at(None, "a")
    assert PairNoise(1.0, POOL, seed=0).at(2**64 - 1, "own") in POOL
    with pytest.raises(ValueError, match="`key` must be"):
        PairNoise(1.0, POOL, seed=0).at(2**64, "own")
