"""Keyrings that other distributions bring, found by their entry points.

A distribution that offers keyrings under a scheme of its own says so in its ``pyproject.toml``::

    [project.entry-points."envelope_sdk.keyrings"]
    vault = "acme_vault.keyrings:from_uri"

``from_uri`` takes a :class:`~envelope_sdk.keyrings.uri.KeyringUri` and returns a keyring. It raises
:class:`~envelope_sdk.errors.EnvelopeError` where that cannot be; whatever else it raises is wrapped in one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from envelope_sdk.errors import EnvelopeError, KeyringError
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "Plugin", "installed_plugins", "keyring_of_plugin"]

GROUP: Final = "envelope_sdk.keyrings"
"""The group of entry points."""


class Plugin(NamedTuple):
    """One entry point.

    Attributes:
        scheme: its name, in lower case.
        distribution: who brings it, with the version: ``"acme-vault 1.2"``.
        entry_point: what loads it.
    """

    scheme: str
    distribution: str
    entry_point: EntryPoint


def installed_plugins() -> tuple[Plugin, ...]:
    """Return the plug-ins that are installed, by scheme and distribution. None of their code runs.

    Raises:
        KeyringError: an installed distribution's list of them cannot be read.
    """
    # Reading what is installed takes as long as all the rest of a command that uses a key file.
    from importlib.metadata import entry_points

    try:
        points = entry_points(group=GROUP)
    except Exception as error:
        # Whoever has written a list that cannot be read may claim any scheme.
        raise KeyringError(f"the plug-ins cannot be listed: {_unreadable(error)}") from error
    found = (Plugin(point.name.lower(), _distribution_of(point), point) for point in points)
    return tuple(sorted(found, key=lambda plugin: plugin[:2]))


def _unreadable(error: Exception) -> str:
    """Return which distribution's list of entry points it is that cannot be read."""
    from importlib.metadata import distributions

    for distribution in distributions():
        with contextlib.suppress(Exception):
            list(distribution.entry_points)
            continue
        return f"the entry_points.txt of {distribution.name} {distribution.version} is malformed: reinstall it"
    return type(error).__name__


def _distribution_of(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"


def keyring_of_plugin(plugin: Plugin, uri: KeyringUri) -> Keyring:
    """Load a plug-in and have it make the keyring.

    Raises:
        KeyringError: it cannot be loaded, fails, or makes something else. The message names its distribution.
        EnvelopeError: what the plug-in raises of this kind.
    """
    who = f"the plug-in for {plugin.scheme}:// of {plugin.distribution}"
    try:
        factory: Callable[[KeyringUri], Any] = plugin.entry_point.load()
    except Exception as error:
        # What an import says is about code; anything else may quote what it should not.
        why = f"{type(error).__name__}" + (f": {error}" if isinstance(error, ImportError | AttributeError) else "")
        raise KeyringError(f"{who} cannot be loaded: {why}") from error
    if not callable(factory):
        raise KeyringError(f"{who} is no function that makes keyrings, but of type {type(factory).__name__}")
    try:
        made = factory(uri)
        # Looking at what it made may run its code, too.
        keyring = made if isinstance(made, Keyring) and not isinstance(made, type) else None
    except EnvelopeError:
        raise
    except Exception as error:
        raise KeyringError(f"{who} failed: {type(error).__name__}") from error
    if keyring is None:
        raise KeyringError(f"{who} made no keyring, but something of type {type(made).__name__}")
    return keyring
