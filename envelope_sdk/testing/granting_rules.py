"""What a materials manager does on encryption (framework/cmm-interface.md, "Get Encryption Materials")."""

from __future__ import annotations

from functools import partial
from typing import Final

from envelope_sdk.errors import CommitmentPolicyError, EncryptionContextError
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD
from envelope_sdk.formats.edks import encode_encrypted_data_keys
from envelope_sdk.policy import CommitmentPolicy
from envelope_sdk.testing.contract import Broken, require, rule
from envelope_sdk.testing.manager_subject import ManagerSubject, granted, must_refuse

__all__ = ["GRANTING_RULES"]


@rule(
    "materials-complete",
    "Encryption materials hold a data key of the suite's length and at least one wrapped copy that can be written into "
    "a message.",
)
def materials_complete(subject: ManagerSubject) -> None:
    """A data key and a wrapped copy, for every suite."""
    for suite in subject.suites:
        materials = subject.materials(suite)
        data_key = materials.plaintext_data_key
        require(data_key is not None, f"the materials for {suite.name} hold no data key")
        found = len(data_key or b"")
        require(
            found == suite.key_length, f"the data key for {suite.name} has {found} and not {suite.key_length} bytes"
        )
        require(materials.encrypted_data_keys, f"the materials for {suite.name} hold no encrypted data key")
        encode_encrypted_data_keys(materials.encrypted_data_keys)


@rule(
    "suite-respected",
    "Return materials of the suite that was asked for. A client refuses others: they could drop its signature.",
)
def suite_respected(subject: ManagerSubject) -> None:
    """Neither stronger nor weaker, and the length makes no difference."""
    for suite in subject.suites:
        for length in (None, 0, 2**40):
            request = subject.request(suite)._replace(plaintext_length=length)
            found = granted(subject.make_manager(), request).algorithm_suite
            require(found is suite, f"{suite.name} was asked for, {found!r} was returned")


@rule(
    "policy-respected-for-encryption",
    "Call request.commitment_policy.check_encrypt(request.algorithm_suite) for every request, before a cache is asked.",
)
def encrypt_policy(subject: ManagerSubject) -> None:
    """A suite that the policy forbids gets no materials, not even if it got some before under another policy."""
    manager = subject.make_manager()
    for suite in subject.suites:
        granted(manager, subject.request(suite))
        for policy in CommitmentPolicy:
            if suite.committing is (policy is CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT):
                request = subject.request(suite)._replace(commitment_policy=policy)
                what = f"{suite.name} under {policy.value}"
                must_refuse(partial(manager.get_encryption_materials, request), CommitmentPolicyError, what)


@rule(
    "context-kept",
    "Return the pairs of the request's context with their values; a manager may add pairs, not remove or change any.",
)
def context_kept(subject: ManagerSubject) -> None:
    """All pairs, with their values; those of one message do not turn up in the next."""
    manager = subject.make_manager()
    for more in ({"number": "1"}, {"number": "2", "extra": ""}, {"number": "3"}):
        request = subject.request(more=more)
        found = granted(manager, request).encryption_context
        require(
            found.items() >= request.encryption_context.items(), "pairs of the caller's context are lost or changed"
        )
        require(("extra" in found) is ("extra" in more), "a pair of another message's context turned up")


@rule(
    "required-keys-kept",
    "The materials' required_encryption_context_keys hold all of the request's, and each is in their context: pass "
    "them on to what is beneath, and make them a part of every cache entry's name.",
)
def required_keys_kept(subject: ManagerSubject) -> None:
    """What the request wants left out is left out, for that request and for no other."""
    manager = subject.make_manager()
    own = frozenset(subject.required_keys)
    for wanted in (frozenset({"sample purpose"}), frozenset[str](), frozenset({"sample purpose", "größe"})):
        request = subject.request()._replace(required_encryption_context_keys=wanted)
        materials = granted(manager, request)
        found = materials.required_encryption_context_keys
        require(found >= wanted | own, "a pair that is to be left out of the message would be stored")
        require(found <= materials.encryption_context.keys(), "a required key is not in the encryption context")
        require(
            wanted or "sample purpose" not in found,
            "a pair is left out because another message wanted that",
        )


