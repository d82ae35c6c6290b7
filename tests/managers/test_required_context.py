"""The required context manager: pairs that are authenticated, not stored, and asked of every reader."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.builder import SUITES, Message, sample_bytes, suite_name
from testkit.entry_points import ENTRY_POINTS, EntryPoint
from testkit.keyrings import StaticDataKeyring
from testkit.materials import AnyMaterials, changed

import envelope_sdk
from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy, EncryptionContext
from envelope_sdk.errors import (
    AuthenticationError,
    CommitmentPolicyError,
    ContextMismatchError,
    EncryptionContextError,
    EnvelopeError,
    KeyringError,
    NoMatchingKeyError,
    UsageError,
)
from envelope_sdk.formats import parse_header
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.managers import DefaultMaterialsManager, RequiredContextMaterialsManager
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    MaterialsManager,
)

ALLOW = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
FORBID = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
AES = RawAesKeyring("test", "key", bytes(32))
PLAINTEXT = sample_bytes(300)

REQUIRED = {"tenant": "42", "größe": "ñandú 😀"}
STORED = {"purpose": "test"}

each_suite = pytest.mark.parametrize("suite", SUITES, ids=suite_name)
each_entry_point = pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)


def manager(underlying: MaterialsManager | None = None, keys: Iterable[str] = REQUIRED) -> MaterialsManager:
    return RequiredContextMaterialsManager(underlying or AES, keys)


def client(materials_manager: MaterialsManager | None = None, suite: AlgorithmSuite = SUITE) -> Client:
    return Client(
        materials_manager=materials_manager or manager(),
        commitment_policy=ALLOW if suite.committing else FORBID,
        algorithm_suite=suite,
        frame_length=64,
    )


def encryption(required: Iterable[str] = (), **context: str) -> EncryptionRequest:
    return EncryptionRequest(EncryptionContext(context), ALLOW, SUITE, None, frozenset(required))


class Recording:
    """Passes requests on to a default manager, keeps them, and changes the materials on their way back."""

    def __init__(
        self,
        encrypt: Callable[[EncryptionMaterials], EncryptionMaterials] = lambda materials: materials,
        decrypt: Callable[[DecryptionMaterials], DecryptionMaterials] = lambda materials: materials,
    ) -> None:
        self._inner = DefaultMaterialsManager(AES)
        self._encrypt = encrypt
        self._decrypt = decrypt
        self.encryptions: list[EncryptionRequest] = []
        self.decryptions: list[DecryptionRequest] = []

    def __repr__(self) -> str:
        return "Recording()"

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        self.encryptions.append(request)
        return self._encrypt(self._inner.get_encryption_materials(request))

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        self.decryptions.append(request)
        return self._decrypt(self._inner.decrypt_materials(request))


def test_it_is_a_materials_manager():
    assert isinstance(manager(), MaterialsManager)


def test_its_repr_names_what_is_beneath_and_the_keys_in_order():
    assert repr(RequiredContextMaterialsManager(AES, ["b", "a"])) == (
        "RequiredContextMaterialsManager(DefaultMaterialsManager(RawAesKeyring('test', 'key', 256 bits)), ['a', 'b'])"
    )


# --- what it is made of ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [[], frozenset(), {}, ["aws-crypto-public-key"], ["a", "aws-crypto-public-key"]])
def test_no_keys_and_the_key_of_the_format_are_refused(keys: Iterable[str]):
    with pytest.raises(UsageError):
        RequiredContextMaterialsManager(AES, keys)


@pytest.mark.parametrize("key", ["aws-crypto-", "aws-crypto-tenant", "\ud800", "k" * 65_536])
def test_a_key_that_no_context_may_have_is_refused(key: str):
    with pytest.raises(UsageError):
        Client(AES).encrypt(PLAINTEXT, encryption_context={key: ""})

    with pytest.raises(UsageError):
        RequiredContextMaterialsManager(AES, ["tenant", key])


@pytest.mark.parametrize("keys", ["tenant", [b"tenant"], ["tenant", 1], None])
def test_keys_that_are_not_a_collection_of_texts_are_refused(keys: object):
    with pytest.raises(TypeError):
        RequiredContextMaterialsManager(AES, keys)  # type: ignore[arg-type]


def test_what_is_neither_a_manager_nor_a_keyring_is_refused():
    with pytest.raises(TypeError, match="not Client"):
        RequiredContextMaterialsManager(Client(AES), ["a"])  # type: ignore[arg-type]


def test_a_keyring_stands_for_the_default_manager_over_it():
    message = client(manager(DefaultMaterialsManager(AES))).encrypt(PLAINTEXT, encryption_context=REQUIRED)

    assert client(RequiredContextMaterialsManager(AES, REQUIRED)).decrypt(
        message.ciphertext, encryption_context=REQUIRED
    )


def test_later_changes_of_the_collection_of_keys_change_nothing():
    keys = ["tenant"]
    made = RequiredContextMaterialsManager(AES, keys)
    keys.append("more")

    assert made.get_encryption_materials(encryption(tenant="42")).required_encryption_context_keys == {"tenant"}


# --- encryption ------------------------------------------------------------------------------------------------------


@each_suite
def test_required_pairs_are_not_stored_and_all_others_are(suite: AlgorithmSuite):
    message = client(suite=suite).encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED)
    stored = parse_header(message.ciphertext).body.encryption_context

    assert {key: value for key, value in stored.items() if key != "aws-crypto-public-key"} == STORED
    assert "ñandú".encode() not in message.ciphertext
    assert message.header.encryption_context.items() >= (STORED | REQUIRED).items()


def test_a_message_may_store_no_pair_at_all():
    message = client().encrypt(PLAINTEXT, encryption_context=REQUIRED).ciphertext

    assert parse_header(message).body.encryption_context == {}
    assert client().decrypt(message, encryption_context=REQUIRED).plaintext == PLAINTEXT


@pytest.mark.parametrize("context", [{}, STORED, {"tenant": "42"}, {"tenant": "42", "Größe": "x"}])
def test_a_context_without_a_required_key_is_refused_before_anything_is_asked_for(context: dict[str, str]):
    underlying = Recording()

    with pytest.raises(EncryptionContextError, match="'größe'"):
        client(manager(underlying)).encrypt(PLAINTEXT, encryption_context=context)

    assert underlying.encryptions == []


def test_the_underlying_manager_is_asked_for_the_required_keys_and_those_of_the_request():
    underlying = Recording()
    wanted = encryption(["more"], tenant="42", größe="1", more="x", purpose="test")

    manager(underlying).get_encryption_materials(wanted)

    assert [wanted._replace(required_encryption_context_keys=frozenset({"tenant", "größe", "more"}))] == (
        underlying.encryptions
    )


def test_the_default_manager_puts_the_required_keys_of_a_request_into_the_materials():
    materials = DefaultMaterialsManager(AES).get_encryption_materials(encryption(["a"], a="1", b="2"))

    assert materials.required_encryption_context_keys == {"a"}
    assert materials.encryption_context == {"a": "1", "b": "2"}


@pytest.mark.parametrize("required", [["c"], ["a", "c"], ["aws-crypto-public-key"]])
def test_the_default_manager_refuses_a_request_that_lacks_its_required_keys(required: list[str]):
    with pytest.raises(EncryptionContextError, match="lacks"):
        DefaultMaterialsManager(AES).get_encryption_materials(encryption(required, a="1", b="2"))


def test_managers_of_this_kind_nest():
    nested = client(manager(manager(keys=["tenant"]), keys=["größe"]))

    message = nested.encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext

    assert parse_header(message).body.encryption_context == STORED
    assert client().decrypt(message, encryption_context=REQUIRED).plaintext == PLAINTEXT
    assert nested.decrypt(message, encryption_context=REQUIRED).plaintext == PLAINTEXT
    for key in REQUIRED:
        with pytest.raises(ContextMismatchError, match=key):
            nested.decrypt(message, encryption_context={name: REQUIRED[name] for name in REQUIRED if name != key})


@pytest.mark.parametrize(
    "changes",
    [
        {"required_encryption_context_keys": frozenset()},
        {"required_encryption_context_keys": frozenset({"tenant"})},
        {"required_encryption_context_keys": frozenset({"purpose"})},
        {"encryption_context": EncryptionContext(STORED)},
        {"encryption_context": EncryptionContext(REQUIRED | {"tenant": "43"})},
    ],
    ids=["stores-all", "stores-one", "leaves-out-another", "loses-all", "changes-one"],
)
def test_encryption_materials_that_do_not_keep_the_required_pairs_are_refused(changes: dict[str, object]):
    underlying = Recording(encrypt=lambda materials: changed(materials, **changes))

    with pytest.raises(KeyringError, match=r"Recording\(\) returned materials"):
        client(manager(underlying)).encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED)


def test_an_underlying_manager_may_leave_out_more():
    def more(materials: EncryptionMaterials) -> EncryptionMaterials:
        return changed(materials, required_encryption_context_keys=frozenset({*REQUIRED, "purpose"}))

    message = client(manager(Recording(encrypt=more))).encrypt(b"", encryption_context=STORED | REQUIRED).ciphertext

    assert parse_header(message).body.encryption_context == {}


def test_what_the_underlying_manager_refuses_is_refused():
    with pytest.raises(CommitmentPolicyError):
        manager(keys=["tenant"]).get_encryption_materials(
            encryption(tenant="42")._replace(commitment_policy=CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
        )


# --- decryption ------------------------------------------------------------------------------------------------------


@each_entry_point
@each_suite
def test_who_knows_the_pairs_reads_the_message(suite: AlgorithmSuite, enter: EntryPoint):
    message = client(suite=suite).encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext

    assert enter(client(suite=suite), message, REQUIRED).released == PLAINTEXT
    assert enter(client(suite=suite), message, STORED | REQUIRED).released == PLAINTEXT


@each_entry_point
@pytest.mark.parametrize("context", [None, {}, STORED, {"tenant": "42"}, {"Tenant": "42", "größe": "ñandú 😀"}])
@pytest.mark.parametrize("sign", [False, True])
def test_a_reader_who_gives_not_all_of_them_is_refused_before_anything_is_unwrapped(
    sign: bool, context: dict[str, str] | None, enter: EntryPoint
):
    message = Client(materials_manager=manager(), sign=sign).encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED)
    underlying = Recording()

    outcome = enter(client(manager(underlying)), message.ciphertext, context)

    assert isinstance(outcome.error, ContextMismatchError)
    assert (outcome.released, underlying.decryptions) == (b"", [])


@each_entry_point
@each_suite
def test_another_value_opens_nothing(suite: AlgorithmSuite, enter: EntryPoint):
    message = client(suite=suite).encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext

    outcome = enter(client(suite=suite), message, REQUIRED | {"tenant": "43"})

    assert isinstance(outcome.error, NoMatchingKeyError)
    assert outcome.released == b""


@each_entry_point
@each_suite
def test_the_header_binds_the_pairs_where_the_keyring_does_not(suite: AlgorithmSuite, enter: EntryPoint):
    order = Message(suite, unstored=(("tenant", "42"),))
    reader = Client(
        materials_manager=RequiredContextMaterialsManager(StaticDataKeyring(order.data_key), ["tenant"]),
        commitment_policy=ALLOW,
    )

    assert enter(reader, order.whole(PLAINTEXT), {"tenant": "42"}).released == PLAINTEXT
    assert isinstance(enter(reader, order.whole(PLAINTEXT), {"tenant": "43"}).error, AuthenticationError)


def test_a_message_that_stores_the_required_pairs_is_read_by_who_knows_them():
    message = Client(AES).encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext

    assert client().decrypt(message, encryption_context=REQUIRED).plaintext == PLAINTEXT
    with pytest.raises(ContextMismatchError):
        client().decrypt(message)
    with pytest.raises(ContextMismatchError):
        client().decrypt(message, encryption_context=REQUIRED | {"tenant": "43"})


def test_a_client_without_the_manager_reads_the_message_when_told_the_pairs():
    message = client().encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext

    assert Client(AES).decrypt(message, encryption_context=REQUIRED).plaintext == PLAINTEXT
    with pytest.raises(NoMatchingKeyError):
        Client(AES).decrypt(message)


def test_the_underlying_manager_gets_the_request_as_it_came():
    underlying = Recording()
    message = client().encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED)

    result = client(manager(underlying)).decrypt(message.ciphertext, encryption_context=REQUIRED)

    (request,) = underlying.decryptions
    assert request.encryption_context == STORED
    assert request.reproduced_encryption_context == REQUIRED
    assert request.encrypted_data_keys == message.header.encrypted_data_keys
    assert result.header.encryption_context == STORED | REQUIRED


def lose(materials: AnyMaterials, *keys: str) -> AnyMaterials:
    return changed(materials, encryption_context=materials.encryption_context.without(keys))


@pytest.mark.parametrize(
    "change",
    [
        lambda materials: lose(materials, "tenant"),
        lambda materials: lose(materials, "tenant", "größe"),
        lambda materials: changed(materials, encryption_context=EncryptionContext(REQUIRED | {"tenant": "43"})),
        lambda materials: changed(materials, required_encryption_context_keys=frozenset()),
        lambda materials: changed(materials, required_encryption_context_keys=frozenset({"tenant"})),
    ],
    ids=["loses-one", "loses-all", "changes-one", "authenticates-none", "authenticates-one"],
)
def test_decryption_materials_by_which_a_pair_is_not_authenticated_are_refused(
    change: Callable[[DecryptionMaterials], DecryptionMaterials],
):
    message = client().encrypt(PLAINTEXT, encryption_context=STORED | REQUIRED).ciphertext

    with pytest.raises(KeyringError, match="would not be authenticated"):
        client(manager(Recording(decrypt=change))).decrypt(message, encryption_context=REQUIRED)


# --- beside one call -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [False, True])
def test_streams_leave_the_pairs_out_and_ask_for_them(sign: bool):
    made = Client(materials_manager=manager(), sign=sign, frame_length=64)
    file = io.BytesIO()
    with envelope_sdk.open(file, "wb", client=made, encryption_context=STORED | REQUIRED) as writer:
        writer.write(PLAINTEXT)
    options = {"client": made, "release_unverified_plaintext": sign}

    assert "ñandú".encode() not in file.getvalue()
    with envelope_sdk.open(io.BytesIO(file.getvalue()), encryption_context=REQUIRED, **options) as reader:
        assert reader.read() == PLAINTEXT
    with pytest.raises(ContextMismatchError), envelope_sdk.open(io.BytesIO(file.getvalue()), **options) as reader:
        reader.read()


def test_altering_any_byte_of_the_header_is_noticed_as_ever():
    encrypted = client().encrypt(b"", encryption_context=STORED | REQUIRED)
    for offset in range(encrypted.header.length):
        altered = bytearray(encrypted.ciphertext)
        altered[offset] ^= 1
        with pytest.raises(EnvelopeError):
            client().decrypt(altered, encryption_context=REQUIRED)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CONTEXTS = st.dictionaries(TEXTS.filter(lambda key: not key.startswith("aws-crypto-")), TEXTS, min_size=1, max_size=6)


@given(st.data(), CONTEXTS)
def test_whatever_is_left_out_it_takes_just_that_to_read(data: st.DataObject, context: dict[str, str]):
    keys = data.draw(st.sets(st.sampled_from(sorted(context)), min_size=1))
    left_out = {key: context[key] for key in keys}
    made = client(manager(keys=keys))

    message = made.encrypt(b"", encryption_context=context).ciphertext

    assert parse_header(message).body.encryption_context == {
        key: value for key, value in context.items() if key not in keys
    }
    assert made.decrypt(message, encryption_context=left_out).header.encryption_context == context
    changed_key = data.draw(st.sampled_from(sorted(keys)))
    for wrong in ({**left_out, changed_key: context[changed_key] + "x"}, left_out | {"one more " * 3: ""}):
        with pytest.raises(NoMatchingKeyError):
            made.decrypt(message, encryption_context=wrong)
