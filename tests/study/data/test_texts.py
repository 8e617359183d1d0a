"""What is particular to the texts: the golden text, tasks, and that shifts change what they say and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from noisymodel.errors import ConfigError
from noisymodel.study import StudyConfig
from noisymodel.study.data import Texts, open_source
from noisymodel.study.data.grammar import FORMS, PATTERNS, is_function_word
from noisymodel.study.data.patterns import PADDING, UNKNOWN
from noisymodel.study.data.source import balanced
from noisymodel.study.data.texts import SHIFTS
from study.data.words import in_words


@pytest.fixture(scope="module")
def texts() -> Texts:
    return Texts(seed=5, pretraining_texts=720, test_texts=360, shift_texts=180)


@pytest.fixture(scope="module")
def samples(texts: Texts) -> dict[str, list[list[str]]]:
    """The same texts under each shift, in words."""
    return {name: [text.split() for text in lines] for name, lines in clean_and_shifted(texts, 18).items()}


def clean_and_shifted(texts: Texts, count: int) -> dict[str, tuple[str, ...]]:
    """The same ``count`` texts, clean and under each shift."""
    topics = balanced(count, texts.classes) * max(texts.classes // count, 1) % texts.classes
    shown = {"clean": texts.written(topics, 6)}
    shown |= {name: texts.written(topics, 6, shift=shift) for name, shift in SHIFTS.items()}
    return {name: in_words(examples.inputs, texts.spelling) for name, examples in shown.items()}


def test_golden_text() -> None:
    source = Texts(seed=0)
    golden = ("moreover a sadol gikon the genel . moreover a fofet dasit the vilar .",)
    assert clean_and_shifted(source, 1)["clean"] == golden
    assert source.pretraining().inputs.sum() == 8972367


def test_roles() -> None:
    roles = {role: [name for name, shift in SHIFTS.items() if shift.note.role == role] for role in ("tuning", "report")}
    assert roles["tuning"] == ["generic", "swaps", "stutter", "bare"]
    assert roles["report"] == [
        "synonyms", "notes", "spoken", "off_topic", "shuffled", "dropped", "truncated", "typos"
    ]  # fmt: skip
    assert [shift.note.name for shift in SHIFTS.values()] == list(SHIFTS)


def forms_of(tokens: np.ndarray) -> np.ndarray:
    """Which of its concept's words each content word is."""
    content = tokens >= PATTERNS.first_free
    return (tokens[content] - PATTERNS.first_free) % FORMS


def test_pretraining_uses_all_words_and_downstream_half_of_them(texts: Texts) -> None:
    assert forms_of(texts.pretraining().inputs).mean() == pytest.approx(0.5, abs=0.03)
    for part in (texts.training(5), texts.test(), texts.shifted("notes"), texts.tasks["coarse"].training(5)):
        assert set(forms_of(part.inputs).tolist()) == {0}
    assert set(forms_of(texts.shifted("synonyms").inputs).tolist()) == {1}
    unknown = texts.pretraining().inputs == UNKNOWN
    assert unknown.sum() / (texts.pretraining().inputs != PADDING).sum() == pytest.approx(0.02, abs=0.005)


def test_styles_of_the_shifts_are_seen_in_pretraining_alone(texts: Texts) -> None:
    def used(tokens: np.ndarray) -> set[int]:
        return set(tokens[is_function_word(tokens)].tolist())

    everything = used(texts.pretraining().inputs)
    known = used(texts.training(20).inputs) | used(texts.test().inputs)
    for shift in ("notes", "spoken"):
        strange = used(texts.shifted(shift).inputs)
        assert strange - known
        assert strange <= everything


@pytest.mark.parametrize("shift", SHIFTS)
def test_shifts_leave_the_labels(texts: Texts, shift: str) -> None:
    assert np.array_equal(texts.shifted(shift).labels, np.arange(180) % 18)


