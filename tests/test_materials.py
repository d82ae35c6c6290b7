"""Materials: values that do not change, show no key, and write the middle of their messages' headers once."""

from __future__ import annotations

import pytest
from rich.pretty import pretty_repr
from testkit.builder import context_field
from testkit.materials import CONTEXT, DATA_KEY, SUITE

from envelope_sdk import EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import UsageError
from envelope_sdk.formats import SignatureAlgorithm
from envelope_sdk.formats.cursor import Cursor
from envelope_sdk.formats.edks import encode_encrypted_data_keys
from envelope_sdk.materials import DecryptionMaterials, DecryptionRequest, EncryptionMaterials, EncryptionRequest
from envelope_sdk.policy import CommitmentPolicy
from envelope_sdk.primitives.signing import SigningKey, VerificationKey

EDK = EncryptedDataKey("test", b"info", b"wrapped")
SIGNING = SigningKey.generate(SignatureAlgorithm.ECDSA_P384_SHA384)
VERIFICATION = VerificationKey(SIGNING.algorithm, SIGNING.encoded_public_key)
POLICY = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT

TO_ENCRYPT = {
    "algorithm_suite": SUITE,
    "encryption_context": CONTEXT,
    "required_encryption_context_keys": frozenset({"purpose"}),
    "plaintext_data_key": DATA_KEY,
    "encrypted_data_keys": (EDK,),
    "signing_key": SIGNING,
}
TO_DECRYPT = {
    "algorithm_suite": SUITE,
    "encryption_context": CONTEXT,
    "required_encryption_context_keys": frozenset({"purpose"}),
    "plaintext_data_key": DATA_KEY,
    "verification_key": VERIFICATION,
}
BOTH = pytest.mark.parametrize(
    ("kind", "fields"),
    [(EncryptionMaterials, TO_ENCRYPT), (DecryptionMaterials, TO_DECRYPT)],
    ids=["encryption", "decryption"],
)


@BOTH
def test_each_field_is_taken_by_name_or_place_and_read_back(kind, fields):
    by_name, by_place = kind(**fields), kind(*fields.values())

    for name, value in fields.items():
        assert getattr(by_name, name) is value
        assert getattr(by_place, name) is value


@BOTH
def test_only_suite_and_context_have_to_be_given(kind, fields):
    materials = kind(SUITE, CONTEXT)

    assert materials.required_encryption_context_keys == frozenset()
    assert materials.plaintext_data_key is None
    assert getattr(materials, "encrypted_data_keys", ()) == ()
    assert getattr(materials, "signing_key", None) is getattr(materials, "verification_key", None) is None


@BOTH
def test_no_field_can_be_set_deleted_or_added(kind, fields):
    materials = kind(**fields)

    for name in (*fields, "encoded_context_and_keys", "other"):
        with pytest.raises(AttributeError):
            setattr(materials, name, None)
        with pytest.raises(AttributeError):
            delattr(materials, name)
    assert materials == kind(**fields)


@BOTH
def test_materials_are_equal_and_hash_alike_where_every_field_is_equal(kind, fields):
    assert kind(**fields) == kind(**fields)
    assert hash(kind(**fields)) == hash(kind(**fields))
    for name in fields:
        other = kind(**(fields | {name: None}))
        assert kind(**fields) != other
        assert hash(kind(**fields)) != hash(other)


def test_materials_of_different_kinds_are_never_equal():
    assert EncryptionMaterials(SUITE, CONTEXT) != DecryptionMaterials(SUITE, CONTEXT)
    assert DecryptionMaterials(SUITE, CONTEXT) != (SUITE, CONTEXT, frozenset(), None, None)


def test_their_reprs_are_those_of_their_fields_but_the_data_key():
    assert repr(EncryptionMaterials(**TO_ENCRYPT)) == (
        f"EncryptionMaterials(algorithm_suite={SUITE!r}, encryption_context={CONTEXT!r}, "
        f"required_encryption_context_keys=frozenset({{'purpose'}}), encrypted_data_keys=({EDK!r},), "
        f"signing_key={SIGNING!r})"
    )
    assert repr(DecryptionMaterials(**TO_DECRYPT)) == (
        f"DecryptionMaterials(algorithm_suite={SUITE!r}, encryption_context={CONTEXT!r}, "
        f"required_encryption_context_keys=frozenset({{'purpose'}}), verification_key={VERIFICATION!r})"
    )


