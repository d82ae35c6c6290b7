"""AWS KMS's errors, with its codes and texts, each made in one place.

Every function returns the error for the caller to raise. The operation's name is not known here: the service adds it
on the way out. Texts are those recorded from AWS; where none is known the text says so in plain words.
"""

from __future__ import annotations

from typing import Final

from envelope_sdk.errors import KmsServiceError

__all__ = [
    "algorithm_mismatch",
    "alias_exists",
    "alias_not_found",
    "automatic_rotation_soon",
    "alias_not_taken",
    "asymmetric_for_data_key",
    "disabled",
    "dependency_timeout",
    "dry_run",
    "expired_import_token",
    "expired_token",
    "incomplete_signature",
    "entity_exists",
    "incorrect_key",
    "incorrect_material",
    "internal",
    "invalid_alias_name",
    "invalid_arn",
    "invalid_ciphertext",
    "invalid_grant_id",
    "invalid_grant_token",
    "invalid_import_token",
    "invalid_mac",
    "invalid_marker",
    "invalid_request_signature",
    "invalid_signature",
    "invalid_state",
    "key_exists",
    "key_not_found",
    "limit_exceeded",
    "malformed_key_id",
    "malformed_policy",
    "material_waits",
    "missing_authentication",
    "no_such_entity",
    "no_material_waits",
    "not_found",
    "not_primary",
    "request_too_large",
    "reserved_alias",
    "serialization",
    "signature_mismatch",
    "tag",
    "throttled",
    "too_many_rotations",
    "unknown_material",
    "unknown_operation",
    "unrecorded",
    "unrecognized_client",
    "unsupported",
    "usage",
    "validation",
    "wrong_origin",
]

_UNKNOWN_MATERIAL: Final = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
    "or you are not allowed to access."
)


def validation(message: str) -> KmsServiceError:
    """A parameter breaks a constraint."""
    return KmsServiceError("ValidationException", message)


def serialization(message: str) -> KmsServiceError:
    """A parameter is of another type than the API's model says."""
    return KmsServiceError("SerializationException", message)


def unsupported(message: str) -> KmsServiceError:
    """Something AWS has, or may one day have, that the local KMS does not: the message says what."""
    return KmsServiceError("UnsupportedOperationException", message)


def unknown_operation() -> KmsServiceError:
    """No such operation; AWS sends no text."""
    return KmsServiceError("UnknownOperationException", "")


def not_found(message: str) -> KmsServiceError:
    """A key or alias is not there."""
    return KmsServiceError("NotFoundException", message)


def key_not_found(arn: str) -> KmsServiceError:
    """A well-formed key id or ARN that no key has."""
    return not_found(f"Key '{arn}' does not exist")


def malformed_key_id(text: str) -> KmsServiceError:
    """Neither a key id nor an alias name. AWS quotes it where it is not within an ARN."""
    shown = text.partition(":key/")[2] if text.startswith("arn:") else f"'{text}'"
    return not_found(f"Invalid keyId {shown}")


def alias_not_found(arn: str) -> KmsServiceError:
    """No alias of that name in this Region."""
    return not_found(f"Alias {arn} is not found.")


def invalid_arn(text: str) -> KmsServiceError:
    """Not an ARN of a key or alias, for the operations whose model has this error."""
    return KmsServiceError("InvalidArnException", f"Invalid arn {text}")


def alias_not_taken() -> KmsServiceError:
    """An alias where only keys are taken."""
    return KmsServiceError("InvalidArnException", "Key Aliases are not supported for this operation.")


def alias_exists(arn: str) -> KmsServiceError:
    """CreateAlias with a name already in use."""
    return KmsServiceError("AlreadyExistsException", f"An alias with the name {arn} already exists")


def key_exists(arn: str) -> KmsServiceError:
    """ReplicateKey into a Region that has a key of that id already: the primary itself, or a replica."""
    return KmsServiceError("AlreadyExistsException", f"{arn} already exists.")


def invalid_alias_name(message: str) -> KmsServiceError:
    """An alias name that cannot be one."""
    return KmsServiceError("InvalidAliasNameException", message)


def reserved_alias() -> KmsServiceError:
    """``alias/aws/`` belongs to AWS; it sends no text."""
    return KmsServiceError("NotAuthorizedException", "")


