"""The methods of :class:`~envelope_sdk.local_kms.LocalKms`, as boto3's client has them, by group.

Each only names an operation and passes its parameters on; what the operation does is in ``operations``.
"""

from __future__ import annotations
