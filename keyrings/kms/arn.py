"""AWS KMS key identifiers (framework/aws-kms/aws-kms-key-arn.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from envelope_sdk.errors import UsageError

__all__ = ["KmsArn", "check_key_arn", "check_key_identifier"]


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

    def same_multi_region_key(self, other: KmsArn) -> bool:
        """Return whether both are keys of one multi-Region key, in whatever Regions (aws-kms-mrk-match-for-decrypt)."""
        return (
            self.resource_type == "key"
            and self.resource_id.startswith("mrk-")
            and replace(self, region=other.region) == other
        )

    def __str__(self) -> str:
        return f"arn:{self.partition}:kms:{self.region}:{self.account}:{self.resource_type}/{self.resource_id}"


def check_key_identifier(text: str) -> str:
    """Return ``text`` if it can name a KMS key: a key ARN, an alias ARN, ``alias/NAME`` or a key id.

    Raises:
        UsageError: it is empty or not ASCII, or begins like an ARN and is not one.
        TypeError: it is not text.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - the commonest: arguments swapped
        raise TypeError(f"a KMS key identifier is text, not {type(text).__name__}")
    if not text:
        raise UsageError("the KMS key identifier is empty")
    if not text.isascii():
        raise UsageError(f"a KMS key identifier is ASCII text: {text!r}")
    if text.startswith("arn:"):
        KmsArn.parse(text)
    elif text == "alias/":
        raise UsageError("the KMS alias has no name after 'alias/'")
    return text


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
