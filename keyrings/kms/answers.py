"""What is taken from a KMS's answers, and what is said of answers that cannot be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envelope_sdk.errors import KmsError, UsageError
from envelope_sdk.keyrings.kms.arn import MAX_IDENTIFIER_LENGTH, KmsArn

__all__ = ["bytes_of", "is_key_arn", "key_arn_of", "named_key", "odd_answer"]


def odd_answer(operation: str, found: str) -> KmsError:
    """Return the error for an answer that is not one to what was asked; ``found`` says what came instead."""
    return KmsError(f"KMS {operation} answered with {found}", operation=operation, code="UnexpectedAnswer")


def bytes_of(operation: str, answer: Mapping[str, Any], field: str) -> bytes:
    """Return the bytes under ``field`` of an answer.

    Raises:
        KmsError: there are none.
    """
    value = answer.get(field)
    if not isinstance(value, bytes | bytearray):
        raise odd_answer(operation, f"no {field}")
    return bytes(value)


def key_arn_of(operation: str, answer: Mapping[str, Any]) -> str:
    """Return the ARN of the key that an answer says was used.

    Raises:
        KmsError: it names none, or not by the ARN of a key.
    """
    arn = str(answer.get("KeyId"))
    # Lone surrogates, which JSON can carry, come out as bytes that are not UTF-8.
    if not is_key_arn(arn.encode("utf-8", "surrogatepass")):
        raise odd_answer(operation, f"{arn!r}, which is not a key ARN")
    return arn


def named_key(provider_info: bytes) -> KmsArn:
    """Return the key that a message's data key names.

    Raises:
        UsageError: it names none, or not by the ARN of a key.
    """
    # Whoever made the message chose the name, and errors of the service and of keyrings show it as it stands.
    if len(provider_info) > MAX_IDENTIFIER_LENGTH:
        raise UsageError(
            f"the message names a KMS key by {len(provider_info)} bytes, where at most {MAX_IDENTIFIER_LENGTH} name one"
        )
    try:
        text = provider_info.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the message names a KMS key by bytes that are not UTF-8") from None
    if not text.isprintable():
        raise UsageError(f"the message names a KMS key with characters that cannot be shown: {text!r}")
    arn = KmsArn.parse(text)
    if arn.resource_type != "key":
        raise UsageError(f"the message names a KMS key by an alias: {str(arn)!r}")
    return arn


def is_key_arn(provider_info: bytes) -> bool:
    """Return whether these bytes are the ARN of a key."""
    try:
        named_key(provider_info)
    except UsageError:
        return False
    return True
