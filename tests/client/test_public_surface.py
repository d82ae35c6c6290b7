"""What the package offers, what it costs to import, and the example it opens with."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import pytest

import envelope_sdk

SURFACE = {
    "envelope_sdk": [
        "AlgorithmSuite",
        "Client",
        "CommitmentPolicy",
        "DecryptResult",
        "EncryptResult",
        "EncryptedDataKey",
        "EncryptionContext",
        "EnvelopeError",
        "Header",
        "Limits",
        "Rotation",
        "open",
    ],
    "envelope_sdk.bulk": [
        "CacheLimits",
        "ClientRecipe",
        "Decrypt",
        "Encrypt",
        "Entry",
        "Item",
        "LocalFiles",
        "OpenedClient",
        "Operation",
        "Pending",
        "Place",
        "Processes",
        "Progress",
        "Replacement",
        "ReplacingPlace",
        "Result",
        "Rotate",
        "Run",
        "Status",
        "Written",
        "decrypting",
        "encrypting",
        "rotating",
        "run",
    ],
    "envelope_sdk.integrations.s3": ["EncryptedS3", "S3Place", "S3Source"],
    "envelope_sdk.keyrings": [
        "Boto3ClientSupplier",
        "ClientSupplier",
        "DiscoveryFilter",
        "EcdhCurve",
        "HierarchicalKeyring",
        "KeyringUri",
        "KmsDiscoveryKeyring",
        "KmsEcdhKeyring",
        "KmsKeyring",
        "KmsMrkDiscoveryKeyring",
        "KmsMrkKeyring",
        "KmsRsaKeyring",
        "LimitedRegionsClientSupplier",
        "MultiKeyring",
        "PacedClientSupplier",
        "Pacer",
        "Pkcs11Keyring",
        "Pkcs11RootKey",
        "Pkcs11RsaKeyring",
        "RawAesKeyring",
        "RawEcdhKeyring",
        "RawRsaKeyring",
        "RsaPadding",
        "keyring_from_uri",
        "keyrings_from_uris",
        "kms_discovery_multi_keyring",
        "kms_mrk_discovery_multi_keyring",
        "kms_mrk_multi_keyring",
        "kms_multi_keyring",
        "known_schemes",
    ],
    "envelope_sdk.managers": [
        "CachingMaterialsManager",
        "CountingMaterialsManager",
        "DefaultMaterialsManager",
        "RequiredContextMaterialsManager",
    ],
    "envelope_sdk.materials": [
        "DecryptionMaterials",
        "DecryptionRequest",
        "EncryptionMaterials",
        "EncryptionRequest",
        "Keyring",
        "MaterialsManager",
    ],
    "envelope_sdk.policy": ["CommitmentPolicy", "Limits"],
    "envelope_sdk.streams": [
        "AtomicFile",
        "DecryptingReader",
        "DecryptingWriter",
        "EncryptedFile",
        "EncryptingReader",
        "EncryptingWriter",
        "PositionalSource",
        "RandomAccessReader",
        "open",
        "open_random_access",
    ],
    "envelope_sdk.testing": [
        "KEYRING_RULES",
        "MANAGER_RULES",
        "STORE_RULES",
        "ContractViolation",
        "check_keyring",
        "check_manager",
        "check_store",
    ],
    "envelope_sdk.errors": [
        "AuthenticationError",
        "CommitmentError",
        "CommitmentPolicyError",
        "ContextMismatchError",
        "EncryptionContextError",
        "EnvelopeError",
        "JournalError",
        "KeyStoreError",
        "KeyringError",
        "KmsAccessError",
        "KmsError",
        "KmsPacingError",
        "KmsServiceError",
        "KmsUnavailableError",
        "LimitExceededError",
        "LoadTimeoutError",
        "LocalKmsError",
        "MessageError",
        "NoMatchingKeyError",
        "PolicyError",
        "SignatureError",
        "SignedStreamError",
        "StreamError",
        "TrailingDataError",
        "TruncatedMessageError",
        "UnsupportedMessageError",
        "UnwrapFailure",
        "UsageError",
        "WorkerLostError",
    ],
}

HEAVY = ["asyncio", "boto3", "botocore", "click", "moto", "rich", "sqlite3"]


@pytest.mark.parametrize("module", SURFACE)
def test_the_public_names_are_these_and_no_others(module):
    assert sorted(importlib.import_module(module).__all__) == sorted(SURFACE[module])


@pytest.mark.parametrize("module", SURFACE)
def test_every_public_name_exists_and_is_documented(module):
    found = importlib.import_module(module)
    for name in found.__all__:
        if name != "EncryptedFile":  # an alias, which carries its text in the source only
            assert getattr(found, name).__doc__, name


def test_the_parameters_of_a_client_are_these():
    import inspect

    assert list(inspect.signature(envelope_sdk.Client).parameters) == [
        "keyring",
        "materials_manager",
        "commitment_policy",
        "algorithm_suite",
        "sign",
        "frame_length",
        "limits",
        "random",
        "threads",
    ]


def test_every_error_is_in_the_tree_that_its_module_draws():
    errors = importlib.import_module("envelope_sdk.errors")
    for name in errors.__all__:
        if name != "UnwrapFailure":
            assert issubclass(getattr(errors, name), errors.EnvelopeError)
            assert name in errors.__doc__


def test_importing_the_package_imports_nothing_heavy():
    # What measures the tests may have imported some of them before.
    program = (
        "import sys\nbefore = set(sys.modules)\nimport envelope_sdk, envelope_sdk.keyrings, envelope_sdk.client\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules and name not in before])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_the_example_at_the_head_of_the_package_works():
    results = doctest.testmod(envelope_sdk)

    assert results.attempted == 5
    assert results.failed == 0
