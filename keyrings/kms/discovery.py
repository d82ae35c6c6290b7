"""Unwrapping with whatever KMS key a message names (framework/aws-kms/aws-kms-discovery-keyring.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.kms.answers import named_key
from envelope_sdk.keyrings.kms.api import KmsApi
from envelope_sdk.keyrings.kms.arn import KmsArn, check_arn_part
from envelope_sdk.keyrings.kms.data_keys import KmsDataKeys
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

__all__ = ["ONLY_DECRYPTS", "DiscoveryFilter", "KmsDiscoveryKeyring", "check_filter", "shown_filter"]

ONLY_DECRYPTS = "a discovery keyring only decrypts: to encrypt, name a key with KmsKeyring or KmsMrkKeyring"
"""What the discovery keyrings say where they are asked to wrap."""


class DiscoveryFilter:
    """Whose KMS keys may be asked to open a message: those of some accounts in one partition."""

    __slots__ = ("_accounts", "_partition")

    def __init__(self, partition: str, accounts: Iterable[str]) -> None:
        """Take the partition and the accounts.

        Args:
            partition: ``aws``, ``aws-cn``, ``aws-us-gov``, ...
            accounts: at least one account id, twelve digits each as a rule.

        Raises:
            UsageError: there is no account, or one of these can be no part of an ARN.
            TypeError: one of these is not text, or the accounts are one text.
        """
        if isinstance(accounts, str):
            raise TypeError("accounts is a collection of account ids, not one text")
        self._partition = check_arn_part("partition", partition)
        self._accounts = frozenset(check_arn_part("account", account) for account in accounts)
        if not self._accounts:
            raise UsageError("a discovery filter needs an account; without a filter, keys of every account are tried")

    @property
    def partition(self) -> str:
        """The partition."""
        return self._partition

    @property
    def accounts(self) -> frozenset[str]:
        """The accounts."""
        return self._accounts

    def allows(self, key: KmsArn) -> bool:
        """Return whether the key is of this partition and of one of these accounts."""
        return key.partition == self._partition and key.account in self._accounts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DiscoveryFilter):
            return NotImplemented
        return (self._partition, self._accounts) == (other._partition, other._accounts)

    def __hash__(self) -> int:
        return hash((self._partition, self._accounts))

    def __repr__(self) -> str:
        return f"DiscoveryFilter({self._partition!r}, {sorted(self._accounts)!r})"


class KmsDiscoveryKeyring:
    """Asks KMS to unwrap data keys with the keys that messages name; it wraps none.

    Whoever makes a message decides which keys this keyring asks for: give a filter, unless messages come from trusted
    places. The client asks the one Region that it is made for, whatever Region a message names.
    """

    __slots__ = ("_data_keys", "_filter")

    def __init__(
        self, kms: KmsApi, *, discovery_filter: DiscoveryFilter | None = None, grant_tokens: Iterable[str] = ()
    ) -> None:
        """Take a client.

        Args:
            kms: ``boto3.client("kms")``, a :class:`~envelope_sdk.local_kms.LocalKms`, or anything with their methods.
            discovery_filter: whose keys to ask for; left out, keys of every account.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

        Raises:
            UsageError: there are too many grant tokens, or one of a wrong length.
            TypeError: the client or the filter cannot be one, or the grant tokens are one text.
        """
        self._data_keys = KmsDataKeys(kms, grant_tokens)
        self._filter = check_filter(discovery_filter)

    def __repr__(self) -> str:
        return f"KmsDiscoveryKeyring({shown_filter(self._filter)})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:  # noqa: ARG002
        """Fail: no key is configured to wrap with.

        Raises:
            KeyringError: always.
        """
        raise KeyringError(ONLY_DECRYPTS)

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have KMS unwrap the first data key that it can, each with the key it names.

        Raises:
            NoMatchingKeyError: KMS opened none, or none is of an allowed account; the failures hold KMS's answers.
        """
        return self._data_keys.unwrap_first(
            self,
            materials,
            encrypted_data_keys,
            self._choose,
            otherwise="none of the message's data keys is wrapped for a KMS key that this keyring may ask for",
            tell_key=True,
        )

    def _choose(self, provider_info: bytes) -> str | None:
        key = named_key(provider_info)
        return str(key) if self._filter is None or self._filter.allows(key) else None


def check_filter(discovery_filter: DiscoveryFilter | None) -> DiscoveryFilter | None:
    """Return the filter; raise :class:`TypeError` where it is something else, which would filter nothing."""
    if not isinstance(discovery_filter, DiscoveryFilter | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a discovery filter is a DiscoveryFilter, not {type(discovery_filter).__name__}")
    return discovery_filter


def shown_filter(discovery_filter: DiscoveryFilter | None) -> str:
    """Return how a keyring's repr shows its filter."""
    return "" if discovery_filter is None else f"discovery_filter={discovery_filter!r}"
