"""The peer is there: without it this directory would test nothing."""

from __future__ import annotations

import importlib
from importlib.metadata import version

import pytest

pytestmark = pytest.mark.interop


def test_the_peer_is_a_version_that_speaks_the_current_format() -> None:
    """Committing suites came with 2.0, material providers with 4.0."""
    peer = importlib.import_module("aws_encryption_sdk")

    assert hasattr(peer, "EncryptionSDKClient")
    assert int(version("aws-encryption-sdk").split(".")[0]) >= 4


def test_the_material_providers_are_there() -> None:
    """The extra ``MPL`` brings the keyrings that the tests compare with ours."""
    module = importlib.import_module("aws_cryptographic_material_providers.mpl")

    assert hasattr(module, "AwsCryptographicMaterialProviders")
