"""The client: what applications hold. One keyring or materials manager, one policy, any number of messages.

A client is immutable and safe to share between threads; so are the keyrings of this package.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

from envelope_sdk.errors import (
    ContextMismatchError,
    EncryptionContextError,
    EnvelopeError,
    KeyringError,
    UsageError,
)
from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.cursor import BytesLike, byte_view
from envelope_sdk.formats.header import MAX_FRAME_LENGTH, UnverifiedHeader
from envelope_sdk.formats.suites import AlgorithmSuite
from envelope_sdk.managers.default import DefaultMaterialsManager
from envelope_sdk.materials import (
    DecryptionMaterials,
    DecryptionRequest,
    EncryptionMaterials,
    EncryptionRequest,
    Keyring,
    MaterialsManager,
)
from envelope_sdk.message.authenticated import Header, MaterialsSource
from envelope_sdk.message.decryptor import MessageDecryptor
from envelope_sdk.message.encryptor import MessageEncryptor
from envelope_sdk.message.machine import forget_frames
from envelope_sdk.message.parallel import threads_for
from envelope_sdk.message.results import DecryptResult, EncryptResult
from envelope_sdk.message.whole import decrypt_whole, encrypt_whole
from envelope_sdk.policy import CommitmentPolicy, Limits
from envelope_sdk.primitives.entropy import RandomSource, system_random

if TYPE_CHECKING:
    from envelope_sdk.streams import DecryptingWriter, EncryptedFile, EncryptingReader, RandomAccessReader
    from envelope_sdk.streams.positional import Readable

__all__ = ["DEFAULT_FRAME_LENGTH", "Client", "DecryptResult", "EncryptResult"]

DEFAULT_FRAME_LENGTH: Final = 65_536
"""Bytes of plaintext in a frame where the caller says nothing (docs/adr/0012)."""

_NONE: Final[frozenset[str]] = frozenset()


class Client:
    """Encrypts and decrypts messages in the AWS Encryption SDK format."""

    __slots__ = (
        "_algorithm_suite",
        "_commitment_policy",
        "_frame_length",
        "_limits",
        "_manager",
        "_random",
        "_threads",
    )

    def __init__(
        self,
        keyring: Keyring | None = None,
        *,
        materials_manager: MaterialsManager | None = None,
        commitment_policy: CommitmentPolicy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
        algorithm_suite: AlgorithmSuite | None = None,
        sign: bool = False,
        frame_length: int = DEFAULT_FRAME_LENGTH,
        limits: Limits | None = None,
        random: RandomSource = system_random,
        threads: int | None = None,
    ) -> None:
        """Fix how messages are made and what is accepted.

        Args:
            keyring: wraps and unwraps data keys. Give this or ``materials_manager``.
            materials_manager: supplies materials in the keyring's stead, for instance from a cache.
            commitment_policy: the default writes and reads only messages that commit to their data key.
            algorithm_suite: overrides the policy's default suite, which is 0x0478: committing and unsigned.
            sign: take the policy's signed suite (0x0578) instead. Signed messages prove that their writer could
                encrypt, even to readers who share the data key; they cost a hash over all bytes, and their plaintext
                should be used only once the whole message has been read.
            frame_length: bytes of plaintext in a frame, 1 to 2^32 - 1. A frame is what a reader holds in memory
                before it releases plaintext.
            limits: bounds on messages; see :class:`~envelope_sdk.policy.Limits`.
            random: the source of message ids.
            threads: the most threads that one message may use. By default as many as there are processors, up to 4,
                and only where the message is long enough, and its frames too, for them to pay.

        Raises:
            UsageError: not exactly one source of materials, a frame length out of range, or a suite that is named and
                implied as well.
            CommitmentPolicyError: the policy forbids the suite.
            TypeError: an argument is of another type than it has to be.
        """
        _check_types(keyring, materials_manager, commitment_policy, algorithm_suite, limits)
        frame_length = operator.index(frame_length)
        if (keyring is None) == (materials_manager is None):
            raise UsageError("a client needs a keyring or a materials manager, and not both")
        if sign and algorithm_suite is not None and not algorithm_suite.signed:
            raise UsageError(f"sign=True does not go with the unsigned suite {algorithm_suite.name}")
        if not 1 <= frame_length <= MAX_FRAME_LENGTH:
            raise UsageError(f"a frame length of {frame_length} bytes is not between 1 and {MAX_FRAME_LENGTH}")
        self._manager: MaterialsManager
        if materials_manager is not None:
            self._manager = materials_manager
        elif keyring is not None:
            self._manager = DefaultMaterialsManager(keyring)
        self._commitment_policy = commitment_policy
        self._algorithm_suite = algorithm_suite or commitment_policy.default_suite(signed=sign)
        commitment_policy.check_encrypt(self._algorithm_suite)
        self._frame_length = frame_length
        self._limits = limits or Limits()
        self._random = random
        self._threads = threads_for(threads)

    def __repr__(self) -> str:
        return f"Client({self._manager!r}, {self._algorithm_suite.name}, {self._commitment_policy.value})"

    def encrypt(self, plaintext: BytesLike, *, encryption_context: Mapping[str, str] | None = None) -> EncryptResult:
        """Encrypt bytes to one message.

        Args:
            plaintext: any bytes-like object, of any length; it is not copied.
            encryption_context: pairs that are stored in clear and authenticated with the message. Not secret.

        Raises:
            TypeError: ``plaintext`` is not bytes-like, or a context key or value is not text.
            EncryptionContextError: the context is too long or uses a reserved key.
            KeyringError, KmsError: no data key could be made or wrapped.
            LimitExceededError: more encrypted data keys than allowed.
        """
        if type(plaintext) is bytes:
            return self._encrypt(plaintext, encryption_context)
        with byte_view(plaintext) as view:
            return self._encrypt(view, encryption_context)

    def decrypt(
        self,
        ciphertext: BytesLike,
        *,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
    ) -> DecryptResult:
        """Decrypt one whole message. Nothing is returned unless all of it is authentic, signature included.

        Args:
            ciphertext: the message, and nothing after it.
            encryption_context: pairs the message must have been encrypted with. Those stored in it are compared; those
                left out of it on purpose are authenticated all the same.
            required_context_keys: keys that must be among the message's pairs, whatever their values.

        Raises:
            MessageError: the bytes are not a message.
            AuthenticationError: they were altered, or the key is not the message's.
            NoMatchingKeyError: no encrypted data key could be opened.
            KmsUnavailableError: a key service that might have opened one failed for now.
            PolicyError: the commitment policy, a limit or the required context refuses the message.
        """
        materials_for = self._materials_source(encryption_context, required_context_keys)
        try:
            if type(ciphertext) is bytes:
                return self._decrypt(ciphertext, materials_for)
            with byte_view(ciphertext) as view:
                return self._decrypt(view, materials_for)
        except EnvelopeError as error:
            forget_frames(error)
            raise

    def open(self, file: str | os.PathLike[str] | IO[bytes], mode: str = "rb", **options: Any) -> EncryptedFile:
        """Open an encrypted file as if it were not: :func:`envelope_sdk.open` with this client."""
        from envelope_sdk import streams

        return streams.open(file, mode, client=self, **options)

    def random_access(self, source: Readable, **options: Any) -> RandomAccessReader:
        """Open a message to be read at any position: :func:`envelope_sdk.streams.open_random_access` with this client.

        >>> import os
        >>> from envelope_sdk.keyrings import RawAesKeyring
        >>> client = Client(RawAesKeyring("example", "key-1", os.urandom(32)))
        >>> with client.random_access(client.encrypt(b"attack at dawn").ciphertext) as reader:
        ...     reader.size, reader.read_at(10, 4)
        (14, b'dawn')
        """
        from envelope_sdk import streams

        return streams.open_random_access(source, client=self, **options)

    def encrypting_reader(self, file: IO[bytes], **options: Any) -> EncryptingReader:
        """Return a file object that reads ``file`` and gives its encrypted message: the body of an upload.

        Args:
            file: a binary file object with plaintext. It stays open.
            options: as for :func:`envelope_sdk.streams.encrypting_reader.encrypting_reader`.
        """
        from envelope_sdk.streams.encrypting_reader import encrypting_reader

        return encrypting_reader(file, client=self, **options)

    def decrypting_writer(self, file: str | os.PathLike[str] | IO[bytes], **options: Any) -> DecryptingWriter:
        """Return a file object that takes a message and writes its plaintext to ``file``: the target of a download.

        Args:
            file: a path, whose file appears when the message is authentic to its end, or a binary file object.
            options: as for :func:`envelope_sdk.streams.decrypting_writer.decrypting_writer`.
        """
        from envelope_sdk.streams.decrypting_writer import decrypting_writer

        return decrypting_writer(file, client=self, **options)

    def encrypt_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        encryption_context: Mapping[str, str] | None = None,
        overwrite: bool = True,
        on_progress: Callable[[int], object] | None = None,
    ) -> Header:
        """Encrypt a file to another and return the message's header.

        ``target`` appears, readable by its owner only, when the message is complete and on the disk, and not at all
        otherwise. Large files are worked on by several threads, in the memory of a few pieces. What is appended to
        ``source`` meanwhile is encrypted too, up to twice its length and 64 KiB: so many bytes are announced to the
        materials manager.

        Args:
            source: the path of the file to read. It is left as it is.
            target: the path of the file to write.
            encryption_context: as in :meth:`encrypt`.
            overwrite: whether an existing ``target`` may be replaced.
            on_progress: called in this thread, now and then, with how many more bytes were read. What it raises ends
                the work and is raised.

        Raises:
            FileExistsError: ``target`` exists and may not be replaced.
            OSError: reading or writing failed.
            StreamError: another program made ``source`` shorter meanwhile.
            Otherwise as :meth:`encrypt`.
        """
        from envelope_sdk.streams.transfer import encrypt_file

        def encryptor(plaintext_bound: int | None) -> MessageEncryptor:
            return self.encryptor(encryption_context=encryption_context, plaintext_bound=plaintext_bound)

        return encrypt_file(
            source, target, encryptor, overwrite=overwrite, threads=self._threads, on_progress=on_progress
        )

    def decrypt_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
        overwrite: bool = True,
        on_progress: Callable[[int], object] | None = None,
    ) -> Header:
        """Decrypt a file to another and return the message's authenticated header.

        ``target`` appears, readable by its owner only, when the whole message is authentic, signature included, and
        not at all otherwise.

        Args:
            source: the path of the message. It is left as it is.
            target: the path of the file to write.
            encryption_context: as in :meth:`decrypt`.
            required_context_keys: as in :meth:`decrypt`.
            overwrite: whether an existing ``target`` may be replaced.
            on_progress: as in :meth:`encrypt_file`.

        Raises:
            FileExistsError: ``target`` exists and may not be replaced.
            OSError: reading or writing failed.
            Otherwise as :meth:`decrypt`.
        """
        from envelope_sdk.streams.transfer import decrypt_file

        decryptor = partial(
            self.decryptor, encryption_context=encryption_context, required_context_keys=required_context_keys
        )
        return decrypt_file(
            source, target, decryptor, overwrite=overwrite, threads=self._threads, on_progress=on_progress
        )

    @property
    def threads(self) -> int:
        """The most threads that one message may use."""
        return self._threads

    def encryptor(
        self,
        *,
        encryption_context: Mapping[str, str] | None = None,
        plaintext_length: int | None = None,
        plaintext_bound: int | None = None,
        frame_length: int | None = None,
        required_context_keys: Iterable[str] = (),
    ) -> MessageEncryptor:
        """Return a machine that encrypts one message piece by piece.

        Args:
            encryption_context: as in :meth:`encrypt`.
            plaintext_length: bytes that will come, where known; then it is an error if others do.
            plaintext_bound: the most bytes that will come, where only that is known; then it is an error if more do.
                A manager that limits the bytes under a data key has to know one or the other to use it again.
            frame_length: bytes of plaintext in a frame, where this message's are to be others than the client's.
            required_context_keys: keys of pairs that are authenticated but not stored in the message, so that readers
                have to give them.

        Raises:
            UsageError: both lengths were given, or one that was given is out of range.
            Otherwise as :meth:`encrypt`.
        """
        if plaintext_length is not None and plaintext_bound is not None:
            raise UsageError("a plaintext length is its own bound: give one of them")
        bound = plaintext_bound if plaintext_length is None else plaintext_length
        materials = self._encryption_materials(encryption_context, bound, required_context_keys)
        return MessageEncryptor(
            materials,
            frame_length=self._frame_length if frame_length is None else operator.index(frame_length),
            commitment_policy=self._commitment_policy,
            limits=self._limits,
            plaintext_length=plaintext_length,
            plaintext_bound=plaintext_bound,
            random=self._random,
            threads=self._threads,
        )

    def decryptor(
        self,
        *,
        encryption_context: Mapping[str, str] | None = None,
        required_context_keys: Iterable[str] = (),
        refuse_signed: bool = False,
    ) -> MessageDecryptor:
        """Return a machine that decrypts one message piece by piece; arguments as in :meth:`decrypt`.

        Args:
            encryption_context: pairs the message must have been encrypted with.
            required_context_keys: keys that must be among its pairs.
            refuse_signed: refuse signed messages, whose plaintext would come out before the signature is checked.

        Raises:
            TypeError: ``required_context_keys`` is a single text, or ``encryption_context`` is not of texts.
        """
        return MessageDecryptor(
            self._materials_source(encryption_context, required_context_keys),
            commitment_policy=self._commitment_policy,
            limits=self._limits,
            refuse_signed=refuse_signed,
            threads=self._threads,
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _encrypt(self, plaintext: bytes | memoryview, encryption_context: Mapping[str, str] | None) -> EncryptResult:
        ciphertext, header = encrypt_whole(
            self._encryption_materials(encryption_context, len(plaintext)),
            plaintext,
            frame_length=self._frame_length,
            commitment_policy=self._commitment_policy,
            limits=self._limits,
            random=self._random,
            threads=self._threads,
        )
        return EncryptResult(ciphertext, header)

    def _decrypt(self, ciphertext: bytes | memoryview, materials_for: MaterialsSource) -> DecryptResult:
        plaintext, header = decrypt_whole(
            ciphertext,
            materials_for,
            commitment_policy=self._commitment_policy,
            limits=self._limits,
            threads=self._threads,
        )
        return DecryptResult(plaintext, header)

    def _encryption_materials(
        self,
        encryption_context: Mapping[str, str] | None,
        plaintext_length: int | None,
        required_context_keys: Iterable[str] = (),
    ) -> EncryptionMaterials:
        context = EncryptionContext.of(encryption_context)
        if context.reserved_keys:
            raise EncryptionContextError(
                "encryption context keys that begin with 'aws-crypto-' belong to the format: "
                + ", ".join(context.reserved_keys)
            )
        required = _keys_of(required_context_keys) if required_context_keys else _NONE
        request = EncryptionRequest(context, self._commitment_policy, self._algorithm_suite, plaintext_length, required)
        materials = self._manager.get_encryption_materials(request)
        if materials.algorithm_suite is not self._algorithm_suite:
            # Otherwise a manager could drop the signature, or the key length, that this client was made for.
            raise KeyringError(
                f"{self._manager!r} returned materials for {materials.algorithm_suite.name} where "
                f"{self._algorithm_suite.name} was asked for"
            )
        if required and not required <= materials.required_encryption_context_keys:
            raise KeyringError(
                f"{self._manager!r} returned materials that would store pairs that are required of readers"
            )
        return materials

    def _materials_source(
        self, encryption_context: Mapping[str, str] | None, required_context_keys: Iterable[str]
    ) -> MaterialsSource:
        required = _keys_of(required_context_keys)
        reproduced = EncryptionContext.of(encryption_context)
        policy, manager = self._commitment_policy, self._manager

        def materials_for(unverified: UnverifiedHeader) -> DecryptionMaterials:
            suite, _, stored, keys, *_ = unverified.body
            if required and (missing := required - stored.keys() - reproduced.keys()):
                raise ContextMismatchError(
                    f"the message's encryption context lacks the required keys {', '.join(sorted(missing))}"
                )
            return manager.decrypt_materials(DecryptionRequest(suite, keys, stored, reproduced, policy))

        return materials_for


def _keys_of(required_context_keys: Iterable[str]) -> frozenset[str]:
    if isinstance(required_context_keys, str):
        raise TypeError("required_context_keys is a collection of keys, not one text")
    return frozenset(required_context_keys)


def _check_types(
    keyring: object, materials_manager: object, commitment_policy: object, algorithm_suite: object, limits: object
) -> None:
    """Raise :class:`TypeError` now for what would otherwise fail, less clearly, with the first message."""
    expected: tuple[tuple[str, object, type], ...] = (
        ("keyring", keyring, Keyring),
        ("materials_manager", materials_manager, MaterialsManager),
        ("algorithm_suite", algorithm_suite, AlgorithmSuite),
        ("limits", limits, Limits),
    )
    for name, value, kind in expected:
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name} is a {kind.__name__}, not {type(value).__name__}")
    if not isinstance(commitment_policy, CommitmentPolicy):
        raise TypeError(f"commitment_policy is a CommitmentPolicy, not {type(commitment_policy).__name__}")
