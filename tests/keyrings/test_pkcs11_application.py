"""Sessions and logins of a process, with tokens that behave as SoftHSM's never do. No token is needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from testkit.softhsm import Asked

from envelope_sdk.errors import KeyringError, KmsUnavailableError
from envelope_sdk.keyrings.pkcs11.application import Application, PinRefused
from envelope_sdk.keyrings.pkcs11.place import KeyPlace

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
exceptions = pkcs11.exceptions

PLACE = KeyPlace("/usr/lib/any.so", token_label="fake", key_label="key")


class Session:
    """Closes, or fails to."""

    token = "fake"

    def __init__(self, fails: Exception | None = None) -> None:
        self._fails = fails
        self.closed = 0

    def close(self) -> None:
        if self._fails is not None:
            raise self._fails
        self.closed += 1


class Token:
    """Answers logins with what it is given, one after the other."""

    label = "fake"
    serial = b"1"
    slot = SimpleNamespace(slot_id=0)

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.pins: list[str | None] = []

    def open(self, user_pin: str | None = None) -> Any:
        self.pins.append(user_pin)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_session_is_opened_once():
    application, session, pin = Application(), Session(), Asked("1")
    token = Token(session)

    assert application.session(PLACE, token, pin) == (session, True)
    assert application.session(PLACE, token, pin) == (session, False)
    assert pin.times == 1


def test_a_session_without_a_login_is_another():
    application, with_login, without = Application(), Session(), Session()
    token = Token(with_login, without)

    assert application.session(PLACE, token, Asked("1")) == (with_login, True)
    assert application.session(PLACE, token, None) == (without, True)
    assert token.pins == ["1", None]


def test_where_the_process_is_logged_in_a_session_is_opened_without_a_login():
    session = Session()
    token = Token(exceptions.UserAlreadyLoggedIn(), session)

    assert Application().session(PLACE, token, Asked("1")) == (session, True)
    assert token.pins == ["1", None]


@pytest.mark.parametrize("answer", [exceptions.DeviceError(), exceptions.SessionCount(), exceptions.DeviceRemoved()])
def test_a_login_that_fails_for_now_says_nothing_of_the_pin(answer: Exception):
    application, session = Application(), Session()
    token = Token(answer, session)

    with pytest.raises(KmsUnavailableError, match="C_Login with token 'fake' failed"):
        application.session(PLACE, token, Asked("1"))

    assert application.session(PLACE, token, Asked("1")) == (session, True)


@pytest.mark.parametrize(
    "answer",
    [exceptions.PinIncorrect(), exceptions.PinLocked(), exceptions.PKCS11Error("Unmapped error code 0x80000042")],
    ids=["incorrect", "locked", "the maker's own answer"],
)
def test_a_pin_that_did_not_work_is_never_sent_again(answer: Exception):
    application, session = Application(), Session()
    token = Token(answer, session)

    for _ in range(3):
        with pytest.raises(PinRefused):
            application.session(PLACE, token, Asked("1"))
    assert token.pins == ["1"]

    assert application.session(PLACE, token, Asked("2")) == (session, True)


def test_the_child_of_a_fork_sends_no_pin_again_that_its_parent_was_refused():
    parent = Application()
    with pytest.raises(PinRefused):
        parent.session(PLACE, Token(exceptions.PinIncorrect()), Asked("1"))
    token = Token()

    with pytest.raises(PinRefused, match="has refused this PIN before"):
        Application(forked_from=parent).session(PLACE, token, Asked("1"))

    assert token.pins == []


def test_a_session_is_closed_once_and_then_opened_again():
    application, first, second = Application(), Session(), Session()
    token = Token(first, second)
    session, _ = application.session(PLACE, token, Asked("1"))

    application.close(session)
    application.close(session)

    assert first.closed == 1
    assert application.session(PLACE, token, Asked("1")) == (second, True)


def test_a_session_that_is_lost_is_not_closed():
    application, first, second = Application(), Session(), Session()
    token = Token(first, second)
    session, _ = application.session(PLACE, token, Asked("1"))

    application.forget(session)

    assert first.closed == 0
    assert application.session(PLACE, token, Asked("1")) == (second, True)


@pytest.mark.parametrize("answer", [exceptions.SessionHandleInvalid(), exceptions.UserNotLoggedIn()])
def test_a_session_that_is_gone_needs_no_closing(answer: Exception):
    application = Application()
    session, _ = application.session(PLACE, Token(Session(answer)), Asked("1"))

    application.close(session)


def test_a_session_that_cannot_be_closed_says_so():
    application = Application()
    session, _ = application.session(PLACE, Token(Session(exceptions.GeneralError())), Asked("1"))

    with pytest.raises(KeyringError, match="C_CloseSession with fake failed: GeneralError"):
        application.close(session)


def test_a_pin_that_cannot_be_encoded_is_not_tried_and_in_no_error():
    token = Token()

    with pytest.raises(KeyringError, match="the PIN given for the token 'fake' is not encodable as UTF-8") as caught:
        Application().session(PLACE, token, lambda: "hunter2\udcff")

    assert token.pins == []
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
