"""The errors: one tree, told by what the caller does next, and whole after a trip between processes."""

from __future__ import annotations

import pickle

import pytest

from envelope_sdk import errors
from envelope_sdk.errors import (
    AuthenticationError,
    EnvelopeError,
    KeyringError,
    KmsAccessError,
    KmsServiceError,
    KmsUnavailableError,
    LimitExceededError,
    LoadTimeoutError,
    MessageError,
    NoMatchingKeyError,
    SignatureError,
    TruncatedMessageError,
    UnwrapFailure,
)

EXAMPLES = [
    MessageError("wrong", section="header", offset=7),
    TruncatedMessageError("short", section="frame 3"),
    SignatureError("forged", section="footer"),
    LimitExceededError("too many", limit="max_encrypted_data_keys"),
    KmsAccessError("refused", operation="Decrypt", code="AccessDeniedException"),
    KmsUnavailableError("later", operation="Decrypt", code="ThrottlingException"),
    LoadTimeoutError("waited", operation="Load", code="WaitLimitExceeded"),
    KmsServiceError("NotFoundException", "no such key", operation="Decrypt", status=404),
    NoMatchingKeyError("no key", [UnwrapFailure("ring", "test", KeyringError("why"))]),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_after_pickling(error: EnvelopeError):
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert {name: str(value) for name, value in vars(copy).items()} == {
        name: str(value) for name, value in vars(error).items()
    }


def test_every_public_error_is_of_the_tree():
    classes = [getattr(errors, name) for name in errors.__all__ if name != "UnwrapFailure"]

    assert all(issubclass(kind, EnvelopeError) for kind in classes)


def test_an_error_in_a_message_says_where():
    assert str(MessageError("wrong", section="header", offset=7)) == "wrong (header, byte 7)"
    assert str(MessageError("wrong", section="header")) == "wrong (header)"


def test_a_failure_says_which_keyring_tried_which_data_key():
    error = KeyringError("why")

    assert str(UnwrapFailure("ring", "test", error)) == "ring on a data key of 'test': why"
    assert repr(UnwrapFailure("ring", None, error)) == "UnwrapFailure('ring: why')"
    assert str(NoMatchingKeyError("no key", [UnwrapFailure("ring", None, error)])) == "no key; ring: why"


def test_a_failure_forgets_frames_of_causes_and_keeps_the_causes():
    def fail() -> None:
        try:
            int("x")
        except ValueError as below:
            raise AuthenticationError("above", section="x") from below

    with pytest.raises(AuthenticationError) as raised:
        fail()
    failure = UnwrapFailure("ring", "test", raised.value)

    assert isinstance(failure.error.__cause__, ValueError)
    assert (failure.error.__traceback__, failure.error.__cause__.__traceback__) == (None, None)


def test_causes_in_a_circle_are_followed_once():
    one, two = KeyringError("one"), KeyringError("two")
    one.__cause__, two.__cause__ = two, one

    assert UnwrapFailure("ring", None, one).error is one
