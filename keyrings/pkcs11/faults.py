"""What the errors of python-pkcs11 mean, told by their names: the classes have grown in number over its versions."""

from __future__ import annotations

import re
from typing import Final

from envelope_sdk.errors import AuthenticationError, EnvelopeError, KeyringError, KmsUnavailableError

__all__ = ["ALREADY_LOGGED_IN", "fault_of", "is_temporary", "may_pass_by_reopening", "return_code"]

ALREADY_LOGGED_IN: Final = "UserAlreadyLoggedIn"
"""The code of a login that is not needed any more: a login holds for all sessions of a process."""

_UNMAPPED: Final = re.compile(r"Unmapped error code 0x([0-9a-f]+)")
_NAMES_OF_UNMAPPED: Final = {0x35: "AeadDecryptFailed", 0x68: "KeyFunctionNotPermitted"}
_LIBRARY_TROUBLE: Final = "PKCS11Error"

_SESSION_LOST: Final = frozenset(
    {
        "DeviceRemoved",
        "KeyHandleInvalid",
        "ObjectHandleInvalid",
        "OperationActive",
        "OperationNotInitialized",
        "SessionClosed",
        "SessionHandleInvalid",
        "SlotIDInvalid",
        "TokenNotPresent",
        "UserNotLoggedIn",
        # Among others: the library is not initialized, because somebody in this process has finalized it.
        _LIBRARY_TROUBLE,
    }
)
_TEMPORARY: Final = frozenset(
    {
        "DeviceError",
        "DeviceMemory",
        "DeviceRemoved",
        "FunctionCancelled",
        "HostMemory",
        "OperationActive",
        "SessionClosed",
        "SessionCount",
        "SessionHandleInvalid",
        "TokenNotPresent",
    }
)
# The standard wants EncryptedDataInvalid, or AeadDecryptFailed from 3.0 on. SoftHSM 2 answers GeneralError.
_DOES_NOT_OPEN: Final = frozenset(
    {
        "AeadDecryptFailed",
        "DataInvalid",
        "DataLenRange",
        "EncryptedDataInvalid",
        "EncryptedDataLenRange",
        "FunctionFailed",
        "GeneralError",
        "SignatureInvalid",
    }
)
_CANNOT: Final = "the token cannot do {mechanism}"
_NOT_FOR_THIS: Final = "the key may not be used for this (CKA_ENCRYPT, CKA_DECRYPT), or is not of the right type"
_ADVICE: Final = {
    "PinIncorrect": "the token refuses the PIN",
    "PinInvalid": "the token refuses the PIN",
    "PinLenRange": "the PIN is too short or too long for the token",
    "PinExpired": "the PIN has expired: set a new one with the token's own tools",
    "PinLocked": "the PIN is locked after too many wrong ones: the token's security officer can unlock it",
    "UserPinNotInitialized": "the token has no user PIN yet: its security officer can set one",
    "UserNotLoggedIn": "the key wants a login: give the token's PIN",
    "UserTooManyTypes": "the security officer is logged in to the token in this process",
    "AnotherUserAlreadyLoggedIn": "somebody else is logged in to the token in this process",
    "MechanismInvalid": _CANNOT,
    "MechanismParamInvalid": _CANNOT,
    "ArgumentsBad": _CANNOT,
    "FunctionNotSupported": _CANNOT,
    "KeyFunctionNotPermitted": _NOT_FOR_THIS,
    "KeyTypeInconsistent": _NOT_FOR_THIS,
    "KeySizeRange": _NOT_FOR_THIS,
    "KeyHandleInvalid": "the key is not there any more",
    "ObjectHandleInvalid": "the key is not there any more",
    "TokenNotPresent": "there is no token in the slot",
    "DeviceRemoved": "the token was removed",
    "DeviceError": "the device has failed",
    "SessionCount": "the token has no session left",
}


def return_code(error: Exception) -> str:
    """Return what the token answered, by python-pkcs11's name for it; the number where there is none."""
    name = type(error).__name__
    unmapped = _UNMAPPED.search(str(error)) if name == _LIBRARY_TROUBLE else None
    if unmapped is None:
        return name
    number = int(unmapped[1], 16)
    return _NAMES_OF_UNMAPPED.get(number, f"0x{number:x}")


def may_pass_by_reopening(error: Exception) -> bool:
    """Return whether the session or the key's handle was lost, so that a new one may do."""
    return return_code(error) in _SESSION_LOST


def is_temporary(error: Exception) -> bool:
    """Return whether the same call may succeed later."""
    return return_code(error) in _TEMPORARY


def fault_of(
    error: Exception, call: str, where: str, *, mechanism: str = "that", opening: bool = False
) -> EnvelopeError:
    """Return an error of ours for one of python-pkcs11's. No PIN and no data is in either's text.

    Args:
        error: what python-pkcs11 raised.
        call: the function of PKCS#11 that failed, for instance ``"C_Encrypt"``.
        where: the token or the key.
        mechanism: what the token was to do.
        opening: whether a wrapped data key was being opened, so that some answers mean that it does not open.
    """
    code = return_code(error)
    if opening and code in _DOES_NOT_OPEN:
        return AuthenticationError(
            f"the wrapped data key does not authenticate: wrong key or wrong encryption context ({code})",
            section="encrypted data key",
        )
    advice = _ADVICE[code].format(mechanism=mechanism) if code in _ADVICE else str(error)
    text = f"PKCS#11 {call} with {where} failed: " + (f"{advice} ({code})" if advice else code)
    if code in _TEMPORARY:
        return KmsUnavailableError(text, operation=call, code=code)
    return KeyringError(text)
