"""Names of keys and aliases: the four forms AWS takes, and the ARNs it answers with."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Final

from envelope_sdk.errors import UsageError
from envelope_sdk.primitives.entropy import RandomSource

__all__ = [
    "ALIAS_PREFIX",
    "Reference",
    "Scope",
    "is_account",
    "is_key_id",
    "is_region",
    "new_key_id",
    "parse_reference",
]

ALIAS_PREFIX: Final = "alias/"
"""What every alias name begins with."""

_REGION: Final = re.compile(r"([a-z]+-){2,3}\d+", re.ASCII)
_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)
_KEY_ID: Final = re.compile(r"mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_ARN_PARTS: Final = 6


@dataclass(frozen=True, slots=True)
class Scope:
    """The account and Region a key lives in. Two scopes in one store never see each other's keys.

    Attributes:
        account: twelve digits.
        region: for instance ``us-east-1``.
        arn_prefix: what every ARN of this scope begins with, its last colon included.
    """

    account: str
    region: str
    arn_prefix: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` unless account and Region have AWS's form."""
        if not _ACCOUNT.fullmatch(self.account):
            raise UsageError(f"an account is twelve digits, not {self.account!r}")
        if not _REGION.fullmatch(self.region):
            raise UsageError(f"a Region looks like 'us-east-1', not {self.region!r}")
        object.__setattr__(self, "arn_prefix", f"arn:{_partition(self.region)}:kms:{self.region}:{self.account}:")

    @property
    def partition(self) -> str:
        """The group of Regions that this one is in, for instance ``aws``; nothing crosses from one to another."""
        return _partition(self.region)

    def key_arn(self, key_id: str) -> str:
        """Return the ARN of the key ``key_id``."""
        return f"{self.arn_prefix}key/{key_id}"

    def alias_arn(self, name: str) -> str:
        """Return the ARN of the alias ``name``, which begins with ``alias/``."""
        return f"{self.arn_prefix}{name}"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a ``KeyId`` parameter says, taken apart.

    Attributes:
        arn: the whole name as an ARN; for a short form that of the scope asked.
        account, region: where it points.
        alias: whether ``name`` is an alias name (``alias/...``) rather than a key id.
        name: the key id or alias name.
    """

    arn: str
    account: str
    region: str
    alias: bool
    name: str

    @property
    def well_formed(self) -> bool:
        """Whether ``name`` could be the name of a key or alias at all."""
        if self.alias:
            return len(self.name) > len(ALIAS_PREFIX)
        # AWS looks for keys with capital letters in their ids too, and finds none.
        return is_key_id(self.name.lower())


def is_key_id(text: str) -> bool:
    """Return whether a key could have this id: a UUID, or ``mrk-`` and 32 hexadecimal digits."""
    return _KEY_ID.fullmatch(text) is not None


def parse_reference(scope: Scope, text: str) -> Reference | None:
    """Take apart a key id, key ARN, alias name or alias ARN.

    Returns:
        The reference; ``None`` where ``text`` begins like an ARN but is not one of a KMS key or alias.
    """
    if not text.startswith("arn:"):
        alias = text.startswith(ALIAS_PREFIX)
        arn = scope.alias_arn(text) if alias else scope.key_arn(text)
        return Reference(arn, scope.account, scope.region, alias, text)
    parts = text.split(":", _ARN_PARTS - 1)
    if len(parts) != _ARN_PARTS:
        return None
    _, partition, service, region, account, resource = parts
    if service != "kms" or not _REGION.fullmatch(region) or partition != _partition(region):
        return None
    if resource.startswith(ALIAS_PREFIX):
        return Reference(text, account, region, alias=True, name=resource)
    if resource.startswith("key/"):
        return Reference(text, account, region, alias=False, name=resource.removeprefix("key/"))
    return None


def new_key_id(random: RandomSource, *, multi_region: bool) -> str:
    """Return a fresh key id: a UUID, or ``mrk-`` and 32 hexadecimal digits for a multi-Region key."""
    if multi_region:
        return "mrk-" + random(16).hex()
    return str(uuid.UUID(bytes=random(16), version=4))


def is_account(text: str) -> bool:
    """Whether ``text`` has the form of an account's number."""
    return _ACCOUNT.fullmatch(text) is not None


def is_region(text: str) -> bool:
    """Whether ``text`` has the form of a Region's name."""
    return _REGION.fullmatch(text) is not None


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
