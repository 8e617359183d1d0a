"""Every source keeps the contract of :class:`Source`; and what is particular to each."""

from __future__ import annotations

import numpy as np
import pytest

from noisymodel.errors import ConfigError
from noisymodel.study import StudyConfig
from noisymodel.study.data import SOURCES, Digits, Examples, Glyphs, Source, open_source, reported_shifts
from noisymodel.study.data.drawing import glyph_shapes
from noisymodel.study.data.glyphs import SHIFTS

SMALL_GLYPHS = {"pretraining_images": 200, "check_images": 100, "test_images": 120, "shift_images": 80}
SMALL = {
    "glyphs": SMALL_GLYPHS,
    "digits": {"copies": 1},
    "captions": SMALL_GLYPHS,
    "texts": {"pretraining_texts": 200, "check_texts": 100, "test_texts": 120, "shift_texts": 80},
}
SHAPES = {"glyphs": (16, 16), "digits": (8, 8), "captions": (16, 16), "texts": (36,)}
TASKS = [(name, task) for name in SMALL for task in SOURCES[name](seed=3, **SMALL[name]).tasks]


@pytest.fixture(params=SMALL)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def make(name: str, seed: int = 3) -> Source:
    return SOURCES[name](seed=seed, **SMALL[name])


def reported(config: StudyConfig) -> dict[str, tuple[str, ...]]:
    return reported_shifts(config, open_source(config, config.seeds[0]))


def test_every_source_is_tried() -> None:
    assert set(SMALL) == set(SOURCES) - {"suite"}


def check_inputs(source: Source, examples: Examples, shape: tuple[int, ...]) -> None:
    assert examples.inputs.shape == (len(examples.labels), *shape)
    assert examples.labels.dtype == np.int64
    if source.kind == "texts":
        assert_tokens(examples.inputs, source.vocabulary)
    else:
        assert examples.inputs.dtype == np.float32
        assert examples.inputs.min() >= 0
        assert examples.inputs.max() <= 1


def assert_tokens(tokens: np.ndarray, vocabulary: int) -> None:
    """Token ids below the vocabulary; at least one word in each row, and padding at the end alone."""
    assert tokens.dtype == np.int64
    assert tokens.min() >= 0
    assert tokens.max() < vocabulary
    assert (tokens[:, 0] > 0).all()
    assert (np.diff((tokens == 0).astype(int), axis=1) >= 0).all()


def test_inputs_and_labels_of_pretraining(name: str) -> None:
    source = make(name)
    for examples in (source.pretraining(), source.pretraining_check()):
        check_inputs(source, examples, SHAPES[name])
        assert set(examples.labels.tolist()) == set(range(source.pretraining_classes))
        assert (examples.captions is not None) == (source.kind == "pairs")
        if examples.captions is not None:
            assert len(examples.captions) == len(examples.labels)
            assert_tokens(examples.captions, source.vocabulary)
    assert (source.vocabulary > 0) == (source.kind in {"pairs", "texts"})


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_inputs_and_labels_of_tasks(name: str, task: str) -> None:
    source = make(name)
    chosen = source.tasks[task]
    parts = [chosen.training(5), chosen.test(), *(chosen.shifted(note.name) for note in chosen.shifts)]
    for examples in parts:
        check_inputs(source, examples, SHAPES[name])
        assert set(examples.labels.tolist()) == set(range(chosen.classes))
        assert examples.answers is None
    assert np.bincount(chosen.training(5).labels).tolist() == [5] * chosen.classes
    counts = [np.bincount(examples.labels) for examples in parts[1:]]
    assert name == "digits" or all(count.max() - count.min() <= 3 for count in counts), "as many of each class"


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_seed_fixes_everything_and_another_changes_it(name: str, task: str) -> None:
    shift = make(name).tasks[task].shifts[0].name
    for part in (
        lambda source: source.pretraining(),
        lambda source: source.pretraining_check(),
        lambda source: source.tasks[task].training(5),
        lambda source: source.tasks[task].test(),
        lambda source: source.tasks[task].shifted(shift),
    ):
        first, again, other = part(make(name)), part(make(name)), part(make(name, seed=4))
        assert np.array_equal(first.inputs, again.inputs)
        assert np.array_equal(first.labels, again.labels)
        assert first.inputs.shape != other.inputs.shape or not np.array_equal(first.inputs, other.inputs)
        if first.captions is not None:
            assert np.array_equal(first.captions, again.captions)
            assert not np.array_equal(first.captions, other.captions)


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_parts_share_no_input(name: str, task: str) -> None:
    source = make(name)
    parts = [source.pretraining(), source.tasks[task].training(5), source.tasks[task].test()]
    if source.kind != "texts":  # a text may be written twice
        inputs = [one.tobytes() for part in parts for one in part.inputs]
        assert len(set(inputs)) == len(inputs)
    else:
        assert len({part.inputs[:5].tobytes() for part in parts}) == 3


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_more_shots_are_more_of_each_class(name: str, task: str) -> None:
    few, many = (make(name).tasks[task].training(shots) for shots in (3, 6))
    assert len(many.labels) == 2 * len(few.labels)
    if name == "digits":
        assert {picture.tobytes() for picture in few.inputs} <= {picture.tobytes() for picture in many.inputs}


def test_the_default_task_is_there(name: str) -> None:
    source = make(name)
    assert set(source.default_tasks) <= set(source.tasks)
    assert len(source.default_tasks) == 1


def test_shifts_of_tasks_are_among_those_of_the_source(name: str) -> None:
    source = make(name)
    for task in source.tasks.values():
        assert {note.name for note in task.shifts} <= {note.name for note in source.shifts}


