"""Our own vectors, through every way in: the error that is due, and never a byte that is not the plaintext's."""

from __future__ import annotations

import pytest
from testkit.entry_points import ENTRY_POINTS, EntryPoint, Outcome, opened_at_random, reader_of
from testkit.keyrings import StaticDataKeyring
from testkit.own_vectors import DIRECTORY, Case, cases, read_all

from envelope_sdk import EnvelopeError, Limits, errors
from envelope_sdk.errors import AuthenticationError, LimitExceededError, MessageError
from envelope_sdk.formats import parse_header
from envelope_sdk.formats.cursor import NeedMoreBytes

EVERY = read_all()
GOOD = [case for case in EVERY if case.expect == "ok"]
BAD = [case for case in EVERY if case.expect != "ok"]


def attempt(enter: EntryPoint, case: Case) -> Outcome:
    client = reader_of(StaticDataKeyring(case.key), limits=Limits(**case.limits))
    return enter(client, case.message)


def test_writing_the_files_again_changes_nothing():
    assert {path.name: path.read_text("ascii") for path in DIRECTORY.iterdir()} == {
        f"{case.name}.txt": case.text() for case in cases()
    }


def test_the_files_hold_what_was_meant():
    assert read_all() == cases()


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_what_the_format_allows_is_read(case: Case, enter: EntryPoint):
    assert Outcome(case.plaintext, None) == attempt(enter, case)


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_fault_is_refused_with_the_error_it_deserves(case: Case, enter: EntryPoint):
    error = attempt(enter, case).error

    assert type(error) is getattr(errors, case.expect)
    if isinstance(error, MessageError | AuthenticationError):
        assert case.section == error.section
    if isinstance(error, LimitExceededError):
        assert case.limit == error.limit


@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_a_failing_read_releases_is_a_prefix_of_the_truth(case: Case, enter: EntryPoint):
    assert case.plaintext.startswith(attempt(enter, case).released)


@pytest.mark.parametrize("unverified", [False, True])
@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_whatever_position_is_read_first_what_comes_out_is_the_truth_there(case: Case, unverified: bool):
    client = reader_of(StaticDataKeyring(case.key), limits=Limits(**case.limits))
    try:
        reader = (
            client.random_access(case.message, release_unverified_plaintext=True)
            if unverified
            else opened_at_random(client, case.message)
        )
    except EnvelopeError:
        assert case.expect != "ok"
        return
    for offset in (39, 30, 16, 0, 15, 33, 8):
        try:
            assert case.plaintext[offset : offset + 9] == reader.read_at(offset, 9)
        except EnvelopeError:
            assert case.expect != "ok"


@pytest.mark.parametrize("case", [case for case in BAD if case.name.startswith("footer-")], ids=lambda case: case.name)
@pytest.mark.parametrize("enter", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_the_last_frame_of_a_signed_message_stays_withheld_until_the_signature_holds(case: Case, enter: EntryPoint):
    # Trailing bytes are noticed after the signature held; all else is noticed before.
    if case.expect != "TrailingDataError":
        assert len(attempt(enter, case).released) <= 32


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_whatever_header_parses_encodes_to_the_same_bytes(case: Case):
    try:
        header = parse_header(case.message)
    except (MessageError, NeedMoreBytes):
        assert case.expect != "ok"
    else:
        assert header.encode() == case.message[: header.length]
