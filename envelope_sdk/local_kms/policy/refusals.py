"""The errors of access control, with AWS's codes and texts, each made in one place.

Every function returns the error for the caller to raise. Texts are those recorded from AWS, for identity policies from
IAM; where none is known the text says so in plain words.
"""

from __future__ import annotations

from envelope_sdk.errors import KmsServiceError

__all__ = [
    "access_denied",
    "invalid_principals",
    "locked_out",
    "malformed",
    "out_of_reach",
    "out_of_reach_text",
    "syntax",
    "too_long",
]


def malformed(message: str) -> KmsServiceError:
    """The document is not a policy, or says what a policy of its kind cannot say."""
    return KmsServiceError("MalformedPolicyDocumentException", message)


def syntax() -> KmsServiceError:
    """The document does not follow the grammar; AWS does not say where."""
    return malformed("Syntax errors in policy.")


def invalid_principals() -> KmsServiceError:
    """A principal of a key policy cannot be one, or is none that the KMS can see."""
    return malformed("Policy contains a statement with one or more invalid principals.")


def locked_out() -> KmsServiceError:
    """The caller could not replace the policy by another."""
    return malformed("The new key policy will not allow you to update the key policy in the future.")


def too_long(message: str) -> KmsServiceError:
    """The document exceeds the quota for documents of its kind."""
    return KmsServiceError("LimitExceededException", message)


def access_denied(message: str) -> KmsServiceError:
    """A call that policies and grants do not allow."""
    return KmsServiceError("AccessDeniedException", message)


def out_of_reach_text(arn: str, action: str) -> str:
    """Return what a caller is told of a key of another account that does not let it in, or is not there at all.

    Args:
        arn: the caller's.
        action: without ``kms:``.
    """
    return (
        f"User: {arn} is not authorized to perform: kms:{action} on this resource because the resource does not exist "
        "in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
    )


def out_of_reach(arn: str, action: str) -> KmsServiceError:
    """A key of another account that does not let the caller in, or that is not there: which, is not to be known."""
    return access_denied(out_of_reach_text(arn, action))