@BOTH
def test_a_pretty_printer_shows_no_data_key_either(kind, fields):
    shown = pretty_repr(kind(**(fields | {"plaintext_data_key": b"secret"})), expand_all=True)

    assert "secret" not in shown.replace("<secret>", "")


@BOTH
def test_fields_can_be_matched_by_place(kind, fields):
    match kind(**fields):
        case EncryptionMaterials(suite, context, required, key) | DecryptionMaterials(suite, context, required, key):
            assert (suite, context, required, key) == (SUITE, CONTEXT, {"purpose"}, DATA_KEY)
        case _:
            pytest.fail("no match")


def test_a_data_key_is_set_and_its_copies_added_on_new_materials():
    first = EncryptionMaterials(SUITE, CONTEXT, frozenset({"purpose"}), signing_key=SIGNING)
    second = first.with_data_key(DATA_KEY, EDK)
    third = second.with_data_key(DATA_KEY, EDK, EDK)

    assert (first.plaintext_data_key, first.encrypted_data_keys) == (None, ())
    assert second == EncryptionMaterials(**TO_ENCRYPT)
    assert third.encrypted_data_keys == (EDK, EDK, EDK)
    opened = DecryptionMaterials(**(TO_DECRYPT | {"plaintext_data_key": None})).with_data_key(DATA_KEY)
    assert opened == DecryptionMaterials(**TO_DECRYPT)


# --- the middle of the header ----------------------------------------------------------------------------------------


def test_the_middle_of_the_header_is_the_stored_context_and_the_data_keys():
    context = EncryptionContext({"tenant": "x", "purpose": "test", "a": "1"})
    materials = EncryptionMaterials(SUITE, context, frozenset({"tenant", "absent"}), DATA_KEY, (EDK, EDK))

    stored = EncryptionContext({"purpose": "test", "a": "1"})
    assert materials.encoded_context_and_keys == stored.encode() + encode_encrypted_data_keys((EDK, EDK))


def test_the_middle_of_the_header_has_its_pairs_sorted_however_they_were_parsed():
    unsorted = EncryptionContext.parse(Cursor(context_field([("b", "2"), ("a", "1")]), "test"))

    materials = EncryptionMaterials(SUITE, unsorted, encrypted_data_keys=(EDK,))

    assert materials.encoded_context_and_keys.startswith(context_field([("a", "1"), ("b", "2")]))


def test_the_middle_of_the_header_is_made_once_for_all_messages_of_the_materials():
    materials = EncryptionMaterials(SUITE, CONTEXT, encrypted_data_keys=(EDK,))

    assert materials.encoded_context_and_keys is materials.encoded_context_and_keys
    more = materials.with_data_key(DATA_KEY, EDK)
    assert more.encoded_context_and_keys != materials.encoded_context_and_keys


def test_having_made_the_middle_of_the_header_makes_no_difference_to_equality():
    one, two = (EncryptionMaterials(SUITE, CONTEXT, encrypted_data_keys=(EDK,)) for _ in range(2))
    assert one.encoded_context_and_keys

    assert (one, hash(one), repr(one)) == (two, hash(two), repr(two))


def test_without_a_wrapped_key_there_is_no_header_to_write():
    with pytest.raises(UsageError, match="not 0"):
        _ = EncryptionMaterials(SUITE, CONTEXT).encoded_context_and_keys


# --- requests --------------------------------------------------------------------------------------------------------


def test_requests_are_values_too():
    encryption = EncryptionRequest(CONTEXT, POLICY, SUITE)
    decryption = DecryptionRequest(SUITE, (EDK,), CONTEXT, EncryptionContext(), POLICY)

    assert encryption == EncryptionRequest(CONTEXT, POLICY, SUITE, plaintext_length=None)
    for request in (encryption, decryption):
        with pytest.raises(AttributeError):
            request.algorithm_suite = None  # type: ignore[misc]