def test_samples_show_the_same_objects_clean_and_shifted(name: str) -> None:
    source = make(name)
    samples = source.samples(6)
    if source.kind == "texts":
        assert samples == {}
        return
    assert list(samples) == ["clean", *(note.name for note in source.shifts)]
    assert all(pictures.shape == samples["clean"].shape and len(pictures) == 6 for pictures in samples.values())
    assert all(not np.array_equal(samples["clean"], samples[note.name]) for note in source.shifts)


def test_texts_for_the_report(name: str) -> None:
    source = make(name)
    assert source.title
    count = next((size for key, size in SMALL[name].items() if key.startswith("pretraining")), 900)
    assert str(count) in source.description
    assert all(note.description and note.role in {"report", "tuning"} for note in source.shifts)
    assert len({note.name for note in source.shifts}) == len(source.shifts)


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_unknown_shift_lists_the_known(name: str, task: str) -> None:
    with pytest.raises(ValueError, match=r"`shift` must be one of .*(rotation|synonyms).*, got 'fog'"):
        make(name).tasks[task].shifted("fog")


def test_configuration_opens_a_source() -> None:
    config = StudyConfig.from_mapping({"data": "digits", "data_options": {"copies": 2}})
    assert open_source(config, 5) == Digits(seed=5, copies=2)
    assert reported(config) == {"digit": ("rotation", "translation", "occlusion", "blur", "inversion", "strokes")}
    two = StudyConfig(shifts=("thin", "salt"))
    assert reported(two) == {"fine": ("salt", "thin")}, "in the source's order"
    both = StudyConfig(tasks=("thickness", "fine"), shifts=("thin", "salt"))
    assert reported(both) == {"fine": ("salt", "thin"), "thickness": ("salt",)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": "digit"}, r"`data`: expected one of 'glyphs', 'digits', .*, got 'digit'; did you mean 'digits'\?"),
        ({"data_options": {"sise": 3}}, r"`data_options`: expected one of .*; did you mean 'size'\?"),
        ({"data_options": {"size": 0}}, "`data_options.size`: expected a positive integer, got 0"),
        ({"shots": [0, 4]}, "`shots`: expected positive integers, got 0, which is all there are of a suite"),
        ({"shifts": ["slat"]}, r"`shifts`: .*; did you mean 'salt'\?"),
        ({"shifts": ["rotation"]}, "`shifts`: 'rotation' was used to choose hyper-parameters and is never reported"),
    ],
)
def test_bad_names_are_config_errors(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reported(StudyConfig.from_mapping(values))


# ---- glyphs ----------------------------------------------------------------------------------------------------------


def test_shifts_that_choose_and_shifts_that_report_are_disjoint_and_named() -> None:
    roles = {role: {n for n, shift in SHIFTS.items() if shift.note.role == role} for role in ("tuning", "report")}
    assert roles["tuning"] == {"rotation", "thick", "shear", "low_contrast", "noise", "blur", "occlusion"}
    assert roles["report"] == {
        "small", "trans", "salt", "edge", "clutter", "texture", "warp", "dash", "thin", "grad"
    }  # fmt: skip
    assert [shift.note.name for shift in SHIFTS.values()] == list(SHIFTS)


def test_variants_differ_from_each_other_in_few_strokes() -> None:
    shapes = glyph_shapes(np.random.default_rng(0), classes=50, variants=2, moved_strokes=1).reshape(50, 2, 4, 2, 2)
    different = (shapes[:, 0] != shapes[:, 1]).any((-1, -2)).sum(1)
    assert set(different.tolist()) <= {1, 2}, "one stroke moved in each of two variants"
    assert np.abs(shapes).max() <= 0.9
    both = glyph_shapes(np.random.default_rng(0), classes=50, variants=2, moved_strokes=4).reshape(50, 2, 4, 2, 2)
    assert ((both[:, 0] != both[:, 1]).any((-1, -2)).sum(1) == 4).mean() > 0.9


def test_pretraining_labels_are_the_super_classes() -> None:
    glyphs = Glyphs(seed=0, pretraining_images=40, base_glyphs=4, variants=3)
    assert glyphs.classes == 12
    assert np.array_equal(glyphs.pretraining().labels, (np.arange(40) % 12) // 3)
    assert Glyphs(seed=0, size=20, pretraining_images=40).pretraining().inputs.shape == (40, 20, 20)


def test_geometric_shifts_do_what_they_say() -> None:
    glyphs = Glyphs(seed=1, shift_images=400, test_images=400)
    ink = {name: glyphs.shifted(name).inputs.mean() for name in ("thin", "thick", "small", "dash", "clutter")}
    clean = glyphs.test().inputs.mean()
    assert ink["thin"] < clean < ink["thick"]
    assert ink["small"] < clean
    assert ink["dash"] < clean < ink["clutter"]


# ---- digits ----------------------------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    pixels, _ = load_digits(return_X_y=True)
    real = {picture.tobytes() for picture in (pixels.reshape(-1, 8, 8) / 16).astype(np.float32)}
    source = Digits(seed=0)
    assert {picture.tobytes() for picture in source.test().inputs} <= real
    assert len(source.training(1000).labels) + len(source.test().labels) == 897
    assert len(source.pretraining().labels) == 3600


def test_digits_pretraining_knows_the_digit_modulo_five_only() -> None:
    source = Digits(seed=0)
    check, test = source.pretraining_check(), source.test()
    assert np.array_equal(check.labels, test.labels % 5)
