"""Where a root key comes from, and which of those at hand is a store's own.

A store keeps records about its root key, none of them secret: what it was made with, how to derive or unwrap it, and a
value that only the right one fits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from envelope_sdk.errors import EnvelopeError, KeyStoreError, LocalKmsError, UsageError
from envelope_sdk.local_kms.store.passphrase import Derivation, Passphrase
from envelope_sdk.local_kms.store.root_key import (
    ROOT_KEY_LENGTH,
    ROOT_KEY_VARIABLE,
    RootKey,
    decode_root_key,
    given_root_key,
    load_root_key,
    make_root_key_file,
)
from envelope_sdk.local_kms.store.root_key_files import discard, put_in_place, retire, waiting_path
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["CHECK", "GENERATION", "Keeper", "Records", "RootKeySource", "RootKeyWrapper", "generation_of"]

Records = Mapping[str, object]
"""What a store holds about its root key, by name."""

MADE_WITH: Final = "made with"
DERIVATION: Final = "derivation"
WRAPPED: Final = "wrapped root key"
CHECK: Final = "root key check"
"""The record of the value that only the right root key fits: another one with every root key."""
GENERATION: Final = "root key generation"
"""The record of how many root keys there have been, this one included; where there is none, one."""


@runtime_checkable
class RootKeyWrapper(Protocol):
    """A key elsewhere that a root key is kept wrapped under, for instance one that never leaves a token.

    The root key is made here, and the database holds it as it was wrapped; whoever opens the store has it unwrapped.
    ``str`` says which key it is, in words fit for an error message. Errors are those of this package.
    """

    def wrap_root_key(self, root_key: bytes) -> bytes:
        """Return ``root_key``, 32 bytes, in a form that :meth:`unwrap_root_key` takes."""
        ...

    def unwrap_root_key(self, wrapped: bytes) -> bytes:
        """Return what :meth:`wrap_root_key` took; ``wrapped`` may have been altered."""
        ...


RootKeySource = bytes | os.PathLike[str] | Passphrase | RootKeyWrapper | None
"""Where the root key comes from: 32 bytes, the path of its file, a passphrase, a key it is wrapped under, or ``None``
for the environment variable ``ENVELOPE_KMS_ROOT_KEY`` if it is set and the file next to the database otherwise."""


class Keeper:
    """Gets the root key of one store from one source. Its repr shows no secret, and it cannot be pickled."""

    __slots__ = ("_beside", "_place", "_random", "_source")

    def __init__(self, place: str, beside: Path | None, source: RootKeySource, random: RandomSource) -> None:
        """Take where the store is, in words, the root key file that belongs to it if any does, and the source.

        Raises:
            TypeError: the source is of another kind.
            UsageError: there is no root key file that belongs to the store, and no other source.
        """
        _check_kind(source)
        if source is None and beside is None and ROOT_KEY_VARIABLE not in os.environ:
            raise UsageError(f"{place} needs a root key: give root_key, or set {ROOT_KEY_VARIABLE}")
        self._place = place
        self._beside = beside
        self._source = source
        self._random = random

    def __repr__(self) -> str:
        return f"Keeper({self._place!r}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("what keeps a root key cannot be pickled or copied")

    def make(self) -> tuple[MaterialWrapper, Records]:
        """Make or take the root key of a new store, and return its wrapper and what to record.

        Raises:
            KeyStoreError: the root key cannot be made.
        """
        return self._recorded(*self._new_root_key(self._file()), 1)

    def open(self, records: Records) -> MaterialWrapper:
        """Return the wrapper of the root key of the store that holds ``records``.

        Raises:
            KeyStoreError: it is missing, or another one than this.
        """
        check = records.get(CHECK)
        if not isinstance(check, bytes):
            raise KeyStoreError(f"the key store {self._place} is damaged: it holds no record of its root key")
        root_key = self._existing_root_key(records)
        wrapper = self._wrapper(root_key)
        if wrapper.fits(check):
            return wrapper
        waiting = self._waiting(check)
        if waiting is None:
            raise KeyStoreError(
                f"the root key from {root_key.origin} is not that of the key store {self._place}, which was made with "
                f"{records.get(MADE_WITH)}"
            )
        return waiting

    def replace(self, records: Records) -> tuple[MaterialWrapper, Records]:
        """Make or take another root key than the one in force, and return its wrapper and what to record instead.

        The file of the one in force is not touched: :meth:`settle` does that once the records are durable.

        Raises:
            UsageError: it is the one in force.
            KeyStoreError: it cannot be had.
        """
        check = records[CHECK]
        assert isinstance(check, bytes)
        file = self._file()
        if file is not None and self._fits(load_root_key(file), check):
            # Nobody waits there that matters: what is in force has its place, and no other change is under way.
            file = waiting_path(file)
            discard(file)
        wrapper, made = self._recorded(*self._new_root_key(file), generation_of(records) + 1)
        if wrapper.fits(check):
            raise UsageError(f"the root key given is the one that the key store {self._place} is under already")
        return wrapper, made

    def unsettled(self, records: Records) -> bool:
        """Return whether the root key in force waits for its place: somebody was killed when changing it."""
        check, file = records.get(CHECK), self._file()
        if file is None or not isinstance(check, bytes) or not waiting_path(file).exists():
            return False
        return not self._fits(load_root_key(file), check) and self._waiting(check) is not None

    def settle(self, records: Records) -> None:
        """Give the root key in force its place if it waits for it. Nobody must change the store meanwhile.

        Raises:
            KeyStoreError: files cannot be renamed.
        """
        file = self._file()
        if file is not None and self.unsettled(records):
            put_in_place(file, generation_of(records) - 1)

    def retire(self, records: Records) -> None:
        """Rename the root key file beside the store, which ``records`` say is not in force any more.

        Files elsewhere are left as they are: other stores may be under them.
        """
        file, check = self._file(), records.get(CHECK)
        if file is None or file != self._beside or not isinstance(check, bytes):
            return
        if not self._fits(load_root_key(file), check):
            retire(file, generation_of(records) - 1)

    def same_file(self, other: Keeper) -> bool:
        """Return whether both keep the root key in one file."""
        mine, others = self._file(), other._file()
        return mine is not None and others is not None and os.path.realpath(mine) == os.path.realpath(others)

    def _file(self) -> Path | None:
        """Return the root key file; ``None`` where the source is none."""
        if isinstance(self._source, os.PathLike):
            return Path(self._source)
        if self._source is None and ROOT_KEY_VARIABLE not in os.environ:
            return self._beside
        return None

    def _new_root_key(self, file: Path | None) -> tuple[RootKey, dict[str, object]]:
        source = self._source
        if isinstance(source, Passphrase):
            derivation = Derivation.new(self._random)
            return source.derive(derivation), {DERIVATION: derivation.to_json()}
        if isinstance(source, RootKeyWrapper):
            secret = bytearray(self._random(ROOT_KEY_LENGTH))
            root_key = RootKey(secret, str(source))
            return root_key, {WRAPPED: bytes(self._asked(source, lambda: source.wrap_root_key(bytes(secret))))}
        if file is not None:
            return make_root_key_file(file, self._random), {}
        return self._held_root_key(), {}

    def _recorded(
        self, root_key: RootKey, records: dict[str, object], generation: int
    ) -> tuple[MaterialWrapper, Records]:
        wrapper = self._wrapper(root_key)
        own = {MADE_WITH: self._description(), CHECK: wrapper.check_value(), GENERATION: str(generation)}
        return wrapper, own | records

    def _existing_root_key(self, records: Records) -> RootKey:
        made_with = records.get(MADE_WITH)
        source = self._source
        if isinstance(source, Passphrase):
            derivation = records.get(DERIVATION)
            if not isinstance(derivation, str):
                raise KeyStoreError(f"the key store {self._place} takes no passphrase: it was made with {made_with}")
            return source.derive(Derivation.from_json(derivation))
        if isinstance(source, RootKeyWrapper):
            return self._unwrapped(source, records)
        file = self._file()
        if file is None:
            return self._held_root_key()
        root_key = load_root_key(file)
        if root_key is None:
            raise KeyStoreError(
                f"the root key of the key store {self._place} is missing: there is no file {file}. The store was made "
                f"with {made_with}: give or restore exactly that, since without it none of its keys can be used"
            )
        return root_key

    def _held_root_key(self) -> RootKey:
        if isinstance(self._source, bytes):
            return given_root_key(self._source)
        text = os.environ.get(ROOT_KEY_VARIABLE, "")
        return decode_root_key(text, f"the environment variable {ROOT_KEY_VARIABLE}")

    def _unwrapped(self, source: RootKeyWrapper, records: Records) -> RootKey:
        wrapped = records.get(WRAPPED)
        if not isinstance(wrapped, bytes):
            raise KeyStoreError(
                f"the key store {self._place} holds no root key for {source} to unwrap: it was made with "
                f"{records.get(MADE_WITH)}"
            )
        secret = self._asked(source, lambda: source.unwrap_root_key(wrapped))
        if len(secret) != ROOT_KEY_LENGTH:
            raise KeyStoreError(f"{source} unwrapped no root key: it has to be {ROOT_KEY_LENGTH} bytes")
        return RootKey(bytearray(secret), str(source))

    def _asked(self, source: RootKeyWrapper, ask: Any) -> bytes:
        try:
            secret: bytes = ask()
        except (UsageError, LocalKmsError):
            raise
        except EnvelopeError as error:
            raise KeyStoreError(f"the root key of {self._place} cannot be had from {source}: {error}") from error
        return secret

    def _waiting(self, check: bytes) -> MaterialWrapper | None:
        """Return the wrapper of the root key that waits for its place, if it is the one in force."""
        file = self._file()
        root_key = None if file is None else load_root_key(waiting_path(file))
        wrapper = None if root_key is None else self._wrapper(root_key)
        return wrapper if wrapper is not None and wrapper.fits(check) else None

    def _fits(self, root_key: RootKey | None, check: bytes) -> bool:
        return root_key is not None and self._wrapper(root_key).fits(check)

    def _wrapper(self, root_key: RootKey) -> MaterialWrapper:
        try:
            return MaterialWrapper(root_key, self._random)
        finally:
            root_key.wipe()

    def _description(self) -> str:
        source = self._source
        if isinstance(source, Passphrase):
            return "a passphrase"
        if isinstance(source, bytes):
            return "a root key given by the program"
        if isinstance(source, RootKeyWrapper):
            return str(source)
        file = self._file()
        return f"the environment variable {ROOT_KEY_VARIABLE}" if file is None else f"the root key file {file.name}"


def _check_kind(source: object) -> None:
    if source is not None and not isinstance(source, bytes | os.PathLike | Passphrase | RootKeyWrapper):
        raise TypeError(
            f"root_key is a {type(source).__name__}: give 32 bytes, a pathlib.Path of a root key file, or "
            "Passphrase(...)"
        )


def generation_of(records: Records) -> int:
    """Return how many root keys the store has had, this one included."""
    found = records.get(GENERATION, "1")
    try:
        return int(str(found))
    except ValueError:
        raise KeyStoreError(f"the key store's record of its root key is damaged: generation {found!r:.40}") from None
