"""Procedural texts in a made-up language: pre-training fills in masked words, the downstream task tells topics apart.

The subtopics of a topic use the same words with different frequencies and in different combinations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ..._checks import check_choice
from ..._random import array_generator
from ...errors import ConfigError
from . import rewriting
from .grammar import FORMS, STYLES, Language, Meaning, language
from .patterns import Integers
from .source import UNSHIFTED, CoarseTask, Drawn, Examples, Shift, Task, balanced

# streams of random numbers that one seed is split into
_LANGUAGE, _PRETRAINING, _CHECK, _TRAINING, _TEST, _SHIFT = range(6)

_KNOWN_STYLES = ("plain", "formal")  # the styles of downstream texts; pre-training has all styles
_UNKNOWN_PART = 0.02  # share of unknown words in pre-training, so that networks learn their token


def _synonyms(meaning: Meaning, *_: object) -> Meaning:
    return meaning.with_forms(np.ones(1, dtype=np.int64))


def _in_style(meaning: Meaning, generator: np.random.Generator, _: Language, style: str) -> Meaning:
    return meaning.in_styles((style,), generator)


def _off_topic(meaning: Meaning, generator: np.random.Generator, words: Language) -> Meaning:
    """The first sentence is about a subtopic of another topic."""
    topic = meaning.topics // words.subtopics
    other = (topic + generator.integers(1, words.topics, len(topic))) % words.topics
    fine = other * words.subtopics + generator.integers(words.subtopics, size=len(topic))
    strange = words.meanings(fine, 1, STYLES, generator)
    concepts = meaning.concepts.copy()
    concepts[:, 0] = strange.concepts[:, 0]
    return replace(meaning, concepts=concepts)


def _generic(meaning: Meaning, generator: np.random.Generator, words: Language, share: float) -> Meaning:
    vague = np.stack([generator.choice(general, meaning.concepts.shape[:2]) for general in words.shared], -1)
    replaced = generator.random(meaning.concepts.shape) < share
    return replace(meaning, concepts=np.where(replaced, vague, meaning.concepts))


SHIFTS = {
    shift.name: shift
    for shift in (
        Shift("generic", "tuning", "40 % of the words with meaning of no topic", partial(_generic, share=0.4)),
        Shift("swaps", "tuning", "half of the neighbours swapped", after=partial(rewriting.swap_neighbours, share=0.5)),
        Shift("stutter", "tuning", "30 % of the words come twice", after=partial(rewriting.stutter, share=0.3)),
        Shift("bare", "tuning", "no articles, no punctuation", after=rewriting.content_only),
        Shift("synonyms", "report", "synonyms that the training texts never use", _synonyms),
        Shift("notes", "report", "style of notes, not in the training texts", partial(_in_style, style="notes")),
        Shift("spoken", "report", "style of speech, not in the training texts", partial(_in_style, style="spoken")),
        Shift("off_topic", "report", "first sentence about another topic", _off_topic),
        Shift("shuffled", "report", "words in random order", after=rewriting.shuffle),
        Shift("dropped", "report", "40 % of the words left out", after=partial(rewriting.drop, share=0.4)),
        Shift("truncated", "report", "the first 8 words alone", after=partial(rewriting.truncate, words=8)),
        Shift("typos", "report", "30 % of the words unknown", after=partial(rewriting.misspell, share=0.3)),
    )
}


@dataclass(frozen=True)
class Texts(Drawn):
    """The texts of one seed; a :data:`~noisymodel.study.data.Source` of kind ``"texts"``.

    ``topics · subtopics`` subtopics are the fine classes of the downstream task, the topics the labels of pre-training
    (for objectives that use labels) and the task ``"coarse"``. Texts have two to ``sentences`` sentences. Pre-training
    texts are in all styles and use both words of each concept; downstream texts are in two styles and use one of them.

    >>> texts = Texts(seed=0, pretraining_texts=20)
    >>> texts.pretraining().inputs.shape, texts.classes, texts.vocabulary
    ((20, 36), 18, 295)
    """

    topics: int = 6
    subtopics: int = 3
    sentences: int = 3
    pretraining_texts: int = 6000
    check_texts: int = 1000
    test_texts: int = 1000
    shift_texts: int = 500

    def __post_init__(self) -> None:
        if self.topics < 2:
            raise ConfigError(f"config key `data_options.topics`: expected an integer of at least 2, got {self.topics}")

    kind = "texts"
    default_tasks = ("fine",)
    shifts = tuple(shift.note for shift in SHIFTS.values())

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Subtopics (``"fine"``) and topics (``"coarse"``)."""
        return {"fine": self, "coarse": CoarseTask(self, self.subtopics, lambda fine: self.written(fine, _TRAINING, 1))}

    @property
    def classes(self) -> int:
        """Number of subtopics."""
        return self.topics * self.subtopics

    @property
    def pretraining_classes(self) -> int:
        """Number of topics."""
        return self.topics

    @cached_property
    def language(self) -> Language:
        """The language of this seed."""
        return language(array_generator(self.seed, _LANGUAGE), self.topics, self.subtopics)

    @property
    def spelling(self) -> tuple[str, ...]:
        """A word per token id."""
        return self.language.spelling

    def pretraining(self) -> Examples:
        """Texts in all styles and words, with topic labels."""
        return self._general(self.pretraining_texts, _PRETRAINING)

    def pretraining_check(self) -> Examples:
        """Fresh texts in all styles and words, with topic labels."""
        return self._general(self.check_texts, _CHECK)

    def training(self, shots: int) -> Examples:
        """``shots`` texts of each subtopic."""
        return self.written(balanced(shots * self.classes, self.classes), _TRAINING)

    def test(self) -> Examples:
        """Texts with subtopic labels, from the distribution of the training texts."""
        return self.written(balanced(self.test_texts, self.classes), _TEST)

    def shifted(self, shift: str) -> Examples:
        """Texts with subtopic labels under a shift of :data:`SHIFTS`."""
        check_choice(shift, "shift", SHIFTS)
        stream = (_SHIFT, list(SHIFTS).index(shift))
        return self.written(balanced(self.shift_texts, self.classes), *stream, shift=SHIFTS[shift])

    def samples(self, count: int) -> Mapping[str, NDArray[np.float32]]:
        """There are no pictures."""
        del count
        return {}

    def _general(self, count: int, stream: int) -> Examples:
        topics = balanced(count, self.classes)
        drawn = self.language.meanings(topics, self.sentences, STYLES, array_generator(self.seed, stream, 0))
        forms = array_generator(self.seed, stream, 1).integers(FORMS, size=drawn.concepts.shape)
        tokens = self.language.write(drawn.with_forms(forms))
        tokens = rewriting.misspell(tokens, array_generator(self.seed, stream, 2), _UNKNOWN_PART)
        return Examples(tokens, topics // self.subtopics)

    def written(self, topics: Integers, *stream: int, shift: Shift = UNSHIFTED) -> Examples:
        """Texts of subtopics, with subtopic labels; the shift has its own random stream, so the texts do not change."""
        meaning = self.language.meanings(topics, self.sentences, _KNOWN_STYLES, array_generator(self.seed, *stream, 0))
        change = array_generator(self.seed, *stream, 1)
        tokens = self.language.write(shift.before(meaning, change, self.language))
        return Examples(shift.after(tokens, change), topics)
