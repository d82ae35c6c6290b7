"""What a keyring does on encryption (framework/keyring-interface.md, "OnEncrypt")."""

from __future__ import annotations

import os
import secrets
from itertools import combinations, product
from typing import Final

from envelope_sdk.errors import EnvelopeError, KeyringError
from envelope_sdk.formats.cursor import Cursor
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.materials import EncryptionMaterials
from envelope_sdk.testing.contract import Broken, require, rule
from envelope_sdk.testing.keyring_subject import TENANT, KeyringSubject, checked
from envelope_sdk.testing.leaks import find_secret

__all__ = ["WRAPPING_RULES"]

_FRESH: Final = 16
_FIRST: Final = EncryptedDataKey("an earlier keyring", b"its key", b"its copy")
_SECOND: Final = EncryptedDataKey("another earlier keyring", b"", b"its copy")


@rule(
    "data-key-length",
    "Where the materials have no data key, make one of materials.algorithm_suite.key_length random bytes, as bytes.",
)
def data_key_length(subject: KeyringSubject) -> None:
    """Of the suite's length, whatever the suite."""
    for suite in subject.suites if subject.makes_data_keys else ():
        data_key = subject.wrapped(suite).data_key
        require(type(data_key) is bytes, f"the data key is {type(data_key).__name__} and not bytes")
        found, wanted = len(data_key), suite.key_length
        require(found == wanted, f"the data key for {suite.name} has {found} bytes and not {wanted}")


