"""The language: who uses which words, how often, and how texts are written."""

from __future__ import annotations

import numpy as np
import pytest

from noisymodel.study.data.grammar import FORMS, PATTERNS, STYLES, Language, is_function_word, language
from noisymodel.study.data.patterns import PADDING
from study.data.words import in_words


@pytest.fixture(scope="module")
def words() -> Language:
    return language(np.random.default_rng(0), topics=4, subtopics=3)


def fine(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) % 12


def test_words_are_all_different_and_enough(words: Language) -> None:
    assert len(set(words.spelling)) == len(words.spelling)
    concepts = 1 + max(int(chosen.max()) for chosen in words.choices)
    assert len(words.spelling) == PATTERNS.first_free + FORMS * concepts
    assert concepts == 4 * (8 + 5 + 5) + 12 + 8 + 8


def test_many_topics_still_have_words_of_their_own() -> None:
    many = language(np.random.default_rng(0), topics=60, subtopics=2)
    assert len(set(many.spelling)) == len(many.spelling) == PATTERNS.first_free + FORMS * (60 * 18 + 28)


def test_topics_share_no_word_but_those_of_none(words: Language) -> None:
    for slot, shared in enumerate(words.shared):
        own = [set(row.tolist()) - set(shared.tolist()) for row in words.choices[slot]]
        for one in range(12):
            for other in range(12):
                expected = own[one] if one // 3 == other // 3 else set()
                assert own[one] & own[other] == expected


def test_words_come_as_often_as_the_language_says(words: Language) -> None:
    meaning = words.meanings(np.full(4000, 5), 1, STYLES, np.random.default_rng(1))
    for slot in (0, 1, 3, 4):
        probabilities = np.diff(words.weights[slot][5], prepend=0)
        counts = np.bincount(meaning.concepts[:, 0, slot], minlength=words.choices[slot].max() + 1)
        found = counts[words.choices[slot][5]] / 4000
        assert np.abs(found - probabilities).max() < 0.035
        assert counts.sum() == counts[words.choices[slot][5]].sum(), "words of other topics"
        shared = np.isin(meaning.concepts[:, 0, slot], words.shared[slot])
        assert shared.mean() == pytest.approx(0.35, abs=0.03)


def test_subtopics_join_verbs_with_nouns_in_their_own_way(words: Language) -> None:
    meaning = words.meanings(fine(6000), 1, STYLES, np.random.default_rng(1))
    nouns, verbs = meaning.concepts[:, 0, 1], meaning.concepts[:, 0, 2]
    joined = words.partners[meaning.topics, nouns] == verbs
    assert 0.6 < joined.mean() < 0.8, "and some by chance"
    assert (words.partners[3] != words.partners[4]).mean() > 0.5


def test_texts_have_two_sentences_or_more_in_one_style(words: Language) -> None:
    meaning = words.meanings(fine(600), 4, ("notes", "spoken"), np.random.default_rng(1))
    numbers = (meaning.patterns >= 0).sum(1)
    assert set(numbers.tolist()) == {2, 3, 4}
    styles = np.where(meaning.patterns >= 0, meaning.patterns // 3, meaning.patterns[:, :1] // 3)
    assert (styles == styles[:, :1]).all()
    assert set(styles[:, 0].tolist()) == {STYLES.index("notes"), STYLES.index("spoken")}
    assert len(set(meaning.patterns[meaning.patterns >= 0].tolist())) == 6
    assert (words.meanings(fine(20), 1, STYLES, np.random.default_rng(1)).patterns >= 0).all(), "one where one is asked"


def test_writing_says_what_is_meant(words: Language) -> None:
    meaning = words.meanings(fine(1), 2, ("plain",), np.random.default_rng(2))
    spelt = [[words.spelling[PATTERNS.first_free + FORMS * concept] for concept in row] for row in meaning.concepts[0]]
    expected = " ".join(
        " ".join(row["ANVBM".index(word)] if word in "ANVBM" else word for word in PATTERNS.patterns[pattern].split())
        for row, pattern in zip(spelt, meaning.patterns[0], strict=True)
    )
    assert in_words(words.write(meaning), words.spelling) == (expected,)


def test_other_forms_are_other_words_for_the_same(words: Language) -> None:
    meaning = words.meanings(fine(50), 2, STYLES, np.random.default_rng(2))
    usual, other = words.write(meaning), words.write(meaning.with_forms(np.array(1)))
    content = (usual != PADDING) & ~is_function_word(usual)
    assert np.array_equal(usual[~content], other[~content])
    assert np.array_equal(usual[content] + 1, other[content])
    assert ((usual[content] - PATTERNS.first_free) % FORMS == 0).all()


def test_another_style_keeps_the_meaning(words: Language) -> None:
    meaning = words.meanings(fine(50), 3, ("plain",), np.random.default_rng(2))
    spoken = meaning.in_styles(("spoken",), np.random.default_rng(3))
    assert np.array_equal(meaning.concepts, spoken.concepts)
    assert np.array_equal(meaning.patterns < 0, spoken.patterns < 0)
    assert set((spoken.patterns[spoken.patterns >= 0] // 3).tolist()) == {STYLES.index("spoken")}
