"""Against a real server on loopback that misbehaves on purpose."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import time
import traceback
from urllib.parse import quote, quote_plus

import numpy as np
import pytest

from noisymodel.errors import EmbeddingError, MissingExtraError, SpendLimitError
from noisymodel.features import OpenAIEmbeddings
from reference.embedding_server import Answer, EmbeddingServer, failure, reply, vector

KEY = "sk-very-secret-0123456789"
TEXTS = [f"text number {index}" for index in range(23)]


def client(server: EmbeddingServer, **options) -> OpenAIEmbeddings:
    settings = {"api_key": KEY, "backoff": 0.01, "batch_size": 5, "concurrency": 3, "timeout": 5.0} | options
    return OpenAIEmbeddings("m", server.url, **settings)


def right(texts: list[str]) -> np.ndarray:
    return np.stack([vector(text) for text in texts])


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_vectors_are_in_the_order_of_the_texts(server: EmbeddingServer, concurrency: int, batch_size: int) -> None:
    server.plan = lambda number, texts: Answer(body=reply(texts, form="base64"), delay=0.03 if number % 2 == 0 else 0)
    found = client(server, concurrency=concurrency, batch_size=batch_size).embed(TEXTS)
    assert found.dtype == np.float32
    assert np.array_equal(found, right(TEXTS))
    assert len(server.calls) == -(-len(TEXTS) // batch_size)
    assert server.most <= concurrency


def test_requests_run_at_once(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: Answer(body=reply(texts), delay=0.1)
    client(server, concurrency=3).embed(TEXTS)
    assert server.most == 3


def test_a_request_has_no_more_tokens_than_allowed(server: EmbeddingServer) -> None:
    lengths = {"a": 3, "b": 3, "c": 9, "d": 1}
    one = client(server, batch_tokens=6, concurrency=1, count_tokens=lengths.__getitem__)
    one.embed(list("abcd"))
    assert [call.texts for call in server.calls] == [["a", "b"], ["c"], ["d"]]


def test_model_dimensions_and_key_are_sent(server: EmbeddingServer) -> None:
    client(server, dimensions=6).embed(["x"])
    call = server.calls[0]
    assert (call.body["model"], call.body["dimensions"]) == ("m", 6)
    assert call.headers["authorization"] == f"Bearer {KEY}"
    client(server).embed(["x"])
    assert "dimensions" not in server.calls[1].body


def test_items_out_of_order_are_put_in_order(server: EmbeddingServer) -> None:
    def shuffled(number: int, texts: list[str]) -> Answer:
        body = reply(texts)
        body["data"].reverse()
        return Answer(body=body)

    server.plan = shuffled
    assert np.array_equal(client(server).embed(TEXTS), right(TEXTS))


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_passing_failures_are_tried_again(server: EmbeddingServer, status: int) -> None:
    server.plan = lambda number, texts: failure(status) if number < 2 else None
    assert np.array_equal(client(server, concurrency=1, batch_size=30).embed(TEXTS), right(TEXTS))
    assert len(server.calls) == 3


def test_lost_connections_and_timeouts_are_tried_again(server: EmbeddingServer) -> None:
    answers = {0: Answer(hang_up=True), 1: Answer(body=reply(["x"]), delay=1.0)}
    server.plan = lambda number, texts: answers.get(number)
    assert np.array_equal(client(server, timeout=0.3).embed(["x"]), right(["x"]))
    assert len(server.calls) == 3


def test_attempts_end(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: failure(503, "overloaded")
    with pytest.raises(EmbeddingError, match=r"127\.0\.0\.1:\d+/v1 failed after 3 attempts: .*overloaded"):
        client(server, max_retries=2).embed(["x"])
    assert len(server.calls) == 3
    server.plan = lambda number, texts: Answer(hang_up=True)
    with pytest.raises(EmbeddingError, match="failed after 2 attempts: Connection error"):
        client(server, max_retries=1).embed(["x"])


@pytest.mark.parametrize("header", ["retry-after", "retry-after-ms"])
def test_the_server_says_how_long_to_wait(server: EmbeddingServer, header: str) -> None:
    asked = Answer(429, {"error": {"message": "slow down"}}, {header: "1" if header == "retry-after" else "400"})
    server.plan = lambda number, texts: asked if number == 0 else None
    client(server, backoff=0.0).embed(["x"])
    waited = server.calls[1].when - server.calls[0].when
    assert waited >= (1.0 if header == "retry-after" else 0.4)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_final_failures_are_not_tried_again(server: EmbeddingServer, status: int) -> None:
    server.plan = lambda number, texts: failure(status, "never")
    with pytest.raises(EmbeddingError, match="never"):
        client(server, concurrency=1).embed(TEXTS)
    assert len(server.calls) == 1


def test_a_used_up_quota_is_not_tried_again(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: failure(429, "pay first", "insufficient_quota")
    with pytest.raises(EmbeddingError, match="pay first"):
        client(server, concurrency=1).embed(TEXTS)
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_requests_that_are_too_large_are_cut_in_halves(server: EmbeddingServer, status: int) -> None:
    server.plan = lambda number, texts: failure(status, "too many") if len(texts) > 2 else None
    assert np.array_equal(client(server, batch_size=23).embed(TEXTS), right(TEXTS))
    assert {len(call.texts) for call in server.calls} >= {23, 1}


def test_a_text_that_is_refused_is_named(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: failure(400, "too long") if TEXTS[13] in texts else None
    with pytest.raises(EmbeddingError, match=r"`texts\[13\]`: .*too long"):
        client(server).embed(TEXTS)


def wrong(kind: str, texts: list[str]) -> Answer:
    body = reply(texts)
    if kind == "nan":
        body["data"][1]["embedding"][0] = float("nan")
    if kind == "missing":
        body["data"].pop()
    if kind == "twice":
        body["data"][1]["index"] = 0
    if kind == "ragged":
        body["data"][1]["embedding"].pop()
    if kind == "text":
        body["data"][1]["embedding"][0] = "x"
    if kind == "base64":
        body["data"][1]["embedding"] = "###"
    if kind == "nothing":
        body = {"object": "list", "data": []}
    return Answer(body=b"<html>no</html>" if kind == "html" else body)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nan", r"`texts\[1\]`: the embedding has NaN or infinity in it"),
        ("missing", r"`texts\[2\]`: the embedding did not come"),
        ("twice", r"must have an embedding of each, got 3 with the indices \[0, 0, 2\]"),
        ("ragged", r"`texts\[1\]`: the embedding has 5 dimensions, others 6"),
        ("text", r"`texts\[1\]`: the embedding is no list of numbers"),
        ("base64", r"`texts\[1\]`: the embedding is no base64 of float32 numbers"),
        ("nothing", r"embedding of each, got 0"),
        ("html", "cannot be read"),
    ],
)
def test_replies_that_are_wrong_are_refused(server: EmbeddingServer, kind: str, told: str) -> None:
    server.plan = lambda number, texts: wrong(kind, texts)
    with pytest.raises(EmbeddingError, match=told):
        client(server, max_retries=0).embed(TEXTS[:3])


def test_dimensions_that_change_are_refused(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: Answer(body=reply(texts, width=6 if number == 0 else 5))
    with pytest.raises(EmbeddingError, match=r"has 5 dimensions, earlier ones 6: the model .* has changed"):
        client(server, concurrency=1).embed(TEXTS)


def test_what_came_before_an_error_is_handed_over(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: failure(401) if TEXTS[20] in texts else None
    seen: dict[int, np.ndarray] = {}
    with pytest.raises(EmbeddingError):
        client(server, concurrency=1).embed(
            TEXTS, received=lambda places, rows: seen.update(zip(places, rows, strict=True))
        )
    assert sorted(seen) == list(range(20))
    assert all(np.array_equal(row, vector(TEXTS[place])) for place, row in seen.items())


def test_a_failure_ends_the_waits_of_the_others(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: failure(403) if TEXTS[0] in texts else failure(503, retry_after="30")
    began = time.monotonic()
    with pytest.raises(EmbeddingError):
        client(server).embed(TEXTS)
    assert time.monotonic() - began < 20


def test_an_interruption_ends_the_waits_too(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: None if TEXTS[0] in texts else failure(503, retry_after="30")

    def interrupt(places: object, rows: object) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client(server).embed(TEXTS, received=interrupt)
    assert time.monotonic() - began < 20


def test_requests_are_paced(server: EmbeddingServer) -> None:
    client(server, requests_per_minute=600, batch_size=1).embed(TEXTS[:4])
    times = sorted(call.when for call in server.calls)
    assert times[-1] - times[0] >= 0.25  # three pauses of 0.1 s, but for delays at the first


def test_tokens_are_counted_as_the_server_does(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: Answer(body=reply(texts, usage=100))
    one = client(server, price_per_million_tokens=2.0, batch_size=10)
    one.embed(TEXTS)
    assert one.tokens_used == 300
    assert one.cost == pytest.approx(300 * 2e-6)


def test_failed_attempts_are_not_counted(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: failure(500) if number == 0 else Answer(body=reply(texts, usage=7))
    one = client(server, max_tokens=20)
    one.embed(["a text of some length, sixteen tokens"])
    assert one.tokens_used == 7


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"max_tokens": 12}, r"`max_tokens` is 12: 10 tokens have been used, and the next request has about 5"),
        ({"max_cost": 0.012, "price_per_million_tokens": 1000.0}, r"`max_cost` is 0\.012: 10 tokens"),
    ],
)
def test_spending_stops_before_the_limit(server: EmbeddingServer, limit: dict, told: str) -> None:
    server.plan = lambda number, texts: Answer(body=reply(texts, usage=5))
    one = client(server, concurrency=1, count_tokens=lambda text: 1, **limit)
    with pytest.raises(SpendLimitError, match=told):
        one.embed(TEXTS)
    assert len(server.calls) == 2
    with pytest.raises(SpendLimitError):
        one.embed(["another"] * 3)


def test_an_estimate_sends_nothing(server: EmbeddingServer) -> None:
    one = client(server, price_per_million_tokens=0.5, count_tokens=lambda text: 4)
    found = one.estimate([*TEXTS, TEXTS[0]])
    assert found == (23, 5, 92, pytest.approx(92 * 0.5e-6))
    assert client(server).estimate(TEXTS).cost is None
    assert not server.calls


@pytest.mark.parametrize("status", [401, 500])
def test_the_key_is_nowhere(server: EmbeddingServer, status: int, caplog: pytest.LogCaptureFixture) -> None:
    server.plan = lambda number, texts: failure(status, f"Incorrect API key provided: {KEY}.")
    caplog.set_level(logging.DEBUG)
    one = client(server, max_retries=1)
    with pytest.raises(EmbeddingError, match=r"provided: \*\*\*") as caught:
        one.embed(["x"])
    shown = [repr(one), str(one.metadata), json.dumps(one.metadata), caplog.text]
    shown += ["".join(traceback.format_exception(caught.value)), pickle.dumps(caught.value).decode("latin-1")]
    assert not any(KEY in text for text in shown)


def test_a_pickled_client_reads_the_environment(server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    one = client(server, dimensions=6, batch_size=3)
    content = pickle.dumps(one)
    assert KEY.encode() not in content
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    again = pickle.loads(content)  # noqa: S301 # our own
    assert (again.model, again.batch_size, again.metadata) == ("m", 3, one.metadata)
    again.embed(["x"])
    assert server.calls[0].headers["authorization"] == "Bearer from-the-environment"


def test_secrets_in_the_address_are_not_shown() -> None:
    one = OpenAIEmbeddings("m", "https://user:password@host.example/v1?token=abc", api_key="k")
    assert repr(one) == "OpenAIEmbeddings('m', base_url='https://host.example/v1')"
    assert one.metadata["backbone"] == "openai:m@host.example"


def test_a_key_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ValueError, match="set OPENAI_API_KEY in the environment, or give `api_key`"):
        OpenAIEmbeddings("m", "http://localhost:1/v1")


def test_the_package_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"noisymodel\[api\]"):
        OpenAIEmbeddings("m", api_key="k")


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"batch_tokens": 0}, ValueError, "`batch_tokens`"),
        ({"concurrency": 0}, ValueError, "`concurrency`"),
        ({"max_retries": -1}, ValueError, "`max_retries`"),
        ({"timeout": 0}, ValueError, "`timeout`"),
        ({"backoff": -1}, ValueError, "`backoff`"),
        ({"dimensions": 0}, ValueError, "`dimensions`"),
        ({"max_tokens": 0}, ValueError, "`max_tokens`"),
        ({"requests_per_minute": 0}, ValueError, "`requests_per_minute`"),
        ({"tokens_per_minute": 0}, ValueError, "`tokens_per_minute`"),
        ({"price_per_million_tokens": -1}, ValueError, "`price_per_million_tokens`"),
        ({"max_cost": 1.0}, ValueError, "`max_cost` needs `price_per_million_tokens`"),
    ],
)
def test_bad_options(server: EmbeddingServer, options: dict, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        client(server, **options)


def test_bad_texts(server: EmbeddingServer) -> None:
    with pytest.raises(TypeError, match=r"`texts\[1\]` must be a string, got 3"):
        client(server).embed(["x", 3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"`texts\[2\]` is empty"):
        client(server).embed(["x", "y", ""])
    assert not server.calls
    assert client(server).embed([]).shape == (0, 0)


def test_what_is_no_list_of_texts_is_refused_before_it_is_billed(server: EmbeddingServer) -> None:
    class Frame:
        columns = ("a", "b")

        def __iter__(self):
            return iter(self.columns)

    one = client(server)
    for given, told in [
        ("document", r'got one string; \["document"\] is a list of one'),
        (b"document", "got one piece of bytes"),
        ({"a": "b"}, "got a dictionary"),
        ({"a", "b"}, "got a set, which has no order"),
        (Frame(), r"got a table \(Frame\): name one column"),
        (np.array([["a"]]), "more than one dimension"),
        (3, "got int"),
    ]:
        for call in (one.embed, one.estimate):
            with pytest.raises(TypeError, match=told):
                call(given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`texts\[1\]` has half a surrogate pair at character 2"):
        one.embed(["a", "x \ud800"])
    assert not server.calls
    assert len(one.embed(np.array(["a", "b"]))) == 2  # type: ignore[arg-type]


BAD = {TEXTS[3], TEXTS[13]}


def answers_badly(kind: str, texts: list[str]) -> Answer | None:
    hit = BAD & set(texts)
    if not hit:
        return None
    if kind.isdigit():
        return failure(int(kind), "this text is bad")
    if kind == "error in a 200":
        return Answer(body={"error": {"message": "this text is bad", "code": 400}})
    body = reply(texts)
    for item, text in zip(body["data"], texts, strict=True):
        if text in hit:
            item["embedding"] = {"nan": [float("nan")] * 6, "null": None, "short": [1.0], "huge": [1e300] * 6}[kind]
    return Answer(body=body)


@pytest.mark.parametrize("batch_size", [1, 5, 23])
def test_bad_texts_cost_no_others_and_are_named(server: EmbeddingServer, batch_size: int) -> None:
    """Whatever the server answers to them, once it has answered anything."""
    kinds = ("400", "403", "413", "422", "500", "error in a 200", "nan", "null", "short", "huge")
    for kind in kinds if batch_size == 5 else ("400", "503", "short"):
        server.plan = lambda number, texts, kind=kind: answers_badly(kind, texts)
        one = client(server, batch_size=batch_size, max_retries=1, backoff=0.001)
        one.embed(["a first text"])
        seen: dict[int, np.ndarray] = {}
        with pytest.raises(
            EmbeddingError, match=r"^`texts\[3\]`: .*2 texts were refused: `texts\[3\]`, `texts\[13\]`"
        ) as told:
            one.embed(TEXTS, received=lambda places, rows, seen=seen: seen.update(zip(places, rows, strict=True)))
        assert sorted(seen) == [place for place in range(23) if place not in (3, 13)], (kind, told.value)
        assert all(np.array_equal(row, vector(TEXTS[place])) for place, row in seen.items())


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "encoding_format base64 is not supported, nor float"),
        (400, "model m does not support specifying dimensions"),
        (404, "model m does not exist"),
        (400, "The model `m` does not exist"),
        (401, "no"),
        (403, "no"),
        (400, "this endpoint is closed"),
        (503, "overloaded"),
    ],
)
def test_what_is_not_about_a_text_blames_none(server: EmbeddingServer, status: int, message: str) -> None:
    server.plan = lambda number, texts: failure(status, message)
    with pytest.raises(EmbeddingError, match=r"^http://127") as caught:
        client(server, dimensions=6, batch_size=23, max_retries=0).embed(TEXTS)
    assert "texts[" not in str(caught.value)
    assert len(server.calls) <= 5
    if "closed" not in message and status < 500:  # what says nothing has to be tried on a text
        assert len({len(call.texts) for call in server.calls}) == 1


def test_base64_falls_back_once(server: EmbeddingServer) -> None:
    def plan(number: int, texts: list[str]) -> Answer | None:
        asked = server.calls[number].body["encoding_format"]
        return failure(422, "encoding_format must be float") if asked == "base64" else None

    server.plan = plan
    one = client(server, concurrency=1)
    assert np.array_equal(one.embed(TEXTS), right(TEXTS))
    assert [call.body["encoding_format"] for call in server.calls] == ["base64", *["float"] * 5]
    with pytest.raises(EmbeddingError, match="must be float"):
        client(server, encoding_format="base64").embed(TEXTS)
    server.calls.clear()
    client(server, encoding_format="float").embed(TEXTS)
    assert {call.body["encoding_format"] for call in server.calls} == {"float"}
    with pytest.raises(ValueError, match="`encoding_format`"):
        client(server, encoding_format="int8")


def test_the_size_that_worked_is_remembered(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: failure(413, "too many") if len(texts) > 6 else None
    many = [f"text {index}" for index in range(200)]
    one = client(server, batch_size=48, concurrency=1)
    assert np.array_equal(one.embed(many), right(many))
    assert sum(len(call.texts) > 6 for call in server.calls) <= 8  # 48, and its halves of 24 and 12
    server.calls.clear()
    one.embed(many)
    assert all(len(call.texts) <= 6 for call in server.calls)


def test_the_reply_is_held_against_the_request(server: EmbeddingServer) -> None:
    with pytest.raises(EmbeddingError, match="`dimensions` is 4, the embeddings have 6: the endpoint does not cut"):
        client(server, dimensions=4).embed(TEXTS)

    def without_indices(number: int, texts: list[str]) -> Answer:
        body = reply(texts)
        for item in body["data"]:
            del item["index"]
        return Answer(body=body)

    server.plan = without_indices
    assert np.array_equal(client(server).embed(TEXTS), right(TEXTS))
    server.plan = lambda number, texts: Answer(body={**reply(texts), "model": "m-1" if number < 2 else "m-2"})
    server.calls.clear()
    one = client(server, concurrency=1)
    with pytest.raises(EmbeddingError, match="has changed: 'm-1' answered before, now 'm-2'"):
        one.embed(TEXTS)
    assert one.answering_model == "m-1"


def test_an_error_in_a_200_is_that_error(server: EmbeddingServer) -> None:
    limited = Answer(body={"error": {"message": "Rate limit reached", "type": "rate_limit_error", "code": None}})
    server.plan = lambda number, texts: limited if number < 2 else None
    assert np.array_equal(client(server, batch_size=23).embed(TEXTS), right(TEXTS))
    assert len(server.calls) == 3
    server.plan = lambda number, texts: Answer(body={"error": {"message": "no such key", "code": "401"}})
    with pytest.raises(EmbeddingError, match="no such key"):
        client(server, batch_size=23).embed(TEXTS)
    assert len(server.calls) == 4


def test_a_day_is_not_slept_through(server: EmbeddingServer) -> None:
    server.plan = lambda number, texts: failure(429, "slow down", retry_after="86400")
    with pytest.raises(EmbeddingError, match=r"asks to wait 86,400 seconds \(Retry-After\): run this again then"):
        client(server).embed(["x"])
    assert len(server.calls) == 1


def test_the_key_is_masked_in_every_form(server: EmbeddingServer) -> None:
    key = "sk-Very/secret+key=0123456789"
    address = server.url.replace("http://", "http://someone:pass%2Fword-of-mine@")
    forms = [
        key, quote(key, safe=""), quote_plus(key), key[:12], key[5:13], f"{key[:14]} {key[14:]}", key.upper(),
        base64.b64encode(key.encode()).decode(), json.dumps(key), f"{key[:9]}...{key[-8:]}",
        "pass/word-of-mine", "pass%2Fword-of-mine",
    ]  # fmt: skip
    pieces = {key[start : start + 8].lower() for start in range(len(key) - 7)} | {"pass/wor", "word-of-", "pass%2fw"}
    one = OpenAIEmbeddings("m", address, api_key=key, max_retries=0)
    for form in forms:
        for status in (401, 500, 200):
            body = {"error": {"message": f"Incorrect key: {form}.", "code": "401"}}
            server.plan = lambda number, texts, body=body, status=status: Answer(status, body)
            with pytest.raises(EmbeddingError, match="Incorrect key: ") as caught:
                one.embed(["x"])
            shown = "".join(traceback.format_exception(caught.value)) + repr(one) + repr(caught.value.__context__)
            context = caught.value.__context__
            while context is not None:
                shown += str(context)
                context = context.__context__
            assert not [piece for piece in pieces if piece in shown.lower()], (form, shown[-300:])
    assert server.calls[0].headers["authorization"].startswith("Basic ")


def test_addresses_are_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("", " ", "localhost:8000/v1", "ftp://host/v1", "http://"):
        with pytest.raises(ValueError, match="`base_url`"):
            OpenAIEmbeddings("m", url, api_key="k")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    with pytest.raises(ValueError, match="OPENAI_BASE_URL"):
        OpenAIEmbeddings("m", api_key="k")
