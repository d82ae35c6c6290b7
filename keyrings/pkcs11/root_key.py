"""A key of a token that the root key of a local KMS is kept wrapped under.

What the database holds is, in this order: the version 1, the IV that was used (12 bytes), and the root key encrypted
with AES-GCM, followed by its tag. The names of the key are not in it: whoever opens the store says which key it is.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Final, NoReturn

from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.pkcs11.aes_key import AES, gcm_unwrap, gcm_wrap
from envelope_sdk.keyrings.pkcs11.application import python_pkcs11
from envelope_sdk.keyrings.pkcs11.location import located
from envelope_sdk.keyrings.pkcs11.token_key import TokenKey, WrappingKey
from envelope_sdk.primitives.aead import IV_LENGTH, TAG_LENGTH
from envelope_sdk.primitives.entropy import RandomSource, system_random

__all__ = ["Pkcs11RootKey"]

_VERSION: Final = b"\x01"
_PURPOSE: Final = b"envelope-sdk local KMS root key 1"
_ROOT_KEY_LENGTH: Final = 32
_WRAPPED_LENGTH: Final = len(_VERSION) + IV_LENGTH + _ROOT_KEY_LENGTH + TAG_LENGTH


class Pkcs11RootKey:
    """Has a token wrap the root key of a local KMS: ``LocalKms.open(path, root_key=Pkcs11RootKey(uri))``.

    The token is asked once when the store is made or opened, and again where the root key is changed; from then on the
    root key is in the memory of the process, as with any other source. Whoever has a copy of the files, but not the
    token, has nothing.

    Fulfils :class:`~envelope_sdk.local_kms.RootKeyWrapper`. It may be shared between threads.
    """

    __slots__ = ("_key", "_random")

    def __init__(
        self,
        uri: str,
        *,
        module_path: str | PathLike[str] | None = None,
        pin: Callable[[], str] | None = None,
        random: RandomSource = system_random,
    ) -> None:
        """Take the PKCS#11 URI (RFC 7512) of an AES key; the token is not asked yet.

        Args:
            uri: for instance ``pkcs11:token=vault;object=root?module-path=/usr/lib/x.so&pin-source=file:/etc/pin``; see
                :mod:`~envelope_sdk.keyrings.pkcs11.uri` for what it may say. It never has the PIN in it.
            module_path: the library of the token's maker, where the URI names none.
            pin: returns the PIN, where the URI does not say where it is.
            random: the source of IVs.

        Raises:
            UsageError: the URI cannot be followed, or nothing says which library or which key.
            KeyringError: python-pkcs11 is not installed.
        """
        place, pin = located(uri, module_path, pin, types=("secret-key",))
        python_pkcs11()
        self._key: WrappingKey = TokenKey(place, AES, pin)
        self._random = random

    def __repr__(self) -> str:
        return f"Pkcs11RootKey({self._key!r})"

    def __str__(self) -> str:
        return f"the key of a PKCS#11 token ({self._key!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key of a token cannot be pickled or copied: name it again")

    def wrap_root_key(self, root_key: bytes) -> bytes:
        """Have the token wrap a root key.

        Raises:
            KeyringError: the token or the key is not there, cannot be used for this, or refuses the PIN.
            KmsUnavailableError: the device fails for now.
            UsageError: several tokens or keys could be meant.
        """
        iv = self._random(IV_LENGTH)
        used_iv, wrapped = self._key.use("C_Encrypt", lambda found: gcm_wrap(found.key, root_key, iv, _PURPOSE))
        return _VERSION + used_iv + wrapped

    def unwrap_root_key(self, wrapped: bytes) -> bytes:
        """Have the token unwrap a root key.

        Raises:
            AuthenticationError: it was wrapped under another key, or altered.
            KeyringError, KmsUnavailableError, UsageError: as for :meth:`wrap_root_key`.
        """
        # The token's own library is spared what cannot be right.
        if len(wrapped) != _WRAPPED_LENGTH or not wrapped.startswith(_VERSION):
            raise KeyringError("what is wrapped is no root key of a version that is known here")
        iv, sealed = wrapped[len(_VERSION) :][:IV_LENGTH], wrapped[len(_VERSION) + IV_LENGTH :]
        return self._key.use("C_Decrypt", lambda found: gcm_unwrap(found.key, sealed, iv, _PURPOSE), opening=True)

    def close(self) -> None:
        """Log out of the token and close the session with it; the next use opens another.

        Raises:
            KeyringError, KmsUnavailableError: the token fails to do so.
        """
        self._key.close()
