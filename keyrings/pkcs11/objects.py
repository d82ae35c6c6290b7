"""Keys as python-pkcs11 has them: looked for, named, and used."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, NamedTuple

from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.pkcs11.place import KeyName

__all__ = ["KeyKind", "find_keys", "name_of", "use_key"]

_PERMISSIONS: Final = {"encrypt": "CKA_ENCRYPT", "decrypt": "CKA_DECRYPT"}


class KeyKind(NamedTuple):
    """A kind of key, and what it is used for.

    Attributes:
        text: what people call it.
        object_class: its CKA_CLASS, without ``CKO_``.
        key_type: its CKA_KEY_TYPE, without ``CKK_``.
        mechanism: what it is to do, for errors.
    """

    text: str
    object_class: str
    key_type: str
    mechanism: str


def find_keys(session: Any, kind: KeyKind, label: str | None, key_id: bytes | None) -> list[Any]:
    """Return the keys of one kind that ``session`` sees and that have the label and the id that are given."""
    pkcs11 = import_module("pkcs11")
    wanted = {
        pkcs11.Attribute.CLASS: pkcs11.ObjectClass[kind.object_class],
        pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType[kind.key_type],
    }
    if label is not None:
        wanted[pkcs11.Attribute.LABEL] = label
    if key_id is not None:
        wanted[pkcs11.Attribute.ID] = key_id
    # To the end: a search that is left early keeps the session from anything else.
    return list(session.get_objects(wanted))


def name_of(key: Any) -> KeyName:
    """Return what messages call ``key``."""
    return KeyName(key.session.token.label, key.label, key.id)


def use_key(key: Any, what: str, data: bytes, mechanism: str, parameters: Any) -> bytes:
    """Return ``data`` encrypted or decrypted, which is ``what``, by a mechanism named without ``CKM_``.

    Raises:
        KeyringError: the key may not do this.
    """
    # python-pkcs11 gives a key only the methods that its attributes permit.
    method = getattr(key, what, None)
    if method is None:
        raise KeyringError(f"the key may not {what}: its {_PERMISSIONS[what]} is false")
    return bytes(method(data, mechanism=import_module("pkcs11").Mechanism[mechanism], mechanism_param=parameters))
