"""Keyrings by name: from a URI to the keyring it names.

The schemes that come with this package are listed in ``docs/keyring-uris.md``; others come from plug-ins
(:mod:`envelope_sdk.keyrings.plugins`). Where two could answer to one scheme, none does: which keys wrap a message is
not to depend on what happens to be installed beside this package.

>>> from envelope_sdk.keyrings.registry import keyring_from_uri
>>> keyring_from_uri("aws-kms://alias/backups?regoin=eu-west-1")
Traceback (most recent call last):
    ...
envelope_sdk.errors.UsageError: aws-kms:// has no parameter 'regoin' (did you mean 'region'?): it takes ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.configuration import expanded_uris
from envelope_sdk.keyrings.multi import MultiKeyring
from envelope_sdk.keyrings.schemes import BUILT_IN, Scheme
from envelope_sdk.keyrings.uri import KEY_FILE, KeyringUri, near_miss
from envelope_sdk.materials import Keyring

if TYPE_CHECKING:
    from envelope_sdk.keyrings.plugins import Plugin
    from envelope_sdk.keyrings.schemes.door import LocalKmsApi, LocalKmsDoor

__all__ = ["KnownScheme", "files_named_by", "keyring_from_uri", "keyrings_from_uris", "known_schemes"]

_DOOR: Final = "envelope_sdk.integrations.local_keys"
"""What opens local KMSs where the caller does not: loaded by name, as plug-ins are, for it lies above keyrings."""

_OWN: Final = "envelope-sdk"

# What SQLite keeps beside a database while it is used, or where somebody who used it was killed.
_BESIDE: Final = ("-journal", "-shm", "-wal")


class KnownScheme(NamedTuple):
    """A scheme that can be used, or that several distributions claim.

    Attributes:
        scheme: its name.
        form: how its URIs look.
        opens: what it names, in words; empty for plug-ins.
        distribution: who brings it, with the version; ``None`` for this package.
        clash: why it cannot be used; ``None`` where it can.
    """

    scheme: str
    form: str
    opens: str
    distribution: str | None
    clash: str | None


def keyring_from_uri(uri: str | KeyringUri, *, local_kms: LocalKmsDoor | None = None) -> Keyring:
    """Return the keyring that ``uri`` names.

    Args:
        uri: ``SCHEME://...``, or the path of a key file.
        local_kms: what opens the local KMS; left out, its usual file is, once, and stays open.

    Raises:
        UsageError: the scheme or a parameter is unknown, or has a value that it cannot have.
        KeyringError: a file cannot be read, or a plug-in fails or clashes with another.
        KmsError, KmsServiceError, KeyStoreError: a KMS that is asked at once refuses or fails.
    """
    return keyrings_from_uris([uri], local_kms=local_kms)


def keyrings_from_uris(uris: Iterable[str | KeyringUri], *, local_kms: LocalKmsDoor | None = None) -> Keyring:
    """Return one keyring for all that ``uris`` name: each wraps, the first makes the data key, any opens.

    Raises:
        UsageError: there is none; and as :func:`keyring_from_uri`.
        TypeError: ``uris`` is one text, or one of them is no text: a path, most often.
    """
    if isinstance(uris, str | KeyringUri):
        raise TypeError("uris is a collection of URIs, not one")
    parsed = [_parsed(uri) for uri in uris]
    expanded = expanded_uris(parsed)
    plugins = _plugins_for(expanded)
    keyrings = [_keyring(uri, plugins, local_kms) for uri in expanded]
    if not keyrings:
        raise UsageError("there is no URI to make a keyring of")
    return keyrings[0] if len(keyrings) == 1 else MultiKeyring(keyrings[0], keyrings[1:])


def _parsed(uri: str | KeyringUri) -> KeyringUri:
    if not isinstance(uri, str | KeyringUri):  # pyright: ignore[reportUnnecessaryIsInstance] - paths, most often
        raise TypeError(f"a key is named by a URI or a path as text, not {type(uri).__name__}")
    return KeyringUri.of_key(uri) if isinstance(uri, str) else uri


def known_schemes() -> tuple[KnownScheme, ...]:
    """Return all schemes: this package's, then those of plug-ins. No plug-in's code runs."""
    from envelope_sdk.keyrings.plugins import installed_plugins

    plugins = installed_plugins()
    own = [KnownScheme(name, spec.form, spec.opens, None, _clash(name, plugins)) for name, spec in BUILT_IN.items()]
    others = [
        KnownScheme(plugin.scheme, f"{plugin.scheme}://...", "", plugin.distribution, _clash(plugin.scheme, plugins))
        for plugin in plugins
    ]
    return (*own, *others)


def files_named_by(uri: KeyringUri) -> list[str]:
    """Return the paths of the files that ``uri`` names, which nothing may overwrite while it is used.

    Of a plug-in's URI it is not known which parts are paths: each that names a file counts.
    """
    spec = BUILT_IN.get(uri.scheme)
    if spec is None:
        candidates = [uri.rest, *(value for values in uri.parameters.values() for value in values)]
        return [path for path in map(uri.path, candidates) if os.path.isfile(path)]  # noqa: PTH113
    if spec.rest == "own":
        return _files_of_token(uri)
    names = [value for parameter in spec.files for value in uri.every(parameter)]
    names += [f"{value}{ending}" for each in spec.databases for value in uri.every(each) for ending in _BESIDE]
    return [uri.path(name) for name in ([uri.rest] if spec.rest == "file" else []) + names]


def _files_of_token(uri: KeyringUri) -> list[str]:
    from urllib.parse import unquote

    pairs = (pair.partition("=") for pair in uri.rest.partition("?")[2].split("&"))
    values = (unquote(value) for name, _, value in pairs if name in ("pin-source", "module-path"))
    paths = (value.removeprefix("file:").removeprefix("//") for value in values)
    # What can be no path is told when the key is looked for.
    return [uri.path(path) for path in paths if path and "\0" not in path]


def _plugins_for(uris: Iterable[KeyringUri]) -> tuple[Plugin, ...]:
    """Return the plug-ins, or none where the paths of key files are all there is: then nobody's list is read."""
    if all(uri.scheme == KEY_FILE for uri in uris):
        return ()
    from envelope_sdk.keyrings.plugins import installed_plugins

    return installed_plugins()