@rule(
    "missing-required-key-refused",
    "Raise EncryptionContextError where the context lacks a key that the request or the manager itself requires.",
)
def missing_refused(subject: ManagerSubject) -> None:
    """A message without a pair that it has to have is not written."""
    manager = subject.make_manager()
    request = subject.request()._replace(required_encryption_context_keys=frozenset({"nowhere"}))
    what = "a request that requires a key which its context lacks"
    must_refuse(partial(manager.get_encryption_materials, request), EncryptionContextError, what)
    for key in subject.required_keys:
        lacking = subject.request()._replace(encryption_context=subject.context.without([key]))
        what = f"a context without the required key {key!r}"
        must_refuse(partial(manager.get_encryption_materials, lacking), EncryptionContextError, what)


@rule(
    "reserved-key-refused",
    "Raise EncryptionContextError where the request's context holds aws-crypto-public-key, which the format sets.",
)
def reserved_refused(subject: ManagerSubject) -> None:
    """No caller chooses by which key a signature is checked."""
    for suite in subject.suites:
        request = subject.request(suite, {PUBLIC_KEY_FIELD: "A" * 44})
        manager = subject.make_manager()
        what = f"a context with {PUBLIC_KEY_FIELD!r} for {suite.name}"
        must_refuse(partial(manager.get_encryption_materials, request), EncryptionContextError, what)


@rule(
    "signing-key",
    "For a suite that signs, return a SigningKey of suite.signature and put its encoded_public_key into the context as "
    "aws-crypto-public-key; for others neither.",
)
def signing_key(subject: ManagerSubject) -> None:
    """A key pair where the suite signs, its public half in the context, stored; else none."""
    for suite in subject.suites:
        materials = subject.materials(suite)
        key, carried = materials.signing_key, materials.encryption_context.get(PUBLIC_KEY_FIELD)
        if suite.signature is None:
            require(key is None, f"the materials for {suite.name} hold a signing key")
            require(carried is None, f"the context for {suite.name} holds {PUBLIC_KEY_FIELD!r}")
            continue
        if key is None:
            raise Broken(f"the materials for {suite.name} hold no signing key")
        require(key.algorithm is suite.signature, f"the signing key for {suite.name} is of another algorithm")
        require(carried is not None, f"the context for {suite.name} lacks {PUBLIC_KEY_FIELD!r}")
        require(carried == key.encoded_public_key, f"the public key in the context for {suite.name} is another")
        left_out = materials.required_encryption_context_keys
        require(PUBLIC_KEY_FIELD not in left_out, f"{PUBLIC_KEY_FIELD!r} would not be stored, where readers need it")


@rule(
    "keys-fresh",
    "Make a data key and a signing key for every message. A manager that gives materials out more than once on purpose "
    "says reuses_data_keys=True, and never does so for suites without a key derivation.",
)
def keys_fresh(subject: ManagerSubject) -> None:
    """New ones each time, but for managers that reuse them, and there too where a suite uses the data key as it is."""
    for suite in subject.suites:
        if subject.reuses_data_keys and suite.kdf_hash is not None:
            continue
        manager = subject.make_manager()
        made = [granted(manager, subject.request(suite)) for _ in range(4)]
        require(len({each.plaintext_data_key for each in made}) == 4, f"a data key for {suite.name} was used twice")
        signing = {each.signing_key.encoded_public_key for each in made if each.signing_key is not None}
        require(len(signing) in (0, 4), f"a signing key for {suite.name} was used twice")


@rule(
    "length-respected",
    "plaintext_length is only a bound: return complete materials for 0, for None, and for more than fits into memory.",
)
def length_respected(subject: ManagerSubject) -> None:
    """Whatever the length, there are materials."""
    for length in (None, 0, 1, 2**62):
        materials = granted(subject.make_manager(), subject.request()._replace(plaintext_length=length))
        complete = materials.plaintext_data_key is not None and materials.encrypted_data_keys
        require(complete, f"the materials for a plaintext of {length} bytes are not complete")


GRANTING_RULES: Final = (
    materials_complete,
    suite_respected,
    encrypt_policy,
    context_kept,
    required_keys_kept,
    missing_refused,
    reserved_refused,
    signing_key,
    keys_fresh,
    length_respected,
)
"""In the order in which they are checked."""
