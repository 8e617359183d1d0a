from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.features.remote.requests import count_tokens, requests


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(min_size=1, max_size=40)), st.integers(1, 7), st.integers(1, 30))
def test_every_text_is_in_one_request_within_its_limits(texts: list[str], batch_size: int, batch_tokens: int) -> None:
    made = list(requests(texts, batch_size=batch_size, batch_tokens=batch_tokens, count=count_tokens))
    assert [place for request in made for place in request.places] == list(range(len(texts)))
    assert [text for request in made for text in request.texts] == texts
    for request in made:
        assert 1 <= len(request.texts) <= batch_size
        assert sum(request.tokens) <= batch_tokens or len(request.texts) == 1
    for one, following in pairwise(made):  # none could have taken the next text
        assert len(one.texts) == batch_size or sum(one.tokens) + following.tokens[0] > batch_tokens


@given(st.text(min_size=1))
def test_tokens_are_a_third_of_the_bytes(text: str) -> None:
    assert count_tokens(text) == max(1, -(-len(text.encode()) // 3))


def test_halves_keep_everything() -> None:
    (request,) = requests(["a", "bb", "ccc", "d", "e"], batch_size=9, batch_tokens=99, count=len)
    first, second = request.halves()
    assert (first.places, first.texts, first.tokens) == ([0, 1], ["a", "bb"], [1, 2])
    assert (second.places, second.texts, second.tokens) == ([2, 3, 4], ["ccc", "d", "e"], [3, 1, 1])