def _keyring(uri: KeyringUri, plugins: tuple[Plugin, ...], door: LocalKmsDoor | None) -> Keyring:
    clash = _clash(uri.scheme, plugins)
    if clash is not None:
        raise KeyringError(clash)
    if uri.scheme in BUILT_IN:
        return _built_in(uri, BUILT_IN[uri.scheme], door)
    for plugin in plugins:
        if plugin.scheme == uri.scheme:
            from envelope_sdk.keyrings.plugins import keyring_of_plugin

            return keyring_of_plugin(plugin, uri)
    known = sorted({*BUILT_IN, *(plugin.scheme for plugin in plugins)})
    raise UsageError(
        f"{uri.scheme}:// is no scheme of keyrings{near_miss(uri.scheme, known)}: "
        f"there are {', '.join(known)}, and the path of a key file goes without"
    )


def _clash(scheme: str, plugins: Iterable[Plugin]) -> str | None:
    claims = [plugin.distribution for plugin in plugins if plugin.scheme == scheme]
    if len(claims) + (scheme in BUILT_IN) < 2:
        return None
    if scheme in BUILT_IN:
        claims.insert(0, _own_distribution())
    return f"{scheme}:// is claimed by {' and by '.join(claims)}: uninstall all but one"


def _own_distribution() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{_OWN} {version(_OWN)}"
    except PackageNotFoundError:
        return _OWN


def _built_in(uri: KeyringUri, spec: Scheme, door: LocalKmsDoor | None) -> Keyring:
    uri.check(single=spec.single, several=spec.several)
    if spec.rest == "none" and uri.rest:
        raise UsageError(f"nothing stands between {uri.scheme}:// and its parameters")
    if spec.rest != "none" and not uri.rest:
        raise UsageError(f"{uri.scheme}:// names nothing: write {spec.form}")
    module, _, function = spec.maker.partition(":")
    make: Callable[[KeyringUri, LocalKmsDoor], Keyring] = getattr(import_module(module), function)
    return make(uri, _ProcessDoor() if door is None else door)


class _ProcessDoor:
    """The door that all of the process shares, imported when a scheme goes through it."""

    def path(self, store: str | None) -> str:
        return _shared_door().path(store)

    def kms(self, store: str | None) -> LocalKmsApi:
        return _shared_door().kms(store)


def _shared_door() -> LocalKmsDoor:
    door: LocalKmsDoor = import_module(_DOOR).DOOR
    return door
