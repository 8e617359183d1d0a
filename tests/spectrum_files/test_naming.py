"""What files are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisymodel.spectrum_files.naming import baseline_of, noise_rates, short_names, sources_of


def test_the_shortest_names_that_differ() -> None:
    assert short_names([]) == []
    assert short_names([Path("a/x.npy"), Path("b/y.npz")]) == ["x", "y"]
    assert short_names([Path("a/x.npy"), Path("b/x.npy")]) == ["a/x", "b/x"]
    assert short_names([Path("x.npy"), Path("x.npz")]) == ["x.npy", "x.npz"]
    assert short_names([Path("a/x.npy"), Path("a/x.npz")]) == ["x.npy", "x.npz"]


def test_folders_keep_their_dots(tmp_path: Path) -> None:
    (tmp_path / "store.v1").mkdir()
    (tmp_path / "store.v2").mkdir()
    assert short_names([tmp_path / "store.v1", tmp_path / "store.v2"]) == ["store.v1", "store.v2"]


def names(files, *keys: str) -> list[tuple[str, str, str | None]]:
    return [(source.name, str(source.path), source.key) for source in sources_of(files, keys)]


def test_one_source_for_each_file_and_key() -> None:
    assert names("x.npy") == [("x", "x.npy", None)]
    assert names(["x.npz", "y.npz", "x.npz"], "a") == [("x", "x.npz", "a"), ("y", "y.npz", "a")]
    assert names(["x.npz"], "a", "b", "a") == [("a", "x.npz", "a"), ("b", "x.npz", "b")]
    assert names({"n": "x.npz"}, "a", "b") == [("n:a", "x.npz", "a"), ("n:b", "x.npz", "b")]
    assert names(["x.npz", "y.npz"], "a", "b")[1] == ("x:b", "x.npz", "b")
    with pytest.raises(ValueError, match="`files` must hold at least one file, got none"):
        sources_of([], [])


def test_baselines_by_name_by_path_or_another_file() -> None:
    sources = sources_of({"clean": "a.npz", "noisy": "b.npz"}, [])
    assert baseline_of(sources, None) is None
    assert baseline_of(sources, "noisy") == sources[1]
    assert baseline_of(sources, Path("./a.npz")) == sources[0]
    assert baseline_of(sources, "c/first.npy") == ("first", Path("c/first.npy"), None)
    assert baseline_of(sources, "c/clean.npy") == ("c/clean.npy", Path("c/clean.npy"), None)
    two = sources_of(["a.npz"], ["x", "y"])
    with pytest.raises(ValueError, match=r"`baseline` must be one of x, y, got a.npz"):
        baseline_of(two, "a.npz")


def test_numbers_from_0_to_1_are_noise_rates() -> None:
    assert noise_rates(["0", "0.1", "1e-2"]) == [0.0, 0.1, 0.01]
    for other in (["0", "2"], ["0", "0.0"], ["a"], ["-0.1"], ["nan"]):
        assert noise_rates(other) is None
