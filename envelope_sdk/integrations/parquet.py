"""Keys of encrypted Parquet files, wrapped by keyrings. Needs pyarrow: ``pip install 'envelope-sdk[parquet]'``.

Parquet files encrypt their columns and their footer themselves, each with a data key (Parquet modular encryption), and
leave the wrapping of these keys to a KMS client. :class:`KeyringKmsClient` is one: a wrapped key is a message of this
package, bound to the name of its master key.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from envelope_sdk.client import Client
from envelope_sdk.errors import MessageError, NoMatchingKeyError, UsageError
from envelope_sdk.keyrings.registry import keyring_from_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    # pyarrow has no annotations.
    class KmsClient:
        """What pyarrow calls."""

    class CryptoFactory:
        """What pyarrow and its users call."""

        def __init__(self, kms_client_factory: Callable[[Any], KmsClient]) -> None: ...
        def file_encryption_properties(self, kms_connection_config: Any, *args: Any, **kwargs: Any) -> Any:
            """Return what files are written with."""

        def file_decryption_properties(self, kms_connection_config: Any, *args: Any, **kwargs: Any) -> Any:
            """Return what files are read with."""


else:
    try:
        from pyarrow.parquet.encryption import CryptoFactory, KmsClient
    except ImportError as error:
        raise ImportError("keys of Parquet files need pyarrow: pip install 'envelope-sdk[parquet]'") from error

__all__ = ["KeyringKmsClient", "MasterKeys", "crypto_factory", "require_encrypted_footer"]

MasterKeys: TypeAlias = Client | Mapping[str, Client | str]
"""A client for every master key, or for each name of a master key a client or the URI of a keyring."""

_SECTION: Final = "wrapped key"

_ENCRYPTED: Final = b"PARE"
"""The last bytes of a Parquet file whose footer is encrypted, by the format's specification; the others follow."""

_IN_CLEAR: Final = b"PAR1"


class KeyringKmsClient(KmsClient):
    """Wraps and unwraps the keys of Parquet files, for a :class:`pyarrow.parquet.encryption.CryptoFactory`.

    A name of a master key is nothing but a name: which key it stands for is said here, never by a file, for whoever
    writes a file could choose which keys and modules its readers load. It is in the encryption context of each wrapped
    key, so that a key wrapped under one name does not unwrap under another.
    """

    def __init__(self, master_keys: MasterKeys) -> None:
        """Take what wraps and unwraps.

        Args:
            master_keys: a :class:`~envelope_sdk.Client` for all names, or a mapping from each name that may be used to
                a client or the URI of a keyring.

        Raises:
            TypeError: it is neither.
            Otherwise as :func:`~envelope_sdk.keyrings.keyring_from_uri`.
        """
        super().__init__()
        self._every: Client | None = None
        self._named: dict[str, Client] = {}
        if isinstance(master_keys, Client):
            self._every = master_keys
        elif isinstance(master_keys, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - anything may arrive
            self._named = {name: _client(given) for name, given in master_keys.items()}
        else:
            raise TypeError(f"master keys are a Client or a mapping, not a {type(master_keys).__name__}")

    def __repr__(self) -> str:
        """Return the names, which are no secret."""
        return f"KeyringKmsClient({'every name' if self._every else sorted(self._named)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KMS client holds keys: it cannot be pickled or copied")

    def encryption_context(self, master_key_identifier: str) -> dict[str, str]:
        """Return the pair that binds a wrapped key to the name of its master key."""
        return {"parquet-master-key": master_key_identifier}

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        """Return a key wrapped: a message in base64.

        Raises:
            UsageError: there is no master key of that name.
            Otherwise as :meth:`envelope_sdk.Client.encrypt`.
        """
        client = self._client(master_key_identifier)
        if client is None:
            raise UsageError(f"there is no master key {master_key_identifier!r} to wrap with")
        context = self.encryption_context(master_key_identifier)
        return base64.b64encode(client.encrypt(key_bytes, encryption_context=context).ciphertext).decode("ascii")

    def unwrap_key(self, wrapped_key: str | bytes, master_key_identifier: str) -> bytes:
        """Return a key that was wrapped under that name.

        Raises:
            NoMatchingKeyError: there is no master key of that name, or it is not the one.
            ContextMismatchError: it was wrapped under another name.
            MessageError: it is no wrapped key.
            Otherwise as :meth:`envelope_sdk.Client.decrypt`.
        """
        client = self._client(master_key_identifier)
        if client is None:
            raise NoMatchingKeyError(f"there is no master key {master_key_identifier!r} to unwrap with")
        try:
            message = base64.b64decode(wrapped_key, validate=True)
        except (binascii.Error, ValueError):
            raise MessageError("it is not base64", section=_SECTION) from None
        return client.decrypt(message, encryption_context=self.encryption_context(master_key_identifier)).plaintext

    def _client(self, name: str) -> Client | None:
        return self._every or self._named.get(name)


