"""Clients as configuration: what travels to other processes in their stead. Keys are named in it, and never held."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from envelope_sdk.client import DEFAULT_FRAME_LENGTH, Client
from envelope_sdk.errors import UsageError
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.integrations.fsspec.library import is_protocol
from envelope_sdk.keyrings.registry import files_named_by, keyrings_from_uris
from envelope_sdk.keyrings.uri import KeyringUri, near_miss
from envelope_sdk.managers.caching import CachingMaterialsManager
from envelope_sdk.policy import CommitmentPolicy, Limits

__all__ = ["SETTINGS", "client_of", "refuse_settings", "refuse_unknown"]

SETTINGS: Final = ("keys", "commitment_policy", "algorithm_suite", "sign", "frame_length", "limits", "cache")
"""The names of what a client is made from."""

_OF_FILESYSTEMS: Final = (
    *SETTINGS,
    "client",
    "encryption_context",
    "required_context_keys",
    "release_unverified_plaintext",
    "verify_first",
    "suffix",
)

_OF_ALL: Final = (
    "add_aliases",
    "add_docs",
    "asynchronous",
    "batch_size",
    "listings_expiry_time",
    "loop",
    "max_paths",
    "skip_instance_cache",
    "use_listings_cache",
)

_CLIENTS: Final = 32
"""Clients that a process keeps for configurations that come again."""


def client_of(settings: Mapping[str, Any]) -> Client:
    """Return the client that ``settings`` describe: the same for the same ones, as long as their files are the same.

    Args:
        settings: by the names in :data:`SETTINGS`; see
            :class:`~envelope_sdk.integrations.fsspec.filesystem.EncryptedFileSystem`.

    Raises:
        TypeError: a value is of another type than it has to be.
        UsageError: no key is named, or a value cannot be used.
        KeyringError, KmsError, KmsServiceError, KeyStoreError: a key cannot be used.
    """
    keys: Any = settings.get("keys")
    uris: list[Any] = [keys] if isinstance(keys, str) else list(keys or ())
    if not uris:
        raise UsageError("esdk:// needs keys=, the URI or URIs of its keys, or a client=")
    if not all(isinstance(uri, str) for uri in uris):
        raise TypeError("keys= takes URIs, as text: keys and keyrings themselves belong to a client=")
    plain = {name: _plain(value) for name, value in settings.items() if value is not None}
    try:
        text = json.dumps({**plain, "keys": uris}, sort_keys=True)
    except TypeError as error:
        raise TypeError(f"the options of esdk:// are text, numbers, lists and mappings: {error}") from None
    # A path may lead to another key by now, or from another folder, and a fork shares no connections.
    return _built(text, _place(uris), os.getpid())


def refuse_settings(options: Mapping[str, Any]) -> None:
    """Refuse, among the options of one file, those of a filesystem, which would have no effect.

    Raises:
        UsageError: there is one.
    """
    named = [f"{name}=" for name in options if name in _OF_FILESYSTEMS]
    if named:
        raise UsageError(f"{', '.join(named)} is an option of the filesystem, for all its files, and not of one")


def refuse_unknown(options: Mapping[str, Any]) -> None:
    """Refuse options that neither this filesystem nor every one of fsspec has: nothing would come of them.

    Raises:
        UsageError: there is one.
    """
    for name, value in options.items():
        # fsspec hands over what is for the filesystems of other URLs, too.
        if name in _OF_ALL or (isinstance(value, Mapping) and is_protocol(name)):
            continue
        raise UsageError(
            f"esdk:// has no option {name!r}{near_miss(name, _OF_FILESYSTEMS)}; those of the filesystem below stand "
            "beside those of esdk, under its name"
        )


def _plain(value: object) -> object:
    if isinstance(value, CommitmentPolicy):
        return value.value
    if isinstance(value, AlgorithmSuite):
        return value.name
    return dict(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else value


def _place(uris: list[str]) -> tuple[object, ...]:
    """Return what the files that ``uris`` name are now."""
    found: list[object] = []
    for uri in uris:
        for path in files_named_by(KeyringUri.of_key(uri)):
            try:
                status = os.stat(path)  # noqa: PTH116
            except (OSError, ValueError):
                continue
            found.append((path, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


@lru_cache(maxsize=_CLIENTS)
def _built(text: str, _place: tuple[object, ...], _process: int) -> Client:
    settings: dict[str, Any] = json.loads(text)
    keyring = keyrings_from_uris(settings["keys"])
    cache = settings.get("cache")
    made: dict[str, Any] = {
        "commitment_policy": _policy(settings.get("commitment_policy")),
        "algorithm_suite": _suite(settings.get("algorithm_suite")),
        "sign": settings.get("sign", False),
        "frame_length": settings.get("frame_length", DEFAULT_FRAME_LENGTH),
        "limits": _made("limits", Limits, settings.get("limits") or {}),
    }
    if cache is None:
        return Client(keyring, **made)
    return Client(materials_manager=_made("cache", CachingMaterialsManager, cache, keyring), **made)


def _policy(name: str | None) -> CommitmentPolicy:
    if name is None:
        return CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    try:
        return CommitmentPolicy(name)
    except ValueError:
        known = [policy.value for policy in CommitmentPolicy]
        raise UsageError(f"there is no commitment policy {name!r}{near_miss(str(name), known)}") from None


def _suite(name: str | int | None) -> AlgorithmSuite | None:
    if name is None:
        return None
    suite = AlgorithmSuite.from_id(name) if isinstance(name, int) else AlgorithmSuite.__members__.get(name)
    if suite is None:
        raise UsageError(f"there is no algorithm suite {name!r}: give its name or its number, such as 0x0478")
    return suite


def _made(option: str, kind: Any, values: Mapping[str, Any], *first: object) -> Any:
    try:
        return kind(*first, **values)
    except TypeError as error:
        raise TypeError(f"{option}= does not describe a {kind.__name__}: {error}") from None
