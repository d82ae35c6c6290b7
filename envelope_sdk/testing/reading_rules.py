"""What a materials manager does on decryption (framework/cmm-interface.md, "Decrypt Materials")."""

from __future__ import annotations

from functools import partial
from typing import Final

from envelope_sdk.errors import (
    CommitmentPolicyError,
    ContextMismatchError,
    EnvelopeError,
    NoMatchingKeyError,
    SignatureError,
)
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD
from envelope_sdk.policy import CommitmentPolicy
from envelope_sdk.testing.contract import Broken, require, rule
from envelope_sdk.testing.damage import damaged_copies, strangers
from envelope_sdk.testing.manager_subject import ManagerSubject, granted, must_refuse, opened, to_decrypt

__all__ = ["READING_RULES"]

_STRICT: Final = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT


@rule(
    "materials-found",
    "decrypt_materials returns the data key of the message, in materials of the message's suite with every pair of its "
    "context.",
)
def materials_found(subject: ManagerSubject) -> None:
    """For every suite, from another manager of the same keys."""
    for suite in subject.suites:
        made = subject.materials(suite)
        found = opened(subject.make_manager(), made, to_decrypt(made))
        require(found.algorithm_suite is suite, f"{suite.name} was asked for, {found.algorithm_suite!r} was returned")
        require(found.encryption_context == made.encryption_context, "the context is not that of the message")


@rule(
    "policy-respected-for-decryption",
    "Call request.commitment_policy.check_decrypt(request.algorithm_suite) for every request, before a cache is asked.",
)
def decrypt_policy(subject: ManagerSubject) -> None:
    """What the policy forbids to read is not opened, not even if it was opened before under another policy."""
    manager = subject.make_manager()
    for suite in subject.suites:
        made = subject.materials(suite)
        opened(manager, made, to_decrypt(made))
        if suite.committing:
            opened(manager, made, to_decrypt(made, policy=_STRICT))
        else:
            call = partial(manager.decrypt_materials, to_decrypt(made, policy=_STRICT))
            must_refuse(call, CommitmentPolicyError, f"{suite.name} under {_STRICT.value}")


@rule(
    "verification-key",
    "For a suite that signs, return a VerificationKey made from aws-crypto-public-key of the message's context; for "
    "others none.",
)
def verification_key(subject: ManagerSubject) -> None:
    """The one that fits the message's signing key."""
    for suite in subject.suites:
        made = subject.materials(suite)
        found = opened(subject.make_manager(), made, to_decrypt(made)).verification_key
        if suite.signature is None or made.signing_key is None:
            require(found is None, f"the materials for {suite.name} hold a verification key")
            continue
        if found is None:
            raise Broken(f"the materials for {suite.name} hold no verification key")
        require(found.algorithm is suite.signature, f"the verification key for {suite.name} is of another algorithm")
        digest = bytes(48 if suite.signature.public_key_length == 49 else 32)
        found.verify(made.signing_key.sign(digest), digest)


@rule(
    "public-key-checked",
    "Raise SignatureError where a signed message's context has no aws-crypto-public-key, or one that is no point of "
    "the suite's curve, and where an unsigned message's context has one.",
)
def public_key_checked(subject: ManagerSubject) -> None:
    """Nobody takes a signature away, or puts a key into a message that has none."""
    for suite in subject.suites:
        made = subject.materials(suite)
        stored = made.encryption_context.without(made.required_encryption_context_keys)
        if suite.signed:
            wrong = [(stored.without([PUBLIC_KEY_FIELD]), "no public key")]
            wrong += [
                (stored.merged({PUBLIC_KEY_FIELD: text}), f"the public key {text!r}")
                for text in ("", "no base64", "AAAA")
            ]
        else:
            wrong = [(stored.merged({PUBLIC_KEY_FIELD: "A" * 44}), "a public key")]
        for context, what in wrong:
            call = partial(subject.make_manager().decrypt_materials, to_decrypt(made, stored=context))
            must_refuse(call, SignatureError, f"a message of {suite.name} whose context holds {what}")


@rule(
    "context-mismatch-refused",
    "Raise ContextMismatchError where a pair of the reproduced context has another value in the message, and where one "
    "is missing that the manager requires.",
)
def mismatch_refused(subject: ManagerSubject) -> None:
    """Pairs in both contexts are the same."""
    made, manager = subject.materials(), subject.make_manager()
    required = made.encryption_context.only(made.required_encryption_context_keys)
    opened(manager, made, to_decrypt(made, reproduced=required.merged({"sample purpose": "contract"})))
    for value in ("Contract", "", "contract\0"):
        request = to_decrypt(made, reproduced=required.merged({"sample purpose": value}))
        must_refuse(partial(manager.decrypt_materials, request), ContextMismatchError, f"the purpose {value!r}")
    for key in subject.required_keys:
        request = to_decrypt(made, reproduced=required.without([key]))
        what = f"a reproduced context without the required key {key!r}"
        must_refuse(partial(manager.decrypt_materials, request), ContextMismatchError, what)


