"""The audit log's events: one for every call, in CloudTrail's shape, and nothing secret in them."""

from __future__ import annotations

import json
import os
import resource
import uuid
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.errors import KeyStoreError, KmsServiceError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.audit import AuditLog, Query, read_events, verify
from envelope_sdk.local_kms.audit.chain import MAX_LINE, START, line_of
from envelope_sdk.local_kms.audit.events import MAX_EVENT, call_event, encoded, service_event
from envelope_sdk.local_kms.audit.members import HIDDEN, READ_ONLY, SHOWN
from envelope_sdk.local_kms.call import Call, Requester, ServiceEvent
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.model import Key, KeyState
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.service import OPERATIONS, Service
from envelope_sdk.local_kms.store.sqlite import SqliteStore

_MODEL = botocore.session.get_session().get_service_model("kms")
_SCOPE = Scope("111122223333", "us-west-2")
_NOW = datetime(2026, 11, 22, 9, 5, 7, 123000, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def audited(store: SqliteStore, clock: Any, random: Any, path: Path) -> Generator[LocalKms]:
    with AuditLog(path, durable=False) as log, LocalKms(store, clock=clock, random=random, audit=log) as kms:
        yield kms


@pytest.fixture
def last(path: Path) -> Callable[[], dict[str, Any]]:
    return lambda: list(read_events([path]))[-1]


def _key(account: str = "111122223333", **changes: Any) -> Key:
    given: dict[str, Any] = {
        "scope": Scope(account, "us-west-2"),
        "key_id": "1234abcd-12ab-34cd-56ef-1234567890ab",
        "created": _NOW,
        "description": "",
        "usage": "ENCRYPT_DECRYPT",
        "spec": "SYMMETRIC_DEFAULT",
        "origin": "AWS_KMS",
        "state": KeyState.ENABLED,
        "policy": "{}",
        "material_id": "a" * 64,
    }
    return Key(**(given | changes))


def _call(operation: str, parameters: dict[str, Any], caller: str = "user/alice", **more: Any) -> Call:
    service = "sts" if caller.startswith("assumed") else "iam"
    keys = more.pop("keys", (_key(),))
    who = Caller.parse(f"arn:aws:{service}::111122223333:{caller}", unique_id="AIDAEXAMPLE")
    requester = Requester(_SCOPE, who, "request-1", **more)
    nothing: Any = None
    return Call(operation, parameters, requester, _NOW, *[nothing] * 2, keys=keys)


# --- what an event is ------------------------------------------------------------------------------------------------


def test_an_event_is_that_of_cloudtrail() -> None:
    parameters = {"KeyId": "alias/a", "KeySpec": "AES_256", "EncryptionContext": {"Department": "IT", "keyId": "x"}}
    call = _call(
        "GenerateDataKey", parameters, source_ip="192.0.2.1", user_agent="Boto3/1.40", access_key_id="AKIAEXAMPLE"
    )
    answer = {"Plaintext": b"p", "CiphertextBlob": b"c", "KeyId": _key().arn, "KeyMaterialId": "a" * 64}

    assert call_event(call, answer, None) == {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAEXAMPLE",
            "arn": "arn:aws:iam::111122223333:user/alice",
            "accountId": "111122223333",
            "accessKeyId": "AKIAEXAMPLE",
            "userName": "alice",
        },
        "eventTime": "2026-11-22T09:05:07Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": "GenerateDataKey",
        "awsRegion": "us-west-2",
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "Boto3/1.40",
        "requestParameters": {
            "keyId": "alias/a",
            "keySpec": "AES_256",
            "encryptionContext": {"Department": "IT", "keyId": "x"},
        },
        "responseElements": None,
        "additionalEventData": {"keyMaterialId": "a" * 64},
        "requestID": "request-1",
        "eventID": call.requester.event_id,
        "readOnly": True,
        "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": _key().arn}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "111122223333",
        "eventCategory": "Management",
    }


