"""What MiniStack's tests import from a ``conftest`` that its source distribution does not have."""

from __future__ import annotations

import os
from typing import Any

import boto3
import pytest
from botocore.config import Config


def client(service: str) -> Any:
    """Return a boto3 client of the server."""
    return boto3.client(
        service,
        endpoint_url=os.environ["MINISTACK_ENDPOINT"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
        config=Config(retries={"mode": "standard"}),
    )


@pytest.fixture
def kms_client() -> Any:
    """Return the client that most cases use."""
    return client("kms")


def inprocess_iam_user(*_: object) -> Any:
    """Stand for what calls MiniStack's modules; the cases that need it are left out."""
    raise NotImplementedError


routed_request = inprocess_iam_user
