"""From a data key to a message key, and the commitment to it (framework/algorithm-suites.md, "HKDF")."""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import CommitmentError, KeyringError
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.primitives.aead import MessageCipher
from envelope_sdk.primitives.commitment import equal_in_constant_time
from envelope_sdk.primitives.kdf import hkdf, hkdf_twice

__all__ = ["check_commitment", "derive_message_key"]

_DERIVE_LABEL: Final = b"DERIVEKEY"
_COMMIT_LABEL: Final = b"COMMITKEY"


def derive_message_key(
    suite: AlgorithmSuite, plaintext_data_key: bytes | None, message_id: bytes
) -> tuple[MessageCipher, bytes]:
    """Return the cipher of one message and its commitment (32 bytes; empty for suites that do not commit).

    Raises:
        KeyringError: the data key is missing or has a length that is not the suite's: a faulty keyring or manager.
    """
    if plaintext_data_key is None or len(plaintext_data_key) != suite.key_length:
        found = "no data key" if plaintext_data_key is None else f"a data key of {len(plaintext_data_key)} bytes"
        raise KeyringError(f"the materials hold {found} where {suite.name} needs {suite.key_length} bytes")
    if suite.kdf_hash is None:
        return MessageCipher(plaintext_data_key), b""
    if suite.committing:
        # The commitment's label carries no suite id, so that one data key has one commitment a message id.
        key, commitment = hkdf_twice(
            suite.kdf_hash,
            message_id,
            plaintext_data_key,
            (suite.id_bytes + _DERIVE_LABEL, suite.key_length),
            (_COMMIT_LABEL, suite.suite_data_length),
        )
        return MessageCipher(key), commitment
    info = suite.id_bytes + message_id
    return MessageCipher(hkdf(suite.kdf_hash, None, plaintext_data_key, info, suite.key_length)), b""


def check_commitment(expected: bytes, found: bytes) -> None:
    """Raise :class:`CommitmentError` unless the commitment derived is the one the header holds."""
    if not equal_in_constant_time(expected, found):
        raise CommitmentError(
            "the message commits to another data key than the one unwrapped: it was altered, or crafted to open to "
            "different plaintexts under different keys",
            section="header",
        )
