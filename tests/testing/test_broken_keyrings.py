"""Keyrings with one fault each: the suite finds every one, by the rule that the fault breaks.

They are all made of one small keyring that keeps every rule, and of which each overrides the least.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from testkit.materials import changed

from envelope_sdk import AlgorithmSuite, EncryptedDataKey, EncryptionContext
from envelope_sdk.errors import AuthenticationError, KeyringError, NoMatchingKeyError, UnwrapFailure, UsageError
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.testing import KEYRING_RULES, ContractViolation, check_keyring

KEY = bytes(range(100, 132))
OTHER_KEY = bytes(range(200, 232))
LOG = logging.getLogger("broken")


class Honest:
    """Wraps with AES-GCM under one key, called ``info``."""

    info = b"honest key"

    def __init__(self, key: bytes = KEY) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> Any:
        raise TypeError("holds a key")

    def aad(self, materials: EncryptionMaterials | DecryptionMaterials) -> bytes:
        return materials.encryption_context.canonical

    def new_data_key(self, materials: EncryptionMaterials) -> bytes:
        return os.urandom(materials.algorithm_suite.key_length)

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        iv = os.urandom(12)
        return iv + AESGCM(self._key).encrypt(iv, data_key, aad)

    def unwrap(self, key: EncryptedDataKey, aad: bytes) -> bytes:
        try:
            return AESGCM(self._key).decrypt(key.ciphertext[:12], key.ciphertext[12:], aad)
        except (InvalidTag, ValueError):
            raise AuthenticationError("does not open", section="encrypted data key") from None

    def encrypted(self, data_key: bytes, materials: EncryptionMaterials) -> EncryptedDataKey:
        return EncryptedDataKey("honest", self.info, self.wrap(data_key, self.aad(materials)))

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        data_key = materials.plaintext_data_key or self.new_data_key(materials)
        return materials.with_data_key(data_key, self.encrypted(data_key, materials))

    def is_mine(self, key: EncryptedDataKey) -> bool:
        return (key.provider_id, key.provider_info) == ("honest", self.info)

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        if materials.plaintext_data_key is not None:
            raise UsageError("there is a data key already")
        failures = []
        for key in encrypted_data_keys:
            if not self.is_mine(key):
                continue
            try:
                data_key = self.unwrap(key, self.aad(materials))
            except (AuthenticationError, KeyringError) as error:
                failures.append(UnwrapFailure(repr(self), key.provider_id, error))
                continue
            if len(data_key) == materials.algorithm_suite.key_length:
                return materials.with_data_key(data_key)
            failures.append(UnwrapFailure(repr(self), key.provider_id, KeyringError("of another length")))
        raise NoMatchingKeyError("nothing opens", failures)


BROKEN: list[Any] = []


def breaks(rule: str, **arguments: Any) -> Any:
    """Enter a keyring into the table, with the rule it breaks and what the suite is told of it."""

    def enter(kind: type) -> type:
        BROKEN.append(pytest.param(kind, rule, arguments, id=f"{rule}:{kind.__name__}"))
        return kind

    return enter


# --- encryption ------------------------------------------------------------------------------------------------------


@breaks("is-a-keyring")
class HasNoDecryption:
    def on_encrypt(self, materials):
        return materials


@breaks("data-key-length")
class AlwaysMakes32Bytes(Honest):
    def new_data_key(self, materials):
        return os.urandom(32)


@breaks("data-key-length")
class MakesByteArrays(Honest):
    def new_data_key(self, materials):
        return bytearray(super().new_data_key(materials))


@breaks("data-key-fresh")
class RemembersItsDataKey(Honest):
    _made: ClassVar[dict[int, bytes]] = {}

    def new_data_key(self, materials):
        length = materials.algorithm_suite.key_length
        return self._made.setdefault(length, os.urandom(length))


@breaks("data-key-fresh")
class CountsInsteadOfRandom(Honest):
    _count = 0

    def new_data_key(self, materials):
        type(self)._count += 1
        return self._count.to_bytes(materials.algorithm_suite.key_length, "big")


@breaks("data-key-kept")
class MakesItsOwnEveryTime(Honest):
    def on_encrypt(self, materials):
        data_key = self.new_data_key(materials)
        return materials.with_data_key(data_key, self.encrypted(data_key, materials))


@breaks("appends")
class PutsItsOwnFirst(Honest):
    def on_encrypt(self, materials):
        done = super().on_encrypt(materials)
        return changed(done, encrypted_data_keys=done.encrypted_data_keys[-1:] + done.encrypted_data_keys[:-1])


@breaks("appends")
class DropsThoseOfOthers(Honest):
    def on_encrypt(self, materials):
        done = super().on_encrypt(materials)
        return changed(done, encrypted_data_keys=done.encrypted_data_keys[-1:])


@breaks("appends")
class SortsThem(Honest):
    def on_encrypt(self, materials):
        done = super().on_encrypt(materials)
        return changed(done, encrypted_data_keys=tuple(sorted(done.encrypted_data_keys)))


@breaks("round-trip")
class WrapsNothing(Honest):
    def on_encrypt(self, materials):
        return materials.with_data_key(materials.plaintext_data_key or self.new_data_key(materials))


@breaks("encrypted-data-keys-encodable")
class NamesItsKeyInText(Honest):
    info = "honest key"


@breaks("encrypted-data-keys-encodable")
class HasAVeryLongName(Honest):
    info = b"n" * 65_536


@breaks("encrypted-data-keys-encodable")
class HasNoProviderId(Honest):
    def encrypted(self, data_key, materials):
        return super().encrypted(data_key, materials)._replace(provider_id="")

    def is_mine(self, key):
        return (key.provider_id, key.provider_info) == ("", self.info)


@breaks("nothing-in-clear")
class KeepsTheDataKeyInBase64(Honest):
    def encrypted(self, data_key, materials):
        return super().encrypted(data_key, materials)._replace(provider_info=b"k=" + base64.b64encode(b"=" + data_key))

    def is_mine(self, key):
        return key.provider_id == "honest"


@breaks("nothing-in-clear")
class StoresTheContext(Honest):
    def encrypted(self, data_key, materials):
        return super().encrypted(data_key, materials)._replace(provider_info=materials.encryption_context.canonical)

    def is_mine(self, key):
        return key.provider_id == "honest"


@breaks("keystream-fresh")
class HasOneIvForAll(Honest):
    def wrap(self, data_key, aad):
        return bytes(12) + AESGCM(self._key).encrypt(bytes(12), data_key, aad)


@breaks("keystream-fresh")
class DerivesTheIvFromTheContext(Honest):
    def wrap(self, data_key, aad):
        iv = hashlib.sha256(aad).digest()[:12]
        return iv + AESGCM(self._key).encrypt(iv, data_key, aad)


@breaks("materials-unchanged-by-encryption")
class WritesIntoTheMaterials(Honest):
    def on_encrypt(self, materials):
        done = super().on_encrypt(materials)
        materials._plaintext_data_key = done.plaintext_data_key
        return done


@breaks("materials-unchanged-by-encryption")
class ForgetsTheSigningKey(Honest):
    def on_encrypt(self, materials):
        return changed(super().on_encrypt(materials), signing_key=None)


@breaks("materials-unchanged-by-encryption")
class ForgetsTheRequiredKeys(Honest):
    def on_encrypt(self, materials):
        return changed(super().on_encrypt(materials), required_encryption_context_keys=frozenset())


@breaks("materials-unchanged-by-encryption")
class AddsToTheContext(Honest):
    def on_encrypt(self, materials):
        done = super().on_encrypt(materials)
        return changed(done, encryption_context=done.encryption_context.merged({"wrapped-by": "honest"}))


@breaks("says-what-it-cannot", encrypts=False, counterpart=Honest)
class SilentlyDoesNotEncrypt(Honest):
    def on_encrypt(self, materials):
        return materials


@breaks("says-what-it-cannot", encrypts=False, counterpart=Honest)
class IsNotImplemented(Honest):
    def on_encrypt(self, materials):
        raise NotImplementedError


@breaks("says-what-it-cannot", generates=False)
class MakesADataKeyAllTheSame(Honest):
    pass


@breaks("says-what-it-cannot", wraps=False)
class IgnoresTheDataKeyThatIsThere(MakesItsOwnEveryTime):
    pass


# --- decryption ------------------------------------------------------------------------------------------------------


@breaks("round-trip")
class KeepsDataKeysInTheObject(Honest):
    def __init__(self, key: bytes = KEY) -> None:
        super().__init__(key)
        self._kept: dict[bytes, bytes] = {}

    def wrap(self, data_key, aad):
        handle = os.urandom(32)
        self._kept[handle] = data_key
        return handle

    def unwrap(self, key, aad):
        if key.ciphertext not in self._kept:
            raise KeyringError("unknown")
        return self._kept[key.ciphertext]


@breaks("round-trip")
class PadsDataKeys(Honest):
    def unwrap(self, key, aad):
        return super().unwrap(key, aad).ljust(32, b"\0")


@breaks("round-trip")
class TakesListsOnly(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        return super().on_decrypt(materials, encrypted_data_keys.copy())


@breaks("every-copy-opens")
class AddsACopyThatIsNone(Honest):
    def on_encrypt(self, materials):
        done = super().on_encrypt(materials)
        return done.with_data_key(
            done.plaintext_data_key, EncryptedDataKey("honest", self.info, os.urandom(len(self.wrap(KEY, b""))))
        )


@breaks("every-copy-opens")
class WrapsAnotherDataKeyToo(Honest):
    def on_encrypt(self, materials):
        done = super().on_encrypt(materials)
        another = self.encrypted(self.new_data_key(materials), materials)
        return done.with_data_key(done.plaintext_data_key, another)


@breaks("finds-its-own")
class TripsOverStrangers(Honest):
    def is_mine(self, key):
        if key.provider_id != "honest":
            raise KeyringError("this is not mine")
        return super().is_mine(key)


@breaks("finds-its-own")
class LooksAtTheFirstOnly(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        return super().on_decrypt(materials, encrypted_data_keys[:1])


@breaks("finds-its-own")
class LooksAtTheProviderIdOnly(Honest):
    def unwrap(self, key, aad):
        if key.provider_info != self.info:
            raise RuntimeError("no such key")
        return super().unwrap(key, aad)

    def is_mine(self, key):
        return key.provider_id == "honest"


@breaks("message-order")
class LooksFromTheEnd(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        return super().on_decrypt(materials, encrypted_data_keys[::-1])


@breaks("keeps-looking")
class StopsAtTheFirstFailure(Honest):
    def unwrap(self, key, aad):
        try:
            return super().unwrap(key, aad)
        except AuthenticationError as error:
            raise NoMatchingKeyError("does not open", [UnwrapFailure(repr(self), "honest", error)]) from None


@breaks("no-match")
class ReturnsWithNothing(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        try:
            return super().on_decrypt(materials, encrypted_data_keys)
        except NoMatchingKeyError:
            return materials


@breaks("no-match")
class RaisesAnotherErrorForNothing(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        if not encrypted_data_keys:
            raise KeyringError("there are no data keys")
        return super().on_decrypt(materials, encrypted_data_keys)


@breaks("no-match", decrypts=False, counterpart=Honest)
class DecryptsAllTheSame(Honest):
    pass


@breaks("no-match", decrypts=False, counterpart=Honest)
class CannotSayThatItCannot(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        raise KeyringError("this keyring only encrypts")


@breaks("failures-listed")
class KeepsTheReasonsToItself(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        try:
            return super().on_decrypt(materials, encrypted_data_keys)
        except NoMatchingKeyError as error:
            raise NoMatchingKeyError(error.reason) from None


@breaks("garbage-refused")
class LetsTheTagEscape(Honest):
    def unwrap(self, key, aad):
        return AESGCM(self._key).decrypt(key.ciphertext[:12], key.ciphertext[12:], aad)


@breaks("garbage-refused")
class ReadsAnyLength(Honest):
    def encrypted(self, data_key, materials):
        return super().encrypted(data_key, materials)._replace(provider_info=struct.pack(">I", 1) + self.info)

    def is_mine(self, key):
        return key.provider_id == "honest" and key.provider_info.endswith(self.info)

    def unwrap(self, key, aad):
        (number,) = struct.unpack(">I", key.provider_info[: -len(self.info)])
        return super().unwrap(key, aad + bytes(number - 1))


@breaks("garbage-refused")
class DecodesAnyBytes(Honest):
    def is_mine(self, key):
        return key.provider_id == "honest" and key.provider_info.decode("ascii") == self.info.decode()


class Unauthenticated(Honest):
    def _stream(self, iv, data):
        encryptor = Cipher(AES(self._key), CTR(iv)).encryptor()
        return encryptor.update(data) + encryptor.finalize()

    def wrap(self, data_key, aad):
        iv = os.urandom(16)
        return iv + self._stream(iv, data_key)

    def unwrap(self, key, aad):
        if len(key.ciphertext) < 16:
            raise KeyringError("too short")
        return self._stream(key.ciphertext[:16], key.ciphertext[16:])


breaks("damage-noticed", binds_context=False)(Unauthenticated)


@breaks("damage-noticed")
class IgnoresWhatComesAfter(Honest):
    def unwrap(self, key, aad):
        length = 12 + 32 + 16
        return super().unwrap(key._replace(ciphertext=key.ciphertext[:length]), aad)


@breaks("data-key-length-checked")
class TakesAnyLength(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        for key in encrypted_data_keys:
            if self.is_mine(key):
                try:
                    return materials.with_data_key(self.unwrap(key, self.aad(materials)))
                except AuthenticationError:
                    continue
        raise NoMatchingKeyError("nothing opens")


@breaks("filled-materials-refused")
class ReplacesTheDataKey(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        return super().on_decrypt(changed(materials, plaintext_data_key=None), encrypted_data_keys)


@breaks("filled-materials-refused")
class KeepsTheDataKeyThatIsThere(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        if materials.plaintext_data_key is not None:
            return materials
        return super().on_decrypt(materials, encrypted_data_keys)


# --- the context -----------------------------------------------------------------------------------------------------


@breaks("context-bound")
class IgnoresTheContext(Honest):
    def aad(self, materials):
        return b""


@breaks("context-bound")
class RunsPairsTogether(Honest):
    def aad(self, materials):
        return "".join(sorted(key + value for key, value in materials.encryption_context.items())).encode()


@breaks("context-bound")
class BindsKeysOnly(Honest):
    def aad(self, materials):
        return "\0".join(sorted(materials.encryption_context)).encode()


@breaks("context-order-ignored")
class BindsTheOrderOfPairs(Honest):
    def aad(self, materials):
        return repr(materials.encryption_context).encode()


@breaks("unstored-pairs-bound")
class BindsStoredPairsOnly(Honest):
    def aad(self, materials):
        return materials.encryption_context.without(materials.required_encryption_context_keys).canonical


@breaks("unstored-pairs-bound")
class BindsTheRequiredKeysToo(Honest):
    def aad(self, materials):
        required = sorted(materials.required_encryption_context_keys)
        return materials.encryption_context.canonical + repr(required).encode()


@breaks("long-context")
class HasRoomForAShortContext(Honest):
    def aad(self, materials):
        return len(materials.encryption_context.canonical).to_bytes(1 + 1, "big", signed=True) + super().aad(materials)


# --- the key ---------------------------------------------------------------------------------------------------------


@breaks("other-key-refused")
class HasOneKeyForAll(Honest):
    def __init__(self, key: bytes = KEY) -> None:
        super().__init__(KEY)


@breaks("materials-unchanged-by-decryption")
class OpensInPlace(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        done = super().on_decrypt(materials, encrypted_data_keys)
        materials._plaintext_data_key = done.plaintext_data_key
        return materials


@breaks("materials-unchanged-by-decryption")
class EmptiesTheList(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        mine = [key for key in encrypted_data_keys if self.is_mine(key)]
        if isinstance(encrypted_data_keys, list):
            encrypted_data_keys.clear()
        return super().on_decrypt(materials, mine)


@breaks("materials-unchanged-by-decryption")
class ForgetsWhatIsNotStored(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        done = super().on_decrypt(materials, encrypted_data_keys)
        return changed(done, required_encryption_context_keys=frozenset())


# --- in a program ----------------------------------------------------------------------------------------------------


@breaks("messages")
class CannotBearPublicKeys(Honest):
    def aad(self, materials):
        if "aws-crypto-public-key" in materials.encryption_context:
            raise KeyringError("this pair is not for me")
        return super().aad(materials)


@breaks("thread-safe")
class KeepsTheDataKeyOfOneMessage(Honest):
    def on_encrypt(self, materials):
        self._now = materials.plaintext_data_key or self.new_data_key(materials)
        wrapped = self.encrypted(self._now, materials)
        return materials.with_data_key(self._now, wrapped)


@breaks("thread-safe")
class KeepsTheContextOfOneMessage(Honest):
    def aad(self, materials):
        self._context = materials.encryption_context
        if materials.required_encryption_context_keys:
            LOG.info("some pairs are not stored")
        return self._context.canonical


@breaks("no-secrets-shown")
class ShowsItsKey(Honest):
    def __repr__(self):
        return f"ShowsItsKey({base64.b64encode(self._key).decode()})"


@breaks("no-secrets-shown")
@dataclass(repr=False)
class HidesItsKeyFromReprOnly(Honest):
    key: bytes = KEY
    other: str = field(default="")

    def __post_init__(self):
        self._key = self.key


@breaks("no-secrets-shown")
class LogsDataKeys(Honest):
    def on_encrypt(self, materials):
        done = super().on_encrypt(materials)
        LOG.debug("made the data key %s", (done.plaintext_data_key or b"").hex())
        return done


@breaks("no-secrets-shown")
class PrintsDataKeys(Honest):
    def unwrap(self, key, aad):
        data_key = super().unwrap(key, aad)
        print(data_key)  # noqa: T201 - the fault
        return data_key


@breaks("no-secrets-shown", encrypts=False, counterpart=Honest)
class PrintsDataKeysAndDoesNotEncrypt(PrintsDataKeys):
    def on_encrypt(self, materials):
        raise KeyringError("this keyring only decrypts")


@breaks("no-secrets-shown")
class RaisesWithTheDataKey(Honest):
    def on_decrypt(self, materials, encrypted_data_keys):
        if materials.plaintext_data_key is not None:
            raise UsageError(f"there is a data key already: {list(materials.plaintext_data_key)}")
        return super().on_decrypt(materials, encrypted_data_keys)


@breaks("no-secrets-shown")
class RaisesWithItsKeyAsACause(Honest):
    def unwrap(self, key, aad):
        try:
            return super().unwrap(key, aad)
        except AuthenticationError as error:
            raise error from ValueError(f"the key {self._key.hex()} does not fit")


@breaks("no-secrets-pickled")
class CanBePickled(Honest):
    __reduce__ = object.__reduce__

    def __reduce_ex__(self, protocol):
        return object.__reduce_ex__(self, 4)


# --- all of them -----------------------------------------------------------------------------------------------------


def arguments_of(kind: type, arguments: dict[str, Any]) -> dict[str, Any]:
    other = {} if kind is HasNoDecryption else {"other": lambda: kind(OTHER_KEY)}
    return {"make_keyring": kind, "secrets": [KEY], **other, **arguments}


@pytest.mark.parametrize("rule", KEYRING_RULES)
def test_the_keyring_that_they_are_made_of_keeps_the_rule(rule: str):
    check_keyring(Honest, other=lambda: Honest(OTHER_KEY), secrets=[KEY], rules=[rule])


@pytest.mark.parametrize(("kind", "rule", "arguments"), BROKEN)
def test_a_broken_keyring_is_found_by_the_rule_it_breaks(kind: type, rule: str, arguments: dict[str, Any]):
    with pytest.raises(ContractViolation) as found:
        check_keyring(**arguments_of(kind, arguments), rules=[rule])

    assert found.value.rule == rule


@pytest.mark.parametrize(("kind", "rule", "arguments"), BROKEN)
def test_a_broken_keyring_does_not_pass(kind: type, rule: str, arguments: dict[str, Any]):
    with pytest.raises(ContractViolation) as found:
        check_keyring(**arguments_of(kind, arguments))

    assert KEYRING_RULES.index(found.value.rule) <= KEYRING_RULES.index(rule)


def test_every_rule_finds_something():
    assert {case.values[1] for case in BROKEN} == set(KEYRING_RULES)


@pytest.mark.parametrize("suite", AlgorithmSuite, ids=lambda suite: suite.name)
def test_a_fault_in_one_suite_is_found_where_that_suite_is_among_those_checked(suite: AlgorithmSuite):
    class FailsForOne(Honest):
        def new_data_key(self, materials):
            return os.urandom(materials.algorithm_suite.key_length - (materials.algorithm_suite is suite))

    check_keyring(FailsForOne, suites=[other for other in AlgorithmSuite if other is not suite], rules=["round-trip"])
    with pytest.raises(ContractViolation, match=suite.name):
        check_keyring(FailsForOne, rules=["data-key-length"])


class ChoosesByTenant(Honest):
    def aad(self, materials):
        if materials.encryption_context.get("tenant") != "acme":
            raise KeyringError("there is no key for this tenant")
        return super().aad(materials)


@pytest.mark.parametrize("rule", KEYRING_RULES)
def test_a_keyring_may_need_pairs_of_the_context(rule: str):
    check_keyring(
        ChoosesByTenant,
        other=lambda: ChoosesByTenant(OTHER_KEY),
        context={"tenant": "acme"},
        secrets=[KEY],
        rules=[rule],
    )


def test_pairs_that_a_keyring_needs_have_to_be_named():
    with pytest.raises(ContractViolation, match="no key for this tenant"):
        check_keyring(ChoosesByTenant)


def test_an_empty_context_is_tried_too():
    class NeedsAContext(Honest):
        def aad(self, materials):
            if materials.encryption_context == EncryptionContext():
                raise ValueError("no context")
            return super().aad(materials)

    with pytest.raises(ContractViolation, match="ValueError was raised: no context"):
        check_keyring(NeedsAContext, rules=["round-trip"])
