"""A made-up language with topics, words with synonyms, and sentence patterns in several styles.

A text is first drawn as its meaning (concepts, word forms, patterns) and then written as token ids, so that shifts can
change either the meaning or the writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .patterns import NO_WORDS, Integers, Patterns, pack

Array = NDArray[np.float64]

FORMS = 2
"""Words of each concept: the usual one and its synonym."""

_IN_STYLE = {
    "plain": ("the A N V the M .", "a N V the B M .", "the M and the A N V ."),
    "formal": ("it is known that the A N V the B M .", "the M is V by the A N .", "moreover a N V the M ."),
    "notes": ("A N V M ;", "N V B M ;", "M : V N ;"),
    "spoken": ("well , does the N V a B M ?", "you know , a A N V M !", "so this M , the N V it !"),
}
STYLES = tuple(_IN_STYLE)
_PER_STYLE = 3
_SLOTS = ("adjective", "noun", "verb", "adjective", "noun")  # A N V B M
_NOUN, _VERB = 1, 2  # places among the slots
PATTERNS = Patterns(tuple(pattern for patterns in _IN_STYLE.values() for pattern in patterns), slots="ANVBM")

_OWN = {"noun": 8, "verb": 5, "adjective": 5}  # concepts of each topic
_SHARED = {"noun": 12, "verb": 8, "adjective": 8}  # concepts of no topic
_SHARED_PART = 0.35  # share of words that belong to no topic
_PARTNER_PART = 0.6  # share of verbs that are the subtopic's partner of the preceding noun


@dataclass(frozen=True)
class Meaning:
    """The meanings of a batch of texts, before they are written."""

    topics: Integers
    """``(n,)``: the subtopic of each text."""
    patterns: Integers
    """``(n, sentences)``: indices into :data:`PATTERNS`; −1 where a text has fewer sentences."""
    concepts: Integers
    """``(n, sentences, slots)``: the concepts in the slots of a sentence."""
    forms: Integers
    """``(n, sentences, slots)``: which word of the concept, in ``range(FORMS)``."""

    def with_forms(self, forms: Integers) -> Meaning:
        """The same texts in other words for the same concepts; ``forms`` broadcasts to ``(n, sentences, slots)``."""
        return replace(self, forms=np.broadcast_to(forms, self.concepts.shape))

    def in_styles(self, styles: Sequence[str], generator: np.random.Generator) -> Meaning:
        """The same texts, each in a style drawn from ``styles``, in any of its patterns."""
        known = np.array([STYLES.index(style) for style in styles])
        chosen = known[generator.integers(len(known), size=(len(self.topics), 1))]
        drawn = chosen * _PER_STYLE + generator.integers(_PER_STYLE, size=self.patterns.shape)
        return replace(self, patterns=np.where(self.patterns < 0, -1, drawn))


@dataclass(frozen=True)
class Language:
    """The language of all topics: subtopic ``t · subtopics + s`` is subtopic ``s`` of topic ``t``.

    All subtopics of a topic use the same words. They differ in the frequencies of these words, and in the verbs that
    follow a noun. All topics use the words of no topic equally.
    """

    topics: int
    subtopics: int
    choices: tuple[Integers, ...]
    """For each slot ``(topics · subtopics, choices)``: the concepts; those of no topic come last."""
    weights: tuple[Array, ...]
    """For each slot ``(topics · subtopics, choices)``: their cumulative probabilities."""
    partners: Integers
    """``(topics · subtopics, concepts)``: the verb that a subtopic joins with a noun."""
    spelling: tuple[str, ...]
    """A word per token id."""

    @cached_property
    def shared(self) -> tuple[Integers, ...]:
        """For each slot: the concepts of no topic."""
        return tuple(chosen[0, -_SHARED[slot] :] for slot, chosen in zip(_SLOTS, self.choices, strict=True))

    def meanings(
        self, topics: Integers, sentences: int, styles: Sequence[str], generator: np.random.Generator
    ) -> Meaning:
        """A text about each of ``topics``, in usual words, of two (if allowed) to ``sentences`` sentences."""
        shape = (len(topics), sentences)
        concepts = np.stack([self._drawn(slot, topics, generator.random(shape)) for slot in range(len(_SLOTS))], -1)
        partners = self.partners[topics[:, None], concepts[..., _NOUN]]
        joined = generator.random(shape) < _PARTNER_PART
        concepts[..., _VERB] = np.where(joined, partners, concepts[..., _VERB])
        numbers = generator.integers(min(2, sentences), sentences + 1, len(topics))
        patterns = np.where(np.arange(sentences) < numbers[:, None], 0, -1)
        return Meaning(topics, patterns, concepts, np.zeros_like(concepts)).in_styles(styles, generator)

    def _drawn(self, slot: int, topics: Integers, uniform: Array) -> Integers:
        """Concepts for a slot: the cumulative probabilities inverted at ``uniform (n, sentences)``."""
        weights = self.weights[slot][topics][:, None, :-1]
        return self.choices[slot][topics[:, None], (uniform[..., None] >= weights).sum(-1)]

    def write(self, meaning: Meaning) -> Integers:
        """Token ids ``(n, sentences · longest)``, padded at the end with 0."""
        words = PATTERNS.first_free + FORMS * meaning.concepts + meaning.forms
        return pack(PATTERNS.fill(meaning.patterns, words).reshape(len(words), -1))


def is_function_word(tokens: Integers) -> NDArray[np.bool_]:
    """Whether a token is a word of the patterns themselves, such as an article or punctuation."""
    return (tokens >= len(NO_WORDS)) & (tokens < PATTERNS.first_free)


def language(generator: np.random.Generator, topics: int, subtopics: int) -> Language:
    """Draw a language: the concepts of each topic, their frequencies in its subtopics, and their words."""
    choices: dict[str, Integers] = {}
    weights: dict[str, Array] = {}
    concepts = 0
    for kind, size in _OWN.items():
        fine, shared = topics * subtopics, _SHARED[kind]
        of_topics = concepts + np.arange(topics * size).reshape(topics, size)
        concepts += topics * size + shared
        of_none = np.tile(np.arange(concepts - shared, concepts), (fine, 1))
        choices[kind] = np.concatenate([np.repeat(of_topics, subtopics, 0), of_none], 1)
        frequencies = 1 / np.arange(1, size + 1)
        drawn = np.stack([generator.permutation(frequencies / frequencies.sum()) for _ in range(fine)])
        spread = np.full((fine, shared), _SHARED_PART / shared)
        weights[kind] = np.concatenate([(1 - _SHARED_PART) * drawn, spread], 1).cumsum(1)
    joined = generator.integers(_OWN["verb"], size=(topics * subtopics, concepts))
    return Language(
        topics,
        subtopics,
        tuple(choices[slot] for slot in _SLOTS),
        tuple(weights[slot] for slot in _SLOTS),
        np.take_along_axis(choices["verb"], joined, axis=1),
        (*NO_WORDS, *PATTERNS.words, *_made_up(FORMS * concepts, generator)),
    )


def _made_up(count: int, generator: np.random.Generator) -> list[str]:
    """Different made-up words; if there are many, some are long."""
    syllables = [first + second for first, second in product("bdfgklmnprstvz", "aeiou")]
    length = 2
    while len(syllables) ** length < 4 * count:
        length += 1
    numbers = generator.choice(len(syllables) ** length, count, replace=False)
    ends = generator.choice(list("lnrt"), count)
    return [
        "".join(syllables[number // len(syllables) ** place % len(syllables)] for place in range(length)) + end
        for number, end in zip(numbers.tolist(), ends.tolist(), strict=True)
    ]
