"""The key policy that AWS gives a key made without one ("Default key policy")."""

from __future__ import annotations

from typing import Final

from envelope_sdk.local_kms.identifiers import Scope

__all__ = ["DEFAULT_POLICY_NAME", "default_key_policy"]

DEFAULT_POLICY_NAME: Final = "default"
"""What every key's only policy is called."""


def default_key_policy(scope: Scope) -> str:
    """Return the document that lets the account decide by its identity policies who may do what."""
    partition = scope.arn_prefix.split(":", 2)[1]
    return _DOCUMENT.replace("ROOT", f"arn:{partition}:iam::{scope.account}:root")


_DOCUMENT: Final = """{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "ROOT"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}"""
