"""Keys by names of one's own: the configuration file, and the keys to use where none is named.

::

    # ~/.config/envelope/config.toml
    [keyrings]
    default = "keyring://app"                       # where no key is named
    app = ["aws-kms://arn:...", "team.key"]         # the first makes the data key, all wrap it, any opens it

Names stand for lists of what ``--key`` takes: URIs, paths of key files, and other names as ``keyring://NAME``. Paths
are relative to the file's folder. The file is ``$ENVELOPE_CONFIG``, or ``envelope/config.toml`` under
``$XDG_CONFIG_HOME`` or ``~/.config``.

Whoever can write to it chooses the keys that messages are encrypted for. So it is not used where others can.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.places import CONFIGURATION_VARIABLE, KEY_VARIABLE, configuration_path
from envelope_sdk.keyrings.uri import KEY_FILE, KeyringUri, near_miss

__all__ = ["DEFAULT", "Configuration", "default_uris", "expanded_uris", "load_configuration"]

DEFAULT: Final = "default"
"""The name whose keys are used where none is named."""

_SCHEME: Final = "keyring"
_TABLE: Final = "keyrings"
_MAX_LENGTH: Final = 2**20  # bytes
_MAX_DEPTH: Final = 100  # names that stand for names
_MAX_KEYS: Final = 2**16 - 1  # a message holds no more wrapped data keys


class Configuration:
    """Lists of keys by name."""

    __slots__ = ("_keyrings", "_text", "path")

    def __init__(self, path: Path | None = None, keyrings: Mapping[str, tuple[str, ...]] | None = None, text: str = ""):
        self.path = path
        self._keyrings = dict(keyrings or {})
        self._text = text

    def __repr__(self) -> str:
        return f"Configuration({str(self.path)!r}, {list(self._keyrings)!r})"

    @property
    def names(self) -> tuple[str, ...]:
        """The names, as they stand in the file."""
        return tuple(self._keyrings)

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Configuration:
        """Return what a configuration file holds.

        Args:
            data: its bytes.
            path: where it lies: relative paths in it are relative to its folder, and errors name it.

        Raises:
            UsageError: it is not TOML, or holds something else than lists of keys.
        """
        import tomllib

        try:
            text = data.decode("utf-8")
            content = tomllib.loads(text)
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise UsageError(f"{path}, line {line}: the configuration is not UTF-8") from None
        except (ValueError, RecursionError) as error:
            # Not all that tomllib finds is a TOMLDecodeError: a number of thousands of digits is none.
            raise UsageError(f"{path}: the configuration is not TOML: {_reason(error)}") from None
        for name in content:
            if name != _TABLE:
                where = _where(path, text, name)
                raise UsageError(
                    f"{where}: {name!r} means nothing{near_miss(name, [_TABLE])}: keys stand in [keyrings]"
                )
        table: Any = content.get(_TABLE, {})
        if not isinstance(table, dict):
            raise UsageError(f"{_where(path, text, _TABLE)}: {_TABLE!r} is no table: write [keyrings]")
        made = cls(path, {}, text)
        for name, value in cast("dict[str, Any]", table).items():
            made._keyrings[name] = made._listed(name, value)
        return made

    def uris(self, name: str) -> tuple[KeyringUri, ...]:
        """Return the URIs of a name, with those of other names in their places.

        Raises:
            UsageError: there is no such name, an entry is malformed, or names lead in a circle.
        """
        return self._followed(name, ())

    def _followed(self, name: str, above: tuple[str, ...]) -> tuple[KeyringUri, ...]:
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            raise UsageError(f"{self._place(name)}: names of keyrings lead in a circle: {circle}")
        if len(above) >= _MAX_DEPTH:
            raise UsageError(f"{self._place(name)}: names of keyrings stand for each other {_MAX_DEPTH} deep")
        entries = self._keyrings.get(name)
        if entries is None:
            raise self._unknown(name, above)
        folder = str(self.path.parent.absolute()) if self.path is not None else ""
        found: list[KeyringUri] = []
        for entry in entries:
            try:
                uri = _checked_name(KeyringUri.of_key(entry, folder))
            except UsageError as error:
                raise UsageError(f"{self._place(name)}: {name!r}: {error}") from None
            found += self._followed(uri.rest, (*above, name)) if uri.scheme == _SCHEME else [uri]
            if len(found) > _MAX_KEYS:
                raise UsageError(f"{self._place(name)}: {name!r} stands for more than {_MAX_KEYS} keys")
        return tuple(found)

    def _unknown(self, name: str, above: tuple[str, ...]) -> UsageError:
        if self.path is None:
            usual = configuration_path()
            where = f": there is no {usual}" if usual is not None else ""
            return UsageError(f"no configuration file says what keyring://{name} is{where}")
        place = self._place(above[-1]) if above else str(self.path)
        known = ", ".join(self._keyrings) or "none"
        return UsageError(f"{place}: there is no keyring of the name {name!r}{near_miss(name, self.names)}: {known}")

    def _place(self, name: str) -> str:
        return _where(self.path, self._text, name)

    def _listed(self, name: str, value: object) -> tuple[str, ...]:
        entries = cast("list[object]", value) if isinstance(value, list) else [value]
        texts = tuple(entry for entry in entries if isinstance(entry, str) and entry)
        if len(texts) != len(entries) or not texts:
            raise UsageError(f"{self._place(name)}: {name!r} is not a key, or a list of keys, each as text")
        return texts


def load_configuration() -> Configuration:
    """Read the configuration file: ``$ENVELOPE_CONFIG``, or the usual one, which need not be there.

    Raises:
        KeyringError: it cannot be read, or others can write to it.
        UsageError: it is malformed.
    """
    path = configuration_path()
    if path is None:
        return Configuration()
    try:
        with path.open("rb") as file:
            _require_safe(path, os.fstat(file.fileno()))
            data = file.read(_MAX_LENGTH + 1)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not os.environ.get(CONFIGURATION_VARIABLE):
            return Configuration()
        raise KeyringError(f"the configuration {path} cannot be read: {str(error.strerror).lower()}") from error
    if len(data) > _MAX_LENGTH:
        raise UsageError(f"{path} is no configuration: it is too long")
    return Configuration.parse(data, path)


def default_uris() -> tuple[KeyringUri, ...]:
    """Return the keys to use where none is named: those of ``$ENVELOPE_KEY``, or the configuration's ``default``.

    ``$ENVELOPE_KEY`` holds one key a line.

    Raises:
        UsageError: one is malformed, or is no URI and no file either. Its text is not repeated: it may be a key itself.
        KeyringError: the configuration cannot be used.
    """
    lines = [line.strip() for line in os.environ.get(KEY_VARIABLE, "").splitlines()]
    keys = [line for line in lines if line]
    if keys:
        return expanded_uris([_from_environment(key) for key in keys])
    configuration = load_configuration()
    return configuration.uris(DEFAULT) if DEFAULT in configuration.names else ()


def _from_environment(key: str) -> KeyringUri:
    try:
        uri = KeyringUri.of_key(key)
    except UsageError as error:
        raise UsageError(f"{KEY_VARIABLE}: {error}") from None
    if uri.scheme == KEY_FILE and not os.path.exists(uri.rest):  # noqa: PTH110
        raise UsageError(f"{KEY_VARIABLE} names keys, one a line, and holds neither a URI nor the path of a file there")
    return uri


def expanded_uris(uris: Iterable[KeyringUri]) -> tuple[KeyringUri, ...]:
    """Return ``uris`` with what each ``keyring://NAME`` stands for in its place.

    Raises:
        UsageError, KeyringError: there is such a one, and the configuration does not know it or cannot be used.
    """
    uris = tuple(uris)
    if not any(uri.scheme == _SCHEME for uri in uris):
        return uris
    configuration = load_configuration()
    found: list[KeyringUri] = []
    for uri in uris:
        if uri.scheme == _SCHEME:
            found += configuration.uris(_checked_name(uri).rest)
        else:
            found.append(uri)
    return tuple(found)


def _checked_name(uri: KeyringUri) -> KeyringUri:
    """Return ``uri``, which names a name if it is one of ``keyring://``."""
    if uri.scheme == _SCHEME:
        uri.check()
        if not uri.rest:
            raise UsageError(f"{_SCHEME}:// names nothing: write {_SCHEME}://NAME")
    return uri


def _require_safe(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        return
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyringError(
            f"the configuration {path} can be written by others, who could choose the keys: 'chmod go-w' it"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyringError(f"the configuration {path} belongs to another user, who could choose the keys")


def _reason(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _where(path: Path | None, text: str, name: str) -> str:
    """Return the file with, where it can be found, the line where a name is given a value."""
    key = rf"""["']?{re.escape(name)}["']?[ \t]*[=\].]"""
    found = re.search(rf"^[ \t]*(?:\[+[ \t]*)?(?:{_TABLE}[ \t]*\.[ \t]*)?{key}", text, re.MULTILINE)
    return f"{path}, line {text.count(chr(10), 0, found.start()) + 1}" if found else str(path)
