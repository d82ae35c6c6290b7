"""Our own vectors as objects: whatever way they are read, the error that is due, and never a byte of another text."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from botocore.exceptions import ClientError
from testkit.entry_points import Outcome, reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.own_vectors import Case, read_all
from testkit.s3 import BUCKET, s3_in_process

from envelope_sdk import Client, EnvelopeError, Limits, errors
from envelope_sdk.errors import AuthenticationError, MessageError, SignedStreamError
from envelope_sdk.integrations.s3 import EncryptedS3
from envelope_sdk.keyrings import RawAesKeyring

pytestmark = pytest.mark.slow

EVERY = read_all()
GOOD = [case for case in EVERY if case.expect == "ok"]
BAD = [case for case in EVERY if case.expect != "ok"]
AT = {"Bucket": BUCKET, "Key": "key"}


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with s3_in_process() as s3:
        yield s3


Reading: TypeAlias = Callable[[Case], EncryptedS3]


@pytest.fixture(scope="module")
def reading(s3: Any) -> Reading:
    """What makes a case the object, unless it is already, and returns who reads it."""
    held: list[Case] = []

    def reading(case: Case) -> EncryptedS3:
        if held != [case]:
            s3.put_object(**AT, Body=case.message)
            held[:] = [case]
        return EncryptedS3(s3, reader_of(StaticDataKeyring(case.key), limits=Limits(**case.limits)))

    return reading


def whole(objects: EncryptedS3) -> Outcome:
    released = bytearray()
    try:
        for piece in objects.get_object(**AT, release_unverified_plaintext=True)["Body"].iter_chunks(7):
            released += piece
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def at_random(objects: EncryptedS3) -> Outcome:
    released = bytearray()
    try:
        try:
            reader = objects.open(BUCKET, "key")
        except SignedStreamError:
            reader = objects.open(BUCKET, "key", verify_first=True)
        while piece := reader.read_at(len(released), 7):
            released += piece
    except EnvelopeError as error:
        return Outcome(bytes(released), error)
    return Outcome(bytes(released), None)


def download(objects: EncryptedS3) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        try:
            objects.download_file(BUCKET, "key", Path(folder, "file"))
        except EnvelopeError as error:
            return Outcome(b"".join(path.read_bytes() for path in Path(folder).iterdir()), error)
        return Outcome(Path(folder, "file").read_bytes(), None)


def file_object(objects: EncryptedS3) -> Outcome:
    file = io.BytesIO()
    try:
        objects.download_fileobj(BUCKET, "key", file, release_unverified_plaintext=True)
    except EnvelopeError as error:
        return Outcome(file.getvalue(), error)
    return Outcome(file.getvalue(), None)


def copied(objects: EncryptedS3) -> Outcome:
    s3 = objects._s3
    target = EncryptedS3(s3, Client(RawAesKeyring("test", "key-1", bytes(32))))
    try:
        objects.copy(AT, BUCKET, "copy", target=target, encryption_context={})
    except EnvelopeError as error:
        assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="copy")
        return Outcome(b"", error)
    copy = target.get_object(Bucket=BUCKET, Key="copy")["Body"].read()
    s3.delete_object(Bucket=BUCKET, Key="copy")
    return Outcome(copy, None)


WAYS: dict[str, Callable[[EncryptedS3], Outcome]] = {
    "get_object": whole,
    "open": at_random,
    "download_file": download,
    "download_fileobj": file_object,
    "copy": copied,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_what_the_format_allows_is_read(case: Case, way: Callable[[EncryptedS3], Outcome], reading: Reading):
    assert way(reading(case)) == Outcome(case.plaintext, None)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_fault_is_refused_and_what_came_before_is_a_prefix_of_the_truth(
    case: Case, way: Callable[[EncryptedS3], Outcome], reading: Reading
):
    outcome = way(reading(case))

    assert type(outcome.error) is getattr(errors, case.expect)
    if isinstance(outcome.error, MessageError | AuthenticationError):
        assert case.section == outcome.error.section
    assert case.plaintext.startswith(outcome.released)
    if way in (download, copied):
        assert outcome.released == b""


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_a_range_is_the_truth_or_an_error(case: Case, reading: Reading):
    objects = reading(case)
    for start in (0, 15, 30):
        try:
            got = objects.get_object(**AT, Range=f"bytes={start}-{start + 8}", release_unverified_plaintext=True)
            assert got["Body"].read() == case.plaintext[start : start + 9]
        except EnvelopeError:
            assert case.expect != "ok"
        except ClientError:
            # InvalidRange: there is nothing there.
            assert len(case.plaintext) <= start