@rule(
    "data-key-fresh",
    "Make every data key anew, with os.urandom or the key service's own generator; keep none for the next message.",
)
def data_key_fresh(subject: KeyringSubject) -> None:
    """Never the same twice, within one keyring and between two of one key."""
    if not subject.makes_data_keys:
        return
    one, two = subject.make_keyring(), subject.make_keyring()
    made = [subject.wrapped(by=keyring).data_key for keyring in (one, two) * (_FRESH // 2)]
    require(len(set(made)) == len(made), "two messages were given the same data key")
    for data_key in made:
        # Sixteen random bytes have fewer different ones about once in 10^12 times.
        require(len(set(data_key)) >= 8, "a data key is not random")


@rule(
    "says-what-it-cannot",
    "Raise KeyringError from on_encrypt for what the keyring cannot do: to wrap at all, to make a data key, or to take "
    "the data key of another. Never ignore the data key that is there.",
)
def says_what_it_cannot(subject: KeyringSubject) -> None:
    """A keyring for decryption, or for one half of encryption, refuses the rest."""
    cases = [
        ("materials without a data key", subject.makes_data_keys, None),
        ("materials with a data key", subject.takes_data_keys, os.urandom(subject.suite.key_length)),
    ]
    for what, can, data_key in cases:
        if can:
            continue
        try:
            subject.make_keyring().on_encrypt(
                EncryptionMaterials(subject.suite, subject.sample, plaintext_data_key=data_key)
            )
        except KeyringError:
            continue
        except EnvelopeError as error:
            if subject.encrypts:
                continue
            raise Broken(f"on_encrypt with {what} raised {type(error).__name__} and not KeyringError") from error
        raise Broken(f"on_encrypt with {what} returned, though the keyring is said not to do that")


@rule(
    "data-key-kept",
    "Where the materials have a data key, wrap that one and return it; do not make another.",
)
def data_key_kept(subject: KeyringSubject) -> None:
    """What an earlier keyring made is what is wrapped."""
    for suite in subject.suites if subject.takes_data_keys else ():
        given = subject.to_wrap(suite, data_key=os.urandom(suite.key_length))
        found = checked(given, subject.make_keyring().on_encrypt(given)).data_key
        require(found == given.plaintext_data_key, f"the data key for {suite.name} was replaced by another")


@rule(
    "appends",
    "Add the keyring's own encrypted data keys after those that are there, and leave those as they are: "
    "materials.with_data_key(data_key, EncryptedDataKey(...)) does both.",
)
def appends(subject: KeyringSubject) -> None:
    """After those of others, which stay in their order."""
    if not subject.takes_data_keys:
        return
    data_key = os.urandom(subject.suite.key_length)
    for before in ((), (_FIRST,), (_FIRST, _SECOND), (_SECOND, _FIRST, _SECOND)):
        given = EncryptionMaterials(subject.suite, subject.sample, frozenset(), data_key, before)
        found = subject.make_keyring().on_encrypt(given).encrypted_data_keys
        kept = tuple(found[: len(before)])
        require(kept == before, f"{len(before)} encrypted data keys were there; {_where(before, found)}")
        added = found[len(before) :]
        require(added, "no encrypted data key was added")
        require(not set(before) & set(added), "an encrypted data key of another keyring was added again")


@rule(
    "encrypted-data-keys-encodable",
    "Give every EncryptedDataKey a provider id that is str, not empty and encodable as UTF-8, and a provider info and "
    "ciphertext that are bytes, none of them longer than 65,535 bytes.",
)
def encodable(subject: KeyringSubject) -> None:
    """They can be written into a message and are the same when read."""
    if not subject.encrypts:
        return
    for key in subject.wrapped().keys:
        require(isinstance(key, EncryptedDataKey), f"an encrypted data key is {type(key).__name__}")  # pyright: ignore[reportUnnecessaryIsInstance]
        for field, kind in (("provider_id", str), ("provider_info", bytes), ("ciphertext", bytes)):
            value = getattr(key, field)
            require(type(value) is kind, f"{field} is {type(value).__name__} and not {kind.__name__}")
        require(key.provider_id, "the provider id is empty")
        cursor = Cursor(key.encode(), "encrypted data key")
        require(EncryptedDataKey.parse(cursor) == key, "an encrypted data key is not what is read after it was written")


@rule(
    "nothing-in-clear",
    "Encrypted data keys are stored in clear: put neither the data key nor the encryption context into them, whose "
    "pairs may have been left out of the message on purpose.",
)
def nothing_in_clear(subject: KeyringSubject) -> None:
    """Neither the data key nor pairs of the context."""
    if not subject.encrypts:
        return
    marks = {secrets.token_hex(16): secrets.token_hex(16) for _ in range(2)}
    wrapped = subject.wrapped(context=subject.pairs(marks))
    looked_for = [("the data key", wrapped.data_key)]
    looked_for += [("a context key or value", text.encode()) for pair in marks.items() for text in pair]
    for key in wrapped.keys:
        for field in (key.provider_id.encode(), bytes(key.provider_info), bytes(key.ciphertext)):
            for what, value in looked_for:
                form = find_secret(field, [value])
                require(form is None, f"an encrypted data key holds {what} {form}")


@rule(
    "keystream-fresh",
    "Never use an IV or a keystream twice under one wrapping key: whoever knows one data key then reads the other. "
    "Take a new random IV for every wrap, or derive a new wrapping key.",
)
def keystream_fresh(subject: KeyringSubject) -> None:
    """Two wrapped data keys do not differ by just what the data keys differ by."""
    if not subject.encrypts:
        return
    made = [
        subject.wrapped(context=context)
        for context in (subject.sample, subject.sample, subject.pairs({}), subject.sample)
    ]
    for one, two in combinations(made, 2):
        for first, second in product(one.keys, two.keys):
            found = _difference(first.ciphertext, second.ciphertext)
            same = one.data_key != two.data_key and _difference(one.data_key, two.data_key) in found
            require(not same, "two data keys were wrapped with the same keystream")


def _difference(one: bytes, two: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, two, strict=False))


@rule(
    "materials-unchanged-by-encryption",
    "Return new materials, as materials.with_data_key does, with the suite, context, required keys and signing key "
    "that came, and change nothing in those that were given.",
)
def materials_unchanged(subject: KeyringSubject) -> None:
    """Neither those given, nor what else they hold, changes."""
    if not subject.encrypts:
        return
    from envelope_sdk.primitives.signing import SigningKey

    suite = next((suite for suite in subject.suites if suite.signed), subject.suite)
    signing_key = None if suite.signature is None else SigningKey.generate(suite.signature)
    given = EncryptionMaterials(
        suite, subject.sample, frozenset({TENANT}), subject.to_wrap(suite).plaintext_data_key, (), signing_key
    )
    before = _fields(given)
    returned = subject.make_keyring().on_encrypt(given)
    require(_fields(given) == before, "the materials that were given were changed")
    for name in ("algorithm_suite", "encryption_context", "required_encryption_context_keys", "signing_key"):
        require(getattr(returned, name) == getattr(given, name), f"the materials returned have another {name}")


def _fields(materials: EncryptionMaterials) -> tuple[object, ...]:
    return tuple(getattr(materials, name) for name in materials.__match_args__)


def _where(before: tuple[EncryptedDataKey, ...], found: tuple[EncryptedDataKey, ...]) -> str:
    if sorted(found[-len(before) :]) == sorted(before):
        return "the keyring put its own before them"
    return "they are no longer the first, in their order"


WRAPPING_RULES: Final = (
    data_key_length,
    data_key_fresh,
    says_what_it_cannot,
    data_key_kept,
    appends,
    encodable,
    nothing_in_clear,
    keystream_fresh,
    materials_unchanged,
)
"""In the order in which they are checked."""
