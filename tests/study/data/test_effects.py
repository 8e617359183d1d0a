"""Effects on finished pictures: shape, range, purity, and what each one is for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from noisymodel.study.data import effects

Images = effects.Images
EFFECTS: dict[str, Callable[[Images, np.random.Generator], Images]] = {
    "gaussian_noise": partial(effects.gaussian_noise, scale=0.3),
    "salt": partial(effects.salt, share=0.2),
    "blur": lambda images, _: effects.blur(images, scale=1.5),
    "low_contrast": partial(effects.low_contrast, low=0.2, high=0.4),
    "invert": lambda images, _: effects.invert(images),
    "occlude": partial(effects.occlude, size=3),
    "edges": lambda images, _: effects.edges(images, gain=1.0),
    "texture": partial(effects.texture, strength=0.4),
    "illumination": partial(effects.illumination, strength=0.5),
    "affine": partial(effects.affine, angle=(0.3, 0.5), translation=(1.0, 2.0)),
    "strokes": partial(effects.strokes, count=2, length=4.0),
}


@pytest.fixture
def images() -> Images:
    return np.random.default_rng(0).random((6, 9, 11), dtype=np.float32)


@pytest.mark.parametrize("name", EFFECTS)
def test_contract(name: str, images: Images) -> None:
    before = images.copy()
    changed = EFFECTS[name](images, np.random.default_rng(1))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.array_equal(images, before), "the input was changed"
    assert not np.array_equal(changed, images)
    assert np.array_equal(changed, EFFECTS[name](images, np.random.default_rng(1)))


@pytest.mark.parametrize("name", sorted(set(EFFECTS) - {"blur", "invert", "edges"}))
def test_pictures_are_changed_independently(name: str) -> None:
    same = np.tile(np.random.default_rng(0).random((1, 9, 11), dtype=np.float32), (5, 1, 1))
    changed = EFFECTS[name](same, np.random.default_rng(1))
    assert len({picture.tobytes() for picture in changed}) == 5


def test_strength_matters(images: Images) -> None:
    def distance(effect: Callable[[Images, np.random.Generator], Images]) -> float:
        return float(np.abs(effect(images, np.random.default_rng(1)) - images).mean())

    weak_and_strong = [
        (partial(effects.gaussian_noise, scale=0.01), partial(effects.gaussian_noise, scale=0.3)),
        (partial(effects.salt, share=0.02), partial(effects.salt, share=0.5)),
        (lambda x, _: effects.blur(x, scale=0.3), lambda x, _: effects.blur(x, scale=3)),
        (partial(effects.low_contrast, low=0.9, high=0.95), partial(effects.low_contrast, low=0.1, high=0.2)),
        (partial(effects.occlude, size=1), partial(effects.occlude, size=6)),
        (partial(effects.texture, strength=0.05), partial(effects.texture, strength=0.5)),
        (partial(effects.illumination, strength=0.05), partial(effects.illumination, strength=0.5)),
        (partial(effects.strokes, count=1, length=1.0), partial(effects.strokes, count=4, length=8.0)),
    ]
    for weak, strong in weak_and_strong:
        assert distance(weak) < 0.6 * distance(strong)


def test_salt_sets_the_share_of_pixels() -> None:
    salted = effects.salt(np.zeros((200, 10, 10), np.float32), np.random.default_rng(0), share=0.1)
    assert salted.mean() == pytest.approx(0.1, abs=0.01)


def test_edges_of_a_step_and_of_a_plane() -> None:
    step = np.zeros((1, 6, 6), np.float32)
    step[:, :, 3:] = 0.5
    edge = effects.edges(step, gain=1.0)
    assert edge[0, 2, 2] == edge[0, 2, 3] == 0.5
    assert edge[0, :, [0, 5]].max() == 0
    assert effects.edges(step, gain=0.5)[0, 2, 2] == 0.25


def test_blur_keeps_brightness_and_does_not_leak_across_the_border() -> None:
    half = np.zeros((1, 8, 12), np.float32)
    half[:, :, 6:] = 1
    blurred = effects.blur(half, scale=1.0)
    assert blurred[0, :, 0].max() < 1e-3
    assert blurred[0, :, -1].min() > 1 - 1e-3
    assert blurred.mean() == pytest.approx(0.5, abs=1e-6)


def test_affine_moves_and_turns_as_told() -> None:
    dot = np.zeros((40, 15, 15), np.float32)
    dot[:, 7, 7] = 1
    moved = effects.affine(dot, np.random.default_rng(0), translation=(2.0, 2.0))
    places = {tuple(np.argwhere(picture > 0.99)[0]) for picture in moved}
    assert places == {(5, 5), (5, 9), (9, 5), (9, 9)}
    turned = effects.affine(dot, np.random.default_rng(0), angle=(0.5, 0.5))
    assert np.allclose(turned[:, 7, 7], 1, atol=1e-6), "the centre stays"
    bar = np.zeros((4, 15, 15), np.float32)
    bar[:, 7, :] = 1
    upright = effects.affine(bar, np.random.default_rng(0), angle=(np.pi / 2, np.pi / 2))
    assert np.allclose(upright, bar.transpose(0, 2, 1), atol=1e-5)


def test_occlusion_hides_a_square() -> None:
    hidden = effects.occlude(np.zeros((50, 8, 8), np.float32), np.random.default_rng(0), size=3)
    assert set((hidden > 0).sum((1, 2)).tolist()) == {9}


def test_inversion_twice_is_the_identity(images: Images) -> None:
    assert np.allclose(effects.invert(effects.invert(images)), images)
