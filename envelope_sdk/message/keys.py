"""From a data key to a message key, and the commitment to it (framework/algorithm-suites.md, "HKDF")."""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import CommitmentError, KeyringError
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.primitives.aead import MessageCipher
from envelope_sdk.primitives.kdf import InvalidKey, hkdf, hkdf_and_verify, hkdf_twice

__all__ = ["found_message_key", "new_message_key"]

_DERIVE_LABEL: Final = b"DERIVEKEY"
_COMMIT_LABEL: Final = b"COMMITKEY"

# The commitment's label carries no suite id, so that one data key has one commitment a message id.
_MESSAGE_KEYS: Final = {suite.id_bytes: (suite.id_bytes + _DERIVE_LABEL, suite.key_length) for suite in AlgorithmSuite}


def new_message_key(
    suite: AlgorithmSuite, plaintext_data_key: bytes | None, message_id: bytes
) -> tuple[MessageCipher, bytes]:
    """Return the cipher of a message to be written and its commitment: 32 bytes; empty where the suite has none.

    Raises:
        KeyringError: the data key is missing or has a length that is not the suite's: a faulty keyring or manager.
    """
    if plaintext_data_key is None or len(plaintext_data_key) != suite.key_length:
        raise _unusable(suite, plaintext_data_key)
    if suite.committing:
        assert suite.kdf_hash is not None
        committed = _COMMIT_LABEL, suite.suite_data_length
        key, commitment = hkdf_twice(
            suite.kdf_hash, message_id, plaintext_data_key, _MESSAGE_KEYS[suite.id_bytes], committed
        )
        return MessageCipher(key), commitment
    return MessageCipher(_uncommitted(suite, plaintext_data_key, message_id)), b""


def found_message_key(
    suite: AlgorithmSuite, plaintext_data_key: bytes | None, message_id: bytes, commitment: bytes
) -> MessageCipher:
    """Return the cipher of a message that was read.

    Args:
        suite: the message's.
        plaintext_data_key: as unwrapped.
        message_id: the message's.
        commitment: what its header holds; without meaning where the suite does not commit.

    Raises:
        CommitmentError: the header commits to another data key.
        KeyringError: as for :func:`new_message_key`.
    """
    if plaintext_data_key is None or len(plaintext_data_key) != suite.key_length:
        raise _unusable(suite, plaintext_data_key)
    if not suite.committing:
        return MessageCipher(_uncommitted(suite, plaintext_data_key, message_id))
    assert suite.kdf_hash is not None
    # As many bytes would be compared as are given.
    if len(commitment) != suite.suite_data_length:
        raise _another_data_key()
    committed = _COMMIT_LABEL, commitment
    try:
        return MessageCipher(
            hkdf_and_verify(suite.kdf_hash, message_id, plaintext_data_key, _MESSAGE_KEYS[suite.id_bytes], committed)
        )
    except InvalidKey:
        raise _another_data_key() from None


def _another_data_key() -> CommitmentError:
    return CommitmentError(
        "the message commits to another data key than the one unwrapped: it was altered, or crafted to open to "
        "different plaintexts under different keys",
        section="header",
    )


def _uncommitted(suite: AlgorithmSuite, data_key: bytes, message_id: bytes) -> bytes:
    if suite.kdf_hash is None:
        return data_key
    return hkdf(suite.kdf_hash, None, data_key, suite.id_bytes + message_id, suite.key_length)


def _unusable(suite: AlgorithmSuite, plaintext_data_key: bytes | None) -> KeyringError:
    found = "no data key" if plaintext_data_key is None else f"a data key of {len(plaintext_data_key)} bytes"
    return KeyringError(f"the materials hold {found} where {suite.name} needs {suite.key_length} bytes")
