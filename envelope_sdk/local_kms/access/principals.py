"""Whether the principals that policies and grants name exist, as far as can be known here.

AWS refuses principals that do not exist. Here an account that has no local users and roles says nothing of who is in
it, so that anybody may be: only where it has some, its principals have to be among them.
"""

from __future__ import annotations

import re
from typing import Final

from envelope_sdk.local_kms.access.identity_documents import IdentityKind, document_of
from envelope_sdk.local_kms.store.contract import ReadTransaction

__all__ = ["principal_exists"]

_ARN: Final = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::(\d{12}):(.+)", re.ASCII | re.DOTALL)
_UNIQUE_ID: Final = re.compile(r"A(?:IDA|ROA)[A-Z0-9]+", re.ASCII)


def principal_exists(name: str, account: str, records: ReadTransaction) -> bool:
    """Return whether there may be such a principal.

    Args:
        name: an ARN, a unique id, an account, or the name of a service or identity provider.
        account: whose unique ids are meant.
        records: where identities are.
    """
    if _UNIQUE_ID.fullmatch(name):
        known = records.identities(account)
        return not known or any(document_of(identity).unique_id == name for identity in known)
    found = _ARN.fullmatch(name)
    if found is None:
        return True
    kind, _, rest = found[2].partition("/")
    if kind not in ("user", "role", "assumed-role"):
        return True
    if kind != "assumed-role" and records.identity(name) is not None:
        return True
    known = records.identities(found[1])
    if not known:
        return True
    # The ARN of a session leaves out the path of its role.
    role = rest.partition("/")[0]
    documents = (document_of(identity) for identity in known) if kind == "assumed-role" else ()
    return any(document.kind is IdentityKind.ROLE and document.name == role for document in documents)
