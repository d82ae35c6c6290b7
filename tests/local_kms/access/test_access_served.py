"""A server that knows callers by the access keys in its store."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from testkit.policies import allow, text

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms import LocalKms

pytest.importorskip("uvicorn", reason="the server needs the extra 'server'")

from envelope_sdk.local_kms.server.running import ServerProcess, listen, url_of
from envelope_sdk.local_kms.server.settings import Settings
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

ALICE = "arn:aws:iam::000000000000:user/alice"
APP_ROLE = "arn:aws:iam::000000000000:role/app"


@pytest.fixture
def served(database: Path) -> Generator[tuple[LocalKms, str]]:
    """A KMS in a file, and the URL of a server over the same file."""
    settings = Settings(store=str(database), port=0, stored_access_keys=True, log_format="off")
    with LocalKms.open(database) as kms:
        process = ServerProcess(settings, lambda: SqliteStore.open(database, None, system_random))
        opened, ready = listen(settings), threading.Event()
        thread = threading.Thread(target=process.run, args=(opened, ready.set))
        thread.start()
        try:
            assert ready.wait(30)
            yield kms, url_of(settings, opened)
        finally:
            process.stop()
            thread.join()


def _client(url: str, access_key_id: str, secret: str, token: str | None = None) -> Any:
    return boto3.client(
        "kms",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret,
        aws_session_token=token,
    )


def _code(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def test_a_user_signs_with_a_key_of_the_store(served: tuple[LocalKms, str]) -> None:
    kms, url = served
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.identities.create_user("alice", policies={"use": text(allow("kms:Encrypt"))})
    issued = kms.identities.create_access_key(ALICE)
    alice = _client(url, issued.access_key_id, issued.secret_access_key)

    assert alice.encrypt(KeyId=key_id, Plaintext=b"x")["KeyId"].endswith(key_id)
    assert _code(alice.describe_key, KeyId=key_id) == "AccessDeniedException"
    assert _code(_client(url, issued.access_key_id, "wrong").list_keys) == "InvalidSignatureException"
    kms.identities.set_access_key_active(issued.access_key_id, False)
    assert _code(alice.encrypt, KeyId=key_id, Plaintext=b"x") == "UnrecognizedClientException"


def test_a_session_is_as_limited_as_it_was_begun(served: tuple[LocalKms, str]) -> None:
    kms, url = served
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.identities.create_role("app", policies={"all": text(allow())})
    issued = kms.identities.assume_role(APP_ROLE, "run", policies=[text(allow("kms:DescribeKey"))])
    app = _client(url, issued.access_key_id, issued.secret_access_key, issued.session_token)

    assert app.describe_key(KeyId=key_id)["KeyMetadata"]["KeyId"] == key_id
    assert _code(app.disable_key, KeyId=key_id) == "AccessDeniedException"
    without_token = _client(url, issued.access_key_id, issued.secret_access_key)
    assert _code(without_token.describe_key, KeyId=key_id) == "UnrecognizedClientException"


def test_access_keys_come_from_one_place(database: Path) -> None:
    with pytest.raises(UsageError, match="not in both"):
        Settings(store=str(database), access_keys="/keys", stored_access_keys=True)


def test_whoever_signs_may_come_from_elsewhere(database: Path) -> None:
    assert Settings(store=str(database), host="0.0.0.0", stored_access_keys=True).signed