def test_the_id_of_an_event_is_a_uuid_and_the_same_for_whoever_asks() -> None:
    one, other = (_call("ListKeys", {}).requester for _ in range(2))

    assert uuid.UUID(one.event_id).version == 4
    assert one.event_id == other.event_id


def test_a_role_session_shows_its_role() -> None:
    identity = call_event(_call("ListKeys", {}, "assumed-role/deploy/s-1"), {}, None)["userIdentity"]

    assert (identity["type"], identity["principalId"]) == ("AssumedRole", "AIDAEXAMPLE:s-1")
    assert identity["sessionContext"]["sessionIssuer"] == {
        "type": "Role",
        "principalId": "AIDAEXAMPLE",
        "arn": "arn:aws:iam::111122223333:role/deploy",
        "accountId": "111122223333",
        "userName": "deploy",
    }


def test_the_root_of_an_account_is_its_number() -> None:
    identity = call_event(_call("ListKeys", {}, "root"), {}, None)["userIdentity"]

    assert (identity["type"], identity["principalId"]) == ("Root", "111122223333")


def test_a_service_that_calls_for_itself() -> None:
    requester = Requester(_SCOPE, Caller.service("s3.amazonaws.com"), "request-1")
    call = _call("Decrypt", {})
    call.requester = requester

    assert call_event(call, {}, None)["userIdentity"] == {"type": "AWSService", "invokedBy": "s3.amazonaws.com"}


def test_a_service_that_calls_for_somebody() -> None:
    event = call_event(_call("Decrypt", {}, via_service="s3.us-west-2.amazonaws.com", source_ip="192.0.2.1"), {}, None)

    assert event["userIdentity"]["invokedBy"] == event["sourceIPAddress"] == "s3.us-west-2.amazonaws.com"


def test_a_key_of_another_account_makes_the_event_a_shared_one() -> None:
    event = call_event(_call("Decrypt", {}, keys=(_key("444455556666"),)), {}, None)

    assert (event["recipientAccountId"], event["resources"][0]["accountId"]) == ("111122223333", "444455556666")
    assert event["sharedEventID"]


def test_a_refusal_of_another_accounts_key_is_told_to_the_callers_account_alone() -> None:
    denied = KmsServiceError("AccessDeniedException", "no", operation="Decrypt", status=400)
    event = call_event(_call("Decrypt", {}, keys=(_key("444455556666"),)), None, denied)

    assert (event["errorCode"], "sharedEventID" in event) == ("AccessDenied", False)


def test_reencryption_names_both_keys() -> None:
    other = _key(key_id="0987dcba-09fe-87dc-65ba-ab0987654321")
    call = _call("ReEncrypt", {"DestinationKeyId": other.key_id}, keys=(_key(), other))
    answer = {"SourceKeyMaterialId": "a" * 64, "DestinationKeyMaterialId": "b" * 64, "CiphertextBlob": b"c"}
    event = call_event(call, answer, None)

    assert [_key().arn, other.arn] == [resource["ARN"] for resource in event["resources"]]
    assert event["additionalEventData"] == {"sourceKeyMaterialId": "a" * 64, "destinationKeyMaterialId": "b" * 64}


def test_a_failure_shows_code_and_text() -> None:
    event = call_event(_call("Decrypt", {}), None, KmsServiceError("DisabledException", "arn is disabled."))

    assert (event["errorCode"], event["errorMessage"]) == ("DisabledException", "arn is disabled.")
    assert event["responseElements"] is None


def test_a_refusal_is_called_what_cloudtrail_calls_it() -> None:
    event = call_event(_call("Decrypt", {}), None, KmsServiceError("AccessDeniedException", "User: ..."))

    assert event["errorCode"] == "AccessDenied"


def test_dates_are_written_as_cloudtrail_writes_them() -> None:
    times = [datetime(2022, 8, 10, hour, 38, 7, tzinfo=UTC) for hour in (0, 12, 22)]
    shown = [
        call_event(_call("ImportKeyMaterial", {"ValidTo": time}), {}, None)["requestParameters"]["validTo"]
        for time in times
    ]

    assert shown == ["Aug 10, 2022, 12:38:07 AM", "Aug 10, 2022, 12:38:07 PM", "Aug 10, 2022, 10:38:07 PM"]


