"""What a keyring does as a part of a program: in threads, in messages, in logs and in pickles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from envelope_sdk.client import Client
from envelope_sdk.errors import EnvelopeError
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.managers.required_context import RequiredContextMaterialsManager
from envelope_sdk.materials import EncryptionMaterials, Keyring
from envelope_sdk.policy import CommitmentPolicy
from envelope_sdk.testing.contract import require, rule
from envelope_sdk.testing.damage import altered
from envelope_sdk.testing.keyring_subject import TENANT, KeyringSubject, checked, must_open
from envelope_sdk.testing.leaks import find_secret, pickled, texts_of, watched
from envelope_sdk.testing.turns import SlowDecryptionMaterials, SlowEncryptionMaterials, in_threads

__all__ = ["PLAINTEXT", "TOGETHER_RULES", "policy_for", "require_no_secret"]

PLAINTEXT: Final = bytes(range(256)) * 3
"""What is encrypted; some frames long."""

_FRAME_LENGTH: Final = 100
_ROUNDS: Final = 12


def policy_for(suite: AlgorithmSuite) -> CommitmentPolicy:
    """Return a policy under which a suite is both written and read."""
    if suite.committing:
        return CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    return CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT


@rule(
    "messages",
    "A whole message has to go through a Client and come back, with all pairs of its context stored and with some left "
    "out. If the rules before this one hold, look at what the error says.",
)
def messages(subject: KeyringSubject) -> None:
    """In one call and frame by frame, with a context that is stored or not."""
    if not (subject.writes and subject.reads) or (subject.encrypts and not subject.generates):
        return
    for suite in subject.suites:
        _one_message(suite, partial(_client, suite), subject, {})
        _one_message(suite, partial(_requiring, suite), subject, {TENANT: subject.sample[TENANT]})


def _client(suite: AlgorithmSuite, keyring: Keyring) -> Client:
    return Client(keyring, commitment_policy=policy_for(suite), algorithm_suite=suite, frame_length=_FRAME_LENGTH)


def _requiring(suite: AlgorithmSuite, keyring: Keyring) -> Client:
    manager = RequiredContextMaterialsManager(keyring, [TENANT])
    return Client(
        materials_manager=manager,
        commitment_policy=policy_for(suite),
        algorithm_suite=suite,
        frame_length=_FRAME_LENGTH,
    )


def _one_message(
    suite: AlgorithmSuite, client: Callable[[Keyring], Client], subject: KeyringSubject, reproduced: dict[str, str]
) -> None:
    message = client(subject.writer()).encrypt(PLAINTEXT, encryption_context=subject.sample).ciphertext
    result = client(subject.reader()).decrypt(message, encryption_context=reproduced)
    require(result.plaintext == PLAINTEXT, f"a message of {suite.name} is not what it was")
    pairs = result.header.encryption_context.without(["aws-crypto-public-key"])
    require(pairs == subject.sample, f"the context of a message of {suite.name} is not what it was")
    machine = client(subject.reader()).decryptor(encryption_context=reproduced)
    pieces = b"".join(machine.update(message[start : start + 50]) for start in range(0, len(message), 50))
    machine.finish()
    require(pieces == PLAINTEXT, f"a message of {suite.name}, read piece by piece, is not what it was")


@rule(
    "thread-safe",
    "One keyring serves many threads at once: keep nothing of one message in the object, and guard what has to be kept "
    "with a lock.",
)
def thread_safe(subject: KeyringSubject) -> None:
    """Each thread gets what it asked for."""
    if not (subject.writes and subject.reads):
        return
    writer = subject.writer()
    reader = writer if subject.encrypts and subject.decrypts else subject.reader()

    def work(number: int) -> None:
        for turn in range(_ROUNDS):
            context = subject.pairs({"thread": str(number), "turn": str(turn)})
            own = os.urandom(subject.suite.key_length) if subject.takes_data_keys and turn % 2 else None
            wanted = subject.to_wrap(context=context, data_key=own)
            given = SlowEncryptionMaterials(subject.suite, context, plaintext_data_key=wanted.plaintext_data_key)
            wrapped = checked(given, writer.on_encrypt(given))
            require(own in (None, wrapped.data_key), "with other threads at work, another data key was wrapped")
            what = "with other threads at work, a data key"
            must_open(reader, wrapped.keys, wrapped.data_key, SlowDecryptionMaterials(subject.suite, context), what)

    in_threads(work, subject.threads)


@rule(
    "no-secrets-shown",
    "Give the class a __repr__ without keys, no dataclass that pretty printers take apart, and put no key bytes into "
    "errors, log records, warnings or printed text.",
)
def no_secrets_shown(subject: KeyringSubject) -> None:
    """By repr, errors, logs or prints, before and after it was used."""
    secrets = list(subject.secrets)
    with watched() as logged:
        keyring = subject.make_keyring()
        shown = [*texts_of(keyring), *_wrapping(keyring, subject, secrets)]
        if subject.writes:
            shown += _opening(keyring, subject, secrets)
        shown += texts_of(keyring)
    require_no_secret([*shown, *logged], secrets)


def _wrapping(keyring: Keyring, subject: KeyringSubject, secrets: list[bytes]) -> Iterator[str]:
    """Wrap in every way that works or fails, and yield what is shown meanwhile."""
    for data_key in (None, os.urandom(subject.suite.key_length)):
        secrets.append(data_key or b"")
        given = EncryptionMaterials(subject.suite, subject.sample, plaintext_data_key=data_key)
        try:
            done = keyring.on_encrypt(given)
        except EnvelopeError as error:
            yield from texts_of(error)
        else:
            secrets.append(done.plaintext_data_key or b"")
            yield from texts_of(done)


def _opening(keyring: Keyring, subject: KeyringSubject, secrets: list[bytes]) -> Iterator[str]:
    """Open in every way that works or fails, and yield what is shown meanwhile."""
    wrapped = subject.wrapped()
    secrets.append(wrapped.data_key)
    broken = tuple(altered(key) for key in wrapped.keys)
    for materials, keys in (
        (subject.to_open(), wrapped.keys),
        (subject.to_open(context=subject.sample.merged({TENANT: "43"})), wrapped.keys),
        (subject.to_open().with_data_key(wrapped.data_key), wrapped.keys),
        (subject.to_open(), broken),
    ):
        try:
            yield from texts_of(keyring.on_decrypt(materials, keys))
        except EnvelopeError as error:
            yield from texts_of(error)


def require_no_secret(texts: list[str], secrets: list[bytes]) -> None:
    """Raise :class:`~envelope_sdk.testing.contract.Broken` where a text holds a secret; it does not say which."""
    for text in texts:
        form = find_secret(text, secrets)
        require(form is None, f"a secret stands {form} in what it shows, raises, logs or prints")


@rule(
    "no-secrets-pickled",
    "Refuse pickling: def __reduce__(self): raise TypeError(...). Or pickle what is harmless: names, not keys.",
)
def no_secrets_pickled(subject: KeyringSubject) -> None:
    """Refused, or without the secrets that were given and the data keys that went through it."""
    keyring, secrets = subject.make_keyring(), list(subject.secrets)
    if subject.encrypts:
        secrets.append(subject.wrapped(by=keyring).data_key)
    held = pickled(keyring)
    if held is not None:
        form = find_secret(held, secrets)
        require(form is None, f"its pickle holds a secret {form}")


TOGETHER_RULES: Final = (messages, thread_safe, no_secrets_shown, no_secrets_pickled)
"""In the order in which they are checked."""
