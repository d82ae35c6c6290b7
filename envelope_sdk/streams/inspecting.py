"""Looking at a message without any key, its signature included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from envelope_sdk.errors import SignatureError
from envelope_sdk.formats.context import PUBLIC_KEY_FIELD
from envelope_sdk.formats.outline import MessageOutline, OutlineReader
from envelope_sdk.policy import Limits
from envelope_sdk.primitives.digest import MessageDigest
from envelope_sdk.primitives.signing import VerificationKey
from envelope_sdk.streams.contract import CHUNK

__all__ = ["Inspection", "inspect_message"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What can be known of a message without its data key.

    Attributes:
        outline: its header and how it is cut.
        signature_error: what is wrong with its signature; ``None`` where it holds, or there is none to check. A
            signature that holds shows that the message is as it was when it was signed with the public key it carries;
            only decryption shows that this key is the writer's.
    """

    outline: MessageOutline
    signature_error: SignatureError | None


def inspect_message(source: IO[bytes], limits: Limits | None = None) -> Inspection:
    """Read ``source`` to its end and return what its message claims.

    Raises:
        MessageError: the bytes are not a whole message.
        LimitExceededError: the header goes past ``limits``.
        OSError: ``source`` cannot be read.
    """
    bounds = limits or Limits()
    reader = OutlineReader(
        max_encrypted_data_keys=bounds.max_encrypted_data_keys, max_header_length=bounds.max_header_length
    )
    digest: MessageDigest | None = None
    early = bytearray()
    while chunk := source.read(CHUNK):
        covered = reader.feed(chunk)
        if reader.header is None:
            early += chunk[:covered]
            continue
        signature = reader.header.body.algorithm_suite.signature
        if digest is None and signature is not None:
            digest = MessageDigest(signature)
            digest.update(early)
        if digest is not None:
            digest.update(chunk[:covered])
    outline = reader.finish()
    return Inspection(outline, _signature_error(outline, digest))


def _signature_error(outline: MessageOutline, digest: MessageDigest | None) -> SignatureError | None:
    body = outline.header.body
    algorithm = body.algorithm_suite.signature
    if algorithm is None or digest is None:
        return None
    encoded = body.encryption_context.get(PUBLIC_KEY_FIELD)
    if encoded is None:
        return SignatureError("the message carries no public key", section="header")
    try:
        VerificationKey(algorithm, encoded).verify(outline.signature or b"", digest.finalize())
    except SignatureError as error:
        return error
    return None
