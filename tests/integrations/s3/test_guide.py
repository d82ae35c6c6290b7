"""The examples of docs/s3.md do what the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from testkit.guides import example
from testkit.s3 import client_of

from envelope_sdk import Client
from envelope_sdk.integrations.s3 import EncryptedS3
from envelope_sdk.keyrings import RawAesKeyring

ORDERS = b"id,amount\n" + b"1,250\n" * 100_000


def test_the_examples_run(
    s3: Any, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("orders.csv").write_bytes(ORDERS)
    west = client_of("us-west-2")
    west.create_bucket(Bucket="bucket-west", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    other = Client(RawAesKeyring("test", "key-2", bytes(32)))
    names: dict[str, Any] = {"s3": s3, "client": client, "s3_west": west, "client_west": other}

    exec(example("s3.md", "objects"), names)
    exec(example("s3.md", "copy"), names)

    assert capsys.readouterr().out == ("bytes 0-8/600010 b'id,amount'\n600010 b'1,250\\n'\nb'attack at dawn'\n")
    assert Path("back.csv").read_bytes() == ORDERS
    assert EncryptedS3(west, other).get_object(Bucket="bucket-west", Key="orders.csv")["Body"].read() == ORDERS
