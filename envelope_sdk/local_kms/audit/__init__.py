"""The record of every call: who, what, which key, with what outcome.

::

    with LocalKms.open("keys.db", audit="audit.jsonl") as kms: ...

    found = verify(["audit.jsonl"])
    for event in read_events(["audit.jsonl"], Query(event="Decrypt", errors=True)): ...

From the outside in: ``log`` (the journal), ``verification`` and ``queries``, ``events`` and ``members`` (what an event
shows), ``files`` (appending and rotating), ``parts`` (their names), ``chain``.
"""

from __future__ import annotations

from envelope_sdk.local_kms.audit.chain import Head
from envelope_sdk.local_kms.audit.log import AuditLog
from envelope_sdk.local_kms.audit.queries import Query, read_events
from envelope_sdk.local_kms.audit.verification import Problem, Verification, verify

__all__ = ["AuditLog", "Head", "Problem", "Query", "Verification", "read_events", "verify"]
