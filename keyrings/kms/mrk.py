"""Keyrings that know multi-Region keys: any replica opens what another wrapped, in a Region near by.

They follow framework/aws-kms/aws-kms-mrk-keyring.md and aws-kms-mrk-discovery-keyring.md. With single-Region keys they
do what their plain counterparts do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.kms.answers import named_key
from envelope_sdk.keyrings.kms.api import KmsApi
from envelope_sdk.keyrings.kms.arn import check_arn_part, check_key_identifier, matches_for_decrypt
from envelope_sdk.keyrings.kms.clients import region_of_client
from envelope_sdk.keyrings.kms.data_keys import KmsDataKeys
from envelope_sdk.keyrings.kms.discovery import ONLY_DECRYPTS, DiscoveryFilter, check_filter, shown_filter
from envelope_sdk.keyrings.kms.symmetric import name_in_messages, why_nothing_matches
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials

__all__ = ["KmsMrkDiscoveryKeyring", "KmsMrkKeyring"]


class KmsMrkKeyring:
    """Like :class:`~envelope_sdk.keyrings.KmsKeyring`; also opens what replicas of its key in other Regions wrapped.

    KMS is always asked for the configured key, so that the call stays in its Region.
    """

    __slots__ = ("_data_keys", "_key_id", "_name_in_messages")

    def __init__(self, kms: KmsApi, key_id: str, *, grant_tokens: Iterable[str] = ()) -> None:
        """Take a client and the key it is to use.

        Args:
            kms: ``boto3.client("kms")``, a :class:`~envelope_sdk.local_kms.LocalKms`, or anything with their methods,
                for the Region of the key.
            key_id: a key ARN, of a multi-Region key or of any other; to encrypt only, also an alias ARN, ``alias/NAME``
                or a key id.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

        Raises:
            UsageError: the identifier cannot name a key, or there are too many grant tokens.
            TypeError: the identifier is not text, the grant tokens are one text, or the client cannot be one.
        """
        self._key_id = check_key_identifier(key_id)
        self._name_in_messages = name_in_messages(key_id)
        self._data_keys = KmsDataKeys(kms, grant_tokens)

    def __repr__(self) -> str:
        return f"KmsMrkKeyring({self._key_id!r})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        """Have KMS make the data key, or wrap the one that is there.

        Raises:
            KmsError: KMS refused or failed, or answered with something that is not what was asked for.
        """
        return self._data_keys.generate_or_wrap(self._key_id, materials)

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have KMS unwrap the first data key that names this keyring's key or a replica of it.

        Raises:
            NoMatchingKeyError: none does, or KMS opened none of those that do; the failures hold KMS's answers.
        """
        # Materials that hold a data key are refused, as framework/keyring-interface.md says and every other keyring
        # does; aws-kms-mrk-keyring.md alone would return them.
        return self._data_keys.unwrap_first(
            self, materials, encrypted_data_keys, self._choose, otherwise=why_nothing_matches(self._key_id)
        )

    def _choose(self, provider_info: bytes) -> str | None:
        if provider_info == self._name_in_messages:
            return self._key_id
        return self._key_id if matches_for_decrypt(self._key_id, str(named_key(provider_info))) else None


class KmsMrkDiscoveryKeyring:
    """Asks KMS in one Region to unwrap data keys with the keys that messages name; it wraps none.

    Multi-Region keys are asked for by the name of their replica in this Region, other keys only if they are in it.
    Whoever makes a message decides which keys this keyring asks for: give a filter, unless messages come from trusted
    places.
    """

    __slots__ = ("_data_keys", "_filter", "_region")

    def __init__(
        self,
        kms: KmsApi,
        region: str,
        *,
        discovery_filter: DiscoveryFilter | None = None,
        grant_tokens: Iterable[str] = (),
    ) -> None:
        """Take a client and its Region.

        Args:
            kms: ``boto3.client("kms")``, a :class:`~envelope_sdk.local_kms.LocalKms`, or anything with their methods.
            region: the Region that the client asks.
            discovery_filter: whose keys to ask for; left out, keys of every account.
            grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

        Raises:
            UsageError: the client is known to ask another Region, the Region can be none, or there are too many grant
                tokens.
            TypeError: the Region is not text, the client or the filter cannot be one, or the grant tokens are one text.
        """
        self._region = check_arn_part("Region", region)
        self._data_keys = KmsDataKeys(kms, grant_tokens)
        self._filter = check_filter(discovery_filter)
        asked = region_of_client(kms)
        if asked not in (None, region):
            raise UsageError(f"the Region given is {region!r}, but the KMS client asks {asked!r}: they have to be one")

    def __repr__(self) -> str:
        shown = shown_filter(self._filter)
        return f"KmsMrkDiscoveryKeyring({self._region!r}{', ' if shown else ''}{shown})"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:  # noqa: ARG002
        """Fail: no key is configured to wrap with.

        Raises:
            KeyringError: always.
        """
        raise KeyringError(ONLY_DECRYPTS)

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have KMS unwrap the first data key that it can, each with the key it names, or its replica in this Region.

        Raises:
            NoMatchingKeyError: KMS opened none, or none is within its reach; the failures hold KMS's answers.
        """
        return self._data_keys.unwrap_first(
            self,
            materials,
            encrypted_data_keys,
            self._choose,
            otherwise="none of the message's data keys is wrapped for a KMS key that this keyring may ask for: "
            f"one in {self._region}, or a multi-Region key",
            tell_key=True,
        )

    def _choose(self, provider_info: bytes) -> str | None:
        key = named_key(provider_info)
        if self._filter is not None and not self._filter.allows(key):
            return None
        if key.is_multi_region:
            return str(key.in_region(self._region))
        return str(key) if key.region == self._region else None
