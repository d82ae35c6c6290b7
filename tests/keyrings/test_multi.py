"""Several keyrings as one: who makes the data key, in which order they wrap, and who is asked to open."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from testkit.builder import sample_bytes
from testkit.materials import DATA_KEY, to_open, to_wrap

from envelope_sdk import Client, EncryptedDataKey
from envelope_sdk.errors import (
    AuthenticationError,
    KeyringError,
    KmsAccessError,
    NoMatchingKeyError,
    UnwrapFailure,
    UsageError,
)
from envelope_sdk.keyrings import MultiKeyring, RawAesKeyring
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials, Keyring

A, B, C = (RawAesKeyring("test", name, sample_bytes(32, name)) for name in "abc")


class Witness:
    """A keyring that notes being asked, and answers as told."""

    def __init__(self, answer: bytes | Exception | None = None) -> None:
        self._answer = answer
        self.asked = 0

    def __repr__(self) -> str:
        return "Witness()"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return materials

    def on_decrypt(self, materials: DecryptionMaterials, _keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return materials if self._answer is None else materials.with_data_key(self._answer)


def names(materials: EncryptionMaterials) -> list[str]:
    return [edk.provider_info[:1].decode() for edk in materials.encrypted_data_keys]


def test_it_is_a_keyring():
    assert isinstance(MultiKeyring(A), Keyring)


# --- wrapping --------------------------------------------------------------------------------------------------------


def test_the_generator_wraps_first_and_the_children_follow_in_their_order():
    assert names(MultiKeyring(B, [C, A]).on_encrypt(to_wrap(None))) == ["b", "c", "a"]


def test_all_wrap_the_same_data_key():
    materials = MultiKeyring(A, [B, C]).on_encrypt(to_wrap(None))

    for ring, edk in zip((A, B, C), materials.encrypted_data_keys, strict=True):
        assert ring.on_decrypt(to_open(), [edk]).plaintext_data_key == materials.plaintext_data_key


def test_with_a_generator_there_may_be_no_data_key_yet():
    with pytest.raises(UsageError, match="there is one already"):
        MultiKeyring(A, [B]).on_encrypt(to_wrap(DATA_KEY))


def test_without_a_generator_there_has_to_be_a_data_key():
    assert names(MultiKeyring(children=[B, A]).on_encrypt(to_wrap(DATA_KEY))) == ["b", "a"]
    with pytest.raises(KeyringError, match="cannot make a data key"):
        MultiKeyring(children=[A]).on_encrypt(to_wrap(None))


def test_a_generator_that_makes_nothing_is_at_fault():
    with pytest.raises(KeyringError, match=r"Witness\(\) did not generate"):
        MultiKeyring(Witness(), [A]).on_encrypt(to_wrap(None))


def test_one_child_that_cannot_wrap_fails_the_whole():
    later = Witness()

    with pytest.raises(KeyringError, match="broken"):
        MultiKeyring(A, [Witness(KeyringError("broken")), later]).on_encrypt(to_wrap(None))

    assert later.asked == 0


def test_no_keyring_at_all_is_a_mistake():
    with pytest.raises(UsageError, match="a generator, children, or both"):
        MultiKeyring()


def test_children_may_come_from_any_iterable_and_are_kept():
    ring = MultiKeyring(children=(child for child in (A, B)))

    for _ in range(2):
        assert names(ring.on_encrypt(to_wrap(DATA_KEY))) == ["a", "b"]


def test_multi_keyrings_nest():
    outer = MultiKeyring(MultiKeyring(A, [B]), [MultiKeyring(children=[C])])

    materials = outer.on_encrypt(to_wrap(None))

    assert names(materials) == ["a", "b", "c"]
    opened = MultiKeyring(children=[MultiKeyring(C)]).on_decrypt(to_open(), materials.encrypted_data_keys)
    assert opened.plaintext_data_key == materials.plaintext_data_key


# --- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", [A, B, C])
def test_any_of_its_keyrings_opens_the_message(one: Keyring):
    message = Client(MultiKeyring(A, [B, C])).encrypt(b"plaintext").ciphertext

    assert Client(one).decrypt(message).plaintext == b"plaintext"
    assert Client(MultiKeyring(children=[one])).decrypt(message).plaintext == b"plaintext"


def test_the_generator_is_asked_before_the_children_and_the_first_that_opens_is_the_last_asked():
    generator, child, later = Witness(KeyringError("no")), Witness(b"2" * 32), Witness(b"3" * 32)

    opened = MultiKeyring(generator, [child, later]).on_decrypt(to_open(), [])

    assert opened.plaintext_data_key == b"2" * 32
    assert (generator.asked, child.asked, later.asked) == (1, 1, 0)


def test_a_keyring_that_returns_no_data_key_does_not_keep_others_from_being_asked():
    assert MultiKeyring(Witness(), [Witness(DATA_KEY)]).on_decrypt(to_open(), []).plaintext_data_key == DATA_KEY
    with pytest.raises(NoMatchingKeyError, match="returned no data key"):
        MultiKeyring(Witness()).on_decrypt(to_open(), [])


def test_failures_are_listed_one_for_each_keyring_and_data_key_tried():
    others = [RawAesKeyring("test", name, bytes(32)) for name in "ab"]
    edks = [*A.on_encrypt(to_wrap()).encrypted_data_keys, *B.on_encrypt(to_wrap()).encrypted_data_keys] * 2

    with pytest.raises(NoMatchingKeyError) as error:
        MultiKeyring(others[0], [others[1], C]).on_decrypt(to_open(), edks)

    found = [(failure.keyring, failure.provider_id, type(failure.error)) for failure in error.value.failures]
    assert found == [
        (repr(others[0]), "test", AuthenticationError),
        (repr(others[0]), "test", AuthenticationError),
        (repr(others[1]), "test", AuthenticationError),
        (repr(others[1]), "test", AuthenticationError),
        (repr(C), None, KeyringError),
    ]


def test_an_error_of_a_service_is_listed_with_its_keyring():
    refused = KmsAccessError("refused", operation="Decrypt", code="AccessDeniedException")

    with pytest.raises(NoMatchingKeyError) as error:
        MultiKeyring(Witness(refused), [A]).on_decrypt(to_open(), [])

    first = error.value.failures[0]
    assert (first.keyring, first.error) == ("Witness()", refused)
    assert all(isinstance(failure, UnwrapFailure) for failure in error.value.failures)


def test_an_error_that_is_not_of_this_package_comes_through():
    with pytest.raises(RuntimeError):
        MultiKeyring(Witness(RuntimeError("a bug")), [A]).on_decrypt(to_open(), [])


def test_a_data_key_that_is_there_is_not_replaced():
    child = Witness(DATA_KEY)

    with pytest.raises(UsageError, match="already hold"):
        MultiKeyring(child).on_decrypt(to_open(DATA_KEY), [])

    assert child.asked == 0


def test_its_repr_is_that_of_its_keyrings():
    assert repr(MultiKeyring(A, [B])) == (
        "MultiKeyring(RawAesKeyring('test', 'a', 256 bits), [RawAesKeyring('test', 'b', 256 bits)])"
    )
