"""The filesystem that fsspec calls ``esdk``: the files of another one, encrypted there and plain here."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Final, NoReturn, cast

from envelope_sdk.client import Client
from envelope_sdk.errors import UsageError
from envelope_sdk.integrations.fsspec.library import ChainedFileSystem, compressors, filesystem, get_compression
from envelope_sdk.integrations.fsspec.names import StoredNames
from envelope_sdk.integrations.fsspec.reading import BufferedReader, StoredReader, open_stored
from envelope_sdk.integrations.fsspec.settings import SETTINGS, client_of, refuse_settings, refuse_unknown
from envelope_sdk.integrations.fsspec.stages import stage_for
from envelope_sdk.integrations.fsspec.stored import StoredMessage
from envelope_sdk.integrations.fsspec.together import FilesTogether
from envelope_sdk.integrations.fsspec.transfers import Transfers
from envelope_sdk.integrations.fsspec.writing import CompressedUpload, StoredWriter, TextUpload

__all__ = ["EncryptedFileSystem"]

_APPENDING: Final = (
    "an encrypted file cannot be added to or changed in place: its end is authenticated; write it anew "
    "(modes 'rb', 'wb' and 'xb')"
)
_LIVE: Final = (
    "a filesystem that was given a client= cannot be pickled, and neither can the client, which holds keys: "
    "name the keys with keys=, and every process makes a client of its own"
)


class EncryptedFileSystem(Transfers, StoredNames, ChainedFileSystem):  # type: ignore[misc]
    """The files of another filesystem, which holds them encrypted: ``esdk::file:///folder/table.csv``.

    Reading opens a message at any position and returns nothing that is not authentic. Writing shows nothing before the
    message is whole. Sizes are those of the plaintext; see ``docs/fsspec.md`` for what they are worth.
    """

    protocol: ClassVar[str] = "esdk"
    # fsspec shares instances by what their options look like, and two clients may look the same. Clients that are made
    # from the same configuration are shared all the same.
    cachable = False
    transaction_type = FilesTogether

    def __init__(
        self,
        fs: Any = None,
        *,
        target_protocol: str | None = None,
        target_options: Mapping[str, Any] | None = None,
        fo: Any = None,
        client: Client | None = None,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
        release_unverified_plaintext: bool = False,
        verify_first: bool = False,
        suffix: str = "",
        **options: Any,
    ) -> None:
        """Choose the filesystem below, and what makes and opens messages.

        Args:
            fs: the filesystem below; or else
            target_protocol: its name, and
            target_options: what it is made with. Chained URLs say both.
            fo: what fsspec passes with chained URLs; it is not used.
            client: makes and opens messages. A filesystem with one stays in its process. Left out, one is made of
                ``keys``, the URI or URIs of its keys (``docs/keyring-uris.md``), and optionally
                ``commitment_policy``, ``algorithm_suite``, ``sign`` and ``frame_length`` as for
                :class:`~envelope_sdk.Client`, the first two by name, ``limits``, a mapping with the fields of
                :class:`~envelope_sdk.Limits`, and ``cache``, a mapping with the options of
                :class:`~envelope_sdk.managers.CachingMaterialsManager`, of which ``max_age_seconds`` is needed.
            encryption_context: writing: the pairs to store; reading: pairs that messages must have.
            required_context_keys: reading: keys that messages must have.
            release_unverified_plaintext: read signed messages too, without ever checking their signature.
            verify_first: read signed messages too, each from beginning to end before anything else.
            suffix: what names have below and not here, such as ``".enc"``; files without it are not shown.
            options: the configuration, and whatever every filesystem of fsspec takes.

        Raises:
            UsageError: the filesystem below or the keys are missing, or an option is unknown or cannot be used.
            TypeError: an option is of another type than it has to be.
            KeyringError, KmsError, KmsServiceError, KeyStoreError: a key cannot be used.
        """
        del fo
        settings: dict[str, Any] = {name: options.pop(name) for name in SETTINGS if name in options}
        refuse_unknown(options)
        parent: Any = super()
        parent.__init__(**options)
        if fs is None and target_protocol is None:
            raise UsageError("esdk:// stands before another filesystem: esdk::file:///folder/table.csv")
        if client is not None and settings:
            raise UsageError(f"client= says all that {', '.join(f'{name}=' for name in settings)} would say")
        if isinstance(required_context_keys, str):
            raise TypeError("required_context_keys is a collection of keys, not one text")
        self._is_live = client is not None
        self._client = client_of(settings) if client is None else client
        self._context = dict(encryption_context or {})
        self._required = tuple(required_context_keys)
        self._unverified, self._verify_first = release_unverified_plaintext, verify_first
        self._below(filesystem(target_protocol, **(target_options or {})) if fs is None else fs, suffix)

    # --- which filesystem this is ------------------------------------------------------------------------------------

    @property
    def _fs_token(self) -> str:
        # What the options look like, unless one is a client, which looks like others.
        token = str(self._fs_token_)
        return f"{token}{id(self._client):x}" if self._is_live else token

    def __reduce__(self) -> Any:
        self._refuse_to_travel()
        parent: Any = super()
        return parent.__reduce__()

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Return the options, from which ``from_dict`` makes the same filesystem."""
        self._refuse_to_travel()
        parent: Any = super()
        return cast("dict[str, Any]", parent.to_dict(include_password=include_password))

    def to_json(self, *, include_password: bool = True) -> str:
        """Return the options as JSON, from which ``from_json`` makes the same filesystem."""
        self._refuse_to_travel()
        parent: Any = super()
        return cast("str", parent.to_json(include_password=include_password))

    def _refuse_to_travel(self) -> None:
        if self._is_live:
            raise TypeError(_LIVE)

    # --- opening -----------------------------------------------------------------------------------------------------

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Open an encrypted file.

        Args:
            path: its name.
            mode: ``"r"``, ``"w"`` or ``"x"``, with ``"b"`` or for text without.
            block_size: reading: bytes to have at hand where reading goes on; writing: bytes of a part of an upload.
            cache_options: for the cache that ``cache_type`` names.
            compression: of the plaintext: the name of a codec, or ``"infer"`` by the name of the file.
            kwargs: ``encoding``, ``errors`` and ``newline`` of text, ``cache_type`` for one of fsspec's caches over
                what is read, ``plaintext_length`` of what will be written, ``autocommit``; others are those of the
                filesystem below.

        Raises:
            UsageError: the mode is none of these, or an option is one of the filesystem.
            OSError: the filesystem below failed.
            EnvelopeError: as :meth:`envelope_sdk.Client.random_access` and :meth:`~envelope_sdk.Client.encryptor`.
        """
        if mode.replace("t", "").replace("b", "") not in ("r", "w", "x"):
            raise UsageError(f"the mode {mode!r}: {_APPENDING}")
        parent: Any = super()
        if "r" in mode:
            return parent.open(path, mode, block_size, cache_options, compression, **kwargs)
        text = {name: kwargs.pop(name) for name in ("encoding", "errors", "newline") if name in kwargs}
        file: Any = parent.open(path, mode[0] + "b", block_size, cache_options, **kwargs)
        if not self._intrans:
            # Nothing ends this one, which would hold on to the file.
            self._transaction: Any = None
        try:
            if compression is not None:
                file = _compressed(file, path, compression)
            return file if "b" in mode else TextUpload(file, **text)
        except BaseException:
            file.discard()
            raise

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        *,
        cache_type: str | None = None,
        plaintext_length: int | None = None,
        **others: Any,
    ) -> Any:
        """Open a file for the bytes of its plaintext, as :meth:`open` does."""
        if mode not in ("rb", "wb", "xb"):
            raise UsageError(f"the mode {mode!r}: {_APPENDING}")
        refuse_settings(others)
        # What files that were opened by another process bring along; here opening tells.
        others.pop("size", None)
        path = self._strip_protocol(path)
        if mode != "rb":
            stored = others if block_size is None else {"block_size": block_size, **others}
            return self._writer(path, mode, stored, autocommit=autocommit, plaintext_length=plaintext_length)
        reader = self._reader(path, others, read_ahead=block_size if cache_type is None else 0)
        if cache_type is None:
            return reader
        try:
            return BufferedReader(self, path, reader, block_size, cache_type=cache_type, cache_options=cache_options)
        except BaseException:
            reader.close()
            raise

    def _reader(self, path: str, below: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> StoredReader:
        machine = partial(
            self._client.decryptor,
            encryption_context=self._context,
            required_context_keys=self._required,
            refuse_signed=not (self._unverified or self._verify_first),
        )
        stored = StoredMessage(self.target, self._stored(path), below)
        return open_stored(stored, machine, verify_first=self._verify_first, **options)

    def _writer(
        self, path: str, mode: str, below: dict[str, Any], *, autocommit: bool, plaintext_length: int | None
    ) -> StoredWriter:
        encryptor = self._client.encryptor(encryption_context=self._context, plaintext_length=plaintext_length)
        stage = stage_for(self.target, self._stored(path), overwrite=mode == "wb", options=below)
        return StoredWriter(stage, encryptor, path=path, autocommit=autocommit)

    def sign(self, path: str, expiration: int = 100, **kwargs: Any) -> NoReturn:
        """Refuse: what a signed URL leads to is the message, not what is in it.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a signed URL leads to the encrypted message: ask the filesystem below for one")


def _compressed(file: StoredWriter, path: str, compression: str) -> Any:
    codec = get_compression(os.fspath(path), compression)
    if codec is None:
        return file
    # Some close what is below with themselves: only a whole message is to be closed.
    compressor = compressors[codec](cast("io.RawIOBase", file), mode="w")
    return CompressedUpload(compressor, file)
