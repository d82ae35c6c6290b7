"""The rules for key states against the table that AWS's developer guide has of them, "Key states of AWS KMS keys"."""

from __future__ import annotations

import pytest

from envelope_sdk.local_kms.model import KeyState
from envelope_sdk.local_kms.states import FORBIDDEN

_COLUMNS = (
    *(KeyState.ENABLED, KeyState.DISABLED, KeyState.PENDING_DELETION, KeyState.PENDING_IMPORT),
    *(KeyState.UNAVAILABLE, KeyState.CREATING, KeyState.UPDATING),
)

# Y: it works; x: it fails; -: the table has no cell. In the order of the columns, as of June 2023. A cell of a key
# with imported material that works only for some origin is Y here: that is no matter of states.
_DOCUMENTED = """
CancelKeyDeletion                    x x Y x x x x
CreateAlias                          Y Y x Y Y Y Y
CreateGrant                          Y x x x Y x Y
Decrypt                              Y x x x x x Y
DeleteAlias                          Y Y Y Y Y Y Y
DescribeKey                          Y Y Y Y Y Y Y
DisableKey                           Y Y x x Y x x
EnableKey                            Y Y x x Y x x
Encrypt                              Y x x x x x Y
GenerateDataKey                      Y x x x x x Y
GenerateDataKeyPair                  Y x x x x x Y
GenerateDataKeyPairWithoutPlaintext  Y x x x x x Y
GenerateDataKeyWithoutPlaintext      Y x x x x x Y
GenerateMac                          Y x x - - x Y
GetKeyPolicy                         Y Y Y Y Y Y Y
GetPublicKey                         Y x x - - x Y
ListAliases                          Y Y Y Y Y Y Y
ListGrants                           Y Y Y Y Y Y Y
ListKeyPolicies                      Y Y Y Y Y Y Y
ListResourceTags                     Y Y Y Y Y Y Y
PutKeyPolicy                         Y Y Y Y Y Y Y
ReEncrypt                            Y x x x x x Y
ReplicateKey                         Y x x x - x x
RetireGrant                          Y Y Y Y Y Y Y
RevokeGrant                          Y Y Y Y Y Y Y
ScheduleKeyDeletion                  Y Y x Y Y Y x
Sign                                 Y x x - - x Y
TagResource                          Y Y x Y Y Y Y
UntagResource                        Y Y x Y Y Y Y
UpdateAlias                          Y Y x Y Y Y Y
UpdateKeyDescription                 Y Y x Y Y Y Y
UpdatePrimaryRegion                  Y x x x - x Y
Verify                               Y x x - - x Y
VerifyMac                            Y x x - - x Y
"""
_ROWS = {name: cells for name, *cells in (line.split() for line in _DOCUMENTED.strip().splitlines())}


@pytest.mark.parametrize("operation", _ROWS)
def test_a_row_is_as_documented(operation: str) -> None:
    cells = zip(_COLUMNS, _ROWS[operation], strict=True)
    documented = {state: cell == "x" for state, cell in cells if cell != "-"}
    # An alias has no row of its own key's: it can be deleted whatever state that is in.
    forbidden = FORBIDDEN.get(operation, frozenset()) if operation == "DeleteAlias" else FORBIDDEN[operation]

    assert documented == {state: state in forbidden for state in documented}


@pytest.mark.parametrize("operation", FORBIDDEN)
def test_waiting_for_replicas_forbids_what_waiting_for_the_day_does(operation: str) -> None:
    forbidden = FORBIDDEN[operation]

    assert (KeyState.PENDING_DELETION in forbidden) == (KeyState.PENDING_REPLICA_DELETION in forbidden)
