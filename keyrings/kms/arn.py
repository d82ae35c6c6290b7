"""AWS KMS key identifiers, and when two of them mean one key.

The rules are those of framework/aws-kms/aws-kms-key-arn.md, aws-kms-mrk-match-for-decrypt.md and
aws-kms-mrk-are-unique.md. An identifier that a caller configures may be a key ARN, an alias ARN, ``alias/NAME`` or a
key id; one that a message names is a key ARN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from envelope_sdk.errors import UsageError

__all__ = [
    "MAX_IDENTIFIER_LENGTH",
    "KmsArn",
    "check_arn_part",
    "check_key_arn",
    "check_key_identifier",
    "check_multi_region_keys_are_unique",
    "is_multi_region",
    "matches_for_decrypt",
    "region_of",
]

MAX_IDENTIFIER_LENGTH: Final = 2048
"""Characters of a key identifier (API_Decrypt, ``KeyId``)."""

_MULTI_REGION_PREFIX: Final = "mrk-"


@dataclass(frozen=True, slots=True)
class KmsArn:
    """A valid AWS KMS ARN, taken apart.

    Attributes:
        partition: for instance ``aws``.
        region: for instance ``eu-west-1``.
        account: twelve digits, as a rule.
        resource_type: ``key`` or ``alias``.
        resource_id: the key id, or the alias without ``alias/``.
    """

    partition: str
    region: str
    account: str
    resource_type: str
    resource_id: str

    @classmethod
    def parse(cls, text: str) -> KmsArn:
        """Take ``text`` apart.

        Raises:
            UsageError: it is not an AWS KMS ARN; the text says which part is wrong.
        """
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or ":" in parts[5]:
            raise UsageError(f"not an ARN, which has six parts and begins with 'arn': {text!r}")
        _, partition, service, region, account, resource = parts
        if service != "kms":
            raise UsageError(f"an ARN of {service!r}, not of 'kms': {text!r}")
        if not (partition and region and account):
            raise UsageError(f"the partition, Region or account is missing in the ARN {text!r}")
        resource_type, _, resource_id = resource.partition("/")
        if resource_type not in ("key", "alias") or not resource_id:
            raise UsageError(f"the ARN names neither key/ID nor alias/NAME: {text!r}")
        return cls(partition, region, account, resource_type, resource_id)

    def __str__(self) -> str:
        return f"arn:{self.partition}:kms:{self.region}:{self.account}:{self.resource_type}/{self.resource_id}"

    @property
    def is_multi_region(self) -> bool:
        """Whether it names a multi-Region key. An alias never does, whatever its name begins with."""
        return self.resource_type == "key" and self.resource_id.startswith(_MULTI_REGION_PREFIX)

    def in_region(self, region: str) -> KmsArn:
        """Return the ARN with another Region, as the replica of a multi-Region key there is named."""
        return replace(self, region=region)


def check_key_identifier(text: str) -> str:
    """Return ``text`` if it can name a KMS key: a key ARN, an alias ARN, ``alias/NAME`` or a key id.

    Raises:
        UsageError: it is empty, not ASCII or too long, holds white space, or is none of these.
        TypeError: it is not text.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - the commonest: arguments swapped
        raise TypeError(f"a KMS key identifier is text, not {type(text).__name__}")
    if not text:
        raise UsageError("the KMS key identifier is empty")
    if not text.isascii():
        raise UsageError(f"a KMS key identifier is ASCII text: {text!r}")
    if len(text) > MAX_IDENTIFIER_LENGTH:
        raise UsageError(f"a KMS key identifier has at most {MAX_IDENTIFIER_LENGTH} characters, not {len(text)}")
    if " " in text or not text.isprintable():
        raise UsageError(f"a KMS key identifier has no white space or control characters: {text!r}")
    if text.startswith("arn:"):
        KmsArn.parse(text)
    elif text == "alias/":
        raise UsageError("the KMS alias has no name after 'alias/'")
    elif text.startswith("key/"):
        raise UsageError(f"a KMS key id stands without 'key/' before it: {text!r}")
    elif "/" in text and not text.startswith("alias/"):
        raise UsageError(f"neither an ARN, nor alias/NAME, nor a KMS key id: {text!r}")
    return text


def check_arn_part(what: str, text: str) -> str:
    """Return ``text`` if it can be the partition, Region or account of an ARN; ``what`` is its name in errors.

    Raises:
        UsageError: it is empty, or holds a colon, white space or a character that cannot be seen.
        TypeError: it is not text.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - accounts as numbers, most often
        raise TypeError(f"the {what} is text, not {type(text).__name__}")
    if not text.strip():
        raise UsageError(f"the {what} is empty")
    if ":" in text or " " in text or not text.isprintable():
        raise UsageError(f"the {what} is one part of an ARN, without colons, white space and the like: {text!r}")
    return text


def region_of(identifier: str) -> str:
    """Return the Region that a valid key identifier names; the empty text where it names none, as only ARNs do."""
    return KmsArn.parse(identifier).region if identifier.startswith("arn:") else ""


def is_multi_region(identifier: str) -> bool:
    """Return whether a valid key identifier names a multi-Region key by its ARN or id; aliases never tell."""
    if identifier.startswith("arn:"):
        return KmsArn.parse(identifier).is_multi_region
    return identifier.startswith(_MULTI_REGION_PREFIX)


def matches_for_decrypt(configured: str, named: str) -> bool:
    """Return whether the key ``configured`` may open what the key ``named`` in a message wrapped.

    The two are equal, or ARNs of multi-Region keys that differ in nothing but the Region. A bare id is not enough: it
    says neither account nor partition.
    """
    if configured == named:
        return True
    if not (configured.startswith("arn:") and named.startswith("arn:")):
        return False
    ours, theirs = KmsArn.parse(configured), KmsArn.parse(named)
    return ours.is_multi_region and theirs.is_multi_region and ours.in_region(theirs.region) == theirs


def check_multi_region_keys_are_unique(identifiers: Sequence[str]) -> None:
    """Raise where one multi-Region key is named more than once, in several Regions or in one.

    Raises:
        UsageError: it is; the text has every identifier concerned.
    """
    related = [(identifier, _resource_id(identifier)) for identifier in identifiers if is_multi_region(identifier)]
    count = Counter(resource_id for _, resource_id in related)
    repeated = [identifier for identifier, resource_id in related if count[resource_id] > 1]
    if repeated:
        raise UsageError(
            "each multi-Region key is given once, in the Region that is to be asked; these name the same: "
            + ", ".join(repeated)
        )


def _resource_id(identifier: str) -> str:
    return KmsArn.parse(identifier).resource_id if identifier.startswith("arn:") else identifier


def check_key_arn(text: str) -> str:
    """Return ``text`` if it is the ARN of a key, which cannot come to mean another as an alias can.

    Raises:
        UsageError: it is not.
        TypeError: it is not text.
    """
    check_key_identifier(text)
    if not text.startswith("arn:") or KmsArn.parse(text).resource_type != "key":
        raise UsageError(f"this keyring needs the ARN of a key, arn:...:key/ID, not {text!r}")
    return text
