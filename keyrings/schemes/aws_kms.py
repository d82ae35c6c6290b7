"""Keyrings over symmetric keys of AWS KMS, with clients of boto3."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.kms.api import KmsApi
from envelope_sdk.keyrings.kms.arn import KmsArn, check_key_identifier
from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
from envelope_sdk.keyrings.multi import MultiKeyring
from envelope_sdk.keyrings.schemes import LocalKmsDoor
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

__all__ = ["client_in", "discovery_keyring", "keyring", "mrk_discovery_keyring", "mrk_keyring", "region_of"]


def keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of one key, with a client in its Region.

    Raises:
        UsageError: the identifier cannot name a key, or its ARN names another Region than ``region=``; or boto3 finds
            no Region, profile or address to use.
    """
    key_id = check_key_identifier(uri.rest)
    return KmsKeyring(client_in(uri, region_of(uri)), key_id, grant_tokens=uri.every("grant-token"))


def discovery_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return a keyring that opens with any key: of the Regions that ``uri`` names, or of those that messages name."""
    options: dict[str, Any] = {"discovery_filter": _filter(uri), "grant_tokens": uri.every("grant-token")}
    regions = uri.every("region")
    if not regions:
        from envelope_sdk.keyrings.kms.any_region import KmsAnyRegionKeyring

        return KmsAnyRegionKeyring(lambda region: client_in(uri, region), **options)
    if len(set(regions)) < len(regions):
        raise UsageError(f"{uri.scheme}:// names a Region twice")
    kind = _public("KmsDiscoveryKeyring")
    keyrings: list[Keyring] = [kind(client_in(uri, region), **options) for region in regions]
    return keyrings[0] if len(keyrings) == 1 else MultiKeyring(children=keyrings)


def mrk_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return the keyring of one multi-Region key, in the Region that its ARN names.

    Raises:
        UsageError: as :func:`keyring`.
    """
    key_id = check_key_identifier(uri.rest)
    made: Keyring = _public("KmsMrkKeyring")(
        client_in(uri, region_of(uri)), key_id, grant_tokens=uri.every("grant-token")
    )
    return made


def mrk_discovery_keyring(uri: KeyringUri, _door: LocalKmsDoor) -> Keyring:
    """Return a keyring that opens with any key of one Region, or any replica there of another Region's key."""
    made: Keyring = _public("KmsMrkDiscoveryKeyring")(
        client_in(uri, uri.rest),
        uri.rest,
        discovery_filter=_filter(uri),
        grant_tokens=uri.every("grant-token"),
    )
    return made


def region_of(uri: KeyringUri) -> str | None:
    """Return the Region that the key's ARN names, or else the parameter ``region=``.

    Raises:
        UsageError: both do, and differ.
    """
    named = uri.one("region")
    if not uri.rest.startswith("arn:"):
        return named
    region = KmsArn.parse(uri.rest).region
    if named not in (None, region):
        raise UsageError(f"the key's ARN names the Region {region}, and region={named} another: leave that out")
    return region


def client_in(uri: KeyringUri, region: str | None) -> Any:
    """Return boto3's KMS client for the profile and address that ``uri`` names.

    Raises:
        UsageError: boto3 finds no Region, profile or address to use.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    profile = uri.one("profile")
    try:
        session: Any = boto3 if profile is None else boto3.Session(profile_name=profile)
        client: KmsApi = session.client("kms", region_name=region, endpoint_url=uri.one("endpoint-url"))
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"AWS cannot be used: {error}") from error
    return client


def _filter(uri: KeyringUri) -> Any:
    partition, accounts = uri.one("partition"), uri.every("account")
    if (partition is None) != (not accounts):
        raise UsageError(f"partition= and account= of {uri.scheme}:// go together")
    return None if partition is None else _public("DiscoveryFilter")(partition, accounts)


def _public(name: str) -> Any:
    return getattr(import_module("envelope_sdk.keyrings"), name)
