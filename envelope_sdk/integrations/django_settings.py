"""The client that a Django project encrypts with. Needs Django: ``pip install 'envelope-sdk[django]'``.

Its settings name a client, or what makes one, and hold no key:

    ENVELOPE_SDK = {"CLIENT": "shop.keys.client"}
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from typing import Any, Final, cast

try:
    from django.conf import settings
    from django.core.signals import setting_changed
    from django.utils.module_loading import import_string
except ImportError as error:
    raise ImportError("encrypted fields and files need Django: pip install 'envelope-sdk[django]'") from error

from envelope_sdk.client import Client
from envelope_sdk.errors import UsageError

__all__ = ["SETTING", "client_from_settings"]

SETTING: Final = "ENVELOPE_SDK"
"""The name of the setting, a dictionary with the key ``CLIENT``."""


def client_from_settings() -> Client:
    """Return the project's client: ``ENVELOPE_SDK["CLIENT"]``, asked for once a process.

    The setting is a :class:`~envelope_sdk.Client`, a callable that returns one, or the dotted path of either.

    Raises:
        UsageError: the setting is missing, or leads to something else.
        ImportError: there is nothing at that path.
    """
    given: object = getattr(settings, SETTING, None)
    named: object = cast("Mapping[str, Any]", given).get("CLIENT") if isinstance(given, Mapping) else None
    if named is None or not isinstance(named, Hashable):
        raise UsageError(f'the settings name no client: {SETTING} = {{"CLIENT": "path.of.a.client"}}')
    return _client(named)


@functools.lru_cache(maxsize=1)
def _client(named: object) -> Client:
    found: object = import_string(named) if isinstance(named, str) else named
    made: object = found() if callable(found) else found
    if not isinstance(made, Client):
        raise UsageError(f'{SETTING}["CLIENT"] leads to a {type(made).__name__}, not to a Client')
    return made


def _forget(*, setting: str, **_: Any) -> None:
    if setting == SETTING:
        _client.cache_clear()


setting_changed.connect(_forget)
