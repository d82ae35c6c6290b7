"""What one process has of PKCS#11: libraries, sessions and logins belong to it, and its children have none of them.

python-pkcs11 initializes libraries without support for threads, so calls are made one at a time. A login holds for all
sessions of the process with a token. A refused PIN is remembered, since a few of them lock the token.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from envelope_sdk.errors import EnvelopeError, KeyringError, UsageError
from envelope_sdk.keyrings.pkcs11.faults import ALREADY_LOGGED_IN, fault_of, is_temporary, return_code
from envelope_sdk.keyrings.pkcs11.place import KeyPlace

__all__ = ["Application", "PinRefused", "current_application", "python_pkcs11"]

_EXTRA: Final = "PKCS#11 tokens need python-pkcs11: pip install 'envelope-sdk[pkcs11]'"
_NO_NEW_START: Final = (
    "it was in use when this process was forked, and a child has to begin anew, which the library refuses. Start "
    "processes with 'spawn' or 'forkserver', or use the token in the child only (SoftHSM: library.reset_on_fork = true)"
)


def python_pkcs11() -> ModuleType:
    """Import python-pkcs11 and return it.

    Raises:
        KeyringError: it is not installed; the text says how to get it.
    """
    try:
        return import_module("pkcs11")
    except ImportError as error:
        raise KeyringError(f"{_EXTRA} ({error})") from error


class PinRefused(Exception):
    """A login failed in a way that must not be tried again. Never leaves the keyrings.

    Attributes:
        fault: what to tell the caller.
    """

    def __init__(self, fault: EnvelopeError) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Application:
    """One process's use of PKCS#11.

    Attributes:
        lock: held around every call of a library. What supplies a PIN may use another token, so it may be taken again.
    """

    __slots__ = ("_inherited", "_libraries", "_refused_pins", "_sessions", "lock")

    def __init__(self, forked_from: Application | None = None) -> None:
        """Begin without libraries; in the child of a fork, with the parent's memory of refused PINs."""
        self.lock = threading.RLock()
        self._libraries: dict[str, Any] = {}
        self._sessions: dict[tuple[str, int, bool], Any] = {}
        self._inherited: frozenset[str] = frozenset()
        self._refused_pins: set[int] = set()
        if forked_from is not None:
            # Others in the parent may have used python-pkcs11 as well; it keeps what it has loaded.
            loaded = getattr(sys.modules.get("pkcs11"), "_loaded", ())
            self._inherited = forked_from._inherited | frozenset(forked_from._libraries) | frozenset(loaded)
            self._refused_pins |= forked_from._refused_pins

    def token(self, place: KeyPlace) -> Any:
        """Return the one token that is meant.

        Raises:
            KeyringError: the library cannot be used, or the token is not there.
            UsageError: several tokens could be meant.
        """
        tokens = [token for token in _tokens(self._library(place.module_path)) if place.is_token(token)]
        if not tokens:
            raise KeyringError(f"no token at {place.module_path!r} is the one wanted ({place}): is it inserted?")
        if len(tokens) > 1:
            serials = ", ".join(token.serial.decode("utf-8", "replace") for token in tokens)
            raise UsageError(f"{len(tokens)} tokens could be meant ({place}): name one by its serial number: {serials}")
        return tokens[0]

    def session(self, place: KeyPlace, token: Any, pin: Callable[[], str] | None) -> tuple[Any, bool]:
        """Return this process's session with ``token``, logged in if there is a PIN, and whether it is a new one.

        Raises:
            PinRefused: the token did not let it in.
        """
        which = (place.module_path, token.slot.slot_id, pin is not None)
        session = self._sessions.get(which)
        if session is not None:
            return session, False
        session = token.open() if pin is None else self._logged_in(place, token, pin)
        self._sessions[which] = session
        return session, True

    def forget(self, lost: Any) -> None:
        """Let go of a session that does not work any more.

        It is not closed: if it is gone, its number may be somebody else's by now.
        """
        self._sessions = {which: session for which, session in self._sessions.items() if session is not lost}

    def close(self, session: Any) -> None:
        """Log out and close a session; whoever else of this package needs it opens it again."""
        if all(session is not known for known in self._sessions.values()):
            return  # Another keyring has closed it.
        self.forget(session)
        try:
            session.close()
        except RuntimeError as error:
            if is_temporary(error) or return_code(error) in ("PKCS11Error", "UserNotLoggedIn"):
                return  # There is nothing left to close.
            raise fault_of(error, "C_CloseSession", str(session.token)) from error

    def _library(self, path: str) -> Any:
        path = _name_in_use(path)
        if path in self._inherited:
            return self._begun_anew(path)
        try:
            # Each time: where it was finalized meanwhile, this initializes it again.
            library = python_pkcs11().lib(path)
        except RuntimeError as error:
            raise KeyringError(f"the PKCS#11 library {path!r} cannot be used: {error}") from error
        self._libraries[path] = library
        return library

    def _begun_anew(self, path: str) -> Any:
        # What python-pkcs11 remembers of the library is the parent's: it would take it for initialized.
        if path not in self._libraries:
            python_pkcs11()
            try:
                self._libraries[path] = import_module("pkcs11._pkcs11").lib(path)
            except RuntimeError as error:
                raise KeyringError(f"the PKCS#11 library {path!r} cannot be used: {_NO_NEW_START} ({error})") from error
        return self._libraries[path]

    def _logged_in(self, place: KeyPlace, token: Any, pin: Callable[[], str]) -> Any:
        value = pin()
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance] - bytes, most often
            raise TypeError(f"a PIN is text, not {type(value).__name__}")
        if not _is_text(value):
            # Refused here: the error of encoding it holds the PIN.
            del value
            raise KeyringError(f"the PIN given for the token {token.label!r} is not encodable as UTF-8")
        # The built-in hash has a secret of the process in it, and says less of the PIN than the PIN that it stands for.
        mark = hash((os.path.realpath(place.module_path), token.serial, value))
        if mark in self._refused_pins:
            again = f"the token {token.label!r} has refused this PIN before: it is not tried again"
            raise PinRefused(KeyringError(again))
        try:
            return token.open(user_pin=value)
        except RuntimeError as error:
            if return_code(error) == ALREADY_LOGGED_IN:
                return token.open()
            fault = fault_of(error, "C_Login", f"token {token.label!r}")
            if is_temporary(error):
                raise fault from error
            self._refused_pins.add(mark)
            raise PinRefused(fault) from error
        finally:
            del value


def _name_in_use(path: str) -> str:
    """Return the path by which python-pkcs11 has loaded a library already: by another it would initialize it again."""
    loaded = getattr(sys.modules.get("pkcs11"), "_loaded", ())
    real = os.path.realpath(path)
    return next((name for name in loaded if os.path.realpath(name) == real), path)


def _is_text(pin: str) -> bool:
    try:
        pin.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _tokens(library: Any) -> list[Any]:
    initialized = python_pkcs11().TokenFlag.TOKEN_INITIALIZED
    found: list[Any] = []
    for slot in library.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except RuntimeError:
            # A slot whose token cannot be read is not the one that is wanted; if it is, it is found missing.
            continue
        if token.flags & initialized:
            found.append(token)
    return found


_application = Application()


def current_application() -> Application:
    """Return that of this process."""
    return _application


def _in_child() -> None:
    global _application
    _application = Application(forked_from=_application)


os.register_at_fork(after_in_child=_in_child)
