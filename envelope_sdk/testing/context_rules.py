"""What a keyring does with the encryption context (framework/structures.md, "encryption context")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from envelope_sdk.errors import EnvelopeError
from envelope_sdk.formats.context import MAX_LENGTH, EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials
from envelope_sdk.testing.contract import rule
from envelope_sdk.testing.keyring_subject import TENANT, KeyringSubject, checked, must_find_nothing, must_open

__all__ = ["CONTEXT_RULES"]


@rule(
    "context-bound",
    "Bind the wrapped data key to all of materials.encryption_context.canonical, as associated data or by what the key "
    "service offers for it. Where the algorithm cannot, say binds_context=False.",
)
def context_bound(subject: KeyringSubject) -> None:
    """No other value, no pair fewer, none more."""
    if not (subject.writes and subject.decrypts and subject.binds_context):
        return
    wrapped = subject.wrapped()
    for context, what in (
        (subject.sample.merged({"sample purpose": "Contract"}), "another value"),
        (subject.sample.merged({TENANT: "43"}), "another value"),
        (subject.sample.without([TENANT]), "a pair fewer"),
        (subject.sample.without([""]), "a pair fewer"),
        (subject.sample.merged({"more": ""}), "a pair more"),
        (subject.pairs({}), "no pair"),
    ):
        _must_not_open(subject, wrapped.keys, context, f"a context with {what}")
    for one, two in (({"a": "bc"}, {"ab": "c"}), ({"a": "b", "c": "d"}, {"a": "bcd"}), ({"a": "b"}, {"b": "a"})):
        keys = subject.wrapped(context=subject.pairs(one)).keys
        _must_not_open(subject, keys, subject.pairs(two), f"the context {two} in place of {one}")


def _must_not_open(
    subject: KeyringSubject, keys: Sequence[EncryptedDataKey], context: EncryptionContext, what: str
) -> None:
    must_find_nothing(subject.make_keyring(), keys, DecryptionMaterials(subject.suite, context), what)


@rule(
    "context-order-ignored",
    "An encryption context has no order: use materials.encryption_context.canonical, which is sorted as the message "
    "format sorts, and not its repr, its items or JSON of it.",
)
def context_order(subject: KeyringSubject) -> None:
    """The same pairs, put together in another order, are the same context."""
    if not (subject.writes and subject.reads):
        return
    turned = EncryptionContext(dict(list(subject.sample.items())[::-1]))
    for one, two in ((subject.sample, turned), (turned, subject.sample), (subject.sample, subject.sample.sorted())):
        wrapped = subject.wrapped(context=one)
        what = "a data key whose context was given in another order"
        must_open(subject.reader(), wrapped.keys, wrapped.data_key, DecryptionMaterials(subject.suite, two), what)


@rule(
    "unstored-pairs-bound",
    "Bind the data key to the whole encryption context of the materials, the pairs named by "
    "required_encryption_context_keys included: those are left out of the message, not out of what is authenticated.",
)
def unstored_pairs_bound(subject: KeyringSubject) -> None:
    """Whether a pair is stored in the message makes no difference to a keyring."""
    if not (subject.encrypts and subject.decrypts):
        return
    suite, left_out = subject.suite, frozenset({TENANT})
    given = EncryptionMaterials(suite, subject.sample, left_out, subject.to_wrap().plaintext_data_key)
    wrapped = checked(given, subject.make_keyring().on_encrypt(given))
    for named in (left_out, frozenset[str]()):
        what = "a data key with a context pair that is not stored"
        must_open(
            subject.make_keyring(),
            wrapped.keys,
            wrapped.data_key,
            DecryptionMaterials(suite, subject.sample, named),
            what,
        )
    if subject.binds_context:
        wrong = DecryptionMaterials(suite, subject.sample.merged({TENANT: "43"}), left_out)
        must_find_nothing(subject.make_keyring(), wrapped.keys, wrong, "another value of an unstored pair")


@rule(
    "long-context",
    "Take a context of 65,535 bytes, the longest there is, or refuse it with KeyringError or KmsError.",
)
def long_context(subject: KeyringSubject) -> None:
    """As long as a message can hold."""
    if not (subject.encrypts and subject.reads):
        return
    room = MAX_LENGTH - len(subject.pairs({"k": ""}).canonical)
    longest = subject.pairs({"k": "v" * room})
    try:
        wrapped = subject.wrapped(context=longest)
    except EnvelopeError:
        return
    given = DecryptionMaterials(subject.suite, longest)
    must_open(subject.reader(), wrapped.keys, wrapped.data_key, given, "a data key with a long context")


CONTEXT_RULES: Final = (context_bound, context_order, unstored_pairs_bound, long_context)
"""In the order in which they are checked."""
