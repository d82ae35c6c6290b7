"""Keyrings over symmetric keys of AWS KMS, with clients of boto3."""

from __future__ import annotations

from typing import Any, Final

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.kms.any_region import KmsAnyRegionDiscoveryKeyring
from envelope_sdk.keyrings.kms.arn import check_key_identifier, region_of
from envelope_sdk.keyrings.kms.clients import Boto3ClientSupplier, ClientSupplier
from envelope_sdk.keyrings.kms.discovery import DiscoveryFilter, KmsDiscoveryKeyring
from envelope_sdk.keyrings.kms.mrk import KmsMrkDiscoveryKeyring, KmsMrkKeyring
from envelope_sdk.keyrings.kms.multi import kms_discovery_multi_keyring
from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
from envelope_sdk.keyrings.schemes.door import LocalKmsDoor
from envelope_sdk.keyrings.schemes.pace import check_pace, paced_supplier, retries_of
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

__all__ = [
    "SYMMETRIC",
    "client_of",
    "clients_of",
    "discovery_keyring",
    "keyring",
    "mrk_discovery_keyring",
    "mrk_keyring",
]

SYMMETRIC: Final = "symmetric"
"""The kind of key that this module's keyrings use."""


def keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of one key, with a client in its Region.

    Raises:
        UsageError: the identifier cannot name a key, or its ARN names another Region than ``region=``; or boto3 finds
            no Region, profile or address to use.
        KmsAccessError: boto3 finds credentials and cannot use them.
    """
    return KmsKeyring(client_of(uri), uri.rest, grant_tokens=uri.every("grant-token"))


def mrk_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of one multi-Region key, with a client in its Region.

    Raises:
        UsageError, KmsAccessError: as :func:`keyring`.
    """
    return KmsMrkKeyring(client_of(uri), uri.rest, grant_tokens=uri.every("grant-token"))


def discovery_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return a keyring that opens with any key: of the Regions that ``uri`` names, or of those that messages name.

    Raises:
        UsageError: a Region stands twice, a filter is half of one, or boto3 finds no profile or address to use.
        KmsAccessError: boto3 finds credentials and cannot use them.
    """
    regions = uri.every("region")
    options: dict[str, Any] = {"discovery_filter": _filter(uri), "grant_tokens": uri.every("grant-token")}
    if not regions:
        check_pace(uri)
        # Each time another: what keeps the clients of all Regions could be made to keep any number.
        return KmsAnyRegionDiscoveryKeyring(lambda region: clients_of(uri)(region), **options)
    clients = clients_of(uri)
    if len(regions) == 1:
        return KmsDiscoveryKeyring(clients(regions[0]), **options)
    return kms_discovery_multi_keyring(regions, client_supplier=clients, **options)


def mrk_discovery_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return a keyring that opens with any key of one Region, or any replica there of another Region's key.

    Raises:
        UsageError, KmsAccessError: as :func:`discovery_keyring`.
    """
    return KmsMrkDiscoveryKeyring(
        clients_of(uri)(uri.rest), uri.rest, discovery_filter=_filter(uri), grant_tokens=uri.every("grant-token")
    )


def client_of(uri: KeyringUri, kind: str = SYMMETRIC) -> Any:
    """Return a client in the Region of the key that ``uri`` names: that of its ARN, of ``region=``, or boto3's own.

    Args:
        uri: of the scheme of one key.
        kind: of the key: AWS counts calls for each kind apart.

    Raises:
        UsageError, KmsAccessError: as :func:`keyring`.
    """
    region, named = region_of(check_key_identifier(uri.rest)), uri.one("region")
    if region and named not in (None, region):
        raise UsageError(f"the key's ARN names the Region {region}, and region={named} another: leave that out")
    return clients_of(uri, kind)(region or named or "")


def clients_of(uri: KeyringUri, kind: str = SYMMETRIC) -> ClientSupplier:
    """Return what makes clients for the profile and the address that ``uri`` names, with its retries, at its pace.

    Raises:
        UsageError: there is no such profile, or the retries or the pace can be none.
    """
    profile, session = uri.one("profile"), None
    if profile is not None:
        import boto3.session
        from botocore.exceptions import BotoCoreError

        try:
            session = boto3.session.Session(profile_name=profile)
        except BotoCoreError as error:
            raise UsageError(f"boto3 cannot use the profile {profile!r}: {error}") from error
    endpoint_url = uri.one("endpoint-url")
    supplier = Boto3ClientSupplier(session, config=retries_of(uri), endpoint_url=endpoint_url)
    return paced_supplier(uri, supplier, kind, profile, endpoint_url)


def _filter(uri: KeyringUri) -> DiscoveryFilter | None:
    partition, accounts = uri.one("partition"), uri.every("account")
    if (partition is None) != (not accounts):
        raise UsageError(f"partition= and account= of {uri.scheme}:// go together")
    return None if partition is None else DiscoveryFilter(partition, accounts)
