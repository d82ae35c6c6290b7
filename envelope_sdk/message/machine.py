"""What both machines share: one user at a time, no copies, and once failed, failed for good."""

from __future__ import annotations

import contextlib
import copy
import os
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

from envelope_sdk.errors import EnvelopeError, StreamError
from envelope_sdk.message.background import BackgroundDigest, Digest

__all__ = ["Machine", "again", "forget_frames"]

T = TypeVar("T")


class Machine:
    """The state of one message being made or read.

    Two threads, two processes or two copies that went on with one encryptor would encrypt different frames under the
    same key and number, which gives the plaintexts and the authentication key away. So a machine refuses them all.
    """

    __slots__ = ("_busy", "_digest", "_failure", "_process")

    def __init__(self) -> None:
        self._digest: Digest | None = None
        self._busy = threading.Lock()
        self._failure: EnvelopeError | None = None
        self._process = os.getpid()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a machine is in the middle of a message: it cannot be pickled or copied")

    def digest_in_background(self) -> BackgroundDigest | None:
        """Hash what goes through this machine on another thread from now on; ``None`` where nothing is hashed.

        What ``update_into`` is given, by a decryptor, or fills, by an encryptor, must then stay as it is until
        :meth:`BackgroundDigest.settle` has said so. The caller closes what this returns.
        """
        if self._digest is None:
            return None
        self._digest = digest = BackgroundDigest(self._digest)
        return digest

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise again(self._failure)
        if os.getpid() != self._process:
            raise StreamError("this message was begun before the process was forked: only its parent can go on with it")

    def _run(self, work: Callable[..., T], *arguments: object) -> T:
        """Do ``work``; where it raises, this and every later call fails."""
        self._check_usable()
        if not self._busy.acquire(blocking=False):
            raise StreamError("two threads use one message at the same time")
        try:
            # Only now nobody else can change the state between this check and the work.
            self._check_usable()
            self._check_order()
            try:
                return work(*arguments)
            except BaseException as error:
                self._fail(error)
                raise
        finally:
            self._busy.release()
            # This frame is among those that an error on its way holds.
            del work, arguments

    def _check_order(self) -> None:
        """Raise :class:`StreamError` where this is not the time for work."""

    def _fail(self, error: BaseException) -> None:
        # Whatever goes wrong below, the machine has failed.
        self._failure = StreamError("an earlier call failed")
        forget_frames(error)
        self._failure = again(error)


def forget_frames(error: BaseException) -> None:
    """Take from an error of this package what the frames below the current one hold.

    That is keys, plaintext that is not authenticated, and views of the caller's buffers, which could be neither closed
    nor resized for as long as somebody keeps the error.
    """
    if isinstance(error, EnvelopeError):
        trace = error.__traceback__
        while trace is not None:
            # Those that still run cannot be cleared.
            with contextlib.suppress(RuntimeError):
                trace.tb_frame.clear()
            trace = trace.tb_next
        if error.__suppress_context__ and error.__cause__ is None:
            # Raised "from None": an InvalidTag, as a rule, with frames of its own.
            error.__context__ = None


def again(error: BaseException) -> EnvelopeError:
    """Return an error to keep or to raise once more: an equal one, without the frames that ``error`` holds.

    For what is not this package's (an interruption, an operating-system error) it is a :class:`StreamError` that names
    it.
    """
    try:
        if isinstance(error, EnvelopeError):
            return copy.copy(error)
        return StreamError(f"an earlier call failed: {type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - a third party's error may have arguments, and words, of its own
        return StreamError(f"an earlier call failed: {type(error).__name__}")