def disabled(arn: str) -> KmsServiceError:
    """Cryptography with a disabled key."""
    return KmsServiceError("DisabledException", f"{arn} is disabled.")


def invalid_state(arn: str, condition: str) -> KmsServiceError:
    """The key's state forbids the operation; ``condition`` is AWS's words, for instance ``pending deletion``."""
    return KmsServiceError("KMSInvalidStateException", f"{arn} is {condition}.")


def wrong_origin(arn: str, origin: str) -> KmsServiceError:
    """The operation is for keys of another origin."""
    return unsupported(f"{arn} origin is {origin} which is not valid for this operation.")


def not_primary(arn: str) -> KmsServiceError:
    """A replica, where only the primary of a multi-Region key will do."""
    return unsupported(f"{arn} is not a multi-region primary key.")


def too_many_rotations(arn: str) -> KmsServiceError:
    """The key has been rotated on demand as often as any may be."""
    return KmsServiceError(
        "LimitExceededException",
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be "
        f"performed for this key: {arn}",
    )


def automatic_rotation_soon(arn: str) -> KmsServiceError:
    """A rotation on demand just before an automatic one."""
    return KmsServiceError("ConflictException", f"An automatic rotation of {arn} begins within the next 20 minutes.")


def no_material_waits(arn: str) -> KmsServiceError:
    """A rotation on demand of a key for which no new material has been imported."""
    message = f"No available key material pending rotation for the key: {arn}."
    return KmsServiceError("KMSInvalidStateException", message)


def material_waits(arn: str, material_id: str, waiting_id: str) -> KmsServiceError:
    """New material is imported while other material waits for a rotation."""
    return KmsServiceError(
        "KMSInvalidStateException",
        f"New key material (id: {material_id}) cannot be imported into KMS key {arn}, because another key material "
        f"(id: {waiting_id}) is pending rotation.",
    )


def incorrect_material(message: str) -> KmsServiceError:
    """Imported material that is not what the key needs; the message says why."""
    return KmsServiceError("IncorrectKeyMaterialException", message)


def invalid_import_token() -> KmsServiceError:
    """An import token that was altered, or is of another key; what it is like tells nothing more."""
    return KmsServiceError("InvalidImportTokenException", "")


def expired_import_token() -> KmsServiceError:
    """An import token more than a day old."""
    return KmsServiceError("ExpiredImportTokenException", "")


def usage(arn: str, key_usage: str, operation: str) -> KmsServiceError:
    """The key is for something else."""
    message = f"{arn} key usage is {key_usage} which is not valid for {operation}."
    return KmsServiceError("InvalidKeyUsageException", message)


def asymmetric_for_data_key() -> KmsServiceError:
    """A data key under a key that is for encryption, but not symmetric."""
    return KmsServiceError("InvalidKeyUsageException", "You cannot generate a data key with an asymmetric CMK")


def algorithm_mismatch(algorithm: str, key_spec: str) -> KmsServiceError:
    """The key cannot do the algorithm asked for."""
    return KmsServiceError(
        "InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {key_spec}."
    )


def invalid_ciphertext() -> KmsServiceError:
    """A blob that is malformed, altered, or of another encryption context; AWS sends no text, so as to tell nothing."""
    return KmsServiceError("InvalidCiphertextException", "")


def invalid_signature() -> KmsServiceError:
    """A signature that does not hold; AWS sends no text."""
    return KmsServiceError("KMSInvalidSignatureException", "")


def invalid_mac() -> KmsServiceError:
    """A message authentication code of another message or key; AWS sends no text."""
    return KmsServiceError("KMSInvalidMacException", "")


def unknown_material(*, named: bool) -> KmsServiceError:
    """A well-formed blob made under key material that this Region does not hold, or that the caller may not know of.

    AWS does not tell the two apart, nor either from a blob whose material id was altered: nothing but the key material
    itself could. Where the caller names the key the blob is what is wrong.

    Args:
        named: whether the caller names the key.
    """
    if named:
        return KmsServiceError("InvalidCiphertextException", _UNKNOWN_MATERIAL)
    return KmsServiceError("AccessDeniedException", _UNKNOWN_MATERIAL)


