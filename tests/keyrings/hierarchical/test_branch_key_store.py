"""The store of branch keys: what it writes, what it asks the KMS, and what it refuses."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from testkit.branch_keys import CountingKms, CountingStorage, MemoryStorage
from testkit.randomness import SeededRandom

from envelope_sdk.errors import (
    AuthenticationError,
    EnvelopeError,
    KeyringError,
    KmsAccessError,
    KmsError,
    KmsServiceError,
    KmsUnavailableError,
    UsageError,
)
from envelope_sdk.keyrings.hierarchical import (
    BranchKeyStore,
    KmsDiscovery,
    KmsKeyArn,
    KmsMrkArn,
    KmsMrkDiscovery,
)
from envelope_sdk.local_kms import LocalKms

CONTEXT = {"department": "admin", "größe": "ñandú 😀"}
NOW = datetime(2026, 1, 2, 4, 4, 5, 6, tzinfo=timezone(timedelta(hours=1)))
TIME = "2026-01-02T03:04:05.000006Z"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def pinned(storage: CountingStorage, kms: CountingKms, key_arn: str) -> BranchKeyStore:
    return BranchKeyStore(
        storage, kms, logical_name="logical", kms_key=KmsKeyArn(key_arn), random=SeededRandom(), clock=lambda: NOW
    )


# --- records ----------------------------------------------------------------------------------------------------------


def test_a_new_branch_key_has_three_records_as_the_specification_lays_them_out(
    pinned: BranchKeyStore, memory: MemoryStorage, key_arn: str
) -> None:
    assert pinned.create_key("my key", CONTEXT) == "my key"

    shared = {
        "branch-key-id": "my key",
        "create-time": TIME,
        "kms-arn": key_arn,
        "hierarchy-version": 1,
        "aws-crypto-ec:department": "admin",
        "aws-crypto-ec:größe": "ñandú 😀",
    }
    version, active, beacon = memory.held.values()
    assert UUID4.fullmatch(version["type"].removeprefix("branch:version:"))
    assert [without_key(record) for record in (version, active, beacon)] == [
        shared | {"type": version["type"]},
        shared | {"type": "branch:ACTIVE", "version": version["type"]},
        shared | {"type": "beacon:ACTIVE"},
    ]
    assert len({record["enc"] for record in memory.held.values()}) == 3


def test_the_kms_binds_each_key_to_all_attributes_and_the_logical_name(
    pinned: BranchKeyStore, memory: MemoryStorage, local_kms: LocalKms, key_arn: str
) -> None:
    pinned.create_key("my key", CONTEXT)

    for record in memory.held.values():
        context = {name: str(value) for name, value in without_key(record).items()} | {"tablename": "logical"}
        answer = local_kms.decrypt(CiphertextBlob=record["enc"], KeyId=key_arn, EncryptionContext=context)
        assert len(answer["Plaintext"]) == 32


def test_without_an_id_a_branch_key_is_called_by_a_new_uuid(store: BranchKeyStore) -> None:
    first, second = store.create_key(), store.create_key(encryption_context=CONTEXT)

    assert UUID4.fullmatch(first)
    assert first != second
    assert store.get_active(second).encryption_context == CONTEXT


def test_the_calls_are_those_of_the_specification(store: BranchKeyStore, kms: CountingKms) -> None:
    name = store.create_key()
    assert kms.calls == {"generate_data_key_without_plaintext": 2, "re_encrypt": 1}

    kms.calls.clear()
    store.version_key(name)
    assert kms.calls == {"generate_data_key_without_plaintext": 1, "re_encrypt": 2}


def test_a_new_version_encrypts_and_the_older_ones_stay(pinned: BranchKeyStore, memory: MemoryStorage) -> None:
    pinned.create_key("my key", CONTEXT)
    beacon = pinned.get_beacon_key("my key").key
    first = pinned.get_active("my key")

    pinned.version_key("my key")

    second = pinned.get_active("my key")
    assert second.version != first.version
    assert second.key != first.key
    assert pinned.get_version("my key", first.version).key == first.key
    assert pinned.get_version("my key", second.version).key == second.key
    assert pinned.get_beacon_key("my key").key == beacon
    assert second.encryption_context == CONTEXT
    assert len(memory.held) == 4


def test_the_active_version_is_the_key_of_the_record_that_decrypts(store: BranchKeyStore) -> None:
    name = store.create_key()
    active = store.get_active(name)

    assert store.get_version(name, active.version).key == active.key
    assert store.get_beacon_key(name).key != active.key


def test_times_are_utc_to_the_microsecond(storage: CountingStorage, kms: CountingKms, key_arn: str) -> None:
    before = datetime.now(UTC)
    store = BranchKeyStore(storage, kms, logical_name="x", kms_key=KmsKeyArn(key_arn))
    name = store.create_key()
    written = storage.get(name, "branch:ACTIVE")["create-time"]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", written)
    assert before <= datetime.fromisoformat(written) <= datetime.now(UTC)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_id_of_one_s_own_needs_a_context(store: BranchKeyStore) -> None:
    for context in (None, {}):
        with pytest.raises(UsageError, match="needs an encryption context"):
            store.create_key("mine", context)


def test_an_id_is_taken_once(store: BranchKeyStore) -> None:
    store.create_key("mine", CONTEXT)
    key = store.get_active("mine").key

    with pytest.raises(UsageError, match="'mine' already"):
        store.create_key("mine", CONTEXT)
    assert store.get_active("mine").key == key


@pytest.mark.parametrize("name", ["", "x" * 2049, "é" * 1025, "\ud800"])
def test_an_id_has_to_be_one(name: str, store: BranchKeyStore) -> None:
    for call in (lambda: store.create_key(name, CONTEXT), lambda: store.get_active(name)):
        with pytest.raises(UsageError, match="branch key id"):
            call()


def test_an_id_is_text(store: BranchKeyStore) -> None:
    with pytest.raises(TypeError, match="id is text, not bytes"):
        store.get_active(b"name")  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["", "1", "\ud800", "x" * 5000, "83EEC007-5659-4554-BF11-699B90F41AC6"])
def test_a_version_that_can_be_none_is_refused_before_it_is_looked_for(
    version: str, store: BranchKeyStore, storage: CountingStorage
) -> None:
    with pytest.raises(UsageError, match="a version is a UUID"):
        store.get_version("mine", version)
    assert not storage.reads


def test_a_version_is_text(store: BranchKeyStore) -> None:
    with pytest.raises(TypeError, match="version is text, not UUID"):
        store.get_version("mine", uuid4())  # type: ignore[arg-type]


def test_a_branch_key_that_is_not_there_is_said_not_to_be(store: BranchKeyStore) -> None:
    name = store.create_key()
    for call in (
        lambda: store.get_active("other"),
        lambda: store.version_key("other"),
        lambda: store.get_beacon_key("other"),
        lambda: store.get_version(name, "00000000-0000-4000-8000-000000000000"),
    ):
        with pytest.raises(KeyringError, match="the store 'branch-keys' has no "):
            call()


@pytest.mark.parametrize("kms_key", [KmsDiscovery(), KmsMrkDiscovery("us-east-1")])
def test_a_store_that_discovers_keys_reads_but_does_not_write(
    kms_key: Any, store: BranchKeyStore, storage: CountingStorage, kms: CountingKms
) -> None:
    name = store.create_key()
    reader = BranchKeyStore(storage, kms, logical_name="branch-keys", kms_key=kms_key)

    assert reader.get_active(name).key == store.get_active(name).key
    assert reader.get_beacon_key(name).key == store.get_beacon_key(name).key
    kms.calls.clear()
    for call in (reader.create_key, lambda: reader.version_key(name)):
        with pytest.raises(UsageError, match="only reads branch keys"):
            call()
    assert not kms.calls


def test_a_store_uses_no_other_kms_key_than_it_is_configured_for(
    store: BranchKeyStore, storage: CountingStorage, local_kms: LocalKms, kms: CountingKms
) -> None:
    name = store.create_key()
    another = str(local_kms.create_key()["KeyMetadata"]["Arn"])
    other = BranchKeyStore(storage, kms, logical_name="branch-keys", kms_key=KmsKeyArn(another))
    kms.calls.clear()

    for call in (other.get_active, other.version_key, other.get_beacon_key):
        with pytest.raises(KeyringError, match="this store is configured for"):
            call(name)
    assert not kms.calls


def test_the_logical_name_is_bound(store: BranchKeyStore, storage: CountingStorage, kms: CountingKms, key_arn: str):
    name = store.create_key()
    other = BranchKeyStore(storage, kms, logical_name="other", kms_key=KmsKeyArn(key_arn))

    for call in (other.get_active, other.version_key, other.get_beacon_key):
        with pytest.raises(AuthenticationError, match="another logical name"):
            call(name)


class Replica:
    """The local KMS as another Region of it would answer, for a multi-Region key whose ARN is rewritten."""

    def __init__(self, kms: LocalKms, here: str, there: str) -> None:
        self._kms, self._here, self._there = kms, here, there

    def __getattr__(self, name: str) -> Any:
        def call(**parameters: Any) -> dict[str, Any]:
            for field in ("KeyId", "SourceKeyId", "DestinationKeyId"):
                if field in parameters:
                    assert parameters[field] == self._there
                    parameters[field] = self._here
            answer = dict(getattr(self._kms, name)(**parameters))
            return answer | {field: self._there for field in ("KeyId", "SourceKeyId") if field in answer}

        return call


def test_a_replica_of_a_multi_region_key_reads_and_versions_and_the_recorded_key_stays(
    local_kms: LocalKms, memory: MemoryStorage
) -> None:
    here = str(local_kms.create_key()["KeyMetadata"]["Arn"])
    recorded = "arn:aws:kms:us-east-1:000000000000:key/mrk-1234abcd12ab34cd56ef1234567890ab"
    there = recorded.replace("us-east-1", "eu-west-1")

    def store(arn: str) -> BranchKeyStore:
        kms = Replica(local_kms, here, arn)
        return BranchKeyStore(memory, kms, logical_name="x", kms_key=KmsMrkArn(arn))

    first, second = store(recorded), store(there)
    name = first.create_key()
    key = first.get_active(name).key
    assert second.get_active(name).key == key

    second.version_key(name)

    assert {record["kms-arn"] for record in memory.held.values()} == {recorded}
    assert first.get_active(name).key == second.get_active(name).key != key
    discovered = BranchKeyStore(
        memory, Replica(local_kms, here, there), logical_name="x", kms_key=KmsMrkDiscovery("eu-west-1")
    )
    assert discovered.get_active(name).key == first.get_active(name).key


ARGUMENTS = {
    "an ARN alone": (TypeError, {"kms_key": "arn:aws:kms:eu-west-1:111122223333:key/1"}),
    "no name": (UsageError, {"logical_name": ""}),
    "a name with a null": (UsageError, {"logical_name": "a\0b"}),
    "a name that is no UTF-8": (UsageError, {"logical_name": "\ud800"}),
    "a name of bytes": (TypeError, {"logical_name": b"name"}),
    "grant tokens in one text": (TypeError, {"grant_tokens": "token"}),
    "too many grant tokens": (UsageError, {"grant_tokens": ["token"] * 11}),
}


@pytest.mark.parametrize(("error", "arguments"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_store_refuses(error: type[Exception], arguments: dict[str, Any], storage: CountingStorage, kms: CountingKms):
    with pytest.raises(error):
        BranchKeyStore(storage, kms, **({"logical_name": "x", "kms_key": KmsDiscovery()} | arguments))


def test_grant_tokens_go_with_every_call(storage: CountingStorage, local_kms: LocalKms, key_arn: str) -> None:
    seen: list[tuple[str, object]] = []

    class Listening:
        def __getattr__(self, name: str) -> Any:
            def call(**parameters: Any) -> Any:
                seen.append((name, parameters.pop("GrantTokens", None)))
                return getattr(local_kms, name)(**parameters)

            return call

    store = BranchKeyStore(
        storage, Listening(), logical_name="x", kms_key=KmsKeyArn(key_arn), grant_tokens=["one", "two"]
    )
    name = store.create_key()
    store.version_key(name)
    store.get_active(name)

    assert {name for name, _ in seen} == {"generate_data_key_without_plaintext", "re_encrypt", "decrypt"}
    assert all(tokens == ["one", "two"] for _, tokens in seen)


# --- altered records --------------------------------------------------------------------------------------------------

ALTERATIONS: dict[str, Any] = {
    "branch-key-id": "other",
    "type": "branch:version:00000000-0000-4000-8000-000000000000",
    "create-time": "2026-01-02T03:04:05.000007Z",
    "hierarchy-version": 2,
    "aws-crypto-ec:department": "sales",
    "enc": b"not what a KMS made",
    "added": "pair",
    "aws-crypto-ec:added": "pair",
    "tablename": "branch-keys",
    "enc as text": ("enc", "text"),
    "hierarchy-version as text": ("hierarchy-version", "1"),
    "a pair as a number": ("aws-crypto-ec:department", 1),
    "create-time as bytes": ("create-time", b"2026"),
}
REMOVALS = ["branch-key-id", "type", "create-time", "kms-arn", "hierarchy-version", "enc", "aws-crypto-ec:department"]


def without_key(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "enc"}


def getters(store: BranchKeyStore, version: str) -> dict[str, Any]:
    return {
        "branch:ACTIVE": lambda: store.get_active("mine"),
        f"branch:version:{version}": lambda: store.get_version("mine", version),
        "beacon:ACTIVE": lambda: store.get_beacon_key("mine"),
    }


def each_record_altered(store: BranchKeyStore, memory: MemoryStorage, alter: Any) -> list[EnvelopeError]:
    store.create_key("mine", CONTEXT)
    version = store.get_active("mine").version
    errors = []
    for kind, get in getters(store, version).items():
        original = memory.held["mine", kind]
        memory.held["mine", kind] = dict(original)
        alter(memory.held["mine", kind])
        assert memory.held["mine", kind] != original
        calls = [get, lambda: store.version_key("mine")] if kind == "branch:ACTIVE" else [get]
        for call in calls:
            with pytest.raises(EnvelopeError) as caught:
                call()
            errors.append(caught.value)
        memory.held["mine", kind] = original
        get()
    return errors


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_attribute_is_found(name: str, store: BranchKeyStore, memory: MemoryStorage) -> None:
    changed = ALTERATIONS[name]
    attribute, value = changed if isinstance(changed, tuple) else (name, changed)

    for error in each_record_altered(store, memory, lambda record: record.update({attribute: value})):
        assert type(error) is AuthenticationError
        assert error.section == "branch key record"
        assert "mine" in str(error)


@pytest.mark.parametrize("name", REMOVALS)
def test_a_missing_attribute_is_found(name: str, store: BranchKeyStore, memory: MemoryStorage) -> None:
    for error in each_record_altered(store, memory, lambda record: record.pop(name)):
        assert type(error) is AuthenticationError


def test_a_record_that_names_another_kms_key_is_refused(
    store: BranchKeyStore, memory: MemoryStorage, storage: CountingStorage, local_kms: LocalKms, kms: CountingKms
) -> None:
    another = str(local_kms.create_key()["KeyMetadata"]["Arn"])
    for error in each_record_altered(store, memory, lambda record: record.update({"kms-arn": another})):
        assert type(error) is KeyringError

    discovering = BranchKeyStore(storage, kms, logical_name="branch-keys", kms_key=KmsDiscovery())
    memory.held["mine", "branch:ACTIVE"]["kms-arn"] = another
    with pytest.raises(AuthenticationError):
        discovering.get_active("mine")


@pytest.mark.parametrize(
    "text",
    ["branch:version:1", "83eec007-5659-4554-bf11-699b90f41ac6", "branch:version:", "branch:version:" + "A" * 36],
)
def test_an_active_version_that_is_none_is_found(text: str, store: BranchKeyStore, memory: MemoryStorage) -> None:
    name = store.create_key()
    memory.held[name, "branch:ACTIVE"]["version"] = text

    with pytest.raises(AuthenticationError):
        store.get_active(name)


def test_the_active_record_without_its_version_is_found(store: BranchKeyStore, memory: MemoryStorage) -> None:
    name = store.create_key()
    del memory.held[name, "branch:ACTIVE"]["version"]

    with pytest.raises(AuthenticationError):
        store.get_active(name)


def test_records_put_in_each_other_s_place_are_found(store: BranchKeyStore, memory: MemoryStorage) -> None:
    one, other = store.create_key(), store.create_key()
    memory.held[one, "branch:ACTIVE"] = memory.held[other, "branch:ACTIVE"]

    with pytest.raises(AuthenticationError, match="another key"):
        store.get_active(one)


def test_each_altered_byte_of_a_wrapped_key_is_found(store: BranchKeyStore, memory: MemoryStorage) -> None:
    name = store.create_key()
    record = memory.held[name, "branch:ACTIVE"]
    original = record["enc"]

    for position in range(len(original)):
        altered = bytearray(original)
        altered[position] ^= 1
        record["enc"] = bytes(altered)
        with pytest.raises(AuthenticationError):
            store.get_active(name)


# --- services that fail -----------------------------------------------------------------------------------------------

FAILURES = {
    "throttled": (KmsServiceError("ThrottlingException", "slower"), KmsUnavailableError),
    "refused": (KmsServiceError("AccessDeniedException", "no"), KmsAccessError),
    "disabled": (KmsServiceError("DisabledException", "no"), KmsAccessError),
    "otherwise": (KmsServiceError("ValidationException", "no"), KmsError),
    "unreachable": (ConnectionResetError("reset"), KmsUnavailableError),
}


@pytest.mark.parametrize(("failure", "kind"), FAILURES.values(), ids=FAILURES)
def test_a_kms_that_fails_is_told_with_its_code_and_nothing_is_written(
    failure: Exception, kind: type[KmsError], store: BranchKeyStore, memory: MemoryStorage, kms: CountingKms
) -> None:
    name = store.create_key()
    before = {key: dict(record) for key, record in memory.held.items()}
    kms.failure = failure

    for call in (store.get_active, store.get_beacon_key, store.version_key, lambda _: store.create_key()):
        with pytest.raises(kind) as caught:
            call(name)
        assert type(caught.value) is kind
        assert caught.value.code == getattr(failure, "code", type(failure).__name__)
    assert memory.held == before


class Answering:
    """A KMS whose answers have some fields changed."""

    def __init__(self, kms: LocalKms, changes: dict[str, Any]) -> None:
        self._kms, self._changes = kms, changes

    def __getattr__(self, name: str) -> Any:
        return lambda **parameters: dict(getattr(self._kms, name)(**parameters)) | self._changes


ODD = {
    "another key": {"KeyId": "arn:aws:kms:us-east-1:000000000000:key/other"},
    "no key": {"KeyId": None},
    "no ciphertext and no key": {"CiphertextBlob": None, "Plaintext": None},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_an_answer_that_cannot_be_right_is_refused(
    changes: dict[str, Any], store: BranchKeyStore, memory: MemoryStorage, local_kms: LocalKms, key_arn: str
) -> None:
    name = store.create_key()
    kms = Answering(local_kms, changes)
    odd = BranchKeyStore(memory, kms, logical_name="branch-keys", kms_key=KmsKeyArn(key_arn))

    for call in (odd.get_active, odd.version_key, lambda _: odd.create_key()):
        with pytest.raises(KmsError) as caught:
            call(name)
        assert caught.value.code == "UnexpectedAnswer"


@pytest.mark.parametrize("length", [0, 16, 33])
def test_a_branch_key_of_another_length_is_refused(
    length: int, store: BranchKeyStore, memory: MemoryStorage, local_kms: LocalKms, key_arn: str
) -> None:
    name = store.create_key()
    kms = Answering(local_kms, {"Plaintext": bytes(length)})
    odd = BranchKeyStore(memory, kms, logical_name="branch-keys", kms_key=KmsKeyArn(key_arn))

    with pytest.raises(KmsError, match=f"a branch key of {length} bytes, not 32"):
        odd.get_active(name)


def test_of_two_who_version_at_the_same_moment_one_is_told_so(
    store: BranchKeyStore, memory: MemoryStorage, kms: CountingKms, key_arn: str
) -> None:
    name = store.create_key()

    class SomebodyElse(MemoryStorage):
        def __init__(self) -> None:
            self.held = memory.held

        def add_version(self, *records: Any, replacing: bytes) -> bool:
            store.version_key(name)
            return super().add_version(*records, replacing=replacing)

    slower = BranchKeyStore(SomebodyElse(), kms, logical_name="branch-keys", kms_key=KmsKeyArn(key_arn))
    with pytest.raises(KmsUnavailableError, match="at this moment") as caught:
        slower.version_key(name)

    assert caught.value.retryable
    assert caught.value.code == "VersionRaceException"
    assert len(memory.held) == 4
    store.get_version(name, store.get_active(name).version)


def test_repr_names_the_store_and_no_key_but_the_kms_s(store: BranchKeyStore, key_arn: str) -> None:
    assert repr(store).startswith(f"BranchKeyStore('branch-keys', KmsKeyArn(arn='{key_arn}'), ")
