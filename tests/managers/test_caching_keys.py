"""Where cached data keys are: in one buffer each, which is zeros once nobody is to use it any more."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from testkit.contracts import aes, caching
from testkit.managers import Asked
from testkit.materials import to_open, to_wrap

from envelope_sdk import AlgorithmSuite, CommitmentPolicy, EncryptionContext
from envelope_sdk.cache.identifiers import MaterialsName
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.errors import KeyringError
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.managers import CachingMaterialsManager
from envelope_sdk.managers.reusable import Reusable, reusable_decryption, reusable_encryption
from envelope_sdk.materials import DecryptionRequest, EncryptionRequest
from envelope_sdk.testing.turns import in_threads

SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
POLICY = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
NONE = EncryptionContext()
NAME = MaterialsName(bytes(48), b"", b"")
KEY = bytes(range(32))
ROUNDS = 100


class Watched:
    """A cache with a clock that is set by hand, and all that was ever lent from it."""

    def __init__(self, max_entries: int = 10) -> None:
        self.now = 0.0
        self.kept = LocalCache(max_entries, clock=lambda: self.now)
        self.lent: list[Reusable[Any]] = []

    @contextmanager
    def borrow(self, identifier: bytes, load: Callable[[], Any], **options: Any) -> Generator[Any]:
        with self.kept.borrow(identifier, load, **options) as value:
            if value not in self.lent:
                self.lent.append(value)
            yield value

    def discard(self, identifier: bytes, value: object) -> None:
        self.kept.discard(identifier, value)

    def clear(self) -> None:
        self.kept.clear()

    def close(self) -> None:
        self.kept.close()


def encrypted(manager: CachingMaterialsManager, tenant: str = "a") -> bytes:
    """Return the data key of a message."""
    request = EncryptionRequest(EncryptionContext({"tenant": tenant}), POLICY, SUITE, 10)
    key = manager.get_encryption_materials(request).plaintext_data_key
    assert key is not None
    return key


def buffer_of(value: Reusable[Any]) -> bytearray:
    """Return what it keeps its data key in."""
    (buffer,) = (held for name in Reusable.__slots__ if isinstance(held := getattr(value, name), bytearray))
    return buffer


def spent(cache: Watched, manager: CachingMaterialsManager) -> None:
    encrypted(manager)
    encrypted(manager)


def expired(cache: Watched, manager: CachingMaterialsManager) -> None:
    cache.now += 60
    encrypted(manager, "b")


def evicted(cache: Watched, manager: CachingMaterialsManager) -> None:
    encrypted(manager, "b")
    encrypted(manager, "c")


def replaced(cache: Watched, manager: CachingMaterialsManager) -> None:
    cache.now += 60
    encrypted(manager)


def cleared(cache: Watched, manager: CachingMaterialsManager) -> None:
    cache.clear()


def closed(cache: Watched, manager: CachingMaterialsManager) -> None:
    cache.close()


@pytest.mark.parametrize("leave", [spent, expired, evicted, replaced, cleared, closed], ids=lambda way: way.__name__)
def test_the_key_is_zeros_on_every_way_out(leave: Callable[[Watched, CachingMaterialsManager], None]):
    cache = Watched(max_entries=2)
    manager = caching(aes(), cache=cache, max_messages=2)
    key = encrypted(manager)
    kept = cache.lent[0]
    buffer = buffer_of(kept)
    assert buffer == key

    leave(cache, manager)

    assert buffer == bytes(32)
    with pytest.raises(KeyringError, match="had wiped"):
        kept.materials()


def test_the_key_of_messages_that_were_read_is_zeros_too():
    cache, asked = Watched(), Asked(aes())
    made = asked.get_encryption_materials(EncryptionRequest(NONE, POLICY, SUITE, 10))
    manager = caching(asked, cache=cache)
    opened = manager.decrypt_materials(
        DecryptionRequest(SUITE, made.encrypted_data_keys, made.encryption_context, NONE, POLICY)
    )
    buffer = buffer_of(cache.lent[0])
    assert buffer == opened.plaintext_data_key

    cache.close()

    assert buffer == bytes(32)
    assert opened.plaintext_data_key == made.plaintext_data_key


def test_a_manager_that_is_closed_wipes_its_own_cache():
    with caching(aes()) as manager:
        key = encrypted(manager)
        kept = [buffer_of(each) for each in gc.get_objects() if isinstance(each, Reusable)]
        buffers = [buffer for buffer in kept if buffer == key]

    assert buffers == [bytes(32)]


def test_what_a_message_got_outlives_the_cache():
    with caching(aes()) as manager:
        request = EncryptionRequest(NONE, POLICY, SUITE, 10)
        materials = manager.get_encryption_materials(request)
        key = materials.plaintext_data_key

    assert materials.plaintext_data_key == key
    assert key != bytes(32)


# --- materials that are kept -----------------------------------------------------------------------------------------


def both() -> list[Reusable[Any]]:
    wrapped = to_wrap(KEY).with_data_key(KEY, EncryptedDataKey("test", b"", b"wrapped"))
    return [reusable_encryption(NAME, wrapped, {}), reusable_decryption(NAME, to_open(KEY), {})]


@pytest.mark.parametrize("kept", both(), ids=["to-encrypt", "to-decrypt"])
@pytest.mark.parametrize("carry_away", [pickle.dumps, copy.copy, copy.deepcopy])
def test_they_are_not_carried_away(carry_away: Callable[[object], object], kept: Reusable[Any]):
    with pytest.raises(TypeError, match="they cannot be pickled or copied"):
        carry_away(kept)


@pytest.mark.parametrize("kept", both(), ids=["to-encrypt", "to-decrypt"])
def test_they_show_nothing(kept: Reusable[Any]):
    assert repr(kept) == str(kept) == f"{kept}" == "Reusable(<secret>)"
    assert not hasattr(kept, "__dict__")


@pytest.mark.parametrize("kept", both(), ids=["to-encrypt", "to-decrypt"])
def test_there_is_one_copy_of_the_key(kept: Reusable[Any]):
    held = [getattr(kept, name) for name in Reusable.__slots__]
    blank = held[Reusable.__slots__.index("_filled")].__self__

    assert [each for each in held if isinstance(each, bytes | bytearray)] == [KEY]
    assert blank.plaintext_data_key is None
    assert kept.materials().plaintext_data_key == KEY


@pytest.mark.parametrize("kept", both(), ids=["to-encrypt", "to-decrypt"])
def test_wiping_twice_is_no_error(kept: Reusable[Any]):
    kept.wipe()
    kept.wipe()

    assert buffer_of(kept) == bytes(32)


def test_taking_counts_up_to_the_limits_and_not_beyond():
    kept = both()[0]

    assert [kept.take(4, 3, 10) for _ in range(4)] == [True, True, False, False]
    assert kept.take(2, 3, 10)
    assert not kept.take(0, 3, 10)
    assert kept.take(0, 4, 10)


class Yielding(int):
    """A length that lets another thread go first where it is added."""

    def __radd__(self, other: int) -> int:
        os.sched_yield()
        return other + int(self)


def test_of_many_threads_at_once_no_more_take_than_may():
    kept, taken = [both()[0] for _ in range(ROUNDS)], [list[bool]() for _ in range(ROUNDS)]

    def work(_thread: int) -> None:
        for each, answers in zip(kept, taken, strict=True):
            answers.append(each.take(Yielding(1), 3, 100))

    in_threads(work, 8)

    assert [sum(each) for each in taken] == [3] * ROUNDS


def test_a_signal_handler_may_take_while_its_thread_does():
    """Stood in for by a length that takes, where it is added."""
    kept, done = both()[0], threading.Event()

    class Handling(int):
        def __radd__(self, other: int) -> int:
            assert kept.take(1, 10, 10)
            return other + int(self)

    def work() -> None:
        assert kept.take(Handling(1), 10, 10)
        done.set()

    threading.Thread(target=work, daemon=True).start()

    assert done.wait(20)
