"""Custom key stores: CloudHSM clusters and external key managers. The local KMS has none, and says so as AWS would.

What they are asked for is checked against the API's model all the same: a call that AWS would not take is not taken
for one that only lacks the store.
"""

from __future__ import annotations

import re
from typing import Any, Final

from envelope_sdk.local_kms import faults
from envelope_sdk.local_kms.call import Call
from envelope_sdk.local_kms.operations.pages import read_page
from envelope_sdk.local_kms.parameters import Parameters

__all__ = [
    "connect_custom_key_store",
    "create_custom_key_store",
    "delete_custom_key_store",
    "describe_custom_key_stores",
    "disconnect_custom_key_store",
    "refuse_custom_key_store",
    "takes_custom_key_store",
    "update_custom_key_store",
]

_STORE_TYPES: Final = ("AWS_CLOUDHSM", "EXTERNAL_KEY_STORE")
_CONNECTIVITIES: Final = ("PUBLIC_ENDPOINT", "VPC_ENDPOINT_SERVICE")
_MAX_STORE_ID: Final = 64
_MAX_STORE_NAME: Final = 256
_MAX_CERTIFICATE: Final = 5000
_MAX_XKS_KEY: Final = 128
_CLUSTER: Final = re.compile(r"cluster-[2-7a-zA-Z]{11,16}")
_XKS_KEY: Final = re.compile(r"^[a-zA-Z0-9-_.]+$")
_ENDPOINT: Final = re.compile(r"^https://[a-zA-Z0-9.-]+$")
_PATH: Final = re.compile(r"^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$", re.ASCII)
_VPC_SERVICE: Final = re.compile(r"^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$", re.ASCII)
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_ACCESS_KEY: Final = re.compile(r"^[A-Z2-7]+$")
_SECRET_KEY: Final = re.compile(r"^[a-zA-Z0-9\/+=]+$")


def connect_custom_key_store(call: Call) -> dict[str, Any]:
    """Refuse it."""
    return _refuse_by_id(call)


def create_custom_key_store(call: Call) -> dict[str, Any]:
    """Refuse it."""
    parameters = Parameters(call.parameters)
    parameters.text("CustomKeyStoreName", _MAX_STORE_NAME, required=True)
    parameters.text("TrustAnchorCertificate", _MAX_CERTIFICATE)
    parameters.choice("CustomKeyStoreType", _STORE_TYPES)
    _take_connection(parameters)
    return _refuse(call, parameters)


def delete_custom_key_store(call: Call) -> dict[str, Any]:
    """Refuse it."""
    return _refuse_by_id(call)


def describe_custom_key_stores(call: Call) -> dict[str, Any]:
    """Refuse it."""
    parameters = Parameters(call.parameters)
    parameters.text("CustomKeyStoreId", _MAX_STORE_ID)
    parameters.text("CustomKeyStoreName", _MAX_STORE_NAME)
    read_page(parameters, "custom key stores", 1, 1)
    return _refuse(call, parameters)


def disconnect_custom_key_store(call: Call) -> dict[str, Any]:
    """Refuse it."""
    return _refuse_by_id(call)


def update_custom_key_store(call: Call) -> dict[str, Any]:
    """Refuse it."""
    parameters = Parameters(call.parameters)
    parameters.text("CustomKeyStoreId", _MAX_STORE_ID, required=True)
    parameters.text("NewCustomKeyStoreName", _MAX_STORE_NAME)
    _take_connection(parameters)
    return _refuse(call, parameters)


def takes_custom_key_store(parameters: Parameters) -> bool:
    """Take what other operations have for custom key stores, and return whether any of it is there."""
    store = parameters.text("CustomKeyStoreId", _MAX_STORE_ID)
    xks_key = parameters.text("XksKeyId", _MAX_XKS_KEY, pattern=_XKS_KEY)
    return store is not None or xks_key is not None


def refuse_custom_key_store(*, wanted: bool) -> None:
    """Raise UnsupportedOperationException where a custom key store is ``wanted``."""
    if wanted:
        raise faults.unsupported("Custom key stores are not supported by the local KMS.")


def _take_connection(parameters: Parameters) -> None:
    parameters.text("KeyStorePassword", 32, minimum=7, secret=True)
    parameters.text("CloudHsmClusterId", 24, minimum=19, pattern=_CLUSTER)
    parameters.text("XksProxyUriEndpoint", 128, minimum=10, pattern=_ENDPOINT)
    parameters.text("XksProxyUriPath", 128, minimum=10, pattern=_PATH)
    parameters.text("XksProxyVpcEndpointServiceName", 64, minimum=20, pattern=_VPC_SERVICE)
    parameters.text("XksProxyVpcEndpointServiceOwner", 12, minimum=12, pattern=_ACCOUNT)
    parameters.choice("XksProxyConnectivity", _CONNECTIVITIES)
    credential = parameters.structure("XksProxyAuthenticationCredential")
    if credential is not None:
        credential.text("AccessKeyId", 30, minimum=20, pattern=_ACCESS_KEY, required=True, secret=True)
        credential.text("RawSecretAccessKey", 64, minimum=43, pattern=_SECRET_KEY, required=True, secret=True)


def _refuse_by_id(call: Call) -> dict[str, Any]:
    parameters = Parameters(call.parameters)
    parameters.text("CustomKeyStoreId", _MAX_STORE_ID, required=True)
    return _refuse(call, parameters)


def _refuse(call: Call, parameters: Parameters) -> dict[str, Any]:
    parameters.done()
    call.permit(None)
    refuse_custom_key_store(wanted=True)
    return {}