def test_what_the_service_does_by_itself_is_an_event_of_its_own_type() -> None:
    event = service_event(ServiceEvent("RotateKey", _key(), _NOW, {"rotationType": "AUTOMATIC"}))

    assert event["eventType"] == "AwsServiceEvent"
    assert event["userIdentity"] == {"accountId": "111122223333", "invokedBy": "AWS Internal"}
    assert event["serviceEventDetails"] == {"rotationType": "AUTOMATIC", "keyId": _key().key_id}
    assert event["resources"][0]["ARN"] == _key().arn
    assert "requestID" not in event


@pytest.mark.parametrize("given", ["KeySpec", "CustomerMasterKeySpec", None])
def test_the_spec_of_a_new_key_is_shown_by_both_its_names(given: str | None) -> None:
    parameters = {given: "RSA_2048"} if given else {}
    shown = call_event(_call("CreateKey", parameters), {}, None)["requestParameters"]

    spec = "RSA_2048" if given else "SYMMETRIC_DEFAULT"
    assert (shown["keySpec"], shown["customerMasterKeySpec"]) == (spec, spec)


def test_changes_show_the_key_they_changed_though_the_answer_does_not() -> None:
    assert call_event(_call("DisableKey", {}), {}, None)["responseElements"] == {"keyId": _key().arn}


def test_an_alias_that_is_moved_shows_the_key_it_was_given_to(
    audited: LocalKms, last: Callable[[], dict[str, Any]]
) -> None:
    before, after = (audited.create_key()["KeyMetadata"] for _ in range(2))
    audited.create_alias(AliasName="alias/a", TargetKeyId=before["KeyId"])
    audited.update_alias(AliasName="alias/a", TargetKeyId=after["KeyId"])

    assert last()["responseElements"] == {"keyId": after["Arn"]}


def test_grants_show_their_terms_and_no_token() -> None:
    parameters = {
        "KeyId": "k",
        "GranteePrincipal": "arn:aws:iam::111122223333:user/bob",
        "Operations": ["Decrypt"],
        "Constraints": {"EncryptionContextSubset": {"Some Key": "v"}, "Unknown": "x"},
        "GrantTokens": ["secret-token"],
    }
    event = call_event(_call("CreateGrant", parameters), {"GrantId": "g", "GrantToken": "secret-token"}, None)

    assert event["requestParameters"]["constraints"] == {"encryptionContextSubset": {"Some Key": "v"}}
    assert event["responseElements"] == {"grantId": "g"}
    assert b"secret-token" not in encoded(event)


def test_a_grant_retired_by_its_token_is_named_by_its_id(
    audited: LocalKms, path: Path, last: Callable[[], dict[str, Any]]
) -> None:
    key_id = audited.create_key()["KeyMetadata"]["KeyId"]
    root = "arn:aws:iam::000000000000:root"
    grant = audited.create_grant(KeyId=key_id, GranteePrincipal=root, RetiringPrincipal=root, Operations=["Decrypt"])
    audited.retire_grant(GrantToken=grant["GrantToken"])

    assert last()["additionalEventData"] == {"grantId": grant["GrantId"]}
    assert last()["requestParameters"] is None
    assert grant["GrantToken"].encode() not in path.read_bytes()


def test_every_parameter_of_the_model_is_either_shown_or_hidden() -> None:
    names = {name for operation in _MODEL.operation_names for name in _shape(operation)}

    assert names <= SHOWN | HIDDEN
    assert set() == SHOWN & HIDDEN


def _shape(operation: str) -> dict[str, Any]:
    shape: Any = _MODEL.operation_model(operation).input_shape
    return shape.members if shape else {}


