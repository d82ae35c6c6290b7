"""Which kinds of keys the local KMS can make here, and the names of its methods."""

from __future__ import annotations

import re
from functools import cache

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms.key_pairs import new_key_pair
from envelope_sdk.primitives.entropy import system_random


@cache
def available(spec: str) -> bool:
    """Return whether the version of ``cryptography`` installed has post-quantum keys of this spec."""
    if not spec.startswith("ML_"):
        return True
    try:
        new_key_pair(spec, system_random)
    except KmsServiceError as error:
        return error.code != "UnsupportedOperationException"
    return True


def snake(operation: str) -> str:
    """Return the method of an operation."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