def test_shifts_change_what_they_say_and_nothing_else(texts: Texts, samples: dict[str, list[list[str]]]) -> None:
    spelling = texts.language.spelling
    synonym = {
        spelling[index]: spelling[index + 1] for index in range(PATTERNS.first_free, len(spelling), FORMS)
    }  # fmt: skip
    for index, clean in enumerate(samples["clean"]):
        content = [word for word in clean if word not in PATTERNS.words]
        assert samples["synonyms"][index] == [synonym.get(word, word) for word in clean]
        assert samples["truncated"][index] == clean[:8]
        assert samples["bare"][index] == content
        assert sorted(samples["shuffled"][index]) == sorted(clean)
        assert sorted(samples["swaps"][index]) == sorted(clean)
        typos = samples["typos"][index]
        assert all(word in {right, "<unknown>"} for word, right in zip(typos, clean, strict=True))
        rest = iter(clean)
        assert all(word in rest for word in samples["dropped"][index])
        for style in ("notes", "spoken"):
            assert set(samples[style][index]) - set(PATTERNS.words)
        first = clean.index(".") + 1
        assert samples["off_topic"][index][first:] == clean[first:]
        assert samples["off_topic"][index][:first] != clean[:first]
        generic = samples["generic"][index]
        assert [word in PATTERNS.words for word in generic] == [word in PATTERNS.words for word in clean]


def test_strength_of_the_shifts(texts: Texts) -> None:
    many = clean_and_shifted(Texts(seed=5), 18 * 30)
    clean = [text.split() for text in many["clean"]]
    assert sum(len(text.split()) for text in many["dropped"]) / sum(map(len, clean)) == pytest.approx(0.6, abs=0.02)
    unknown = [word == "<unknown>" for text in many["typos"] for word in text.split()]
    assert np.mean(unknown) == pytest.approx(0.3, abs=0.02)
    vague = np.unique(np.concatenate(texts.language.shared)) * FORMS + PATTERNS.first_free
    names = {texts.language.spelling[token] for token in vague}

    def share(lines: tuple[str, ...]) -> float:
        words = [word for text in lines for word in text.split() if word not in PATTERNS.words]
        return float(np.mean([word in names for word in words]))

    plain = share(many["clean"])
    assert share(many["generic"]) == pytest.approx(plain + 0.4 * (1 - plain), abs=0.02)


def test_off_topic_sentences_are_of_another_topic(texts: Texts) -> None:
    tokens = texts.shifted("off_topic")
    concepts = (tokens.inputs - PATTERNS.first_free) // FORMS
    shared = np.unique(np.concatenate(texts.language.shared))
    own = [
        np.setdiff1d(np.concatenate([row[topic * 3] for row in texts.language.choices]), shared) for topic in range(6)
    ]
    content = tokens.inputs >= PATTERNS.first_free
    strange = [
        np.isin(row[there], np.setdiff1d(np.concatenate(own), own[label // 3])).any()
        for row, there, label in zip(concepts, content, tokens.labels, strict=True)
    ]
    familiar = [
        np.isin(row[there], own[label // 3]).any()
        for row, there, label in zip(concepts, content, tokens.labels, strict=True)
    ]
    assert np.mean(strange) > 0.85
    assert np.mean(familiar) > 0.9


def test_the_coarse_task_is_the_topic_of_the_same_texts(texts: Texts) -> None:
    coarse = texts.tasks["coarse"]
    assert coarse.classes == 6
    for ours, theirs in ((coarse.test(), texts.test()), (coarse.shifted("typos"), texts.shifted("typos"))):
        assert np.array_equal(ours.inputs, theirs.inputs)
        assert np.array_equal(ours.labels, theirs.labels // 3)
    assert not np.array_equal(coarse.training(3).inputs, texts.training(1).inputs)


def test_the_task_is_neither_easy_nor_hopeless_for_word_counts(texts: Texts) -> None:
    from sklearn.naive_bayes import MultinomialNB

    def counts(tokens: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(tokens), texts.vocabulary))
        np.add.at(rows, (np.arange(len(tokens))[:, None], tokens), 1)
        return rows[:, 1:]

    training = texts.training(40)
    model = MultinomialNB().fit(counts(training.inputs), training.labels)

    def accuracy(part: object) -> float:
        return float(model.score(counts(part.inputs), part.labels))

    assert 0.6 < accuracy(texts.test()) < 0.9
    assert accuracy(texts.shifted("synonyms")) < 0.2, "words that it has never seen"
    assert accuracy(texts.shifted("off_topic")) < accuracy(texts.test()) - 0.1


def test_other_settings() -> None:
    source = Texts(seed=1, topics=2, subtopics=2, sentences=1, test_texts=12)
    assert source.classes == 4
    assert source.test().inputs.shape == (12, 12)
    assert source.shifted("off_topic").inputs.shape == (500, 12)
    assert "2 topics of 2 subtopics" in source.description
    with pytest.raises(ConfigError, match=r"`data_options.topics`: expected an integer of at least 2, got 1"):
        open_source(StudyConfig.from_mapping({"data": "texts", "data_options": {"topics": 1}}), 0)