def test_every_parameter_of_bytes_is_hidden() -> None:
    blobs = {
        name
        for operation in _MODEL.operation_names
        for name, member in _shape(operation).items()
        if member.type_name == "blob"
    }

    assert blobs <= HIDDEN


def test_operations_that_only_read_are_known() -> None:
    changes = ("Create", "Delete", "Schedule", "Cancel", "Enable", "Disable", "Put", "Tag", "Untag", "Update", "Import")
    changes += ("Connect", "Disconnect", "Rotate", "Replicate", "Retire", "Revoke")

    # From what is answered here: an older botocore knows fewer.
    assert {name for name in OPERATIONS if not name.startswith(changes)} == READ_ONLY


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(SHOWN | HIDDEN)), _anything))
def test_whatever_a_caller_gives_an_event_is_one_line_of_json(parameters: dict[str, Any]) -> None:
    line = encoded(call_event(_call("Decrypt", parameters), None, KmsServiceError("ValidationException", "\ud800\n")))

    assert b"\n" not in line
    assert json.loads(line)["eventName"] == "Decrypt"


@given(st.dictionaries(st.sampled_from(sorted(SHOWN | HIDDEN)), st.just(b"a secret of bytes") | st.just("x")))
def test_bytes_are_never_shown(parameters: dict[str, Any]) -> None:
    assert b"a secret of bytes" not in encoded(call_event(_call("Encrypt", parameters), {}, None))


@pytest.mark.parametrize("name", ["Description", "AliasName", "KeyId", "EncryptionContext"])
def test_what_would_be_too_long_is_left_out(name: str) -> None:
    value: Any = "x" * 3_000_000
    parameters = {name: {"a": value} if name == "EncryptionContext" else value}
    error = KmsServiceError("ValidationException", f"Value '{value}'")
    line = encoded(call_event(_call("CreateAlias", parameters, user_agent=value), None, error))

    assert len(line) < MAX_EVENT
    assert json.loads(line)["requestParameters"]["omitted"] is True


# --- a KMS and its log -----------------------------------------------------------------------------------------------


def test_every_call_is_an_event_that_succeeded_or_failed(audited: LocalKms, path: Path) -> None:
    key_id = audited.create_key()["KeyMetadata"]["KeyId"]
    blob = audited.encrypt(KeyId=key_id, Plaintext=b"p")["CiphertextBlob"]
    audited.decrypt(CiphertextBlob=blob)
    for call in (lambda: audited.decrypt(CiphertextBlob=b"no"), lambda: audited.describe_key(KeyId="alias/none")):
        with pytest.raises(KmsServiceError):
            call()
    audited.generate_random(NumberOfBytes=1)

    assert [(event["eventName"], event.get("errorCode")) for event in read_events([path])] == [
        ("CreateKey", None),
        ("Encrypt", None),
        ("Decrypt", None),
        ("Decrypt", "InvalidCiphertextException"),
        ("DescribeKey", "NotFoundException"),
        ("GenerateRandom", None),
    ]


