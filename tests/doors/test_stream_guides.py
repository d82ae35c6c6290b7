"""The examples of docs/streams.md and docs/async.md that need S3, HTTP clients and web frameworks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest
from testkit.guides import example

from envelope_sdk import Client
from envelope_sdk.errors import TruncatedMessageError

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
httpx = pytest.importorskip("httpx")

NAME = UUID(int=1)
ORDERS = b"id,amount\n" + b"1,250\n" * 100_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.csv").write_bytes(ORDERS)
    (tmp_path / "uploads").mkdir()
    return tmp_path


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("moto.s3", reason="moto is installed without what its S3 needs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="bucket")
        yield s3


def run_example(page: str, *marks: str, **names: Any) -> dict[str, Any]:
    for mark in marks:
        exec(example(page, mark), names)
    return names


# --- docs/streams.md -------------------------------------------------------------------------------------------------


def test_a_file_goes_to_s3_and_back(client: Client, s3: Any, folder: Path, capsys: pytest.CaptureFixture[str]):
    run_example("streams.md", "s3", client=client, s3=s3)

    assert (folder / "back.csv").read_bytes() == ORDERS
    assert capsys.readouterr().out == "b'id,amount\\n'\n"


def test_a_file_goes_over_http_and_back(client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch):
    stored: dict[str, Any] = {}

    def answer(request: Any) -> Any:
        if request.method == "PUT":
            stored.update(body=request.read(), length=request.headers["Content-Length"])
            return httpx.Response(200)
        return httpx.Response(200, content=stored["body"])

    class Transported:
        """httpx, with a transport of its own."""

        client = httpx.Client(transport=httpx.MockTransport(answer))
        put, stream = client.put, client.stream

    run_example("streams.md", "http", client=client, httpx=Transported, url="http://store/orders")

    assert (folder / "back.csv").read_bytes() == ORDERS
    assert client.decrypt(stored["body"]).plaintext == ORDERS
    assert int(stored["length"]) == len(stored["body"])


# --- docs/async.md ---------------------------------------------------------------------------------------------------


@pytest.fixture
def app(client: Client, s3: Any) -> Any:
    pytest.importorskip("fastapi")
    return run_example("async.md", "app", "s3-app", client=client, s3=s3)["app"]


def ask(app: Any, method: str, path: str, **options: Any) -> Any:
    async def main() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as asking:
            return await asking.request(method, path, **options)

    return anyio.run(main)


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


@pytest.mark.parametrize("known", [True, False], ids=["length known", "in chunks"])
def test_an_upload_is_stored_encrypted_and_downloaded_decrypted(known: bool, app: Any, client: Client, folder: Path):
    content = ORDERS if known else in_pieces(ORDERS)

    assert ask(app, "PUT", f"/files/{NAME}", content=content).status_code == 201

    stored = client.decrypt((folder / "uploads" / str(NAME)).read_bytes())
    assert stored.plaintext == ORDERS
    answer = ask(app, "GET", f"/files/{NAME}")
    assert answer.content == ORDERS
    assert answer.headers.get("content-length") == (str(len(ORDERS)) if known else None)


def test_what_is_not_there_is_not_found(app: Any):
    assert ask(app, "GET", f"/files/{NAME}").status_code == 404


def test_a_file_under_another_name_is_not_opened(app: Any, folder: Path):
    ask(app, "PUT", f"/files/{NAME}", content=ORDERS)
    (folder / "uploads" / str(NAME)).rename(folder / "uploads" / str(UUID(int=2)))

    assert ask(app, "GET", f"/files/{UUID(int=2)}").status_code == 500


def test_an_upload_that_breaks_off_leaves_no_file(app: Any, folder: Path):
    """The server's side of a client that goes away: half a body, then a disconnect."""
    from starlette.requests import ClientDisconnect

    events = [{"type": "http.request", "body": ORDERS[:100_000], "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return events.pop(0)

    async def send(message: Any) -> None:
        """Nobody is there."""

    path = f"/files/{NAME}"
    scope = {"type": "http", "method": "PUT", "path": path, "raw_path": path.encode(), "headers": []}
    scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""}
    with pytest.raises(ClientDisconnect):
        anyio.run(app, scope, receive, send)

    assert events == []
    assert list((folder / "uploads").iterdir()) == []


def test_less_than_announced_leaves_no_file(app: Any, folder: Path):
    with pytest.raises(Exception, match="announced"):
        ask(app, "PUT", f"/files/{NAME}", content=in_pieces(ORDERS), headers={"Content-Length": str(len(ORDERS) + 1)})

    assert list((folder / "uploads").iterdir()) == []


def test_an_altered_file_never_ends_well(app: Any, folder: Path):
    ask(app, "PUT", f"/files/{NAME}", content=ORDERS)
    path = folder / "uploads" / str(NAME)
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(TruncatedMessageError):
        ask(app, "GET", f"/files/{NAME}")


def test_an_upload_goes_to_s3_and_back_piece_by_piece(app: Any, client: Client, s3: Any):
    plaintext = os.urandom(11 * 2**20)

    assert ask(app, "PUT", f"/objects/{NAME}", content=in_pieces(plaintext)).status_code == 201

    message = s3.get_object(Bucket="bucket", Key=str(NAME))["Body"].read()
    assert client.decrypt(message).plaintext == plaintext
    assert ask(app, "GET", f"/objects/{NAME}").content == plaintext
