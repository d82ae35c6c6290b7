"""Which key on which token: what a caller names, and what a message calls it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from envelope_sdk.errors import UsageError

__all__ = ["MAX_NAME_LENGTH", "KeyName", "KeyPlace"]

MAX_NAME_LENGTH: Final = 255
"""Bytes of a token label, a key label or a key id."""

_TEXTS: Final = ("token_label", "token_serial", "token_manufacturer", "token_model", "key_label")


class KeyName(NamedTuple):
    """What messages call a key: by names that an administrator gives, so that a copy on another device has them too.

    Attributes:
        token_label: of the token, without its padding.
        key_label: the key's CKA_LABEL; may be empty.
        key_id: the key's CKA_ID; may be empty, but not both.
    """

    token_label: str
    key_label: str
    key_id: bytes

    def __str__(self) -> str:
        names = [repr(self.key_label)] if self.key_label else []
        names += [f"id {self.key_id.hex()}"] if self.key_id else []
        return f"{' '.join(names)} of token {self.token_label!r}"


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a key is looked for. What is ``None`` may be anything, as long as one token and one key are meant.

    Attributes:
        module_path: the PKCS#11 library of the token's maker, an absolute path.
        token_label: of the token, without its padding.
        token_serial: the serial number of the device.
        token_manufacturer: who made it.
        token_model: what they call it.
        key_label: the key's CKA_LABEL.
        key_id: the key's CKA_ID.
    """

    module_path: str
    token_label: str | None = None
    token_serial: str | None = None
    token_manufacturer: str | None = None
    token_model: str | None = None
    key_label: str | None = None
    key_id: bytes | None = None

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            UsageError: no key is named, the path is not absolute, or a name is empty, too long or not UTF-8 text.
            TypeError: a name has the wrong type.
        """
        _check_text("module_path", self.module_path)
        if not PurePath(self.module_path).is_absolute():
            raise UsageError(f"the path of a PKCS#11 library has to be absolute: {self.module_path!r}")
        for field in _TEXTS:
            text = getattr(self, field)
            if text is not None and _check_text(field, text) > MAX_NAME_LENGTH:
                raise UsageError(f"{field} takes more than {MAX_NAME_LENGTH} bytes")
        if self.key_id is not None:
            _check_id(self.key_id)
        if self.key_label is None and self.key_id is None:
            raise UsageError("no key is named: give its label, its id, or both")

    def __str__(self) -> str:
        shown = {
            "token": self.token_label,
            "serial": self.token_serial,
            "manufacturer": self.token_manufacturer,
            "model": self.token_model,
            "key": self.key_label,
            "id": None if self.key_id is None else self.key_id.hex(),
        }
        return ", ".join(f"{what}={value!r}" for what, value in shown.items() if value is not None)

    def is_token(self, token: Any) -> bool:
        """Return whether this token of python-pkcs11's may be the one that is meant."""
        serial = bytes(token.serial).rstrip(b"\0 ").decode("utf-8", "replace")
        wanted = (self.token_label, self.token_serial, self.token_manufacturer, self.token_model)
        found = (token.label, serial, token.manufacturer_id, token.model)
        return all(want in (None, have) for want, have in zip(wanted, found, strict=True))

    def may_be(self, name: KeyName) -> bool:
        """Return whether a message's name can be that of the key here, as far as can be told without looking."""
        wanted = (self.token_label, self.key_label, self.key_id)
        return all(want in (None, have) for want, have in zip(wanted, name, strict=True))


def _check_text(what: str, text: object) -> int:
    if not isinstance(text, str):
        raise TypeError(f"{what} is text, not {type(text).__name__}")
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not encodable as UTF-8: {text!r}") from None
    if not length or "\0" in text:
        raise UsageError(f"{what} is empty or holds a null character")
    return length


def _check_id(key_id: object) -> None:
    if not isinstance(key_id, bytes):
        raise TypeError(f"a key id is bytes, not {type(key_id).__name__}")
    if not 1 <= len(key_id) <= MAX_NAME_LENGTH:
        raise UsageError(f"a key id has 1 to {MAX_NAME_LENGTH} bytes, not {len(key_id)}")
