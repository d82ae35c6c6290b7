"""How often calls may be made, how many things there may be, and how long a call takes.

All of it is off, or as on AWS, unless told otherwise::

    quotas = RequestQuotas(rates={"Cryptographic operations (symmetric)": 100}, scale=0.1)
    with LocalKms.open("keys.db", quotas=quotas, latency=Latency(0.02, jitter=0.01)) as kms: ...
"""

from __future__ import annotations

from envelope_sdk.local_kms.limits import ResourceQuotas
from envelope_sdk.local_kms.quotas.buckets import Buckets, LocalBuckets
from envelope_sdk.local_kms.quotas.latency import Latency
from envelope_sdk.local_kms.quotas.throttle import RequestQuotas, Throttle, quota_names

__all__ = ["Buckets", "Latency", "LocalBuckets", "RequestQuotas", "ResourceQuotas", "Throttle", "quota_names"]
