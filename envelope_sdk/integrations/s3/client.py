"""The S3 client that encrypts and decrypts: methods and arguments of boto3's, plaintext on this side."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from typing import IO, Any, Final, cast

from boto3.s3.transfer import TransferConfig

from envelope_sdk.errors import StreamError, UsageError
from envelope_sdk.formats.cursor import BytesLike
from envelope_sdk.integrations.s3.arguments import (
    body_to_read,
    claimed_length,
    copy_source,
    described,
    file_to_read,
    file_to_write,
    implied_length,
    marked,
    range_of,
    stored_parameters,
    told,
)
from envelope_sdk.integrations.s3.bodies import ObjectBody, RangeBody, StoredBytes
from envelope_sdk.integrations.s3.downloading import ReadPieces, read_pieces
from envelope_sdk.integrations.s3.foreign import explained
from envelope_sdk.integrations.s3.making import put
from envelope_sdk.integrations.s3.pinned import ATTEMPTS, PinnedObject, S3Api
from envelope_sdk.integrations.s3.source import READ_AHEAD, S3Source
from envelope_sdk.integrations.s3.uploading import Callback, upload, usable
from envelope_sdk.message.authenticated import Header
from envelope_sdk.streams.contract import MachineSource
from envelope_sdk.streams.decrypting_writer import decrypting_writer
from envelope_sdk.streams.encrypting_reader import EncryptingReader
from envelope_sdk.streams.ranges import CACHE_SIZE, RandomAccessReader, open_random_access
from envelope_sdk.streams.raw import length_left
from envelope_sdk.streams.reader import DecryptingReader

__all__ = ["EncryptedS3"]

_PLACES: Final = {"bucket": "s3-bucket", "key": "s3-key"}


class EncryptedS3:
    """Reads and writes encrypted objects through a boto3 S3 client. Safe to share between threads.

    Arguments in capitals are boto3's, and what is not named here is passed on to it: ``VersionId``, ``ContentType``,
    ``IfNoneMatch`` and so on. Objects are messages of the AWS Encryption SDK, and nothing else.

    What S3 answers with, and the network, raise botocore's own exceptions, after botocore's own retries:
    ``ClientError`` with its code, ``BotoCoreError``. An object that was replaced or deleted while it was being read
    raises :class:`~envelope_sdk.errors.StreamError`; what is wrong with the message, its keys or its context raises as
    :meth:`envelope_sdk.Client.decrypt` does.
    """

    __slots__ = ("_bind", "_client", "_config", "_context", "_s3")

    def __init__(
        self,
        s3: S3Api,
        client: MachineSource,
        *,
        encryption_context: Mapping[str, str] | None = None,
        bind: Collection[str] = (),
        config: TransferConfig | None = None,
    ) -> None:
        """Stand in front of ``s3``.

        Args:
            s3: a boto3 S3 client. It stays the caller's.
            client: makes and opens messages; :class:`envelope_sdk.Client` is one.
            encryption_context: pairs of every message: stored when writing, demanded when reading.
            bind: ``"bucket"``, ``"key"`` or both: what of an object's place becomes part of its context, as the pairs
                ``s3-bucket`` and ``s3-key``, in clear. When reading, they are demanded: an object that was copied or
                renamed in S3 is then refused.
            config: sizes and threads of uploads and downloads, as for boto3's.

        Raises:
            UsageError: ``bind`` names something else, or ``config`` limits the bandwidth, which is not offered here.
        """
        if isinstance(bind, str) or not set(bind) <= _PLACES.keys():
            raise UsageError(f"bind is a collection of 'bucket' and 'key', not {bind!r}")
        self._s3 = s3
        self._client = client
        self._context = dict(encryption_context or {})
        self._bind = frozenset(bind)
        self._config = usable(config or TransferConfig())

    def __repr__(self) -> str:
        return f"EncryptedS3({self._client!r})"

    # --- one request -------------------------------------------------------------------------------------------------

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: BytesLike | IO[bytes] = b"",
        encryption_context: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Store bytes, or what a file object holds, as one encrypted object, and return S3's answer.

        The message is held in memory; :meth:`upload_fileobj` is for what is long.

        Raises:
            UsageError: a parameter is a length or checksum of the body.
            Otherwise as the class says, and as :meth:`envelope_sdk.Client.encrypt`.
        """
        parameters = stored_parameters(parameters)
        source = body_to_read(Body)
        with self._encrypting(source, Bucket, Key, encryption_context, length_left(source)) as message:
            parameters = marked(parameters, message.header, message.plaintext_length)
            return put(self._s3, {"Bucket": Bucket, "Key": Key}, message.read(), parameters)

    def get_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Range: str | None = None,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
        release_unverified_plaintext: bool = False,
        partial_read: bool = False,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Return S3's answer with the plaintext as its ``Body``: all of it, or a range.

        Args:
            Bucket: as for boto3. So is ``Key``.
            Range: a range of the plaintext: ``"bytes=0-99"``, ``"bytes=100-"`` or ``"bytes=-100"``. Only the frames it
                touches are fetched, and the first 64 KiB and the end of the object, which prove its length.
            encryption_context: pairs that the message must have.
            required_context_keys: keys that the message must have.
            release_unverified_plaintext: accept signed messages too, whose plaintext comes out before the signature is
                checked; that of a range is never checked.
            partial_read: a ``with`` block over the body of a whole object may be left before its end.
            parameters: what else boto3 takes.

        ``ContentLength`` and ``ContentRange`` are the plaintext's. Of a whole object the length is what follows from
        the object's, is proven at the body's end, and left out where it does not follow.

        Raises:
            UsageError: the range is malformed, or a parameter says which part to read in another way.
            ClientError: ``InvalidRange`` where the plaintext has nothing there; otherwise as the class says.
            SignedStreamError: the message is signed and unverified plaintext is not accepted.
        """
        if "PartNumber" in parameters:
            raise UsageError("PartNumber does not go with encrypted objects, whose parts are not the plaintext's")
        options: dict[str, Any] = {
            "encryption_context": self._context_at(Bucket, Key, encryption_context),
            "required_context_keys": required_context_keys,
        }
        if Range is not None:
            source = S3Source(self._s3, Bucket, Key, **parameters)
            options["release_unverified_plaintext"] = release_unverified_plaintext
            with explained(source):
                reader = open_random_access(source, client=self._client, **options)
            start, length = range_of(Range, reader.size)
            place = {"ContentLength": length, "ContentRange": f"bytes {start}-{start + length - 1}/{reader.size}"}
            return {**told(source.answer), **place, "Body": RangeBody(reader, start, length)}
        decryptor = self._client.decryptor(**options, refuse_signed=not release_unverified_plaintext)
        stored = PinnedObject(self._s3, Bucket, Key, attempts=ATTEMPTS, parameters=parameters)
        raw = StoredBytes(stored)
        try:
            with explained(stored):
                body = ObjectBody(cast("IO[bytes]", raw), decryptor, close_raw=True, partial_read=partial_read)
        except BaseException:
            raw.close()
            raise
        implied = implied_length(body.header, stored.size)
        known = {} if implied is None else {"ContentLength": implied}
        return {**told(stored.answer), **known, "Body": body}

    def head_object(self, *, Bucket: str, Key: str, **parameters: Any) -> dict[str, Any]:
        """Return S3's answer, and in it ``PlaintextLength``: what the metadata say, or ``None``.

        Nobody has authenticated that. The true length is ``open(Bucket, Key).size``.
        """
        answer = dict(self._s3.head_object(Bucket=Bucket, Key=Key, **parameters))
        return {**answer, "PlaintextLength": claimed_length(answer.get("Metadata", {}))}

    def delete_object(self, *, Bucket: str, Key: str, **parameters: Any) -> dict[str, Any]:
        """Delete an object: boto3's ``delete_object``."""
        return dict(self._s3.delete_object(Bucket=Bucket, Key=Key, **parameters))

    # --- at any position ---------------------------------------------------------------------------------------------

    def open(
        self,
        Bucket: str,
        Key: str,
        *,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
        release_unverified_plaintext: bool = False,
        verify_first: bool = False,
        read_ahead: int = READ_AHEAD,
        cache_size: int = CACHE_SIZE,
        **parameters: Any,
    ) -> RandomAccessReader:
        """Open an object to be read at any position: a binary file object that can seek.

        Opening takes one request for what is shorter than 64 KiB, two for what is longer; a read of up to
        ``read_ahead`` bytes takes one. Every request names the ETag.

        Args:
            Bucket: as for boto3. So is ``Key``.
            encryption_context: pairs that the message must have.
            required_context_keys: keys that the message must have.
            release_unverified_plaintext: as for :func:`envelope_sdk.streams.open_random_access`. So are
                ``verify_first`` and ``cache_size``.
            read_ahead: bytes to ask for at once where more is going to be read.
            parameters: what else ``get_object`` takes.

        Raises:
            As :func:`envelope_sdk.streams.open_random_access`, and as the class says.
        """
        source = S3Source(self._s3, Bucket, Key, read_ahead=read_ahead, **parameters)
        with explained(source):
            return open_random_access(
                source,
                client=self._client,
                encryption_context=self._context_at(Bucket, Key, encryption_context),
                required_context_keys=required_context_keys,
                release_unverified_plaintext=release_unverified_plaintext,
                verify_first=verify_first,
                cache_size=cache_size,
            )

    # --- files -------------------------------------------------------------------------------------------------------

    def upload_file(
        self,
        Filename: str | os.PathLike[str],
        Bucket: str,
        Key: str,
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback = None,
        Config: TransferConfig | None = None,
        *,
        encryption_context: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Encrypt a file to an object, and return S3's answer. Arguments and errors as :meth:`upload_fileobj`."""
        with io.FileIO(os.fspath(Filename)) as file:
            return self.upload_fileobj(
                file, Bucket, Key, ExtraArgs, Callback, Config, encryption_context=encryption_context
            )

    def upload_fileobj(
        self,
        Fileobj: IO[bytes] | io.RawIOBase,
        Bucket: str,
        Key: str,
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback = None,
        Config: TransferConfig | None = None,
        *,
        encryption_context: Mapping[str, str] | None = None,
        plaintext_length: int | None = None,
    ) -> dict[str, Any]:
        """Encrypt what a file object holds to an object, which appears when all is there, and return S3's answer.

        One thread reads and encrypts; ``max_concurrency`` parts are uploaded at a time, and no more than one beyond
        those is in memory. Whatever goes wrong, an interruption included, the upload is aborted and no part is left.

        Args:
            Fileobj: a binary file object, read once from where it stands to its end. It stays open.
            Bucket: as for boto3. So is ``Key``.
            ExtraArgs: what else ``put_object`` takes: ``ContentType``, ``IfNoneMatch="*"`` and so on.
            Callback: called in this thread with how many more bytes of the message were stored.
            Config: in place of the one given to this client.
            encryption_context: pairs to store with the message, beside this client's.
            plaintext_length: how many bytes the file object holds, where it cannot say so itself. Where that is not
                known, S3's limit of 10,000 parts bounds the message.

        Raises:
            UsageError: a parameter is a length or checksum of the body, or the parts would be too many.
            StreamError: the file became longer or shorter meanwhile.
            OSError: it cannot be read.
            Otherwise as the class says, and as :meth:`envelope_sdk.Client.encrypt`.
        """
        source = file_to_read(Fileobj, "Fileobj")
        length = length_left(source) if plaintext_length is None else plaintext_length
        parameters = stored_parameters(ExtraArgs)
        with self._encrypting(source, Bucket, Key, encryption_context, length) as message:
            return self._upload(Bucket, Key, message, parameters, Config, Callback)

    def download_file(
        self,
        Bucket: str,
        Key: str,
        Filename: str | os.PathLike[str],
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback = None,
        Config: TransferConfig | None = None,
        *,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
        overwrite: bool = True,
    ) -> Header:
        """Decrypt an object to a file, and return the message's header.

        The file appears, readable by its owner only, when the whole message is authentic, signature included, and not
        at all otherwise. Arguments and errors as :meth:`download_fileobj`.

        Raises:
            FileExistsError: there is one, and ``overwrite`` does not allow it to be replaced.
        """
        writer = decrypting_writer(
            Filename,
            client=self._client,
            encryption_context=self._context_at(Bucket, Key, encryption_context),
            required_context_keys=required_context_keys,
            overwrite=overwrite,
        )
        return self._download(Bucket, Key, writer, ExtraArgs, Callback, Config)

    def download_fileobj(
        self,
        Bucket: str,
        Key: str,
        Fileobj: IO[bytes],
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback = None,
        Config: TransferConfig | None = None,
        *,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
        release_unverified_plaintext: bool = False,
    ) -> Header:
        """Decrypt an object to a file object, and return the message's header.

        Pieces are asked for ``max_concurrency`` at a time, by their ETag, and written in order as they are
        authenticated: where this raises, what was written is the beginning of the plaintext.

        Args:
            Bucket: as for boto3. So is ``Key``.
            Fileobj: a binary file object to write to. It stays open.
            ExtraArgs: what else ``get_object`` takes: ``VersionId`` and so on.
            Callback: called in this thread with how many more bytes of the message have come.
            Config: in place of the one given to this client.
            encryption_context: pairs that the message must have.
            required_context_keys: keys that the message must have.
            release_unverified_plaintext: accept signed messages too, whose plaintext is written before the signature
                has been checked.

        Raises:
            UsageError: ``ExtraArgs`` say which part to read: :meth:`get_object` and :meth:`open` read parts.
            SignedStreamError: the message is signed and unverified plaintext is not accepted.
            OSError: writing failed.
            Otherwise as the class says, and as :meth:`envelope_sdk.Client.decrypt`.
        """
        writer = decrypting_writer(
            file_to_write(Fileobj, "Fileobj"),
            client=self._client,
            encryption_context=self._context_at(Bucket, Key, encryption_context),
            required_context_keys=required_context_keys,
            release_unverified_plaintext=release_unverified_plaintext,
        )
        return self._download(Bucket, Key, writer, ExtraArgs, Callback, Config)

    def copy(
        self,
        CopySource: Mapping[str, str],
        Bucket: str,
        Key: str,
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback = None,
        Config: TransferConfig | None = None,
        *,
        target: EncryptedS3 | None = None,
        encryption_context: Mapping[str, str] | None = None,
        source_context: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Decrypt an object, encrypt it anew, store it elsewhere, and return S3's answer.

        It passes through this process, with as much in memory as a download and an upload take. The new object appears
        when the old message is authentic to its end, signature included. Content type and the like, and the caller's
        metadata, are taken over unless ``ExtraArgs`` say otherwise; tags are not.

        Args:
            CopySource: ``Bucket``, ``Key`` and, where wanted, ``VersionId`` of the object, read with this client.
            Bucket: where the copy goes. So does ``Key``.
            ExtraArgs: what else ``put_object`` takes.
            Callback: called in this thread with how many more bytes of the new message were stored.
            Config: in place of those given to the two clients.
            target: writes the copy, in another Region or under other keys; by default this client does.
            encryption_context: the pairs of the copy, beside those of ``target``. By default those of the old message,
                but for the place it was bound to.
            source_context: pairs that the old message must have.

        Raises:
            As :meth:`download_fileobj` and :meth:`upload_fileobj`. Whatever is raised, no part of a copy is left.
        """
        target = self if target is None else target
        parameters = stored_parameters(ExtraArgs)
        config = usable(Config or self._config)
        bucket, key, given = copy_source(CopySource)
        stored = PinnedObject(self._s3, bucket, key, attempts=config.num_download_attempts, parameters=given)
        decryptor = self._client.decryptor(encryption_context=self._context_at(bucket, key, source_context))
        with closing(read_pieces(stored, config)) as pieces:
            with explained(stored):
                plain = DecryptingReader(cast("IO[bytes]", ReadPieces(pieces)), decryptor)
            if encryption_context is None:
                encryption_context = _taken_over(
                    plain.header, _place(bucket, key), target._context_at(Bucket, Key, None)
                )
            length = implied_length(plain.header, stored.size)
            parameters = {**described(stored.answer), **parameters}
            source = cast("IO[bytes]", plain)
            try:
                with target._encrypting(source, Bucket, Key, encryption_context, length) as message:
                    return target._upload(Bucket, Key, message, parameters, Config, Callback)
            except StreamError:
                # The length followed from the object's. Where it is another, the message ends otherwise than it should.
                while plain.read_view():
                    pass
                raise

    # --- inside ------------------------------------------------------------------------------------------------------

    def _context_at(self, bucket: str, key: str, given: Mapping[str, str] | None) -> dict[str, str]:
        """Return the pairs of a message in one place, which are demanded of it as well."""
        place = _place(bucket, key)
        bound = {_PLACES[name]: place[_PLACES[name]] for name in self._bind}
        fixed = {**self._context, **bound}
        other = sorted(name for name, value in (given or {}).items() if fixed.get(name, value) != value)
        if other:
            raise UsageError(f"{', '.join(other)}: this client gives its messages another value")
        return {**(given or {}), **fixed}

    def _encrypting(
        self, source: IO[bytes], bucket: str, key: str, given: Mapping[str, str] | None, length: int | None
    ) -> EncryptingReader:
        context = self._context_at(bucket, key, given)
        encryptor = self._client.encryptor(encryption_context=context, plaintext_length=length)
        return EncryptingReader(source, encryptor)

    def _upload(
        self,
        bucket: str,
        key: str,
        message: EncryptingReader,
        parameters: dict[str, Any],
        config: TransferConfig | None,
        callback: Callback,
    ) -> dict[str, Any]:
        return upload(
            self._s3,
            bucket,
            key,
            message,
            parameters=marked(parameters, message.header, message.plaintext_length),
            config=usable(config or self._config),
            callback=callback,
        )

    def _download(
        self,
        bucket: str,
        key: str,
        writer: Any,
        parameters: Mapping[str, Any] | None,
        callback: Callback,
        config: TransferConfig | None,
    ) -> Header:
        with writer:
            config = usable(config or self._config)
            attempts = config.num_download_attempts
            stored = PinnedObject(self._s3, bucket, key, attempts=attempts, parameters=dict(parameters or {}))
            with explained(stored), closing(read_pieces(stored, config)) as pieces:
                for piece in pieces:
                    writer.write(piece)
                    if callback is not None:
                        callback(len(piece))
                writer.close()
        header = writer.header
        assert header is not None
        return cast("Header", header)


def _place(bucket: str, key: str) -> dict[str, str]:
    return {_PLACES["bucket"]: bucket, _PLACES["key"]: key}


def _taken_over(header: Header, place: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, str]:
    """Return the pairs of a message that go with its copy: not those of its place, whoever bound it to that."""
    return {
        name: value
        for name, value in header.encryption_context.items()
        if name not in fixed and place.get(name) != value and not name.startswith("aws-crypto-")
    }
