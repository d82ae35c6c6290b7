"""Methods for custom key stores, which the local KMS has none of: each ends in UnsupportedOperationException."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envelope_sdk.local_kms.methods.base import Methods

__all__ = ["CustomKeyStoreMethods"]


class CustomKeyStoreMethods(Methods):
    """Custom key stores, so that callers get AWS's error instead of Python's.

    Each method raises :class:`~envelope_sdk.errors.KmsServiceError`: ValidationException where AWS would not take the
    call either, and otherwise UnsupportedOperationException.
    """

    def connect_custom_key_store(self, *, CustomKeyStoreId: str) -> dict[str, Any]:
        """Refuse ConnectCustomKeyStore."""
        return self._call("ConnectCustomKeyStore", CustomKeyStoreId=CustomKeyStoreId)

    def create_custom_key_store(
        self,
        *,
        CustomKeyStoreName: str,
        CloudHsmClusterId: str | None = None,
        TrustAnchorCertificate: str | None = None,
        KeyStorePassword: str | None = None,
        CustomKeyStoreType: str | None = None,
        XksProxyUriEndpoint: str | None = None,
        XksProxyUriPath: str | None = None,
        XksProxyVpcEndpointServiceName: str | None = None,
        XksProxyVpcEndpointServiceOwner: str | None = None,
        XksProxyAuthenticationCredential: Mapping[str, str] | None = None,
        XksProxyConnectivity: str | None = None,
    ) -> dict[str, Any]:
        """Refuse CreateCustomKeyStore."""
        return self._call(
            "CreateCustomKeyStore",
            CustomKeyStoreName=CustomKeyStoreName,
            CloudHsmClusterId=CloudHsmClusterId,
            TrustAnchorCertificate=TrustAnchorCertificate,
            KeyStorePassword=KeyStorePassword,
            CustomKeyStoreType=CustomKeyStoreType,
            XksProxyUriEndpoint=XksProxyUriEndpoint,
            XksProxyUriPath=XksProxyUriPath,
            XksProxyVpcEndpointServiceName=XksProxyVpcEndpointServiceName,
            XksProxyVpcEndpointServiceOwner=XksProxyVpcEndpointServiceOwner,
            XksProxyAuthenticationCredential=XksProxyAuthenticationCredential,
            XksProxyConnectivity=XksProxyConnectivity,
        )

    def delete_custom_key_store(self, *, CustomKeyStoreId: str) -> dict[str, Any]:
        """Refuse DeleteCustomKeyStore."""
        return self._call("DeleteCustomKeyStore", CustomKeyStoreId=CustomKeyStoreId)

    def describe_custom_key_stores(
        self,
        *,
        CustomKeyStoreId: str | None = None,
        CustomKeyStoreName: str | None = None,
        Limit: int | None = None,
        Marker: str | None = None,
    ) -> dict[str, Any]:
        """Refuse DescribeCustomKeyStores."""
        return self._call(
            "DescribeCustomKeyStores",
            CustomKeyStoreId=CustomKeyStoreId,
            CustomKeyStoreName=CustomKeyStoreName,
            Limit=Limit,
            Marker=Marker,
        )

    def disconnect_custom_key_store(self, *, CustomKeyStoreId: str) -> dict[str, Any]:
        """Refuse DisconnectCustomKeyStore."""
        return self._call("DisconnectCustomKeyStore", CustomKeyStoreId=CustomKeyStoreId)

    def update_custom_key_store(
        self,
        *,
        CustomKeyStoreId: str,
        NewCustomKeyStoreName: str | None = None,
        KeyStorePassword: str | None = None,
        CloudHsmClusterId: str | None = None,
        XksProxyUriEndpoint: str | None = None,
        XksProxyUriPath: str | None = None,
        XksProxyVpcEndpointServiceName: str | None = None,
        XksProxyVpcEndpointServiceOwner: str | None = None,
        XksProxyAuthenticationCredential: Mapping[str, str] | None = None,
        XksProxyConnectivity: str | None = None,
    ) -> dict[str, Any]:
        """Refuse UpdateCustomKeyStore."""
        return self._call(
            "UpdateCustomKeyStore",
            CustomKeyStoreId=CustomKeyStoreId,
            NewCustomKeyStoreName=NewCustomKeyStoreName,
            KeyStorePassword=KeyStorePassword,
            CloudHsmClusterId=CloudHsmClusterId,
            XksProxyUriEndpoint=XksProxyUriEndpoint,
            XksProxyUriPath=XksProxyUriPath,
            XksProxyVpcEndpointServiceName=XksProxyVpcEndpointServiceName,
            XksProxyVpcEndpointServiceOwner=XksProxyVpcEndpointServiceOwner,
            XksProxyAuthenticationCredential=XksProxyAuthenticationCredential,
            XksProxyConnectivity=XksProxyConnectivity,
        )
