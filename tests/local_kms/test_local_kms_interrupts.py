"""Ctrl-C and signal handlers at every place where CPython lets them in: nothing is left locked, stale or half done.

CPython runs signal handlers between two instructions: when a call has returned, and where functions and loops begin. A
tracer stops at each of these places in turn, in the code of the local KMS and of ``contextlib``.
"""

from __future__ import annotations

import contextlib
import dis
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import envelope_sdk.local_kms
from envelope_sdk.errors import KmsServiceError, UsageError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

pytestmark = [
    # A finalizer cannot raise: Python reports what comes in the middle of one, and goes on.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # The code under test is the same in every version; what a tracer is shown of it is not.
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the tracer knows the instructions of CPython 3.11"),
]

_WATCHED = (str(Path(envelope_sdk.local_kms.__file__).parent), contextlib.__file__)
_OPENINGS = ("CALL", "RESUME", "JUMP_BACKWARD")


class _Interrupt:
    """Calls ``handler`` at one of the places where a signal's handler can run."""

    def __init__(self, place: int, handler: Callable[[], object]) -> None:
        self.place = place
        self.handler = handler
        self.seen = 0

    @property
    def done(self) -> bool:
        return self.seen > self.place

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._enter_frame)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _enter_frame(self, frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(_WATCHED):
            return None
        frame.f_trace_opcodes = True
        before = ""

        def step(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal before
            if event == "opcode":
                previous, before = before, dis.opname[frame.f_code.co_code[frame.f_lasti]]
                # A call that has raised goes on at its handler, without a stop in between.
                if previous.startswith(_OPENINGS) and before != "PUSH_EXC_INFO":
                    self._stop()
            return step

        return step

    def _stop(self) -> None:
        self.seen += 1
        if self.seen == self.place + 1:
            self.handler()


def _ctrl_c() -> None:
    raise KeyboardInterrupt


def _everywhere(handler: Callable[[], object], step: int = 1) -> Iterator[_Interrupt]:
    """Yield interrupts at one place after the other, until a call has no more of them."""
    place = 0
    while True:
        interrupt = _Interrupt(place, handler)
        yield interrupt
        if not interrupt.done:
            assert place > 50
            return
        place += step


def _outcome(call: Callable[[], Any]) -> str:
    try:
        call()
    except KmsServiceError as error:
        return error.code
    return "ok"


_CHANGES: dict[str, Callable[[LocalKms, str], object]] = {
    "disable": lambda kms, key_id: kms.disable_key(KeyId=key_id),
    "create": lambda kms, key_id: kms.create_key(),
}
_USES: dict[str, Callable[[LocalKms, str], object]] = {
    "encrypt": lambda kms, key_id: kms.encrypt(KeyId=key_id, Plaintext=b"x"),
    "list": lambda kms, key_id: kms.list_keys(),
}


@pytest.mark.parametrize("call", [*_CHANGES, *_USES])
def test_an_interrupted_call_leaves_no_stale_answer_in_memory(call: str) -> None:
    for interrupt in _everywhere(_ctrl_c):
        store = SqliteStore.in_memory(system_random)
        with LocalKms(store) as kms:
            key_id = kms.create_key()["KeyMetadata"]["KeyId"]
            kms.encrypt(KeyId=key_id, Plaintext=b"x")
            with contextlib.suppress(KeyboardInterrupt), interrupt:
                (_CHANGES | _USES)[call](kms, key_id)
            with store.read() as transaction:
                key = transaction.key(kms._scope, key_id)
            assert key is not None
            assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == key.state
            expected = "ok" if key.state == "Enabled" else "DisabledException"
            assert _outcome(lambda kms=kms, key_id=key_id: kms.encrypt(KeyId=key_id, Plaintext=b"y")) == expected
            assert _outcome(kms.create_key) == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("call", [*_CHANGES, *_USES])
def test_an_interrupted_call_leaves_no_lock_and_no_stale_answer_in_a_file(call: str, database: Path) -> None:
    with LocalKms.open(database) as kms, LocalKms(SqliteStore.open(database, None, system_random, 0)) as other:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        for interrupt in _everywhere(_ctrl_c, step=3):
            with contextlib.suppress(KeyboardInterrupt), interrupt:
                (_CHANGES | _USES)[call](kms, key_id)
            # The other one does not wait at all: a lock left behind would be an error.
            other.disable_key(KeyId=key_id)
            assert _outcome(lambda: kms.encrypt(KeyId=key_id, Plaintext=b"y")) == "DisabledException"
            kms.enable_key(KeyId=key_id)


@pytest.mark.parametrize("where", ["file", "memory"])
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_signal_handler_can_use_keys_whatever_use_it_interrupts(where: str, warm: bool, database: Path) -> None:
    with LocalKms.open(database) if where == "file" else LocalKms.in_memory() as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        blobs: list[bytes] = []

        def encrypt() -> None:
            blobs.append(kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"])

        for interrupt in _everywhere(encrypt, step=1 if where == "memory" else 5):
            if not warm:
                kms.update_key_description(KeyId=key_id, Description="")
            blobs.clear()
            with interrupt:
                encrypt()
            assert len(blobs) == 1 + interrupt.done
            assert {kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs} == {b"x"}


@pytest.mark.parametrize("change", _CHANGES)
def test_a_signal_handler_can_use_keys_whatever_change_it_interrupts(change: str, database: Path) -> None:
    with LocalKms.open(database) as kms:
        key_id, changed = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
        blobs: list[bytes] = []
        for interrupt in _everywhere(
            lambda: blobs.append(kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]), step=5
        ):
            with interrupt:
                _CHANGES[change](kms, changed)
        assert {kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs} == {b"x"}
        assert kms.describe_key(KeyId=changed)["KeyMetadata"]["Enabled"] is (change == "create")


@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_signal_handler_that_disables_the_key_in_use_does_no_harm_to_the_use(where: str, database: Path) -> None:
    with LocalKms.open(database) if where == "file" else LocalKms.in_memory() as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]

        def disable() -> None:
            # In memory a change in the middle of a look is refused.
            with contextlib.suppress(UsageError):
                kms.disable_key(KeyId=key_id)

        for interrupt in _everywhere(disable, step=1 if where == "memory" else 5):
            kms.enable_key(KeyId=key_id)
            blob = b""
            with contextlib.suppress(KmsServiceError), interrupt:
                blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
            with kms._service._store.read() as transaction:
                key = transaction.key(kms._scope, key_id)
            assert key is not None
            expected = "ok" if key.state == "Enabled" else "DisabledException"
            assert _outcome(lambda: kms.encrypt(KeyId=key_id, Plaintext=b"y")) == expected
            kms.enable_key(KeyId=key_id)
            # Had the material been overwritten while it was used, the blob would be under a key of zeros.
            assert not blob or kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_change_in_the_middle_of_a_change_is_refused_and_undoes_nothing(database: Path) -> None:
    with LocalKms.open(database) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        refused: list[str] = []

        def enable() -> None:
            try:
                kms.enable_key(KeyId=key_id)
            except UsageError as error:
                refused.append(str(error))

        for interrupt in _everywhere(enable, step=5):
            with interrupt:
                kms.disable_key(KeyId=key_id)
        assert len(refused) > 3
        assert all("signal handler" in text for text in refused)
        assert not kms.describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"]
