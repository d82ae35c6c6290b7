"""One keyring over several KMS keys or Regions, each with the client of its Region.

The builders follow framework/aws-kms/aws-kms-multi-keyrings.md and aws-kms-mrk-multi-keyrings.md. All of them check
what they were given before they ask for a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.kms.api import KmsApi, checked_grant_tokens
from envelope_sdk.keyrings.kms.arn import check_key_identifier, check_multi_region_keys_are_unique, region_of
from envelope_sdk.keyrings.kms.clients import Boto3ClientSupplier, ClientSupplier, checked_regions, supplied_client
from envelope_sdk.keyrings.kms.discovery import DiscoveryFilter, KmsDiscoveryKeyring, check_filter
from envelope_sdk.keyrings.kms.mrk import KmsMrkDiscoveryKeyring, KmsMrkKeyring
from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
from envelope_sdk.keyrings.multi import MultiKeyring
from envelope_sdk.materials import Keyring

__all__ = [
    "kms_discovery_multi_keyring",
    "kms_mrk_discovery_multi_keyring",
    "kms_mrk_multi_keyring",
    "kms_multi_keyring",
]


def kms_multi_keyring(
    generator: str | None,
    key_ids: Iterable[str] = (),
    *,
    client_supplier: ClientSupplier | None = None,
    grant_tokens: Iterable[str] = (),
) -> MultiKeyring:
    """Return a keyring that wraps under each of several KMS keys and unwraps with any of them.

    Args:
        generator: the key that makes data keys: a key ARN; to encrypt only, also an alias ARN, ``alias/NAME`` or a key
            id. With ``None``, the keyring opens messages, and wraps data keys that another keyring made.
        key_ids: the other keys, likewise.
        client_supplier: takes a Region and returns its client. It is asked for the Region of each ARN, and with the
            empty text, which stands for the default Region, for aliases and ids. Left out, boto3 makes the clients.
        grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

    Raises:
        UsageError: there is no key, an identifier cannot name one, or there is no client for its Region.
        KmsError: boto3 makes no client for want of credentials: see :class:`Boto3ClientSupplier`.
        TypeError: an identifier is not text, or the key ids or grant tokens are one text.
    """
    return _over_keys(KmsKeyring, *_checked_keys(generator, key_ids), client_supplier, grant_tokens)


def kms_mrk_multi_keyring(
    generator: str | None,
    key_ids: Iterable[str] = (),
    *,
    client_supplier: ClientSupplier | None = None,
    grant_tokens: Iterable[str] = (),
) -> MultiKeyring:
    """Return a keyring like that of :func:`kms_multi_keyring` that also opens what replicas of its keys wrapped.

    Args:
        generator: as there.
        key_ids: as there; each multi-Region key once, in the Region that is to be asked.
        client_supplier: as there.
        grant_tokens: as there.

    Raises:
        UsageError: as there; or one multi-Region key is named twice.
        KmsError: as there.
        TypeError: as there.
    """
    first, others = _checked_keys(generator, key_ids)
    check_multi_region_keys_are_unique(others if first is None else (first, *others))
    return _over_keys(KmsMrkKeyring, first, others, client_supplier, grant_tokens)


def kms_discovery_multi_keyring(
    regions: Iterable[str],
    *,
    discovery_filter: DiscoveryFilter | None = None,
    client_supplier: ClientSupplier | None = None,
    grant_tokens: Iterable[str] = (),
) -> MultiKeyring:
    """Return a keyring that asks several Regions, in turn, for whatever key a message names; it wraps none.

    Each Region is asked for each data key, whichever Region that names: :func:`kms_mrk_discovery_multi_keyring` asks
    less.

    Args:
        regions: where to ask, in this order.
        discovery_filter: whose keys to ask for; left out, keys of every account.
        client_supplier: takes a Region and returns its client. Left out, boto3 makes the clients.
        grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

    Raises:
        UsageError: there is no Region, one can be none or is given twice, or there is no client for it.
        KmsError: boto3 makes no client for want of credentials: see :class:`Boto3ClientSupplier`.
        TypeError: a Region is not text, or the Regions or grant tokens are one text.
    """

    def keyring(kms: KmsApi, _region: str, tokens: Iterable[str]) -> KmsDiscoveryKeyring:
        return KmsDiscoveryKeyring(kms, discovery_filter=discovery_filter, grant_tokens=tokens)

    check_filter(discovery_filter)
    return _over_regions(keyring, checked_regions(regions), client_supplier, grant_tokens)


def kms_mrk_discovery_multi_keyring(
    regions: Iterable[str],
    *,
    discovery_filter: DiscoveryFilter | None = None,
    client_supplier: ClientSupplier | None = None,
    grant_tokens: Iterable[str] = (),
) -> MultiKeyring:
    """Return a keyring that asks several Regions, in turn, for the keys that a message names there; it wraps none.

    A multi-Region key is asked for in each Region until one has a replica, other keys in their own Region only.

    Args:
        regions: where to ask, in this order: the nearest first.
        discovery_filter: whose keys to ask for; left out, keys of every account.
        client_supplier: takes a Region and returns its client. Left out, boto3 makes the clients.
        grant_tokens: at most 10 of 1 to 8,192 characters, passed on with every call.

    Raises:
        UsageError: there is no Region, one can be none or is given twice, or the client for it asks another.
        KmsError: boto3 makes no client for want of credentials: see :class:`Boto3ClientSupplier`.
        TypeError: a Region is not text, or the Regions or grant tokens are one text.
    """

    def keyring(kms: KmsApi, region: str, tokens: Iterable[str]) -> KmsMrkDiscoveryKeyring:
        return KmsMrkDiscoveryKeyring(kms, region, discovery_filter=discovery_filter, grant_tokens=tokens)

    check_filter(discovery_filter)
    return _over_regions(keyring, checked_regions(regions), client_supplier, grant_tokens)


def _checked_keys(generator: str | None, key_ids: Iterable[str]) -> tuple[str | None, tuple[str, ...]]:
    if isinstance(key_ids, str):
        raise TypeError("key_ids is a collection of KMS key identifiers, not one text")
    first = None if generator is None else check_key_identifier(generator)
    others = tuple(check_key_identifier(key_id) for key_id in key_ids)
    if first is None and not others:
        raise UsageError("a keyring over KMS keys needs at least one")
    return first, others


def _over_keys(
    kind: type[KmsKeyring | KmsMrkKeyring],
    generator: str | None,
    others: tuple[str, ...],
    client_supplier: ClientSupplier | None,
    grant_tokens: Iterable[str],
) -> MultiKeyring:
    tokens = checked_grant_tokens(grant_tokens)
    supplier = Boto3ClientSupplier() if client_supplier is None else client_supplier

    def keyring(key_id: str) -> Keyring:
        return kind(supplied_client(supplier, region_of(key_id)), key_id, grant_tokens=tokens)

    return MultiKeyring(None if generator is None else keyring(generator), [keyring(key_id) for key_id in others])


def _over_regions(
    make: Callable[[KmsApi, str, Iterable[str]], Keyring],
    regions: tuple[str, ...],
    client_supplier: ClientSupplier | None,
    grant_tokens: Iterable[str],
) -> MultiKeyring:
    tokens = checked_grant_tokens(grant_tokens)
    supplier = Boto3ClientSupplier() if client_supplier is None else client_supplier
    return MultiKeyring(children=[make(supplied_client(supplier, region), region, tokens) for region in regions])
