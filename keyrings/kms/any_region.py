"""Unwrapping with whatever KMS key a message names, in the Region that it names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envelope_sdk.errors import EnvelopeError, KeyringError, KmsPacingError, NoMatchingKeyError, UnwrapFailure
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import NOTHING_OPENS, require_no_data_key
from envelope_sdk.keyrings.kms.answers import named_key
from envelope_sdk.keyrings.kms.api import KmsApi, checked_grant_tokens
from envelope_sdk.keyrings.kms.clients import ClientSupplier, supplied_client
from envelope_sdk.keyrings.kms.data_keys import PROVIDER_ID
from envelope_sdk.keyrings.kms.discovery import (
    ONLY_DECRYPTS,
    DiscoveryFilter,
    KmsDiscoveryKeyring,
    check_filter,
    shown_filter,
)
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

__all__ = ["KmsAnyRegionDiscoveryKeyring"]


class KmsAnyRegionDiscoveryKeyring:
    """A discovery keyring that asks in each Region that a message names a key of; it wraps none.

    Whoever makes a message decides which keys and Regions this keyring asks: give a filter, or a supplier of few
    Regions, unless messages come from trusted places.
    """

    __slots__ = ("_clients", "_filter", "_grant_tokens", "_supplier")

    def __init__(
        self,
        client_supplier: ClientSupplier,
        *,
        discovery_filter: DiscoveryFilter | None = None,
        grant_tokens: Iterable[str] = (),
    ) -> None:
        """Take what makes clients.

        Args:
            client_supplier: takes a Region and returns its client; asked when a message names the Region, and again
                until a key there has opened one. So it need not keep clients, and better does not: messages may name
                any number of Regions.
            discovery_filter: whose keys to ask for; left out, keys of every account.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

        Raises:
            UsageError: there are too many grant tokens, or one of a wrong length.
            TypeError: the filter cannot be one, or the grant tokens are one text.
        """
        self._supplier = client_supplier
        self._filter = check_filter(discovery_filter)
        self._grant_tokens = checked_grant_tokens(grant_tokens)
        self._clients: dict[str, KmsApi] = {}

    def __repr__(self) -> str:
        return f"KmsAnyRegionDiscoveryKeyring({shown_filter(self._filter)})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:  # noqa: ARG002 - the contract's
        """Fail: no key is configured to wrap with.

        Raises:
            KeyringError: always.
        """
        raise KeyringError(ONLY_DECRYPTS)

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have KMS unwrap the first data key that it can, each with the key it names, where that is.

        Raises:
            NoMatchingKeyError: KMS opened none, or none is of an allowed account; the failures hold KMS's answers.
            KmsPacingError: a pacer let no call through.
        """
        require_no_data_key(materials)
        failures: list[UnwrapFailure] = []
        try:
            for key in encrypted_data_keys:
                if key.provider_id != PROVIDER_ID:
                    continue
                try:
                    named = named_key(key.provider_info)
                    if self._filter is None or self._filter.allows(named):
                        return self._ask_in(named.region, materials, key)
                except NoMatchingKeyError as error:
                    failures += error.failures
                except KmsPacingError:
                    raise
                except EnvelopeError as error:
                    failures.append(UnwrapFailure(repr(self), key.provider_id, error))
            if not failures:
                other = KeyringError("none of the message's data keys is wrapped for a KMS key that may be asked for")
                failures.append(UnwrapFailure(repr(self), None, other))
            raise NoMatchingKeyError(NOTHING_OPENS, failures)
        finally:
            # As in unwrap_first: the errors hold this frame.
            del failures

    def _ask_in(self, region: str, materials: DecryptionMaterials, key: EncryptedDataKey) -> DecryptionMaterials:
        client = self._clients.get(region) or supplied_client(self._supplier, region)
        keyring = KmsDiscoveryKeyring(client, discovery_filter=self._filter, grant_tokens=self._grant_tokens)
        opened = keyring.on_decrypt(materials, [key])
        self._clients[region] = client
        return opened