def invalid_grant_token() -> KmsServiceError:
    """A grant token that is none, or was altered."""
    return KmsServiceError("InvalidGrantTokenException", "The grant token is not valid.")


def invalid_grant_id() -> KmsServiceError:
    """A grant id that cannot be one."""
    return KmsServiceError("InvalidGrantIdException", "The grant id is not valid.")


def no_such_entity(message: str) -> KmsServiceError:
    """A user, group, role, policy or access key is not there: IAM's error."""
    return KmsServiceError("NoSuchEntity", message, status=404)


def entity_exists(message: str) -> KmsServiceError:
    """There is a user, group or role of that name already: IAM's error."""
    return KmsServiceError("EntityAlreadyExists", message, status=409)


def incorrect_key() -> KmsServiceError:
    """The key named is not the one the blob was made with."""
    return KmsServiceError(
        "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation."
    )


def dry_run() -> KmsServiceError:
    """What a permitted and valid call with ``DryRun=True`` ends in."""
    return KmsServiceError(
        "DryRunOperationException", "The request would have succeeded, but the DryRun option is set."
    )


def invalid_marker() -> KmsServiceError:
    """A pagination marker that no earlier answer gave."""
    return KmsServiceError("InvalidMarkerException", "Invalid marker")


def tag(message: str) -> KmsServiceError:
    """A tag, or the list of them, breaks a rule."""
    return KmsServiceError("TagException", message)


def malformed_policy(message: str) -> KmsServiceError:
    """The key policy is not a policy document."""
    return KmsServiceError("MalformedPolicyDocumentException", message)


def dependency_timeout() -> KmsServiceError:
    """The store is busy: the same call may work later, and boto3's retry modes would send it again."""
    message = "The system timed out while trying to fulfill the request. You can retry the request."
    return KmsServiceError("DependencyTimeoutException", message, status=503)


def throttled() -> KmsServiceError:
    """One request too many within a second; boto3's retry modes send it again after a while."""
    message = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
    return KmsServiceError("ThrottlingException", message)


def limit_exceeded(quota: str, most: int, present: int) -> KmsServiceError:
    """More of something than there may be; the text is recorded of aliases, whose quota is ``Aliases per key``."""
    message = f"{quota} quota for this account in this region is {most}, current usage is {present}."
    return KmsServiceError("LimitExceededException", message)


def unrecorded(reason: str) -> KmsServiceError:
    """The audit log cannot be written, so that the call must not succeed; the text is this service's own."""
    return KmsServiceError("KMSInternalException", f"The audit log cannot be written: {reason}.", status=500)


# --- before an operation is reached ----------------------------------------------------------------------------------


def missing_authentication() -> KmsServiceError:
    """A request that nobody has signed."""
    return KmsServiceError("MissingAuthenticationTokenException", "Missing Authentication Token")


def incomplete_signature(message: str) -> KmsServiceError:
    """A signature of which something is missing, or that cannot be read."""
    return KmsServiceError("IncompleteSignatureException", message)


def unrecognized_client() -> KmsServiceError:
    """An access key, or a session token, that is not known."""
    return KmsServiceError("UnrecognizedClientException", "The security token included in the request is invalid.")


def expired_token() -> KmsServiceError:
    """An access key whose session has ended."""
    return KmsServiceError("ExpiredTokenException", "The security token included in the request is expired")


def invalid_request_signature(message: str) -> KmsServiceError:
    """A request's signature is for another date, Region, service or request: the message says which."""
    return KmsServiceError("InvalidSignatureException", message)


def signature_mismatch(canonical: str, to_sign: str) -> KmsServiceError:
    """A request's signature is another one than that computed here; AWS shows what should have been signed."""
    return invalid_request_signature(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.\n\n"
        f"The Canonical String for this request should have been\n'{canonical}'\n\n"
        f"The String-to-Sign should have been\n'{to_sign}'\n"
    )


def request_too_large(limit: int) -> KmsServiceError:
    """A body of more than ``limit`` bytes."""
    message = f"The request has more than {limit} bytes."
    return KmsServiceError("RequestEntityTooLargeException", message, status=413)


def internal() -> KmsServiceError:
    """The service failed; what failed is for its own log."""
    message = "The request was rejected because an internal exception occurred. The request can be retried."
    return KmsServiceError("KMSInternalException", message, status=500)