def test_no_event_of_a_session_holds_a_secret(audited: LocalKms, path: Path) -> None:
    key_id = audited.create_key()["KeyMetadata"]["KeyId"]
    pair = audited.generate_data_key_pair(KeyId=key_id, KeyPairSpec="ECC_NIST_P256")
    data_key = audited.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    signing = audited.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    message = {"KeyId": signing, "Message": b"a message", "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = audited.sign(**message)["Signature"]
    audited.verify(**message, Signature=signature)
    secrets = [pair["PrivateKeyPlaintext"], data_key["Plaintext"], data_key["CiphertextBlob"], signature, b"a message"]
    written = path.read_bytes()

    for secret in secrets:
        for form in (secret, secret.hex().encode(), json.dumps(secret.decode("latin-1")).encode()[1:-1]):
            assert form not in written


def test_the_event_and_the_answer_have_one_request_id(audited: LocalKms, last: Callable[[], dict[str, Any]]) -> None:
    answer = audited.list_keys()

    assert last()["requestID"] == answer["ResponseMetadata"]["RequestId"]


def test_the_erasure_of_a_key_is_recorded(audited: LocalKms, clock: Any, path: Path) -> None:
    metadata = audited.create_key()["KeyMetadata"]
    audited.schedule_key_deletion(KeyId=metadata["KeyId"], PendingWindowInDays=7)
    clock.advance(days=7)
    audited.list_keys()
    events = list(read_events([path], Query(event="DeleteKey")))

    assert [event["resources"][0]["ARN"] for event in events] == [metadata["Arn"]]


def _rotations(path: Path) -> list[tuple[str, str, str | None]]:
    events = [event for event in read_events([path]) if event["eventType"] == "AwsServiceEvent"]
    return [
        (event["eventName"], event["awsRegion"], event.get("serviceEventDetails", {}).get("rotationType"))
        for event in events
    ]


def test_a_rotation_on_demand_is_an_event_beside_the_call(audited: LocalKms, path: Path) -> None:
    key_id = audited.create_key()["KeyMetadata"]["KeyId"]
    audited.rotate_key_on_demand(KeyId=key_id)

    assert [event["eventName"] for event in read_events([path])] == ["CreateKey", "RotateKey", "RotateKeyOnDemand"]
    assert _rotations(path) == [("RotateKey", "us-east-1", "ON_DEMAND")]


@pytest.mark.parametrize("demanded", [True, False], ids=["on demand", "automatic"])
def test_replicas_are_synchronized_when_their_primary_is_rotated(
    audited: LocalKms, path: Path, clock: Any, demanded: bool
) -> None:
    key_id = audited.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    audited.replicate_key(KeyId=key_id, ReplicaRegion="us-west-2")
    if demanded:
        audited.rotate_key_on_demand(KeyId=key_id)
    else:
        audited.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
        clock.advance(days=90)
        audited.list_keys()

    kind = "ON_DEMAND" if demanded else "AUTOMATIC"
    assert _rotations(path) == [
        ("RotateKey", "us-east-1", kind),
        ("SynchronizeMultiRegionKey", "us-west-2", None),
    ]


def test_a_rotation_that_a_disabled_key_has_missed_is_an_event_when_it_is_enabled(
    audited: LocalKms, path: Path, clock: Any
) -> None:
    key_id = audited.create_key()["KeyMetadata"]["KeyId"]
    audited.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    audited.disable_key(KeyId=key_id)
    clock.advance(days=91)
    audited.list_keys()
    assert _rotations(path) == []
    audited.enable_key(KeyId=key_id)

    assert _rotations(path) == [("RotateKey", "us-east-1", "AUTOMATIC")]


def test_a_rotation_that_cannot_be_recorded_does_not_happen(store: SqliteStore, path: Path, refused: Any) -> None:
    requester = Requester(Scope("000000000000", "us-east-1"), Caller.parse("arn:aws:iam::000000000000:root"), "r")
    service = Service(store)
    named = {"KeyId": service.call("CreateKey", {}, requester)["KeyMetadata"]["KeyId"]}
    with _Full(path) as log, refused("KMSInternalException"):
        Service(store, journal=log).call("RotateKeyOnDemand", named, requester)

    assert service.call("ListKeyRotations", named, requester)["Rotations"] == []


def test_what_is_throttled_is_recorded(store: SqliteStore, path: Path, last: Callable[[], dict[str, Any]]) -> None:
    class Never:
        def take(self, name: str, rate: float, burst: float) -> bool:
            return False

    from envelope_sdk.local_kms.quotas import RequestQuotas

    with LocalKms(store, audit=path, quotas=RequestQuotas(buckets=Never())) as kms:
        with pytest.raises(KmsServiceError):
            kms.list_keys()

        assert last()["errorCode"] == "ThrottlingException"


def test_a_call_that_the_store_fails_is_recorded(path: Path, last: Callable[[], dict[str, Any]]) -> None:
    class Broken(SqliteStore):
        def write(self) -> Any:
            raise KeyStoreError("broken")

    with LocalKms(Broken.in_memory(os.urandom), audit=path) as kms:
        with pytest.raises(KeyStoreError, match="broken"):
            kms.create_key()

        assert last()["errorCode"] == "KMSInternalException"


def test_a_call_that_anything_else_fails_is_recorded(
    store: SqliteStore, path: Path, last: Callable[[], dict[str, Any]]
) -> None:
    def no_random(_: int) -> bytes:
        raise OSError("the source of randomness is gone")

    with LocalKms(store, audit=path, random=no_random) as kms, pytest.raises(OSError, match="randomness"):
        kms.generate_random(NumberOfBytes=1)

    assert (last()["eventName"], last()["errorCode"]) == ("GenerateRandom", "KMSInternalException")


def test_the_log_is_for_its_owner_only(audited: LocalKms, path: Path) -> None:
    audited.list_keys()

    assert {0o600} == {file.stat().st_mode & 0o777 for file in path.parent.glob("audit*")}


def test_a_path_makes_a_log_that_is_closed_with_the_kms(path: Path) -> None:
    with LocalKms.in_memory(audit=path) as kms:
        kms.list_keys()

    assert verify([path]).events == 1


def test_a_log_of_ones_own_serves_several_kms(path: Path) -> None:
    with AuditLog(path) as log:
        for region in ("us-east-1", "eu-west-1"):
            with LocalKms.in_memory(audit=log, region=region) as kms:
                kms.list_keys()
    regions = [event["awsRegion"] for event in read_events([path])]

    assert regions == ["us-east-1", "eu-west-1"]


def test_a_log_that_cannot_be_opened_is_an_error_of_the_store(tmp_path: Path, database: Path) -> None:
    with pytest.raises(KeyStoreError, match="no such file"):
        LocalKms.open(database, audit=tmp_path / "missing" / "audit.jsonl")


def test_a_log_is_not_pickled(path: Path) -> None:
    with AuditLog(path) as log, pytest.raises(TypeError, match="cannot be pickled"):
        log.__reduce__()


def test_files_have_a_size_worth_the_name(path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1024 bytes"):
        AuditLog(path, max_size=10)


# --- a log that cannot be written ------------------------------------------------------------------------------------


class _Full(AuditLog):
    """A log on a disk that takes no more, as the operating system itself reports it: files may not grow."""

    def _append(self, event: Any) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = self.path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
        try:
            super()._append(event)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_a_record_there_is_no_answer(store: SqliteStore, path: Path, refused: Any) -> None:
    requester = Requester(Scope("000000000000", "us-east-1"), Caller.parse("arn:aws:iam::000000000000:root"), "r")
    key_id = Service(store).call("CreateKey", {}, requester)["KeyMetadata"]["KeyId"]
    full = Service(store, journal=_Full(path))
    with refused("KMSInternalException", "The audit log cannot be written: file too large."):
        full.call("GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"}, requester)


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path: Path, path: Path) -> None:
    with LocalKms.in_memory(audit=path) as kms:
        kms.list_keys()
    whole = path.read_bytes()
    with _Full(path) as log, LocalKms.in_memory(audit=log) as kms, pytest.raises(KmsServiceError):
        kms.list_keys()

    assert path.read_bytes() == whole
    with LocalKms.in_memory(audit=path) as kms:
        kms.list_keys()
    assert (verify([path]).events, verify([path]).problems) == (2, ())


