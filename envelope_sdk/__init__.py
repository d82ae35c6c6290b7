"""Client-side envelope encryption in the AWS Encryption SDK message format, with a local KMS in the box.

>>> import os, envelope_sdk
>>> from envelope_sdk.keyrings import RawAesKeyring
>>> client = envelope_sdk.Client(RawAesKeyring("example", "key-1", os.urandom(32)))
>>> message = client.encrypt(b"attack at dawn", encryption_context={"purpose": "demo"})
>>> client.decrypt(message.ciphertext).plaintext
b'attack at dawn'

What is named here is the public interface, with :mod:`envelope_sdk.keyrings`, :mod:`envelope_sdk.managers`,
:mod:`envelope_sdk.local_kms`, :mod:`envelope_sdk.materials` (the contracts for keyrings and managers of one's own),
:mod:`envelope_sdk.testing` (suites that check them) and :mod:`envelope_sdk.errors`. Everything else may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from envelope_sdk.client import Client, DecryptResult, EncryptResult
    from envelope_sdk.errors import EnvelopeError
    from envelope_sdk.formats import AlgorithmSuite, EncryptedDataKey, EncryptionContext
    from envelope_sdk.message.authenticated import Header
    from envelope_sdk.policy import CommitmentPolicy, Limits
    from envelope_sdk.streams import open  # noqa: A004 - the name that gzip and its like use
    from envelope_sdk.streams.rotation import Rotation

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
    "Rotation",
    "open",
]

_HOMES: Final = {
    "AlgorithmSuite": "envelope_sdk.formats",
    "Client": "envelope_sdk.client",
    "CommitmentPolicy": "envelope_sdk.policy",
    "DecryptResult": "envelope_sdk.client",
    "EncryptResult": "envelope_sdk.client",
    "EncryptedDataKey": "envelope_sdk.formats",
    "EncryptionContext": "envelope_sdk.formats",
    "EnvelopeError": "envelope_sdk.errors",
    "Header": "envelope_sdk.message.authenticated",
    "Limits": "envelope_sdk.policy",
    "Rotation": "envelope_sdk.streams.rotation",
    "open": "envelope_sdk.streams",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: whoever wants one part does not pay for the others."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
