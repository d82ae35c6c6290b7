"""GenerateMac and VerifyMac: HMAC with every hash."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envelope_sdk.local_kms import LocalKms

_BITS = ["224", "256", "384", "512"]
_each = pytest.mark.parametrize("bits", _BITS)


def _key(kms: LocalKms, bits: str = "256") -> str:
    arn: str = kms.create_key(KeySpec=f"HMAC_{bits}", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    return arn


@_each
def test_a_mac_is_the_one_that_the_standard_gives(kms: LocalKms, secret_of: Callable[[str], bytes], bits: str) -> None:
    arn = _key(kms, bits)
    answer = kms.generate_mac(KeyId=arn, Message=b"message", MacAlgorithm=f"HMAC_SHA_{bits}")
    secret = secret_of(arn.rpartition("/")[2]).removeprefix(f"HMAC_{bits}:".encode())
    expected = hmac.new(secret, b"message", getattr(hashlib, f"sha{bits}")).digest()
    del answer["ResponseMetadata"]

    assert answer == {"KeyId": arn, "Mac": expected, "MacAlgorithm": f"HMAC_SHA_{bits}"}


@_each
def test_a_mac_of_its_own_is_verified(kms: LocalKms, bits: str) -> None:
    call = {"KeyId": _key(kms, bits), "Message": b"message", "MacAlgorithm": f"HMAC_SHA_{bits}"}
    answer = kms.verify_mac(**call, Mac=kms.generate_mac(**call)["Mac"])
    del answer["ResponseMetadata"]

    assert answer == {"KeyId": call["KeyId"], "MacValid": True, "MacAlgorithm": call["MacAlgorithm"]}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 31), bit=st.integers(0, 7))
def test_a_mac_with_any_bit_changed_is_an_error_and_no_answer(
    kms: LocalKms, refused: Any, place: int, bit: int
) -> None:
    call = {"KeyId": _key(kms), "Message": b"message", "MacAlgorithm": "HMAC_SHA_256"}
    altered = bytearray(kms.generate_mac(**call)["Mac"])
    altered[place] ^= 1 << bit
    with refused("KMSInvalidMacException", ""):
        kms.verify_mac(**call, Mac=bytes(altered))


def test_a_mac_cut_short_or_of_another_message_or_key_is_an_error(kms: LocalKms, refused: Any) -> None:
    call = {"KeyId": _key(kms), "Message": b"message", "MacAlgorithm": "HMAC_SHA_256"}
    mac = kms.generate_mac(**call)["Mac"]
    for wrong in ({"Mac": mac[:16]}, {"Mac": mac, "Message": b"massage"}, {"Mac": mac, "KeyId": _key(kms)}):
        with refused("KMSInvalidMacException", ""):
            kms.verify_mac(**{**call, **wrong})


def test_another_hash_than_the_keys_is_refused(kms: LocalKms, refused: Any) -> None:
    arn = _key(kms, "224")
    with refused("InvalidKeyUsageException", "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224."):
        kms.generate_mac(KeyId=arn, Message=b"x", MacAlgorithm="HMAC_SHA_256")
    with refused("InvalidKeyUsageException", "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224."):
        kms.verify_mac(KeyId=arn, Message=b"x", MacAlgorithm="HMAC_SHA_256", Mac=b"x")


def test_a_key_for_something_else_makes_no_mac(kms: LocalKms, key_id: str, arn: str, refused: Any) -> None:
    for operation in ("GenerateMac", "VerifyMac"):
        given = {"Mac": b"x"} if operation == "VerifyMac" else {}
        method = kms.verify_mac if operation == "VerifyMac" else kms.generate_mac
        text = f"{arn} key usage is ENCRYPT_DECRYPT which is not valid for {operation}."
        with refused("InvalidKeyUsageException", text):
            method(KeyId=key_id, Message=b"x", MacAlgorithm="HMAC_SHA_256", **given)


def test_a_message_has_1_to_4096_bytes(kms: LocalKms, refused: Any) -> None:
    arn = _key(kms)
    assert kms.generate_mac(KeyId=arn, Message=bytes(4096), MacAlgorithm="HMAC_SHA_256")
    for message in (b"", bytes(4097)):
        with refused("ValidationException"):
            kms.generate_mac(KeyId=arn, Message=message, MacAlgorithm="HMAC_SHA_256")


def test_an_unknown_algorithm_is_refused(kms: LocalKms, refused: Any) -> None:
    with refused("ValidationException"):
        kms.generate_mac(KeyId=_key(kms), Message=b"x", MacAlgorithm="HMAC_SHA_1")


def test_a_dry_run_makes_no_mac(kms: LocalKms, refused: Any) -> None:
    call = {"KeyId": _key(kms), "Message": b"message", "MacAlgorithm": "HMAC_SHA_256"}
    mac = kms.generate_mac(**call)["Mac"]
    with refused("DryRunOperationException"):
        kms.generate_mac(**call, DryRun=True)
    with refused("DryRunOperationException"):
        kms.verify_mac(**call, Mac=mac, DryRun=True)
    with refused("KMSInvalidMacException"):
        kms.verify_mac(**call, Mac=b"x", DryRun=True)


def test_a_mac_stays_the_same_when_the_file_is_opened_again(database: Any) -> None:
    with LocalKms.open(database, root_key=bytes(32)) as kms:
        arn = _key(kms)
        mac = kms.generate_mac(KeyId=arn, Message=b"x", MacAlgorithm="HMAC_SHA_256")["Mac"]
    with LocalKms.open(database, root_key=bytes(32)) as kms:
        assert kms.generate_mac(KeyId=arn, Message=b"x", MacAlgorithm="HMAC_SHA_256")["Mac"] == mac
