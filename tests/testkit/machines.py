"""Machines of this package, with everything that is random in them fixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from testkit.builder import some_data_key, some_message_id
from testkit.keyrings import StaticDataKeyring

from envelope_sdk import AlgorithmSuite, Client, CommitmentPolicy
from envelope_sdk.message.encryptor import MessageEncryptor


def writing_policy(suite: AlgorithmSuite) -> CommitmentPolicy:
    """Return the policy that lets ``suite`` be written, and read again."""
    if suite.committing:
        return CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
    return CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT


def client_for(suite: AlgorithmSuite, **options: Any) -> Client:
    """Return a client whose messages of one suite all have the same data key and message id."""
    return Client(
        StaticDataKeyring(some_data_key(suite)),
        algorithm_suite=suite,
        commitment_policy=writing_policy(suite),
        random=lambda _count: some_message_id(suite),
        **options,
    )


def pushed(encryptor: MessageEncryptor, chunks: Iterable[bytes], last: bytes = b"") -> bytes:
    """Return the message that comes of pushing ``chunks`` and finishing with ``last``."""
    return b"".join([encryptor.start(), *(encryptor.update(chunk) for chunk in chunks), encryptor.finish(last)])


def encryptor_for(
    suite: AlgorithmSuite, frame_length: int, *, context: Mapping[str, str] | None = None, length: int | None = None
) -> MessageEncryptor:
    client = client_for(suite, frame_length=frame_length)
    return client.encryptor(encryption_context=context or {"purpose": "test"}, plaintext_length=length)
