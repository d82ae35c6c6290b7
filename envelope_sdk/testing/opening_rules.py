"""What a keyring does on decryption (framework/keyring-interface.md, "OnDecrypt")."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from envelope_sdk.errors import EnvelopeError, NoMatchingKeyError, UnwrapFailure
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials, Keyring
from envelope_sdk.testing.contract import Broken, require, rule
from envelope_sdk.testing.damage import altered, damaged_copies, strangers
from envelope_sdk.testing.keyring_subject import TENANT, KeyringSubject, must_find_nothing, must_open

__all__ = ["OPENING_RULES"]


@rule(
    "round-trip",
    "on_decrypt has to find the data key that on_encrypt wrapped, for every suite and context, in another object made "
    "of the same key: keep nothing that decryption needs but in the EncryptedDataKey.",
)
def round_trip(subject: KeyringSubject) -> None:
    """What one object wraps another opens."""
    if not (subject.writes and subject.reads):
        return
    for suite in subject.suites:
        for context in (subject.pairs({}), subject.sample):
            wrapped = subject.wrapped(suite, context)
            what = f"a data key for {suite.name} with {len(context)} context pairs"
            for keys in (wrapped.keys, list(wrapped.keys)):
                must_open(subject.reader(), keys, wrapped.data_key, subject.to_open(suite, context), what)


@rule(
    "every-copy-opens",
    "Each encrypted data key that the keyring adds is a copy of the one data key, and opens without the others.",
)
def every_copy_opens(subject: KeyringSubject) -> None:
    """Each by itself; where another keyring reads, at least one."""
    if not (subject.writes and subject.reads):
        return
    wrapped, reader = subject.wrapped(), subject.reader()
    opened = 0
    for number, key in enumerate(wrapped.keys, 1):
        what = f"the encrypted data key {number} of {len(wrapped.keys)}"
        try:
            found = reader.on_decrypt(subject.to_open(), [key]).plaintext_data_key
        except NoMatchingKeyError as error:
            if subject.counterpart is None:
                raise Broken(f"{what} does not open by itself: {error}") from error
            continue
        require(found == wrapped.data_key, f"{what} opens to another data key")
        opened += 1
    require(opened, "none of the encrypted data keys opens by itself")


@rule(
    "finds-its-own",
    "Skip the encrypted data keys of others without an error, those too that have the keyring's provider id or info, "
    "and open its own wherever it stands among them.",
)
def finds_its_own(subject: KeyringSubject) -> None:
    """First, last and in the middle."""
    if not (subject.writes and subject.reads):
        return
    wrapped = subject.wrapped()
    others = strangers(wrapped.keys[0])
    if subject.other is not None and subject.encrypts:
        given = subject.to_wrap(data_key=None if subject.generates else os.urandom(subject.suite.key_length))
        others += subject.other().on_encrypt(given).encrypted_data_keys
    half = len(others) // 2
    for keys, where in (
        ((*wrapped.keys, *others), "before those of others"),
        ((*others, *wrapped.keys), "after those of others"),
        ((*others[:half], *wrapped.keys, *others[half:]), "between those of others"),
    ):
        what = f"its own encrypted data key {where}"
        must_open(subject.reader(), keys, wrapped.data_key, subject.to_open(), what)


@rule(
    "message-order",
    "Try the encrypted data keys in the order of the message, and return the first that opens.",
)
def message_order(subject: KeyringSubject) -> None:
    """Of two that open, the first is taken."""
    if not (subject.writes and subject.reads):
        return
    one, two = subject.wrapped(), subject.wrapped()
    for first, second in ((one, two), (two, one)):
        keys = (*first.keys, *second.keys)
        found = subject.reader().on_decrypt(subject.to_open(), keys).plaintext_data_key
        require(found == first.data_key, "of two encrypted data keys that open, the second was taken")


@rule(
    "keeps-looking",
    "An encrypted data key that does not open ends only that attempt: catch the error, note it, and try the next.",
)
def keeps_looking(subject: KeyringSubject) -> None:
    """A damaged one does not hide a good one behind it."""
    if not (subject.writes and subject.reads and subject.detects_damage):
        return
    wrapped = subject.wrapped()
    damaged = tuple(each.key for each in damaged_copies(wrapped.keys[0]) if each.field == "ciphertext")
    for before in (damaged[:1], (altered(wrapped.keys[0]),), damaged):
        what = f"its own encrypted data key after {len(before)} damaged ones"
        must_open(subject.reader(), (*before, *wrapped.keys), wrapped.data_key, subject.to_open(), what)


@rule(
    "no-match",
    "Raise NoMatchingKeyError from on_decrypt where nothing can be opened: for no encrypted data keys, for those of "
    "others, and from a keyring that only encrypts.",
)
def no_match(subject: KeyringSubject) -> None:
    """For nothing at all, for strangers, and where it cannot decrypt."""
    given = subject.to_open()
    must_find_nothing(subject.make_keyring(), (), given, "no encrypted data keys")
    if not subject.writes:
        return
    wrapped = subject.wrapped()
    must_find_nothing(subject.reader(), strangers(wrapped.keys[0]), given, "encrypted data keys of others")
    if not subject.decrypts:
        must_find_nothing(subject.make_keyring(), wrapped.keys, given, "a keyring that does not decrypt")


@rule(
    "failures-listed",
    "Give NoMatchingKeyError one UnwrapFailure for each encrypted data key that was tried, with the error it failed "
    "by: it is all that its reader has to find the cause.",
)
def failures_listed(subject: KeyringSubject) -> None:
    """One for each attempt."""
    if not (subject.writes and subject.decrypts and subject.detects_damage):
        return
    key = subject.wrapped().keys[0]
    tried = (altered(key), altered(key, 0))
    error = must_find_nothing(subject.reader(), tried, subject.to_open(), "two altered encrypted data keys")
    require(len(error.failures) >= len(tried), f"two attempts failed, and {len(error.failures)} are listed")
    for failure in error.failures:
        require(isinstance(failure, UnwrapFailure), f"a failure is {type(failure).__name__} and not UnwrapFailure")  # pyright: ignore[reportUnnecessaryIsInstance]


@rule(
    "garbage-refused",
    "Whatever the bytes of an encrypted data key are, on_decrypt opens it or raises NoMatchingKeyError: check lengths "
    "before use, and turn errors of parsers and services into failures of that attempt.",
)
def garbage_refused(subject: KeyringSubject) -> None:
    """Truncated, altered, empty or oversized: never another exception."""
    if not (subject.writes and subject.decrypts):
        return
    wrapped, keyring = subject.wrapped(), subject.make_keyring()
    for key in wrapped.keys:
        for what, _, damaged in damaged_copies(key):
            try:
                keyring.on_decrypt(subject.to_open(), (damaged,))
            except NoMatchingKeyError:
                continue
            except Exception as error:
                kind = type(error).__name__
                raise Broken(f"{what}: {kind} was raised, not NoMatchingKeyError: {error}") from error


@rule(
    "damage-noticed",
    "Wrap data keys with authentication, so that altered ones do not open. Where the algorithm has none, say "
    "detects_damage=False; the message's own header then has to notice.",
)
def damage_noticed(subject: KeyringSubject) -> None:
    """An altered one opens to nothing, or, beside the ciphertext, to what it was."""
    if not (subject.writes and subject.decrypts and subject.detects_damage):
        return
    wrapped, keyring = subject.wrapped(), subject.make_keyring()
    for key in wrapped.keys:
        for what, field, damaged in damaged_copies(key):
            try:
                found = keyring.on_decrypt(subject.to_open(), (damaged,)).plaintext_data_key
            except EnvelopeError:
                continue
            require(found == wrapped.data_key, f"{what} opened to a data key that nobody wrapped")
            require(field != "ciphertext", f"{what} opened all the same")


@rule(
    "data-key-length-checked",
    "A data key whose length is not materials.algorithm_suite.key_length is not the message's: note a failure and try "
    "the next.",
)
def length_checked(subject: KeyringSubject) -> None:
    """One of another length counts as one that did not open."""
    if not (subject.writes and subject.decrypts):
        return
    for suite in subject.suites:
        for length in {16, 24, 32} - {suite.key_length}:
            given = _of_length(subject, suite, length)
            try:
                keys = subject.writer().on_encrypt(given).encrypted_data_keys
            except EnvelopeError:
                continue
            what = f"a data key of {length} bytes where {suite.name} needs {suite.key_length}"
            must_find_nothing(subject.make_keyring(), keys, subject.to_open(suite), what)


def _of_length(subject: KeyringSubject, suite: AlgorithmSuite, length: int) -> EncryptionMaterials:
    """Return materials to wrap a data key of another length: as an earlier keyring made it, or for another suite."""
    if subject.wraps:
        return subject.to_wrap(suite, data_key=os.urandom(length))
    fitting = next(other for other in AlgorithmSuite if other.key_length == length)
    return subject.to_wrap(fitting if fitting in subject.suites else suite)


@rule(
    "filled-materials-refused",
    "Raise UsageError from on_decrypt where the materials already hold a data key, before anything is tried.",
)
def filled_refused(subject: KeyringSubject) -> None:
    """A data key that was found is not looked for again, nor replaced."""
    if not subject.decrypts:
        return
    keys = subject.wrapped().keys if subject.writes else ()
    filled = subject.to_open().with_data_key(os.urandom(subject.suite.key_length))
    for given, what in ((keys, "its own encrypted data key"), ((), "no encrypted data keys")):
        try:
            subject.make_keyring().on_decrypt(filled, given)
        except EnvelopeError:
            continue
        raise Broken(f"on_decrypt returned for materials that held a data key already, with {what}")


@rule(
    "other-key-refused",
    "A data key opens with the key it was wrapped for, and with no other of the same kind: compare the provider id and "
    "info, and authenticate.",
)
def other_refused(subject: KeyringSubject) -> None:
    """Neither opens what the other wrapped."""
    if subject.other is None or not subject.encrypts:
        return
    pairs: list[tuple[Callable[[], Keyring], Callable[[], Keyring]]] = [(subject.make_keyring, subject.other)]
    pairs.append((subject.other, subject.make_keyring))
    for writer, reader in pairs:
        wrapped = subject.wrapped(by=writer())
        what = "what was wrapped for another key"
        if subject.detects_damage or not subject.decrypts:
            must_find_nothing(reader(), wrapped.keys, subject.to_open(), what)
            continue
        try:
            found = reader().on_decrypt(subject.to_open(), wrapped.keys).plaintext_data_key
        except NoMatchingKeyError:
            continue
        require(found != wrapped.data_key, f"{what} opened")


@rule(
    "materials-unchanged-by-decryption",
    "Return new materials, as materials.with_data_key does, with all else as it came, and change neither those that "
    "were given nor the sequence of encrypted data keys.",
)
def materials_unchanged(subject: KeyringSubject) -> None:
    """Neither the materials nor the list."""
    if not (subject.writes and subject.decrypts):
        return
    wrapped = subject.wrapped()
    keys = [*strangers(wrapped.keys[0]), *wrapped.keys]
    given, kept = DecryptionMaterials(subject.suite, subject.sample, frozenset({TENANT})), list(keys)
    returned = subject.make_keyring().on_decrypt(given, keys)
    require(given.plaintext_data_key is None, "the data key was put into the materials that were given")
    require(
        given == DecryptionMaterials(subject.suite, subject.sample, frozenset({TENANT})), "the materials were changed"
    )
    require(keys == kept, "the sequence of encrypted data keys was changed")
    for name in ("algorithm_suite", "encryption_context", "required_encryption_context_keys", "verification_key"):
        require(getattr(returned, name) == getattr(given, name), f"the materials returned have another {name}")


OPENING_RULES: Final = (
    round_trip,
    every_copy_opens,
    finds_its_own,
    message_order,
    keeps_looking,
    no_match,
    failures_listed,
    garbage_refused,
    damage_noticed,
    length_checked,
    filled_refused,
    other_refused,
    materials_unchanged,
)
"""In the order in which they are checked."""
