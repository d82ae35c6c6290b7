"""Counting calls of KMS: which count, for whom, and what they cost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from testkit.asymmetric_kms import AsymmetricKms
from testkit.branch_keys import CountingKms, MemoryStorage
from testkit.materials import to_open, to_wrap

from envelope_sdk.errors import KmsAccessError, NoMatchingKeyError
from envelope_sdk.keyrings import HierarchicalKeyring, KmsEcdhKeyring, KmsKeyring, KmsRsaKeyring, MultiKeyring
from envelope_sdk.keyrings.hierarchical import BranchKeyStore, DynamoDbStorage, KmsKeyArn
from envelope_sdk.keyrings.kms.calls import KmsCalls, calls_for_many, counted_calls
from envelope_sdk.keyrings.kms.prices import DOLLARS_PER_10_000, dollars
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.metering import AWS_PRICES, price_class
from envelope_sdk.materials import Keyring


@pytest.fixture
def kms() -> LocalKms:
    return LocalKms.in_memory()


def new_key(kms: LocalKms) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


def round_trip(keyring: Keyring) -> None:
    wrapped = keyring.on_encrypt(to_wrap(None))
    keyring.on_decrypt(to_open(), wrapped.encrypted_data_keys)


def test_calls_are_counted_by_operation(kms: LocalKms) -> None:
    keyring = MultiKeyring(KmsKeyring(kms, new_key(kms)), [KmsKeyring(kms, new_key(kms))])

    with counted_calls() as calls:
        round_trip(keyring)

    assert calls == {"GenerateDataKey": 1, "Encrypt": 1, "Decrypt": 1}


def test_calls_that_fail_count(kms: LocalKms) -> None:
    key = new_key(kms)
    keyring = KmsKeyring(kms, key)
    wrapped = keyring.on_encrypt(to_wrap(None)).encrypted_data_keys
    kms.disable_key(KeyId=key)

    with counted_calls() as calls:
        with pytest.raises(KmsAccessError):
            keyring.on_encrypt(to_wrap(None))
        with pytest.raises(NoMatchingKeyError):
            keyring.on_decrypt(to_open(), wrapped)

    assert calls == {"GenerateDataKey": 1, "Decrypt": 1}


def test_every_block_around_a_call_counts_it_and_none_after_its_end(kms: LocalKms) -> None:
    keyring = KmsKeyring(kms, new_key(kms))

    with counted_calls() as outer:
        with counted_calls() as inner:
            keyring.on_encrypt(to_wrap(None))
        keyring.on_encrypt(to_wrap(None))
    keyring.on_encrypt(to_wrap(None))

    assert (inner, outer) == ({"GenerateDataKey": 1}, {"GenerateDataKey": 2})


def test_each_thread_counts_its_own(kms: LocalKms) -> None:
    keyring = KmsKeyring(kms, new_key(kms))

    def counted(times: int) -> int:
        with counted_calls() as calls:
            for _ in range(times):
                keyring.on_encrypt(to_wrap(None))
        return calls["GenerateDataKey"]

    with counted_calls() as calls, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(counted, range(8)))

    assert (found, calls) == (list(range(8)), {})


def test_what_branch_keys_ask_of_dynamodb_is_no_call_of_kms(kms: LocalKms) -> None:
    asked: list[str] = []
    table = SimpleNamespace(get_item=lambda **parameters: asked.append(parameters["TableName"]) or {})

    with counted_calls() as calls:
        assert DynamoDbStorage("branch-keys", table).get("orders", "branch:ACTIVE") is None

    assert (asked, calls) == (["branch-keys"], {})


def test_what_branch_keys_ask_of_kms_counts(kms: LocalKms) -> None:
    counting = CountingKms(kms)
    store = BranchKeyStore(MemoryStorage(), counting, logical_name="branch-keys", kms_key=KmsKeyArn(new_key(kms)))

    with counted_calls() as calls:
        branch_key = store.create_key()
        for _ in range(3):
            round_trip(HierarchicalKeyring(store, branch_key, ttl_seconds=60))

    assert calls["GenerateDataKeyWithoutPlaintext"] == counting.calls["generate_data_key_without_plaintext"]
    assert calls["Decrypt"] == counting.calls["decrypt"] > 0
    assert calls.total() == counting.calls.total()


def test_a_branch_key_that_is_kept_spares_the_same_work_its_call(kms: LocalKms) -> None:
    store = BranchKeyStore(MemoryStorage(), kms, logical_name="branch-keys", kms_key=KmsKeyArn(new_key(kms)))
    branch_key = store.create_key()
    again = []
    for ttl_seconds in (60, 0):
        keyring = HierarchicalKeyring(store, branch_key, ttl_seconds=ttl_seconds)
        with counted_calls() as calls:
            keyring.on_encrypt(to_wrap(None))
        assert calls == {"Decrypt": 1}
        again.append(calls.each_time())

    assert again == [KmsCalls(), KmsCalls((("Decrypt", 1),), (("requests", 1),))]


def test_what_is_kept_beneath_one_block_may_be_what_another_one_keeps(kms: LocalKms) -> None:
    keyring = KmsKeyring(kms, new_key(kms))
    once = KmsCalls((("GenerateDataKey", 1),), (("requests", 1),))
    twice = KmsCalls((("GenerateDataKey", 2),), (("requests", 2),))

    with counted_calls() as outer:
        keyring.on_encrypt(to_wrap(None))
        with calls_for_many(), counted_calls() as inner:
            keyring.on_encrypt(to_wrap(None))

    assert (inner.so_far(), inner.each_time()) == (once, once)
    assert (outer.so_far(), outer.each_time()) == (twice, once)


# --- money -----------------------------------------------------------------------------------------------------------


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Return a key made once a run; nothing here depends on its value."""
    return rsa.generate_private_key(65_537, bits)


