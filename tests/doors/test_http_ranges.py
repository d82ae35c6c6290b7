"""The source behind HTTP of docs/random-access.md: ranges, pinned by the ETag, of a server that knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from testkit.guides import example

from envelope_sdk import Client
from envelope_sdk.errors import AuthenticationError, StreamError

httpx = pytest.importorskip("httpx")

PLAIN = bytes(range(256)) * 4000 + b"the end"
URL = "http://store/report"


class Store:
    """A server of one object."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.etag = '"1"'
        self.knows_conditions = True
        self.knows_ranges = True
        self.sent = 0

    def answer(self, request: Any) -> Any:
        if self.knows_conditions and request.headers.get("If-Match", self.etag) != self.etag:
            return httpx.Response(412)
        if not self.knows_ranges:
            return httpx.Response(200, content=self.all_of_it(), headers={"ETag": self.etag})
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        piece = bytes(self.content[first : last + 1])
        self.sent += len(piece)
        place = f"bytes {first}-{first + len(piece) - 1}/{len(self.content)}"
        return httpx.Response(206, content=piece, headers={"ETag": self.etag, "Content-Range": place})

    def all_of_it(self) -> Iterator[bytes]:
        self.sent += len(self.content)
        yield bytes(self.content)


@pytest.fixture
def store(client: Client) -> Store:
    return Store(client.encrypt(PLAIN).ciphertext)


@pytest.fixture
def names(store: Store, client: Client) -> dict[str, Any]:
    http = httpx.Client(transport=httpx.MockTransport(store.answer))
    return {"client": client, "http": http, "url": URL}


def test_the_example_runs_and_fetches_what_it_touches(
    names: dict[str, Any], store: Store, capsys: pytest.CaptureFixture[str]
):
    exec(example("random-access.md", "http"), names)

    assert capsys.readouterr().out == f"{len(PLAIN)} b'the end'\n"
    assert store.sent < 12_000


def test_an_object_replaced_meanwhile_is_told(names: dict[str, Any], store: Store, client: Client):
    exec(example("random-access.md", "http"), names)
    for knows in (True, False):
        store.knows_conditions = knows
        with client.random_access(names["HttpSource"](names["http"], URL), cache_size=0) as message:
            store.etag += "x"
            with pytest.raises(StreamError, match="replaced" if knows else "other bytes"):
                message.read_at(500_000, 10)


def test_a_server_without_ranges_or_etags_is_refused(names: dict[str, Any], store: Store):
    exec(example("random-access.md", "http"), names)
    store.etag = 'W/"1"'
    with pytest.raises(StreamError, match="no ranges, or has no strong ETag"):
        names["HttpSource"](names["http"], URL)
    store.etag, store.knows_ranges = '"1"', False
    sent = store.sent
    with pytest.raises(StreamError, match="no ranges, or has no strong ETag"):
        names["HttpSource"](names["http"], URL)
    assert store.sent == sent


def test_a_server_that_forgets_about_ranges_is_not_listened_to(names: dict[str, Any], store: Store, client: Client):
    exec(example("random-access.md", "http"), names)
    with client.random_access(names["HttpSource"](names["http"], URL)) as message:
        sent, store.knows_ranges = store.sent, False
        with pytest.raises(StreamError, match="other bytes"):
            message.read_at(500_000, 10)
        assert store.sent == sent
        store.knows_ranges = True
        assert message.read_at(500_000, 10) == PLAIN[500_000:500_010]


def test_an_altered_frame_is_refused(names: dict[str, Any], store: Store, client: Client):
    exec(example("random-access.md", "http"), names)
    store.content[500_000] ^= 1
    with (
        client.random_access(names["HttpSource"](names["http"], URL)) as message,
        pytest.raises(AuthenticationError),
    ):
        message.read_at(400_000, 100_000)
