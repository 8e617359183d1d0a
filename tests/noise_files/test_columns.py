from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.errors import InputFileError
from noisymodel.noise_files.columns import Classes, PackedTexts, text_codes


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


def test_classes_by_name_and_by_number() -> None:
    by_name = Classes("x", ["b", "a", "10", "b"], None)
    assert by_name.names() == ["10", "a", "b"]
    assert by_name.labels.tolist() == [2, 1, 0, 2]
    by_number = Classes("x", ["10", "2", "2"], None)
    assert by_number.count == 11
    assert by_number.labels.tolist() == [10, 2, 2]
    assert by_number.name(7) == "7"
    padded = Classes("x", ["01", "1"], None)  # two different labels, and so no numbers
    assert padded.names() == ["01", "1"]
    with pytest.raises(InputFileError, match="x, row 1: the label is missing"):
        Classes("x", ["a", ""], None)
