"""Which KMS keys a store of branch keys may use (framework/branch-key-store.md, "AWS KMS configuration")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.kms.arn import KmsArn

__all__ = ["KmsDiscovery", "KmsKeyArn", "KmsKeyConfiguration", "KmsMrkArn", "KmsMrkDiscovery"]


@dataclass(frozen=True, slots=True)
class KmsKeyArn:
    """One KMS key, and no other.

    Attributes:
        arn: the key's ARN, not an alias.
    """

    arn: str

    def __post_init__(self) -> None:
        _key_arn(self.arn)

    def key_to_create_with(self) -> str:
        """Return the key that new branch keys are wrapped under."""
        return self.arn

    def key_for(self, recorded: str) -> str:
        """Return the key to ask the KMS for, given the one that a record names.

        Raises:
            KeyringError: the record names another key.
        """
        if recorded != self.arn:
            raise _another(recorded, self.arn)
        return self.arn


@dataclass(frozen=True, slots=True)
class KmsMrkArn:
    """One multi-Region key: any of its replicas may stand in records, this one is asked.

    Attributes:
        arn: the ARN of the replica to use, not an alias. A key of one Region is used as by :class:`KmsKeyArn`.
    """

    arn: str

    def __post_init__(self) -> None:
        _key_arn(self.arn)

    def key_to_create_with(self) -> str:
        """Return the key that new branch keys are wrapped under."""
        return self.arn

    def key_for(self, recorded: str) -> str:
        """Return the key to ask the KMS for, given the one that a record names.

        Raises:
            KeyringError: the record names a key that is no replica of this one.
        """
        if recorded != self.arn and _in_region(recorded, _key_arn(self.arn).region) != self.arn:
            raise _another(recorded, self.arn)
        return self.arn


@dataclass(frozen=True, slots=True)
class KmsDiscovery:
    """Whichever key a record names. Branch keys are read, not created or versioned.

    Whoever can write to the table then chooses the key, and may put in branch keys of their own: name the key with
    :class:`KmsKeyArn` unless nobody but you can write there.
    """

    def key_to_create_with(self) -> str:
        """Refuse.

        Raises:
            UsageError: always.
        """
        raise UsageError(_READS_ONLY)

    def key_for(self, recorded: str) -> str:
        """Return the key that a record names.

        Raises:
            KeyringError: it is not named by a key ARN.
        """
        return str(_recorded_arn(recorded))


@dataclass(frozen=True, slots=True)
class KmsMrkDiscovery:
    """Whichever key a record names, multi-Region keys in one Region. Branch keys are read, not created or versioned.

    Attributes:
        region: the Region in which multi-Region keys are asked for, for instance ``eu-west-1``.
    """

    region: str

    def __post_init__(self) -> None:
        if not isinstance(self.region, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a Region is text, not {type(self.region).__name__}")
        if not self.region or ":" in self.region:
            raise UsageError(f"not a Region: {self.region!r}")

    def key_to_create_with(self) -> str:
        """Refuse.

        Raises:
            UsageError: always.
        """
        raise UsageError(_READS_ONLY)

    def key_for(self, recorded: str) -> str:
        """Return the key that a record names, in this Region where it is a multi-Region key.

        Raises:
            KeyringError: it is not named by a key ARN.
        """
        return _in_region(recorded, self.region)


KmsKeyConfiguration = KmsKeyArn | KmsMrkArn | KmsDiscovery | KmsMrkDiscovery
"""The four ways to say which KMS keys may be used."""

_READS_ONLY: Final = (
    "a store that discovers its KMS keys only reads branch keys: to create or version one, make it with KmsKeyArn or "
    "KmsMrkArn"
)


def _key_arn(text: str) -> KmsArn:
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a key ARN is text, not {type(text).__name__}")
    arn = KmsArn.parse(text)
    if arn.resource_type != "key":
        raise UsageError(f"branch keys are wrapped under a key named by its ARN, not by an alias: {text!r}")
    return arn


def _recorded_arn(text: str) -> KmsArn:
    try:
        return _key_arn(text)
    except UsageError as error:
        raise KeyringError(f"the branch key's record names its KMS key wrongly: {error}") from None


def _in_region(recorded: str, region: str) -> str:
    arn = _recorded_arn(recorded)
    return str(arn.in_region(region) if arn.is_multi_region else arn)


def _another(recorded: str, configured: str) -> KeyringError:
    return KeyringError(
        f"the branch key is wrapped under the KMS key {recorded!r}, and this store is configured for {configured!r}"
    )