def rsa_calls(bits: int) -> tuple[str, Any]:
    kms = AsymmetricKms()
    key = kms.add_key(rsa_key(bits), "ENCRYPT_DECRYPT")
    return f"RSA_{bits}", KmsRsaKeyring(kms, key, public_key=kms.public_key(key))


def ecdh_calls() -> tuple[str, Any]:
    kms = AsymmetricKms()
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]
    partner = ec.generate_private_key(ec.SECP256R1()).public_key()
    return "ECC_NIST_P256", KmsEcdhKeyring.static(kms, key, partner)


def symmetric_calls() -> tuple[str, Any]:
    kms = LocalKms.in_memory()
    return "SYMMETRIC_DEFAULT", MultiKeyring(KmsKeyring(kms, new_key(kms)), [KmsKeyring(kms, new_key(kms))])


@pytest.mark.parametrize(
    "made",
    [lambda: rsa_calls(2048), lambda: rsa_calls(3072), ecdh_calls, symmetric_calls],
    ids=["rsa-2048", "rsa-3072", "ecdh", "symmetric"],
)
def test_a_keyring_s_calls_are_priced_as_the_local_kms_s_own_figures_price_them(made: Any) -> None:
    spec, keyring = made()

    with counted_calls() as calls:
        round_trip(keyring)

    expected = {operation: price_class(operation, spec, "") for operation in calls}
    assert calls.total() > 0
    assert dict(calls.by_price) == {
        kind: sum(calls[operation] for operation in expected if expected[operation] == kind)
        for kind in expected.values()
    }


def test_the_prices_are_those_of_the_local_kms_s_own_figures() -> None:
    assert {kind: AWS_PRICES.per_10_000[kind] for kind in DOLLARS_PER_10_000} == dict(DOLLARS_PER_10_000)


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ({}, "0"),
        ({"requests": 10_000}, "0.03"),
        ({"requests": 1}, "0.000003"),
        ({"asymmetric requests": 10_000, "requests": 10_000}, "0.18"),
        ({"RSA 2048 requests": 20_000}, "0.06"),
        ({"a class of later": 10_000}, "0.03"),
    ],
)
def test_calls_cost_what_their_classes_do(calls: dict[str, int], expected: str) -> None:
    assert dollars(calls) == Decimal(expected)


def test_other_prices_can_be_given() -> None:
    assert dollars({"requests": 5_000}, {"requests": Decimal(2)}) == Decimal(1)
