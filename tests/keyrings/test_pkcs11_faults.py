"""What the errors of python-pkcs11 become. No token is needed."""

from __future__ import annotations

import pytest

from envelope_sdk.errors import AuthenticationError, EnvelopeError, KeyringError, KmsUnavailableError
from envelope_sdk.keyrings.pkcs11.faults import fault_of, is_temporary, may_pass_by_reopening, return_code

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
exceptions = pkcs11.exceptions

EVERY = sorted(name for name, kind in vars(exceptions).items() if isinstance(kind, type))


@pytest.mark.parametrize("name", EVERY)
def test_every_error_becomes_one_of_the_documented_ones(name: str):
    error = getattr(exceptions, name)()

    for opening in (False, True):
        fault = fault_of(error, "C_Decrypt", "the key", opening=opening)
        assert isinstance(fault, AuthenticationError | KeyringError | KmsUnavailableError)
        assert name in str(fault)
        assert isinstance(fault, KmsUnavailableError) == is_temporary(error)


@pytest.mark.parametrize("name", ["EncryptedDataInvalid", "EncryptedDataLenRange", "GeneralError"])
def test_what_does_not_open_is_not_authentic_and_only_then(name: str):
    error = getattr(exceptions, name)()

    assert type(fault_of(error, "C_Decrypt", "the key", opening=True)) is AuthenticationError
    assert type(fault_of(error, "C_Encrypt", "the key")) is KeyringError


@pytest.mark.parametrize("name", ["PinIncorrect", "PinLocked", "PinLenRange", "PinExpired", "UserPinNotInitialized"])
def test_trouble_with_a_pin_never_passes_by_itself(name: str):
    error = getattr(exceptions, name)()

    assert not is_temporary(error)
    assert not may_pass_by_reopening(error)
    assert "PIN" in str(fault_of(error, "C_Login", "the token"))


@pytest.mark.parametrize("name", ["SessionHandleInvalid", "SessionClosed", "KeyHandleInvalid", "TokenNotPresent"])
def test_a_lost_session_may_be_opened_again(name: str):
    assert may_pass_by_reopening(getattr(exceptions, name)())


@pytest.mark.parametrize("name", ["DeviceError", "MechanismInvalid", "FunctionFailed", "EncryptedDataInvalid"])
def test_other_trouble_is_not_tried_twice(name: str):
    assert not may_pass_by_reopening(getattr(exceptions, name)())


UNMAPPED = {
    "0x35": ("AeadDecryptFailed", AuthenticationError),
    "0x68": ("KeyFunctionNotPermitted", KeyringError),
    "0x80000042": ("0x80000042", KeyringError),
}


@pytest.mark.parametrize(("number", "expected"), UNMAPPED.items(), ids=UNMAPPED)
def test_an_answer_that_python_pkcs11_has_no_name_for(number: str, expected: tuple[str, type[EnvelopeError]]):
    error = exceptions.PKCS11Error(f"Unmapped error code {number}")

    fault = fault_of(error, "C_Decrypt", "the key", opening=True)

    assert (return_code(error), type(fault)) == expected
    assert not may_pass_by_reopening(error)


def test_a_library_that_is_not_initialized_may_be_begun_again():
    assert may_pass_by_reopening(exceptions.PKCS11Error("Initialisation error (not initialized)."))
