from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.errors import InputFileError
from noisymodel.files import LabelFile
from noisymodel.files.labels import collect_labels
from noisymodel.noise_files.columns import PackedTexts, numbered, text_codes, with_class_ids


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]))))
def test_packed_texts_are_the_texts(texts: list[str]) -> None:
    packed = PackedTexts()
    for text in texts:
        packed.append(text)
    assert [packed[index] for index in range(len(packed))] == texts
    codes = text_codes(texts).tolist()
    assert len(set(codes)) == len(set(texts))
    assert all((codes[0] == code) == (texts[0] == text) for code, text in zip(codes, texts, strict=True))


def found(*labels: str) -> LabelFile:
    return collect_labels(Path("x.csv"), enumerate(labels), "row")


def test_a_file_has_the_classes_that_it_holds() -> None:
    for labels, ids, names in [
        (["b", "a", "10", "b"], [2, 1, 0, 2], ["10", "a", "b"]),
        (["1", "4", "2", "3"], [0, 3, 1, 2], ["1", "2", "3", "4"]),
        (["300", "100", "200"], [2, 0, 1], ["100", "200", "300"]),
        (["10", "9", "-1"], [2, 1, 0], ["-1", "9", "10"]),
        (["01", "1"], [0, 1], ["01", "1"]),
    ]:
        got = numbered(found(*labels), None)
        assert (got[0].tolist(), got[1]) == (ids, names)
        assert numbered(found(*labels), len(names))[1] == names
    more = numbered(found("5", "2", "2"), 7)
    assert (more[0].tolist(), more[1]) == ([5, 2, 2], ["0", "1", "2", "3", "4", "5", "6"])
    for labels, count, told in [
        ("abc", 2, "has 3 classes, more than --num-classes 2"),
        ("abc", 5, "names 3 classes, --num-classes 5 would need names"),
        (("5", "2"), 4, "has the class 5, which is not one of 0 to 3"),
        (("-1", "2"), 4, "has the class -1, which is not one of 0 to 3"),
    ]:
        with pytest.raises(InputFileError, match=told):
            numbered(found(*labels), count)


def test_mappings_are_of_labels() -> None:
    numbers, names = ["1", "2", "3"], ["cat", "dog"]
    assert with_class_ids({"mapping": {1: 2, "3": "1"}, "classes": [3]}, numbers) == {
        "mapping": {0: 1, 2: 0},
        "classes": [2],
    }
    assert with_class_ids({"mapping": {"cat": "dog"}}, names) == with_class_ids({"mapping": {0: 1}}, names)
    assert with_class_ids({"mapping": "cifar10", "selection": "exact"}, names)["mapping"] == "cifar10"
    for mapping, known in (({0: 1}, numbers), ({"eel": "cat"}, names), ({0: 2}, names)):
        with pytest.raises(ValueError, match="must be of the file's classes"):
            with_class_ids({"mapping": mapping}, known)