class _NoRoom(AuditLog):
    def prepare(self, call: Call) -> None:
        """As on a disk with no room left."""
        self._file.free_space = lambda: 0  # type: ignore[method-assign]
        super().prepare(call)


def test_with_no_room_for_a_record_nothing_is_changed(store: SqliteStore, path: Path, refused: Any) -> None:
    with _NoRoom(path) as log:
        service = Service(store, journal=log)
        requester = Requester(Scope("000000000000", "us-east-1"), Caller.parse("arn:aws:iam::000000000000:root"), "r")
        with refused("KMSInternalException", "The audit log cannot be written: the disk is full."):
            service.call("CreateKey", {}, requester)
        answer = service.call("ListKeys", {}, requester)

    assert answer["Keys"] == []


def test_what_cannot_be_recorded_the_service_does_not_do_by_itself(
    store: SqliteStore, clock: Any, path: Path, refused: Any
) -> None:
    log = AuditLog(path)
    with LocalKms(store, clock=clock, audit=log) as kms:
        kms.schedule_key_deletion(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], PendingWindowInDays=7)
        clock.advance(days=7)
        log.close()
        with refused("KMSInternalException"):
            kms.list_keys()
        with store.read() as transaction:
            assert len(transaction.keys(Scope(kms.account, kms.region), "", 10)) == 1


