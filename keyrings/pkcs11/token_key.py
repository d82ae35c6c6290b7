"""A key on a token: found when it is first used, and again when its session is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from envelope_sdk.errors import EnvelopeError, KeyringError, UsageError
from envelope_sdk.keyrings.pkcs11.application import Application, PinRefused, current_application
from envelope_sdk.keyrings.pkcs11.faults import fault_of, may_pass_by_reopening
from envelope_sdk.keyrings.pkcs11.objects import KeyKind, find_keys, name_of
from envelope_sdk.keyrings.pkcs11.place import KeyName, KeyPlace

__all__ = ["FoundKey", "HeldKey", "TokenKey", "WrappingKey"]

_T = TypeVar("_T")


class FoundKey(NamedTuple):
    """A key that can be used.

    Attributes:
        key: python-pkcs11's object.
        name: what messages call it.
    """

    key: Any
    name: KeyName


class WrappingKey(Protocol):
    """What the keyring needs of a key."""

    def may_be(self, name: KeyName) -> bool:
        """Return whether a message's name can be this key's, without asking the token."""
        ...

    def use(self, call: str, operation: Callable[[FoundKey], _T], *, opening: bool = False) -> _T:
        """Return what ``operation`` returns, called while no other thread uses a token.

        Args:
            call: the function of PKCS#11 that does it, for errors.
            operation: may raise whatever python-pkcs11 raises.
            opening: whether a wrapped data key is being opened.

        Raises:
            EnvelopeError: the key cannot be found or used.
        """
        ...

    def close(self) -> None:
        """Log out, where this object has logged in."""
        ...


class TokenKey:
    """A key that is looked for by its names."""

    __slots__ = ("_application", "_found", "_kind", "_missed", "_pin", "_place", "_refused", "_session")

    def __init__(self, place: KeyPlace, kind: KeyKind, pin: Callable[[], str] | None) -> None:
        """Take the names, what to look for, and what returns the token's PIN; nothing is opened yet."""
        self._kind = kind
        self._place = place
        self._pin = pin
        self._refused = ""
        # The session and the key in it; both are those of one process, and worth nothing in its children.
        self._application: Application | None = None
        self._session: Any = None
        self._found: FoundKey | None = None
        self._missed = False

    def __repr__(self) -> str:
        return str(self._place)

    def may_be(self, name: KeyName) -> bool:
        """Return whether the names that were given are those of ``name``."""
        return self._place.may_be(name)

    def use(self, call: str, operation: Callable[[FoundKey], _T], *, opening: bool = False) -> _T:
        """Find the key and use it; where its session turns out to be lost, once more."""
        application = current_application()
        with application.lock:
            try:
                return operation(self._find(application))
            except EnvelopeError:
                raise
            except (RuntimeError, ValueError) as error:
                if not may_pass_by_reopening(error):
                    raise fault_of(error, call, repr(self), mechanism=self._kind.mechanism, opening=opening) from error
            self._forget(application)
            try:
                return operation(self._find(application))
            except EnvelopeError:
                raise
            except (RuntimeError, ValueError) as error:
                raise fault_of(error, call, repr(self), mechanism=self._kind.mechanism, opening=opening) from error

    def close(self) -> None:
        """Log out of the token and close the session; the next use opens another."""
        application = current_application()
        with application.lock:
            session = self._session if self._application is application else None
            self._session = self._found = None
            if session is not None:
                application.close(session)

    def _find(self, application: Application) -> FoundKey:
        if self._found is not None and self._application is application:
            return self._found
        if self._refused:
            raise KeyringError(f"{self._refused}; this keyring does not try again: make another with the right PIN")
        token = application.token(self._place)
        keys, new = self._search(application, token)
        if not keys and not new and self._pin is not None and not self._missed:
            # Somebody else may have ended the login, without which private keys do not show themselves.
            self._missed = True
            self._forget(application)
            keys, _ = self._search(application, token)
        key = self._only(keys, token.label)
        self._found, self._missed = FoundKey(key, name_of(key)), False
        return self._found

    def _search(self, application: Application, token: Any) -> tuple[list[Any], bool]:
        """Return the keys that could be meant, and whether the session is a new one."""
        try:
            session, new = application.session(self._place, token, self._pin)
        except PinRefused as refused:
            self._refused = str(refused.fault)
            raise refused.fault from refused.__cause__
        self._application, self._session, self._found = application, session, None
        return find_keys(session, self._kind, self._place.key_label, self._place.key_id), new

    def _only(self, keys: list[Any], token_label: str) -> Any:
        place = self._place
        if not keys:
            hint = "; no PIN is given, and most keys can be seen only after a login" if self._pin is None else ""
            raise KeyringError(f"the token {token_label!r} has no {self._kind.text} like {place}{hint}")
        if len(keys) > 1:
            raise UsageError(f"more than one {self._kind.text} could be meant ({place}): give its label and its id")
        return keys[0]

    def _forget(self, application: Application) -> None:
        application.forget(self._session)
        self._session = self._found = None


class HeldKey:
    """A key that the caller has found. Its session is the caller's: it is neither reopened nor closed."""

    __slots__ = ("_application", "_found", "_kind")

    def __init__(self, key: Any, kind: KeyKind) -> None:
        """Take python-pkcs11's object and read its names.

        Raises:
            KeyringError: the names cannot be read.
        """
        self._kind = kind
        self._application = current_application()
        with self._application.lock:
            try:
                self._found = FoundKey(key, name_of(key))
            except (AttributeError, RuntimeError, ValueError) as error:
                raise fault_of(error, "C_GetAttributeValue", "the key given") from error

    def __repr__(self) -> str:
        return str(self._found.name)

    def may_be(self, name: KeyName) -> bool:
        """Return whether this is the key."""
        return name == self._found.name

    def use(self, call: str, operation: Callable[[FoundKey], _T], *, opening: bool = False) -> _T:
        """Use the key."""
        if current_application() is not self._application:
            raise KeyringError(f"{self!r} was opened before this process was forked: open it in this process")
        with self._application.lock:
            try:
                return operation(self._found)
            except EnvelopeError:
                raise
            except (RuntimeError, ValueError) as error:
                raise fault_of(error, call, repr(self), mechanism=self._kind.mechanism, opening=opening) from error

    def close(self) -> None:
        """Do nothing: the session is the caller's."""
