"""Every keyring and materials manager of the package, as the contract suites take them. A new one is a new line."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from envelope_sdk.keyrings import KmsKeyring, MultiKeyring, RawAesKeyring, RawRsaKeyring, RsaPadding
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.managers import DefaultMaterialsManager, RequiredContextMaterialsManager
from envelope_sdk.materials import Keyring

KEYS: Final = (bytes(range(32)), bytes(range(32, 64)))
"""Two of everything: the second is the one that must not open what the first wrapped."""


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
    "multi": two_of(lambda number: MultiKeyring(aes(number), [local_kms(number)]), wraps=False),
    "multi-of-one": two_of(lambda number: MultiKeyring(local_kms(number)), wraps=False),
    "multi-of-multi": two_of(lambda number: MultiKeyring(MultiKeyring(aes(number)), [local_kms(number)]), wraps=False),
    "multi-children": two_of(lambda number: MultiKeyring(None, [aes(number), local_kms(number)]), generates=False),
}
"""What :func:`envelope_sdk.testing.check_keyring` is to be called with, by the name of the keyring."""


def two_managers(make: Any, **more: Any) -> dict[str, Any]:
    """Return a manager and its stranger, made by one function of a keyring."""
    return {"make_manager": lambda: make(aes(0)), "other": lambda: make(aes(1)), "secrets": KEYS[:1]} | more


MANAGERS: Final[dict[str, dict[str, Any]]] = {
    "default": two_managers(DefaultMaterialsManager),
    "default-over-kms": {"make_manager": lambda: DefaultMaterialsManager(local_kms())},
    "default-over-rsa": {"make_manager": lambda: DefaultMaterialsManager(rsa_pair()), "binds_context": False},
    "required-context": two_managers(
        lambda keyring: RequiredContextMaterialsManager(keyring, ["tenant", "größer"]),
        required_keys=["tenant", "größer"],
    ),
    "default-for-tenants": two_managers(DefaultMaterialsManager, context={"tenant": "acme"}),
    "required-context-nested": two_managers(
        lambda keyring: RequiredContextMaterialsManager(RequiredContextMaterialsManager(keyring, ["a"]), ["b"]),
        required_keys=["a", "b"],
    ),
}
"""What :func:`envelope_sdk.testing.check_manager` is to be called with, by the name of the manager."""
