"""Access control over the store: who calls, what they may do, and why.

``authority`` decides on each call, with ``condition_values``, ``grants`` and ``identity_documents``; ``key_policies``
and ``principals`` check what is about to be kept; ``identities`` and ``credentials`` look after users, roles and their
keys; ``simulation`` explains.
"""

from __future__ import annotations