# --- queries ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(path: Path, store: SqliteStore, clock: Any) -> tuple[Path, str]:
    with LocalKms(store, clock=clock, audit=path) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        clock.advance(hours=1)
        kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
        clock.advance(hours=1)
        kms.encrypt(KeyId="alias/a", Plaintext=b"p")
        kms.create_key()
        clock.advance(hours=1)
        with pytest.raises(KmsServiceError):
            kms.encrypt(KeyId="alias/none", Plaintext=b"p")
    return path, key_id


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["CreateKey", "CreateAlias", "Encrypt", "CreateKey", "Encrypt"]),
        ({"event": "Encrypt"}, ["Encrypt", "Encrypt"]),
        ({"errors": True}, ["Encrypt"]),
        ({"key": "alias/a"}, ["CreateAlias", "Encrypt"]),
        ({"key": "ID"}, ["CreateKey", "CreateAlias", "Encrypt"]),
        ({"key": "arn:aws:kms:us-east-1:000000000000:key/ID"}, ["CreateKey", "CreateAlias", "Encrypt"]),
        ({"principal": "root"}, ["CreateKey", "CreateAlias", "Encrypt", "CreateKey", "Encrypt"]),
        ({"principal": "alice"}, []),
        ({"since": datetime(2026, 1, 1, 14, tzinfo=UTC)}, ["Encrypt", "CreateKey", "Encrypt"]),
        ({"until": datetime(2026, 1, 1, 13, tzinfo=UTC)}, ["CreateKey"]),
    ],
    ids=str,
)
def test_events_are_found_by_what_they_are(history: tuple[Path, str], query: Any, names: list[str]) -> None:
    path, key_id = history
    if "key" in query:
        query = {"key": query["key"].replace("ID", key_id)}

    assert [event["eventName"] for event in read_events([path], Query(**query))] == names


@pytest.mark.parametrize("line", [b"{}\n", b"no json\n", b'{"chain": {"sequence": 1, "previous": 5}}\n', b"[]\n"])
def test_a_line_that_is_none_is_an_error(path: Path, line: bytes) -> None:
    path.write_bytes(line)
    with pytest.raises(KeyStoreError, match=r"line 1 of .* is none of an audit log"):
        list(read_events([path]))


@pytest.mark.parametrize(
    "event",
    [{"resources": [1]}, {"resources": {"a": 1}}, {"resources": 5}, {"userIdentity": "x"}, {"requestParameters": [1]}],
    ids=str,
)
def test_an_event_whose_parts_are_not_what_they_are_called_is_an_error(path: Path, event: dict[str, Any]) -> None:
    path.write_bytes(line_of(START, json.dumps(event).encode())[0])
    with pytest.raises(KeyStoreError, match=r"line 1 of .* is none of an audit log"):
        list(read_events([path]))


def test_a_line_without_end_is_an_error(path: Path) -> None:
    path.write_bytes(b"x" * (MAX_LINE + 1))
    with pytest.raises(KeyStoreError, match=r"line 1 of .* is none of an audit log"):
        list(read_events([path]))


def test_a_line_still_being_written_is_left_out(history: tuple[Path, str]) -> None:
    path, _ = history
    with path.open("ab") as file:
        file.write(b'{"chain":{"seq')

    assert len(list(read_events([path]))) == 5
