"""An AES key as python-pkcs11 has it: looked for, named, and used by CKM_AES_GCM."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.pkcs11.place import KeyName
from envelope_sdk.primitives.aead import TAG_LENGTH

__all__ = ["find_aes_keys", "gcm_unwrap", "gcm_wrap", "name_of"]

_USES: Final = {"encrypt": "CKA_ENCRYPT", "decrypt": "CKA_DECRYPT"}


def find_aes_keys(session: Any, label: str | None, key_id: bytes | None) -> list[Any]:
    """Return the AES keys that ``session`` sees and that have the label and the id that are given."""
    pkcs11 = import_module("pkcs11")
    wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES}
    if label is not None:
        wanted[pkcs11.Attribute.LABEL] = label
    if key_id is not None:
        wanted[pkcs11.Attribute.ID] = key_id
    # To the end: a search that is left early keeps the session from anything else.
    return list(session.get_objects(wanted))


def name_of(key: Any) -> KeyName:
    """Return what messages call ``key``."""
    return KeyName(key.session.token.label, key.label, key.id)


def gcm_wrap(key: Any, data_key: bytes, iv: bytes, aad: bytes) -> tuple[bytes, bytes]:
    """Return the IV that was used, and the ciphertext of ``data_key`` followed by its tag.

    Raises:
        KeyringError: the key may not encrypt, or the answer cannot be right.
    """
    # Some devices make an IV of their own and write it where the given one lies. So they are given a copy that nobody
    # else has, and what lies there afterwards is the IV.
    parameters = _gcm_parameters(bytes(bytearray(iv)), aad)
    wrapped = _use(key, "encrypt", data_key, parameters)
    if len(wrapped) != len(data_key) + TAG_LENGTH:
        raise KeyringError(f"the token made {len(wrapped)} bytes of {len(data_key)} where {TAG_LENGTH} more are right")
    return bytes(parameters.nonce), wrapped


def gcm_unwrap(key: Any, wrapped: bytes, iv: bytes, aad: bytes) -> bytes:
    """Return the data key.

    Raises:
        KeyringError: the key may not decrypt.
    """
    return _use(key, "decrypt", wrapped, _gcm_parameters(iv, aad))


def _gcm_parameters(iv: bytes, aad: bytes) -> Any:
    return import_module("pkcs11").GCMParams(iv, aad or None, TAG_LENGTH * 8)


def _use(key: Any, what: str, data: bytes, parameters: Any) -> bytes:
    # python-pkcs11 gives a key only the methods that its attributes permit.
    method = getattr(key, what, None)
    if method is None:
        raise KeyringError(f"the key may not {what}: its {_USES[what]} is false")
    return bytes(method(data, mechanism=import_module("pkcs11").Mechanism.AES_GCM, mechanism_param=parameters))
