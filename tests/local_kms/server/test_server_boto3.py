"""boto3 against the server, and against the local KMS in process: every operation, errors, accounts and Regions."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from testkit.kms_http import call, client
from testkit.kms_kinds import available
from testkit.kms_scripts import whole_script

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.server.background import BackgroundServer
from envelope_sdk.local_kms.service import OPERATIONS

_MODEL = botocore.session.get_session().get_service_model("kms")


@pytest.fixture
def local() -> Generator[LocalKms]:
    """A KMS in process."""
    with LocalKms.in_memory() as local:
        yield local


@pytest.fixture(params=["served", "in process"])
def kms(request: pytest.FixtureRequest, server: BackgroundServer) -> Any:
    """A boto3 client."""
    if request.param == "served":
        return client(server.url)
    return request.getfixturevalue("local").boto3_client()


def _refused(call: Any, **parameters: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    said = caught.value.response
    assert len(said["ResponseMetadata"]["RequestId"]) == 36
    return said["Error"]["Code"], said["Error"]["Message"], said["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.skipif("Encapsulate" not in _MODEL.operation_names, reason="this botocore's model is older")
def test_every_operation_is_answered_as_the_model_has_it(kms: Any) -> None:
    done = set()
    for operation, answer in whole_script(kms):
        done.add(operation)
        metadata = answer.pop("ResponseMetadata")
        assert metadata["HTTPStatusCode"] == 200
        assert metadata["RetryAttempts"] == 0
        assert len(metadata["RequestId"]) == 36
        shape = _MODEL.operation_model(operation).output_shape
        assert shape is not None or not answer
        assert shape is None or not ParamValidator().validate(answer, shape).has_errors()
    left_out = {operation for operation in OPERATIONS if "CustomKeyStore" in operation}
    left_out |= set() if available("ML_KEM_768") else {"Encapsulate", "Decapsulate"}
    assert done == set(OPERATIONS) - left_out


def test_a_key_s_dates_are_times_to_the_millisecond(kms: Any) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = kms.create_key()["KeyMetadata"]
    ends = kms.schedule_key_deletion(KeyId=made["KeyId"], PendingWindowInDays=7)["DeletionDate"]
    assert before <= made["CreationDate"] <= datetime.now(UTC)
    assert timedelta(days=7) <= ends - before < timedelta(days=7, minutes=1)


def test_contexts_and_texts_of_any_script_arrive(kms: Any) -> None:
    context = {"Zweck": "Rechnungen, ünïcode", "\N{SNOWMAN}": "\N{GRINNING FACE}", "quote": '"\\\n'}
    key_id = kms.create_key(Description="\N{SNOWMAN}")["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=bytes(range(256)), EncryptionContext=context)["CiphertextBlob"]

    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == bytes(range(256))
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"] == "\N{SNOWMAN}"
    assert _refused(kms.decrypt, CiphertextBlob=blob)[0] == "InvalidCiphertextException"


def test_pages_are_turned(kms: Any) -> None:
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5)}
    pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}))
    assert made <= {key["KeyId"] for page in pages for key in page["Keys"]}
    assert len(pages) > 2


_NOWHERE = "00000000-0000-4000-8000-000000000000"
_ERRORS = {
    "no such key": (
        ("describe_key", {"KeyId": _NOWHERE}),
        ("NotFoundException", f"Key 'arn:aws:kms:us-east-1:000000000000:key/{_NOWHERE}' does not exist", 400),
    ),
    "no such alias": (
        ("encrypt", {"KeyId": "alias/none", "Plaintext": b"x"}),
        ("NotFoundException", "Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found.", 400),
    ),
    "another Region's ARN": (
        ("describe_key", {"KeyId": f"arn:aws:kms:eu-west-1:000000000000:key/{_NOWHERE}"}),
        ("NotFoundException", "Invalid arn eu-west-1", 400),
    ),
    "no ciphertext": (("decrypt", {"CiphertextBlob": b"nonsense"}), ("InvalidCiphertextException", "", 400)),
    "no such number of days": (
        ("schedule_key_deletion", {"KeyId": _NOWHERE, "PendingWindowInDays": 31}),
        (
            "ValidationException",
            "1 validation error detected: Value '31' at 'pendingWindowInDays' failed to satisfy constraint: Member "
            "must have value less than or equal to 30",
            400,
        ),
    ),
}


@pytest.mark.parametrize(("call", "expected"), _ERRORS.values(), ids=_ERRORS)
def test_an_error_has_aws_s_code_and_text(kms: Any, call: Any, expected: tuple[str, str, int]) -> None:
    name, parameters = call
    assert _refused(getattr(kms, name), **parameters) == expected


def test_errors_are_those_classes_of_the_client_that_aws_s_would_be(kms: Any) -> None:
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key_id)
    with pytest.raises(kms.exceptions.DisabledException):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
    with pytest.raises(kms.exceptions.DryRunOperationException):
        kms.generate_data_key(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], KeySpec="AES_256", DryRun=True)


def test_custom_key_stores_are_not_to_be_had(kms: Any) -> None:
    code, _, status = _refused(kms.create_custom_key_store, CustomKeyStoreName="x")
    assert code in ("UnknownOperationException", "UnsupportedOperationException")
    assert status == 400


# --- accounts and Regions --------------------------------------------------------------------------------------------


def test_twelve_digits_in_place_of_an_access_key_id_name_the_account(server: BackgroundServer) -> None:
    made = client(server.url, key_id="111122223333").create_key()["KeyMetadata"]
    assert made["AWSAccountId"] == "111122223333"
    assert made["Arn"].startswith("arn:aws:kms:us-east-1:111122223333:key/")


@pytest.mark.parametrize("key_id", ["AKIAIOSFODNN7EXAMPLE", "test", "1111222233334", "١١١١٢٢٢٢٣٣٣٣"])
def test_any_other_credentials_are_the_server_s_own_account(server: BackgroundServer, key_id: str) -> None:
    assert client(server.url, key_id=key_id).create_key()["KeyMetadata"]["AWSAccountId"] == "000000000000"


def test_the_region_is_that_of_the_signature(server: BackgroundServer) -> None:
    made = client(server.url, region="ap-southeast-2").create_key()["KeyMetadata"]
    assert made["Arn"].startswith("arn:aws:kms:ap-southeast-2:")


def test_accounts_and_regions_do_not_see_each_other_s_keys(server: BackgroundServer) -> None:
    there = client(server.url, region="eu-north-1")
    key_id = there.create_key()["KeyMetadata"]["KeyId"]
    for other in (client(server.url, region="eu-south-1"), client(server.url, region="eu-north-1", key_id="9" * 12)):
        assert _refused(other.describe_key, KeyId=key_id)[0] == "NotFoundException"
    assert there.describe_key(KeyId=key_id)["KeyMetadata"]["KeyId"] == key_id


def test_the_caller_s_identity_is_told(server: BackgroundServer) -> None:
    answer = client(server.url, "sts", key_id="111122223333").get_caller_identity()
    del answer["ResponseMetadata"]
    assert answer == {
        "UserId": "111122223333",
        "Account": "111122223333",
        "Arn": "arn:aws:iam::111122223333:root",
    }


def test_other_operations_of_sts_are_not_known(server: BackgroundServer) -> None:
    code, message, status = _refused(client(server.url, "sts").get_session_token)
    assert (code, status) == ("InvalidAction", 400)
    assert message == "Could not find operation GetSessionToken for version 2011-06-15"


# --- signatures ------------------------------------------------------------------------------------------------------

_ROOT, _ALICE, _SESSION = "AKIDROOTROOTROOT", "AKIDALICEALICEALICE", "ASIASESSIONSESSION"
_KEYS = f"""
[{_ROOT}]
secret = "root's secret"
arn = "arn:aws:iam::111122223333:root"

