"""Client-side envelope encryption in the AWS Encryption SDK message format, with a local KMS in the box.

>>> import os, envelope_sdk
>>> from envelope_sdk.keyrings import RawAesKeyring
>>> client = envelope_sdk.Client(RawAesKeyring("example", "key-1", os.urandom(32)))
>>> message = client.encrypt(b"attack at dawn", encryption_context={"purpose": "demo"})
>>> client.decrypt(message.ciphertext).plaintext
b'attack at dawn'

What is named here is the public interface, with :mod:`envelope_sdk.keyrings`, :mod:`envelope_sdk.managers`,
:mod:`envelope_sdk.local_kms`, :mod:`envelope_sdk.materials` (the contracts for keyrings and managers of one's own) and
:mod:`envelope_sdk.errors`. Everything else may change.
"""

from __future__ import annotations

from envelope_sdk.client import Client, DecryptResult, EncryptResult
from envelope_sdk.errors import EnvelopeError
from envelope_sdk.formats import AlgorithmSuite, EncryptedDataKey, EncryptionContext
from envelope_sdk.message.authenticated import Header
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.streams import open  # noqa: A004 - the name that gzip and its like use

__all__ = [
    "AlgorithmSuite",
    "Client",
    "CommitmentPolicy",
    "DecryptResult",
    "EncryptResult",
    "EncryptedDataKey",
    "EncryptionContext",
    "EnvelopeError",
    "Header",
    "Limits",
    "open",
]
