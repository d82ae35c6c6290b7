"""Custom key stores: asked for as on AWS, and refused."""

from __future__ import annotations

from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms

_TEXT = "Custom key stores are not supported by the local KMS."
_PROXY = {
    "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
    "XksProxyUriEndpoint": "https://proxy.example",
    "XksProxyUriPath": "/example/kms/xks/v1",
    "XksProxyConnectivity": "PUBLIC_ENDPOINT",
    "XksProxyAuthenticationCredential": {"AccessKeyId": "A" * 20, "RawSecretAccessKey": "s" * 43},
}
_CLUSTER = {
    "CustomKeyStoreType": "AWS_CLOUDHSM",
    "CloudHsmClusterId": "cluster-1a23b4cdefg".replace("1", "2"),
    "TrustAnchorCertificate": "certificate",
    "KeyStorePassword": "password",
}
_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("connect_custom_key_store", {"CustomKeyStoreId": "cks-1"}),
    ("create_custom_key_store", {"CustomKeyStoreName": "name", **_PROXY}),
    ("create_custom_key_store", {"CustomKeyStoreName": "name", **_CLUSTER}),
    ("delete_custom_key_store", {"CustomKeyStoreId": "cks-1"}),
    ("describe_custom_key_stores", {}),
    ("describe_custom_key_stores", {"CustomKeyStoreName": "name", "Limit": 1}),
    ("disconnect_custom_key_store", {"CustomKeyStoreId": "cks-1"}),
    ("update_custom_key_store", {"CustomKeyStoreId": "cks-1", "NewCustomKeyStoreName": "other"}),
    ("create_key", {"CustomKeyStoreId": "cks-1"}),
    ("create_key", {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1"}),
    ("create_key", {"Origin": "EXTERNAL_KEY_STORE"}),
    ("create_key", {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": "cks-1", "XksKeyId": "key"}),
    ("generate_random", {"NumberOfBytes": 1, "CustomKeyStoreId": "cks-1"}),
]


@pytest.mark.parametrize(("method", "parameters"), _CALLS)
def test_it_is_refused_in_awss_way(kms: LocalKms, refused: Any, method: str, parameters: dict[str, Any]) -> None:
    with refused("UnsupportedOperationException", _TEXT):
        getattr(kms, method)(**parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"KeyStorePassword": "secret"},
        {"XksProxyAuthenticationCredential": {"AccessKeyId": "secret", "RawSecretAccessKey": "s" * 43}},
        {"XksProxyAuthenticationCredential": {"AccessKeyId": "A" * 20, "RawSecretAccessKey": "secret"}},
    ],
)
def test_a_secret_that_cannot_be_one_is_not_repeated(kms: LocalKms, parameters: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="ValidationException") as caught:
        kms.create_custom_key_store(CustomKeyStoreName="name", **parameters)
    assert "secret'" not in str(caught.value)
    assert "'secret" not in str(caught.value)


def test_a_member_of_a_structure_is_named_by_its_path(kms: LocalKms, refused: Any) -> None:
    text = (
        "1 validation error detected: Value null at 'xksProxyAuthenticationCredential.accessKeyId' failed to satisfy "
        "constraint: Member must not be null"
    )
    with refused("ValidationException", text):
        kms.create_custom_key_store(
            CustomKeyStoreName="name", XksProxyAuthenticationCredential={"RawSecretAccessKey": "s" * 43}
        )
