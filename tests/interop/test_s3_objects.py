"""An object that was stored encrypted is a message as any other: the AWS Encryption SDK opens its bytes, and back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from testkit.s3 import BUCKET, s3_in_process, stored

from envelope_sdk import Client
from envelope_sdk.integrations.s3 import EncryptedS3
from envelope_sdk.keyrings import RawAesKeyring

pytest.importorskip("aws_encryption_sdk")
pytestmark = pytest.mark.interop

KEY = bytes(range(32))
MIB = 2**20
PLAIN = bytes(range(256)) * (6 * MIB // 256) + b"the end"


@pytest.fixture
def s3() -> Iterator[Any]:
    with s3_in_process() as s3:
        yield s3


@pytest.fixture
def objects(s3: Any) -> EncryptedS3:
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    return EncryptedS3(s3, Client(RawAesKeyring("interop", "aes", KEY)), config=config, bind=["key"])


@pytest.mark.parametrize("length", [0, 100, len(PLAIN)])
def test_the_peer_reads_what_was_uploaded(peer: Any, objects: EncryptedS3, s3: Any, length: int):
    objects.upload_fileobj(io.BytesIO(PLAIN[:length]), BUCKET, "key")

    assert peer.decrypt(stored(s3), keyring=peer.aes_keyring(KEY)) == PLAIN[:length]


@pytest.mark.parametrize("frame_length", [4096, 0], ids=["framed", "not framed"])
def test_what_the_peer_wrote_is_read_in_every_way(peer: Any, objects: EncryptedS3, s3: Any, frame_length: int):
    message = peer.encrypt(
        PLAIN[:100_000], context={"s3-key": "key"}, keyring=peer.aes_keyring(KEY), frame_length=frame_length
    )
    s3.put_object(Bucket=BUCKET, Key="key", Body=message)

    objects.download_fileobj(BUCKET, "key", file := io.BytesIO())

    assert file.getvalue() == PLAIN[:100_000]
    assert objects.get_object(Bucket=BUCKET, Key="key")["Body"].read() == PLAIN[:100_000]
    ranged = objects.get_object(Bucket=BUCKET, Key="key", Range="bytes=90000-90009")
    assert ranged["Body"].read() == PLAIN[90_000:90_010]