def crypto_factory(master_keys: MasterKeys | None = None) -> Any:
    """Return a :class:`pyarrow.parquet.encryption.CryptoFactory`, which encrypts and decrypts Parquet files.

    It keeps what it unwrapped for the ``cache_lifetime`` of pyarrow's configuration, by default 10 minutes. For so long
    a permission that was revoked goes unnoticed.

    Args:
        master_keys: as for :class:`KeyringKmsClient`. Left out, they are in the ``custom_kms_conf`` of the
            ``KmsConnectionConfig``: URIs of keyrings by the names of master keys, which is what travels to workers.
            pyarrow keeps what it made of the first configuration, and would use it for all others with the same
            ``key_access_token``: there is to be one factory for each. Others raise
            :class:`~envelope_sdk.UsageError`, except in datasets, where nothing notices.
    """
    if master_keys is None:
        return _Configured(lambda config: KeyringKmsClient(config.custom_kms_conf))
    return CryptoFactory(lambda _config: KeyringKmsClient(master_keys))


class _Configured(CryptoFactory):
    """Takes master keys from the configurations of connections: one for each token, as pyarrow keeps them."""

    def __init__(self, kms_client_factory: Callable[[Any], KmsClient]) -> None:
        super().__init__(kms_client_factory)
        self._first: dict[str, dict[str, str]] = {}

    def file_encryption_properties(self, kms_connection_config: Any, *args: Any, **kwargs: Any) -> Any:
        self._require_the_first(kms_connection_config)
        return super().file_encryption_properties(kms_connection_config, *args, **kwargs)

    def file_decryption_properties(self, kms_connection_config: Any, *args: Any, **kwargs: Any) -> Any:
        self._require_the_first(kms_connection_config)
        return super().file_decryption_properties(kms_connection_config, *args, **kwargs)

    def _require_the_first(self, config: Any) -> None:
        given = dict(config.custom_kms_conf)
        if given != self._first.setdefault(config.key_access_token, given):
            raise UsageError("a factory keeps the master keys of its first connection: make another one for others")


def require_encrypted_footer(source: str | os.PathLike[str] | IO[bytes]) -> None:
    """Require of a Parquet file that its footer is encrypted, before it is read.

    pyarrow reads a file in clear too where it was given keys, and so what somebody put in the place of an encrypted
    file. A footer that is encrypted is authenticated when it is read, and with it which columns are encrypted.

    Args:
        source: a path, or a binary file that can seek, which is left at its beginning.

    Raises:
        MessageError: the footer is in clear, or it is no Parquet file.
        OSError: it cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file:
            require_encrypted_footer(file)
        return
    length = source.seek(0, os.SEEK_END)
    source.seek(max(0, length - len(_ENCRYPTED)))
    mark = source.read(len(_ENCRYPTED))
    source.seek(0)
    if mark != _ENCRYPTED:
        told = "the footer is in clear" if mark == _IN_CLEAR else "it is no Parquet file"
        raise MessageError(told, section="footer", offset=max(0, length - len(_ENCRYPTED)))


def _client(given: Client | str) -> Client:
    if isinstance(given, Client):
        return given
    if isinstance(given, str):  # pyright: ignore[reportUnnecessaryIsInstance] - anything may arrive
        return Client(keyring_from_uri(given))
    raise TypeError(f"a master key is a Client or a URI, not a {type(given).__name__}")
