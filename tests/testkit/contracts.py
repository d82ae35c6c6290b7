"""Every keyring and materials manager of the package, as the contract suites take them. A new one is a new line."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from testkit.asymmetric_kms import AsymmetricKms
from testkit.branch_keys import FixedStore
from testkit.kms_regions import World

from envelope_sdk import AlgorithmSuite
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.keyrings import (
    HierarchicalKeyring,
    KmsDiscoveryKeyring,
    KmsEcdhKeyring,
    KmsKeyring,
    KmsMrkDiscoveryKeyring,
    KmsMrkKeyring,
    KmsRsaKeyring,
    MultiKeyring,
    RawAesKeyring,
    RawEcdhKeyring,
    RawRsaKeyring,
    RsaPadding,
    kms_multi_keyring,
)
from envelope_sdk.keyrings.hierarchical import ContextKeySupplier
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import CachingMaterialsManager, DefaultMaterialsManager, RequiredContextMaterialsManager
from envelope_sdk.managers.counting import CountingMaterialsManager
from envelope_sdk.materials import Keyring, MaterialsManager

KEYS: Final = (bytes(range(32)), bytes(range(32, 64)))
"""Two of everything: the second is the one that must not open what the first wrapped."""


UNSIGNED: Final = tuple(suite for suite in AlgorithmSuite if not suite.signed)


@cache
def kms() -> LocalKms:
    return LocalKms.in_memory()


@cache
def kms_key(number: int) -> str:
    return str(kms().create_key(Description=str(number))["KeyMetadata"]["Arn"])


@cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2048)


def aes(number: int = 0, bits: int = 256) -> Keyring:
    return RawAesKeyring("test", "key", KEYS[number][: bits // 8])


def rsa_pair(number: int = 0, padding: RsaPadding = RsaPadding.OAEP_SHA256) -> Keyring:
    key = rsa_key(number)
    return RawRsaKeyring("test", "key", padding, public_key=key.public_key(), private_key=key)


def rsa_pkcs1(number: int = 0) -> Keyring:
    return rsa_pair(number, RsaPadding.PKCS1)


def rsa_public() -> Keyring:
    return RawRsaKeyring("test", "key", RsaPadding.OAEP_SHA256, public_key=rsa_key(0).public_key())


def rsa_private() -> Keyring:
    return RawRsaKeyring("test", "key", RsaPadding.OAEP_SHA256, private_key=rsa_key(0))


def local_kms(number: int = 0) -> Keyring:
    return KmsKeyring(kms(), kms_key(number))


@cache
def ec_key(number: int, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def ecdh_static(number: int = 0) -> Keyring:
    return RawEcdhKeyring.static(ec_key(number), ec_key(number + 2).public_key())


def ecdh_pair(number: int = 0) -> Keyring:
    return RawEcdhKeyring.pair(ec_key(number, ec.SECP521R1))


def ecdh_ephemeral() -> Keyring:
    return RawEcdhKeyring.ephemeral(ec_key(0, ec.SECP384R1).public_key())


def ecdh_discovery() -> Keyring:
    return RawEcdhKeyring.discovery(ec_key(0, ec.SECP384R1))


@cache
def asymmetric_kms() -> AsymmetricKms:
    return AsymmetricKms()


@cache
def asymmetric_key(number: int, spec: str, usage: str) -> str:
    return str(asymmetric_kms().create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"])


def kms_ecdh(number: int = 0) -> Keyring:
    key = asymmetric_key(number, "ECC_NIST_P256", "KEY_AGREEMENT")
    return KmsEcdhKeyring.static(asymmetric_kms(), key, ec_key(number).public_key())


def kms_ecdh_for_discovery() -> Keyring:
    sender, recipient = (asymmetric_key(number, "ECC_NIST_P256", "KEY_AGREEMENT") for number in (1, 0))
    return KmsEcdhKeyring.static(asymmetric_kms(), sender, asymmetric_kms().public_key(recipient))


def kms_ecdh_discovery() -> Keyring:
    return KmsEcdhKeyring.discovery(asymmetric_kms(), asymmetric_key(0, "ECC_NIST_P256", "KEY_AGREEMENT"))


def kms_rsa(number: int = 0) -> Keyring:
    key = asymmetric_key(number, "RSA_2048", "ENCRYPT_DECRYPT")
    return KmsRsaKeyring(asymmetric_kms(), key, public_key=asymmetric_kms().public_key(key))


def kms_rsa_public() -> Keyring:
    key = asymmetric_key(0, "RSA_2048", "ENCRYPT_DECRYPT")
    return KmsRsaKeyring(None, key, public_key=asymmetric_kms().public_key(key))


@cache
def world() -> World:
    return World()


@cache
def mrk(number: int, region: str) -> str:
    if region == "eu-west-1":
        return world().create_key(region, multi_region=True)
    return world().replicate(mrk(number, "eu-west-1"), region)


def kms_mrk(number: int = 0, region: str = "eu-west-1") -> Keyring:
    return KmsMrkKeyring(world().client(region), mrk(number, region))


def kms_mrk_discovery() -> Keyring:
    mrk(0, "us-east-1")
    return KmsMrkDiscoveryKeyring(world().client("us-east-1"), "us-east-1")


def kms_multi(number: int = 0) -> Keyring:
    keys = [mrk(number, "eu-west-1"), mrk(number + 2, "us-east-1")]
    return kms_multi_keyring(keys[0], keys[1:], client_supplier=world().client)


def hierarchical(number: int = 0) -> Keyring:
    store = FixedStore("branch", "7f9c24e8-3b12-4fef-91e0-56d4a1c0a8b2", KEYS[number])
    return HierarchicalKeyring(store, "branch", ttl_seconds=60)


def by_tenant(number: int = 0) -> Keyring:
    store = FixedStore("branch", "7f9c24e8-3b12-4fef-91e0-56d4a1c0a8b2", KEYS[number])
    return HierarchicalKeyring(store, ContextKeySupplier({"acme": "branch"}, key="tenant"), ttl_seconds=60)


def two_of(make: Any, **more: Any) -> dict[str, Any]:
    """Return a keyring and its stranger, made by one function of a number."""
    return {"make_keyring": lambda: make(0), "other": lambda: make(1), "secrets": KEYS[:1]} | more


def one_half(make: Any, counterpart: Any, **more: Any) -> dict[str, Any]:
    """Return a keyring for one direction, and what goes the other way."""
    return {"make_keyring": make, "counterpart": counterpart} | more


KEYRINGS: Final[dict[str, dict[str, Any]]] = {
    "raw-aes-256": two_of(aes),
    "raw-aes-128": two_of(lambda number: aes(number, 128), secrets=[KEYS[0][:16]]),
    "raw-rsa": two_of(rsa_pair, binds_context=False),
    "raw-rsa-pkcs1": two_of(
        lambda number: rsa_pair(number, RsaPadding.PKCS1), binds_context=False, detects_damage=False
    ),
    "raw-rsa-public": {
        "make_keyring": rsa_public,
        "counterpart": rsa_private,
        "decrypts": False,
        "binds_context": False,
    },
    "raw-rsa-private": {
        "make_keyring": rsa_private,
        "counterpart": rsa_public,
        "encrypts": False,
        "binds_context": False,
    },
    "kms": two_of(local_kms),
    "kms-mrk": two_of(kms_mrk),
    "kms-mrk-in-two-regions": two_of(kms_mrk, counterpart=lambda: kms_mrk(0, "us-east-1")),
    "kms-discovery": one_half(lambda: KmsDiscoveryKeyring(kms()), local_kms, encrypts=False),
    "kms-mrk-discovery": one_half(kms_mrk_discovery, kms_mrk, encrypts=False),
    "kms-multi": two_of(kms_multi, wraps=False),
    "kms-rsa": two_of(kms_rsa, suites=UNSIGNED),
    "kms-rsa-public": one_half(kms_rsa_public, kms_rsa, decrypts=False, suites=UNSIGNED),
    "kms-ecdh": two_of(kms_ecdh),
    "kms-ecdh-discovery": one_half(kms_ecdh_discovery, kms_ecdh_for_discovery, encrypts=False),
    "raw-ecdh": two_of(ecdh_static),
    "raw-ecdh-pair": two_of(ecdh_pair),
    "raw-ecdh-ephemeral": one_half(ecdh_ephemeral, ecdh_discovery, decrypts=False),
    "raw-ecdh-discovery": one_half(ecdh_discovery, ecdh_ephemeral, encrypts=False),
    "hierarchical": two_of(hierarchical),
    "hierarchical-by-tenant": two_of(by_tenant, context={"tenant": "acme"}),
    "multi": two_of(lambda number: MultiKeyring(aes(number), [local_kms(number)]), wraps=False),
    "multi-of-one": two_of(lambda number: MultiKeyring(local_kms(number)), wraps=False),
    "multi-of-multi": two_of(lambda number: MultiKeyring(MultiKeyring(aes(number)), [local_kms(number)]), wraps=False),
    "multi-children": two_of(lambda number: MultiKeyring(None, [aes(number), local_kms(number)]), generates=False),
}
"""What :func:`envelope_sdk.testing.check_keyring` is to be called with, by the name of the keyring."""


def two_managers(make: Any, **more: Any) -> dict[str, Any]:
    """Return a manager and its stranger, made by one function of a keyring."""
    return {"make_manager": lambda: make(aes(0)), "other": lambda: make(aes(1)), "secrets": KEYS[:1]} | more


def caching(
    underlying: Keyring | MaterialsManager, *, max_age_seconds: float = 60, **options: Any
) -> CachingMaterialsManager:
    return CachingMaterialsManager(underlying, max_age_seconds=max_age_seconds, **options)


@cache
def shared_cache() -> LocalCache:
    return LocalCache()


MANAGERS: Final[dict[str, dict[str, Any]]] = {
    "default": two_managers(DefaultMaterialsManager),
    "default-over-kms": {"make_manager": lambda: DefaultMaterialsManager(local_kms())},
    "default-over-rsa": {"make_manager": lambda: DefaultMaterialsManager(rsa_pair()), "binds_context": False},
    "required-context": two_managers(
        lambda keyring: RequiredContextMaterialsManager(keyring, ["tenant", "größer"]),
        required_keys=["tenant", "größer"],
    ),
    "caching": two_managers(caching, reuses_data_keys=True),
    "caching-over-kms": {
        "make_manager": lambda: caching(local_kms(0)),
        "other": lambda: caching(local_kms(1)),
        "reuses_data_keys": True,
    },
    "caching-over-multi": {
        "make_manager": lambda: caching(MultiKeyring(aes(0), [local_kms(0)])),
        "reuses_data_keys": True,
    },
    "caching-one-message": two_managers(
        lambda keyring: CachingMaterialsManager(keyring, max_age_seconds=60, max_messages=1)
    ),
    "caching-over-required-context": two_managers(
        lambda keyring: caching(RequiredContextMaterialsManager(keyring, ["tenant", "größer"])),
        required_keys=["tenant", "größer"],
        reuses_data_keys=True,
    ),
    "required-context-over-caching": two_managers(
        lambda keyring: RequiredContextMaterialsManager(caching(keyring), ["tenant", "größer"]),
        required_keys=["tenant", "größer"],
        reuses_data_keys=True,
    ),
    "caching-over-caching": two_managers(lambda keyring: caching(caching(keyring)), reuses_data_keys=True),
    "caching-in-a-shared-cache": {
        "make_manager": lambda: caching(aes(0), cache=shared_cache(), partition="first"),
        "other": lambda: caching(aes(1), cache=shared_cache(), partition="second"),
        "reuses_data_keys": True,
    },
    "counting": two_managers(CountingMaterialsManager),
    "default-for-tenants": two_managers(DefaultMaterialsManager, context={"tenant": "acme"}),
    "required-context-nested": two_managers(
        lambda keyring: RequiredContextMaterialsManager(RequiredContextMaterialsManager(keyring, ["a"]), ["b"]),
        required_keys=["a", "b"],
    ),
}
"""What :func:`envelope_sdk.testing.check_manager` is to be called with, by the name of the manager."""