[{_ALICE}]
secret = "alice's secret"
arn = "arn:aws:iam::111122223333:user/team/alice"

[{_SESSION}]
secret = "another"
arn = "arn:aws:sts::111122223333:assumed-role/reader/me"
session_token = "token"
"""


@pytest.fixture
def signed(start: Any, tmp_path: Path) -> BackgroundServer:
    """A server that wants signatures."""
    path = tmp_path / "keys.toml"
    path.touch(0o600)
    path.write_text(_KEYS)
    return start(access_keys=str(path))


def test_who_signs_is_let_in(signed: BackgroundServer) -> None:
    root = client(signed.url, key_id=_ROOT, secret="root's secret", region="eu-west-1")
    made = root.create_key()["KeyMetadata"]
    assert made["Arn"].startswith("arn:aws:kms:eu-west-1:111122223333:key/")
    line = json.loads(signed.lines[-1])
    assert (line["principal"], line["key"]) == ("arn:aws:iam::111122223333:root", made["Arn"])


def test_what_a_signer_may_do_is_a_matter_of_policies(signed: BackgroundServer) -> None:
    root = client(signed.url, key_id=_ROOT, secret="root's secret")
    alice = client(signed.url, key_id=_ALICE, secret="alice's secret")
    arn = root.create_key()["KeyMetadata"]["Arn"]
    name = "arn:aws:iam::111122223333:user/team/alice"

    code, message, _ = _refused(alice.encrypt, KeyId=arn, Plaintext=b"x")
    assert code == "AccessDeniedException"
    assert message.startswith(f"User: {name} is not authorized to perform: kms:Encrypt on resource: {arn} because")

    root.create_grant(KeyId=arn, GranteePrincipal=name, Operations=["Encrypt"])
    assert alice.encrypt(KeyId=arn, Plaintext=b"x")["KeyId"] == arn


def test_a_session_is_let_in_with_its_token(signed: BackgroundServer) -> None:
    whole = client(signed.url, "sts", key_id=_SESSION, secret="another", aws_session_token="token")
    assert whole.get_caller_identity()["Arn"] == "arn:aws:sts::111122223333:assumed-role/reader/me"


def test_a_presigned_url_tells_who_made_it(signed: BackgroundServer) -> None:
    sts = client(signed.url, "sts", key_id=_ALICE, secret="alice's secret")
    parts = urlsplit(sts.generate_presigned_url("get_caller_identity", HttpMethod="GET"))

    told = call(signed.url, "GET", f"/?{parts.query}", b"", {"Host": parts.netloc})
    other = call(signed.url, "GET", f"/?{parts.query}".replace("us-east-1", "eu-west-1"), b"", {"Host": parts.netloc})

    assert (told.status, told.headers["content-type"]) == (200, "text/xml")
    assert "<Arn>arn:aws:iam::111122223333:user/team/alice</Arn>" in told.body.decode()
    assert other.status == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in other.body.decode()


@pytest.mark.parametrize(
    ("key_id", "secret", "token", "codes"),
    [
        (_ALICE, "wrong", None, ("InvalidSignatureException", "SignatureDoesNotMatch")),
        ("AKIDNOBODYNOBODY", "x", None, ("UnrecognizedClientException", "InvalidClientTokenId")),
        (_SESSION, "another", None, ("UnrecognizedClientException", "InvalidClientTokenId")),
        (_SESSION, "another", "wrong", ("UnrecognizedClientException", "InvalidClientTokenId")),
    ],
)
def test_who_does_not_sign_rightly_is_refused(
    signed: BackgroundServer, key_id: str, secret: str, token: str | None, codes: tuple[str, str]
) -> None:
    given = {"key_id": key_id, "secret": secret, "aws_session_token": token}
    kms, sts = client(signed.url, **given), client(signed.url, "sts", **given)
    code, _, status = _refused(kms.list_keys)
    assert (code, status) == (codes[0], 400)
    code, _, status = _refused(sts.get_caller_identity)
    assert (code, status) == (codes[1], 403)


def test_who_does_not_sign_at_all_is_refused(signed: BackgroundServer) -> None:
    from botocore import UNSIGNED
    from botocore.config import Config

    unsigned = boto3.client(
        "kms",
        "us-east-1",
        endpoint_url=signed.url,
        config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0}),
    )
    assert _refused(unsigned.list_keys) == (
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
        400,
    )


def test_signatures_are_dated_by_the_callers_clocks_not_by_one_that_tests_move(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.touch(0o600)
    path.write_text(_KEYS)
    server = start(access_keys=str(path), test_clock=True)
    assert server.process.clock is not None
    server.process.clock.move(b'{"advance_seconds": 864000}')

    made = client(server.url, key_id=_ROOT, secret="root's secret").create_key()["KeyMetadata"]

    assert made["CreationDate"] > datetime.now(UTC) + timedelta(days=9)


# --- in process ------------------------------------------------------------------------------------------------------


def test_a_client_in_process_shares_the_keys_of_its_kms() -> None:
    with LocalKms.in_memory(region="eu-west-1", account="111122223333") as local:
        kms = local.boto3_client()
        made = local.create_key()["KeyMetadata"]
        blob = kms.encrypt(KeyId=made["Arn"], Plaintext=b"x")["CiphertextBlob"]

        assert kms.meta.region_name == "eu-west-1"
        assert local.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        assert kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"] == made
        assert local.boto3_client("sts").get_caller_identity()["Account"] == "111122223333"


def test_a_client_in_process_may_be_in_another_region_and_account() -> None:
    with LocalKms.in_memory() as local:
        kms = local.boto3_client(region_name="eu-west-2", aws_access_key_id="999999999999")
        assert kms.create_key()["KeyMetadata"]["Arn"].startswith("arn:aws:kms:eu-west-2:999999999999:key/")


def test_a_client_in_process_is_one_of_kms_or_sts() -> None:
    with LocalKms.in_memory() as local, pytest.raises(UsageError, match="not for s3"):
        local.boto3_client("s3")


def test_a_client_in_process_needs_no_credentials_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    with LocalKms.in_memory() as local:
        assert local.boto3_client().list_keys()["Keys"] == []
