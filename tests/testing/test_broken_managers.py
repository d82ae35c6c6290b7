"""Managers with one fault each: the suite finds every one, by the rule that the fault breaks.

They are all the default manager with one step before or after it done wrong.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import pytest
from testkit.materials import changed

from envelope_sdk import AlgorithmSuite, CommitmentPolicy, EncryptionContext
from envelope_sdk.errors import KeyringError, NoMatchingKeyError
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.managers import DefaultMaterialsManager, RequiredContextMaterialsManager
from envelope_sdk.materials import DecryptionMaterials, DecryptionRequest, EncryptionMaterials, EncryptionRequest
from envelope_sdk.primitives.signing import SigningKey, VerificationKey
from envelope_sdk.testing import MANAGER_RULES, ContractViolation, check_manager

KEY = bytes(range(100, 132))
OTHER_KEY = bytes(range(200, 232))
PUBLIC_KEY = "aws-crypto-public-key"
ALLOW = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT


class Honest:
    """Passes everything on to a default manager."""

    def __init__(self, key: bytes = KEY) -> None:
        self._inner = DefaultMaterialsManager(RawAesKeyring("test", "key", key))

    def get_encryption_materials(self, request: EncryptionRequest) -> EncryptionMaterials:
        return self._inner.get_encryption_materials(request)

    def decrypt_materials(self, request: DecryptionRequest) -> DecryptionMaterials:
        return self._inner.decrypt_materials(request)


BROKEN: list[Any] = []


def breaks(rule: str, **arguments: Any) -> Any:
    """Enter a manager into the table, with the rule it breaks and what the suite is told of it."""

    def enter(kind: type) -> type:
        BROKEN.append(pytest.param(kind, rule, arguments, id=f"{rule}:{kind.__name__}"))
        return kind

    return enter


@breaks("is-a-manager")
class OnlyDecrypts:
    def decrypt_materials(self, request):
        raise NotImplementedError


# --- encryption ------------------------------------------------------------------------------------------------------


@breaks("materials-complete")
class LosesTheWrappedCopies(Honest):
    def get_encryption_materials(self, request):
        return changed(super().get_encryption_materials(request), encrypted_data_keys=())


@breaks("materials-complete")
class LosesTheDataKey(Honest):
    def get_encryption_materials(self, request):
        return changed(super().get_encryption_materials(request), plaintext_data_key=None)


@breaks("materials-complete")
class MakesShortDataKeys(Honest):
    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        return changed(made, plaintext_data_key=made.plaintext_data_key[:16])


@breaks("suite-respected")
class DropsTheSignature(Honest):
    def get_encryption_materials(self, request):
        if request.algorithm_suite is AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384:
            request = request._replace(algorithm_suite=AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY)
        return super().get_encryption_materials(request)


@breaks("policy-respected-for-encryption")
class KnowsNoPolicyWhenEncrypting(Honest):
    def get_encryption_materials(self, request):
        allowed = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
        if request.algorithm_suite.committing:
            allowed = ALLOW
        return super().get_encryption_materials(request._replace(commitment_policy=allowed))


@breaks("policy-respected-for-encryption", reuses_data_keys=True)
class AnswersFromACacheWithoutAskingThePolicy(Honest):
    def __init__(self, key=KEY):
        super().__init__(key)
        self._kept = {}

    def get_encryption_materials(self, request):
        name = request._replace(commitment_policy=ALLOW)
        if request.algorithm_suite.kdf_hash is None:
            return super().get_encryption_materials(request)
        if name not in self._kept:
            self._kept[name] = super().get_encryption_materials(request)
        return self._kept[name]


@breaks("context-kept")
class ChangesThePairs(Honest):
    def get_encryption_materials(self, request):
        lower = {key: value.lower().strip("\0")[:8] for key, value in request.encryption_context.items()}
        return super().get_encryption_materials(request._replace(encryption_context=EncryptionContext(lower)))


@breaks("context-kept")
class RemembersThePairs(Honest):
    def __init__(self, key=KEY):
        super().__init__(key)
        self._pairs = {}

    def get_encryption_materials(self, request):
        self._pairs.update(request.encryption_context)
        context = EncryptionContext({**self._pairs, **request.encryption_context})
        return super().get_encryption_materials(request._replace(encryption_context=context))


@breaks("required-keys-kept")
class KnowsNoRequiredKeys(Honest):
    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        return changed(made, required_encryption_context_keys=frozenset())


@breaks("required-keys-kept", reuses_data_keys=True)
class CachesWithoutTheRequiredKeys(Honest):
    def __init__(self, key=KEY):
        super().__init__(key)
        self._kept = {}

    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        if request.algorithm_suite.kdf_hash is None:
            return made
        name = request._replace(required_encryption_context_keys=frozenset())
        return self._kept.setdefault(name, made)


@breaks("required-keys-kept")
class LeavesOutWhatIsNotThere(Honest):
    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        left_out = made.required_encryption_context_keys | {"not there"}
        return changed(made, required_encryption_context_keys=left_out)


@breaks("missing-required-key-refused")
class LeavesOutWhatItCan(Honest):
    def get_encryption_materials(self, request):
        there = request.required_encryption_context_keys & request.encryption_context.keys()
        return super().get_encryption_materials(request._replace(required_encryption_context_keys=there))


@breaks("missing-required-key-refused", required_keys=["tenant"])
class AsksForNothing(Honest):
    def get_encryption_materials(self, request):
        wanted = request.required_encryption_context_keys | ({"tenant"} & request.encryption_context.keys())
        return super().get_encryption_materials(request._replace(required_encryption_context_keys=wanted))


@breaks("reserved-key-refused")
class TakesThePublicKeyOfTheCaller(Honest):
    def get_encryption_materials(self, request):
        context = request.encryption_context.without([PUBLIC_KEY])
        return super().get_encryption_materials(request._replace(encryption_context=context))


@breaks("signing-key")
class DoesNotSign(Honest):
    def get_encryption_materials(self, request):
        return changed(super().get_encryption_materials(request), signing_key=None)


@breaks("signing-key")
class SignsWithAnotherKey(Honest):
    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        if made.signing_key is None:
            return made
        return changed(made, signing_key=SigningKey.generate(made.signing_key.algorithm))


@breaks("signing-key")
class SignsEverything(Honest):
    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        signed = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
        return changed(made, signing_key=made.signing_key or SigningKey.generate(signed.signature))


@breaks("signing-key")
class LeavesThePublicKeyOut(Honest):
    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        public = {PUBLIC_KEY} & made.encryption_context.keys()
        return changed(made, required_encryption_context_keys=made.required_encryption_context_keys | public)


@breaks("keys-fresh")
class GivesOneDataKeyToAll(Honest):
    def __init__(self, key=KEY):
        super().__init__(key)
        self._kept = {}

    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        return self._kept.setdefault((request.algorithm_suite, request.encryption_context), made)


@breaks("keys-fresh", reuses_data_keys=True)
class CachesWhatIsNotDerived(Honest):
    def __init__(self, key=KEY):
        super().__init__(key)
        self._kept = {}

    def get_encryption_materials(self, request):
        return self._kept.setdefault(request, super().get_encryption_materials(request))


@breaks("length-respected")
class HasToKnowTheLength(Honest):
    def get_encryption_materials(self, request):
        assert request.plaintext_length < 2**60
        return super().get_encryption_materials(request)


# --- decryption ------------------------------------------------------------------------------------------------------


@breaks("materials-found")
class FindsAnotherDataKey(Honest):
    def decrypt_materials(self, request):
        return changed(super().decrypt_materials(request), plaintext_data_key=os.urandom(32))


@breaks("materials-found")
class FindsAnotherSuite(Honest):
    def decrypt_materials(self, request):
        found = super().decrypt_materials(request)
        return changed(found, algorithm_suite=AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY)


@breaks("materials-found")
class LosesTheContext(Honest):
    def decrypt_materials(self, request):
        return changed(super().decrypt_materials(request), encryption_context=request.reproduced_encryption_context)


@breaks("policy-respected-for-decryption")
class KnowsNoPolicyWhenDecrypting(Honest):
    def decrypt_materials(self, request):
        return super().decrypt_materials(request._replace(commitment_policy=ALLOW))


@breaks("verification-key")
class DoesNotVerify(Honest):
    def decrypt_materials(self, request):
        return changed(super().decrypt_materials(request), verification_key=None)


@breaks("verification-key")
class VerifiesWithAnotherKey(Honest):
    def decrypt_materials(self, request):
        found = super().decrypt_materials(request)
        if found.verification_key is None:
            return found
        algorithm = found.verification_key.algorithm
        another = VerificationKey(algorithm, SigningKey.generate(algorithm).encoded_public_key)
        return changed(found, verification_key=another)


class LooksAtNoPublicKey(Honest):
    def decrypt_materials(self, request):
        stored = request.encryption_context
        if not request.algorithm_suite.signed:
            request = request._replace(encryption_context=stored.without([PUBLIC_KEY]))
        return super().decrypt_materials(request)


breaks("public-key-checked")(LooksAtNoPublicKey)


@breaks("public-key-checked")
class TakesAnyPublicKey(Honest):
    def decrypt_materials(self, request):
        try:
            return super().decrypt_materials(request)
        except Exception as error:
            raise KeyringError("this public key will not do") from error


@breaks("context-mismatch-refused")
class BelievesTheMessage(Honest):
    def decrypt_materials(self, request):
        unstored = request.reproduced_encryption_context.without(request.encryption_context)
        return super().decrypt_materials(request._replace(reproduced_encryption_context=unstored))


@breaks("context-mismatch-refused")
class BelievesTheReader(Honest):
    def decrypt_materials(self, request):
        stored = request.encryption_context.without(request.reproduced_encryption_context)
        return super().decrypt_materials(request._replace(encryption_context=stored))


@breaks("context-mismatch-refused", required_keys=["tenant"])
class AsksItsReadersForNothing(Honest):
    def get_encryption_materials(self, request):
        return RequiredContextMaterialsManager(self._inner, ["tenant"]).get_encryption_materials(request)


@breaks("unstored-pairs-returned")
class DoesNotNameThePairs(Honest):
    def decrypt_materials(self, request):
        return changed(super().decrypt_materials(request), required_encryption_context_keys=frozenset())


@breaks("unstored-pairs-returned")
class NamesAllReproducedPairs(Honest):
    def decrypt_materials(self, request):
        named = frozenset(request.reproduced_encryption_context)
        return changed(super().decrypt_materials(request), required_encryption_context_keys=named)


@breaks("unstored-pairs-bound")
class AddsThePairsAfterwards(Honest):
    def get_encryption_materials(self, request):
        left_out = request.required_encryption_context_keys
        bound = request.encryption_context.without(left_out)
        made = super().get_encryption_materials(
            request._replace(encryption_context=bound, required_encryption_context_keys=frozenset())
        )
        return changed(
            made,
            encryption_context=made.encryption_context.merged(request.encryption_context),
            required_encryption_context_keys=left_out,
        )

    def decrypt_materials(self, request):
        stored, reproduced = request.encryption_context, request.reproduced_encryption_context
        found = super().decrypt_materials(
            request._replace(reproduced_encryption_context=reproduced.only(stored.keys()))
        )
        return changed(
            found,
            encryption_context=stored.merged(reproduced),
            required_encryption_context_keys=frozenset(reproduced.keys() - stored.keys()),
        )


@breaks("unstored-pairs-bound")
class CachesByEncryptedDataKeysOnly(Honest):
    _kept: ClassVar[dict[object, DecryptionMaterials]] = {}

    def __init__(self, key=KEY):
        super().__init__(key)
        self._key = key

    def decrypt_materials(self, request):
        name = (self._key, request.encrypted_data_keys, request.commitment_policy, request.encryption_context)
        if name not in self._kept:
            self._kept[name] = super().decrypt_materials(request)
        return self._kept[name]


@breaks("no-match")
class ReturnsNoDataKey(Honest):
    def decrypt_materials(self, request):
        try:
            return super().decrypt_materials(request)
        except NoMatchingKeyError:
            return DecryptionMaterials(request.algorithm_suite, request.encryption_context)


@breaks("no-match")
class TakesTheFirst(Honest):
    def decrypt_materials(self, request):
        assert request.encrypted_data_keys[0].ciphertext
        return super().decrypt_materials(request)


@breaks("no-match")
class TripsOverLongOnes(Honest):
    def decrypt_materials(self, request):
        assert all(len(key.ciphertext) < 60_000 for key in request.encrypted_data_keys)
        return super().decrypt_materials(request)


@breaks("other-keys-refused")
class SharesItsCacheWithStrangers(Honest):
    _kept: ClassVar[dict[object, DecryptionMaterials]] = {}

    def decrypt_materials(self, request):
        name = tuple(request.encrypted_data_keys)
        if name not in self._kept:
            self._kept[name] = super().decrypt_materials(request)
        return self._kept[name]

    def get_encryption_materials(self, request):
        made = super().get_encryption_materials(request)
        if not (made.signing_key or made.required_encryption_context_keys):
            self._kept[made.encrypted_data_keys] = DecryptionMaterials(
                made.algorithm_suite, made.encryption_context, plaintext_data_key=made.plaintext_data_key
            )
        return made


# --- in a program ----------------------------------------------------------------------------------------------------


@breaks("messages")
class CannotBearSomeLengths(Honest):
    def get_encryption_materials(self, request):
        if (request.plaintext_length or 0) % 256 == 0 and 0 < (request.plaintext_length or 0) < 2**20:
            raise KeyringError("a multiple of 256")
        return super().get_encryption_materials(request)


@breaks("thread-safe")
class KeepsOneRequest(Honest):
    def get_encryption_materials(self, request):
        self._context = request.encryption_context
        request.commitment_policy.check_encrypt(request.algorithm_suite)
        return super().get_encryption_materials(request._replace(encryption_context=self._context))


@breaks("thread-safe")
class KeepsOneSuite(Honest):
    def decrypt_materials(self, request):
        self._suite = request.algorithm_suite
        request.commitment_policy.check_decrypt(self._suite)
        return super().decrypt_materials(request._replace(algorithm_suite=self._suite))


@breaks("no-secrets-shown")
class ShowsItsKey(Honest):
    def __init__(self, key=KEY):
        super().__init__(key)
        self._key = key

    def __repr__(self):
        return f"ShowsItsKey({self._key!r})"


@breaks("no-secrets-shown")
class ShowsDataKeysInErrors(Honest):
    def get_encryption_materials(self, request):
        self._last = super().get_encryption_materials(request).plaintext_data_key
        return changed(super().get_encryption_materials(request), plaintext_data_key=self._last)

    def decrypt_materials(self, request):
        try:
            return super().decrypt_materials(request)
        except NoMatchingKeyError as error:
            raise NoMatchingKeyError(f"the data key is not {self._last.hex()}", error.failures) from None


@breaks("no-secrets-pickled")
class CanBePickled(Honest):
    def __init__(self, key=KEY):
        super().__init__(key)
        self._key = key

    def __reduce__(self):
        return type(self), (self._key,)


# --- all of them -----------------------------------------------------------------------------------------------------


def arguments_of(kind: type, arguments: dict[str, Any]) -> dict[str, Any]:
    other = {} if kind is OnlyDecrypts else {"other": lambda: kind(OTHER_KEY)}
    return {"make_manager": kind, "secrets": [KEY], **other, **arguments}


@pytest.mark.parametrize("rule", MANAGER_RULES)
def test_the_manager_that_they_are_made_of_keeps_the_rule(rule: str):
    check_manager(Honest, other=lambda: Honest(OTHER_KEY), secrets=[KEY], rules=[rule])


@pytest.mark.parametrize(("kind", "rule", "arguments"), BROKEN)
def test_a_broken_manager_is_found_by_the_rule_it_breaks(kind: type, rule: str, arguments: dict[str, Any]):
    with pytest.raises(ContractViolation) as found:
        check_manager(**arguments_of(kind, arguments), rules=[rule])

    assert found.value.rule == rule


@pytest.mark.parametrize(("kind", "rule", "arguments"), BROKEN)
def test_a_broken_manager_does_not_pass(kind: type, rule: str, arguments: dict[str, Any]):
    with pytest.raises(ContractViolation) as found:
        check_manager(**arguments_of(kind, arguments))

    assert MANAGER_RULES.index(found.value.rule) <= MANAGER_RULES.index(rule)


def test_every_rule_finds_something():
    assert {case.values[1] for case in BROKEN} == set(MANAGER_RULES)