@rule(
    "unstored-pairs-returned",
    "Add the reproduced pairs that are not stored in the message to the materials' context, and name their keys in "
    "required_encryption_context_keys: so they are authenticated with the header.",
)
def unstored_returned(subject: ManagerSubject) -> None:
    """They are in the context, and named; the stored ones are not."""
    for wanted in (frozenset({"sample purpose"}), frozenset({"sample purpose", "größe"})):
        request = subject.request()._replace(required_encryption_context_keys=wanted)
        made = granted(subject.make_manager(), request)
        reproduced = made.encryption_context.only({*made.required_encryption_context_keys, "größe"})
        found = opened(subject.make_manager(), made, to_decrypt(made, reproduced=reproduced))
        require(found.encryption_context == made.encryption_context, "the context lacks pairs that are not stored")
        named = found.required_encryption_context_keys
        require(named == made.required_encryption_context_keys, "the pairs that are not stored are not those named")


@rule(
    "unstored-pairs-bound",
    "Ask the keyring with the whole context, stored and reproduced: another value of a pair that is not stored opens "
    "nothing, and neither does a pair that the message was not made with. Where the keyring cannot bind the context, "
    "say binds_context=False.",
)
def unstored_bound(subject: ManagerSubject) -> None:
    """Reproduced pairs are part of what the data key is bound to."""
    if not subject.binds_context:
        return
    request = subject.request()._replace(required_encryption_context_keys=frozenset({"sample purpose"}))
    made, manager = granted(subject.make_manager(), request), subject.make_manager()
    right = made.encryption_context.only(made.required_encryption_context_keys)
    # A cache must not answer with what it was asked before.
    opened(manager, made, to_decrypt(made))
    for wrong, what in (
        (right.merged({"sample purpose": "another"}), "another value of a pair that is not stored"),
        (right.merged({"more": "pairs"}), "a pair that the message was not made with"),
        (right.without(["sample purpose"]), "a reproduced context without a pair that is not stored"),
    ):
        must_refuse(partial(manager.decrypt_materials, to_decrypt(made, reproduced=wrong)), EnvelopeError, what)


@rule(
    "no-match",
    "Raise NoMatchingKeyError where none of the encrypted data keys opens, whatever their bytes are.",
)
def no_match(subject: ManagerSubject) -> None:
    """None, strangers, and damaged ones."""
    made, manager = subject.materials(), subject.make_manager()
    opened(manager, made, to_decrypt(made))
    own = made.encrypted_data_keys[0]
    for keys, what in (((), "no encrypted data keys"), (strangers(own), "encrypted data keys of others")):
        must_refuse(partial(manager.decrypt_materials, to_decrypt(made, keys=keys)), NoMatchingKeyError, what)
    for what, field, damaged in damaged_copies(own):
        try:
            found = manager.decrypt_materials(to_decrypt(made, keys=(damaged,))).plaintext_data_key
        except EnvelopeError:
            continue
        except Exception as error:
            raise Broken(f"{what}: {type(error).__name__} was raised: {error}") from error
        if subject.detects_damage:
            require(found == made.plaintext_data_key, f"{what} opened to a data key that nobody wrapped")
            require(field != "ciphertext", f"{what} opened all the same")


@rule(
    "other-keys-refused",
    "A manager opens what was wrapped for its keys, and nothing else: a cache that several managers share keeps them "
    "apart.",
)
def other_refused(subject: ManagerSubject) -> None:
    """Neither opens what the other made."""
    if subject.other is None:
        return
    for suite in subject.suites if subject.detects_damage else ():
        for one, two in ((subject.make_manager, subject.other), (subject.other, subject.make_manager)):
            made = granted(one(), subject.request(suite))
            call = partial(two().decrypt_materials, to_decrypt(made))
            must_refuse(call, NoMatchingKeyError, "what was made for another manager's keys")


READING_RULES: Final = (
    materials_found,
    decrypt_policy,
    verification_key,
    public_key_checked,
    mismatch_refused,
    unstored_returned,
    unstored_bound,
    no_match,
    other_refused,
)
"""In the order in which they are checked."""
