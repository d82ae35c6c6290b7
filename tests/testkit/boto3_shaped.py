"""A local KMS that passes for a boto3 client where its caller asks it about itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from botocore.config import Config

from envelope_sdk.local_kms import LocalKms


class Boto3Shaped:
    """A local KMS with what a boto3 client tells of itself, which the other side asks for."""

    def __init__(self, kms: LocalKms) -> None:
        self._kms = kms
        self.meta = SimpleNamespace(region_name=kms.region, config=Config())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kms, name)
