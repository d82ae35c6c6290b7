"""From a PKCS#11 URI to the place of a key and the way to its PIN."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings.pkcs11.pins import pin_from
from envelope_sdk.keyrings.pkcs11.place import KeyPlace
from envelope_sdk.keyrings.pkcs11.uri import parse_key_uri

__all__ = ["located"]


def located(
    uri: str, module_path: str | PathLike[str] | None, pin: Callable[[], str] | None, *, types: tuple[str, ...]
) -> tuple[KeyPlace, Callable[[], str] | None]:
    """Return where the key is that ``uri`` names, and what returns the PIN.

    Args:
        uri: what it says goes before the arguments that follow.
        module_path: the library, where the URI names none.
        pin: returns the PIN, where the URI does not say where it is.
        types: what the URI may say the key is, if it does say it.

    Raises:
        UsageError: the URI cannot be followed, names another type of key, or nothing says which library or which key.
    """
    said = parse_key_uri(uri)
    if said.key_type not in (None, *types):
        raise UsageError(f"the PKCS#11 URI is of type {said.key_type!r}; this keyring's keys are {' or '.join(types)}")
    path = said.module_path if said.module_path is not None else module_path
    if path is None:
        raise UsageError("the PKCS#11 URI names no library: end it with ?module-path=/path/of/the/library.so")
    place = KeyPlace(fspath(path), said.token, said.serial, said.manufacturer, said.model, said.key_label, said.key_id)
    return place, pin if said.pin_source is None else pin_from(said.pin_source)
