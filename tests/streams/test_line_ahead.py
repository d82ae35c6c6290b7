"""Lines read ahead: what comes out is what a file gives that nobody reads ahead of."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.streams.line_ahead import LineAhead

steps = st.lists(
    st.one_of(
        st.tuples(st.just("next_line"), st.just(0)),
        st.tuples(st.just("readline"), st.just(0)),
        st.tuples(st.just("read"), st.one_of(st.none(), st.integers(-1, 30))),
        st.tuples(st.just("seek"), st.integers(0, 60)),
        st.tuples(st.just("move"), st.integers(0, 20)),
        st.tuples(st.just("tell"), st.just(0)),
    ),
    max_size=20,
)


@given(content=st.lists(st.sampled_from([b"\n", b"a", b"bcd"]), max_size=40).map(b"".join), every_step=steps)
def test_any_sequence_gives_what_a_plain_file_gives(content, every_step):
    plain, reading = io.BytesIO(content), LineAhead(io.BytesIO(content))
    for name, value in every_step:
        if name in ("next_line", "readline"):
            assert getattr(reading, name)() == plain.readline()
        elif name == "read":
            assert reading.read(value) == plain.read(value)
        elif name == "tell":
            assert reading.tell() == plain.tell()
        else:
            whence = os.SEEK_SET if name == "seek" else os.SEEK_CUR
            assert reading.seek(value, whence) == plain.seek(value, whence)


def test_lines_that_are_iterated_over_are_read_many_at_a_time_and_no_others():
    file = io.BytesIO(b"line\n" * 50_000)
    reading = LineAhead(file)
    assert reading.readline() == b"line\n"
    assert (file.tell(), reading.at_hand()) == (5, None)
    assert reading.next_line() == b"line\n"
    assert 2**16 <= file.tell() < 2**16 + 20
    assert reading.at_hand() == b"line\n"
    assert reading.tell() == 15


def test_text_is_read_as_text():
    reading = LineAhead(io.StringIO("größe\nzwei\ndrei"))
    assert reading.next_line() == "größe\n"
    assert reading.read(2) == "zw"
    assert reading.readline() == "ei\n"
    assert reading.read(-1) == "drei"
    assert reading.read(5) == reading.next_line() == ""


def test_the_position_in_a_text_is_not_known_before_its_lines_are_taken():
    reading = LineAhead(io.StringIO("one\ntwo\n"))
    reading.next_line()
    for action in (reading.tell, lambda: reading.seek(0, os.SEEK_CUR)):
        with pytest.raises(OSError, match="while its lines are iterated over"):
            action()
    reading.next_line()
    assert reading.tell() == 8
    assert reading.seek(0, os.SEEK_SET) == 0
    assert reading.next_line() == "one\n"


class Failing(io.BytesIO):
    """Fails at the third line, as often as it is told to."""

    failures = 1

    def readline(self, size=-1, /):
        if self.tell() == 8 and self.failures:
            self.failures -= 1
            raise ConnectionResetError
        return super().readline(size)


@pytest.mark.parametrize("name", ["next_line", "readline"])
def test_an_error_comes_when_the_lines_before_it_have_been_taken_and_comes_once(name):
    reading = LineAhead(Failing(b"one\ntwo\nthree\n"))
    assert (reading.next_line(), reading.next_line()) == (b"one\n", b"two\n")
    with pytest.raises(ConnectionResetError):
        getattr(reading, name)()
    assert getattr(reading, name)() == b"three\n"


def test_a_read_into_an_error_takes_nothing():
    reading = LineAhead(Failing(b"one\ntwo\nthree\n"))
    reading.next_line()
    assert reading.read(1) == b"t"
    with pytest.raises(ConnectionResetError):
        reading.read(-1)
    assert reading.read(-1) == b"wo\nthree\n"


def test_an_error_before_the_first_line_is_raised_at_once():
    file = Failing(b"one\ntwo\nthree\n")
    file.seek(8)
    reading = LineAhead(file)
    with pytest.raises(ConnectionResetError):
        reading.next_line()
    assert reading.next_line() == b"three\n"


def test_seeking_forgets_the_error_that_was_met():
    reading = LineAhead(Failing(b"one\ntwo\nthree\n"))
    reading.next_line()
    reading.seek(4, os.SEEK_SET)
    assert [reading.next_line() for _ in range(3)] == [b"two\n", b"three\n", b""]


def test_of_a_closed_file_no_line_is_at_hand():
    file = io.BytesIO(b"one\ntwo\n")
    reading = LineAhead(file)
    reading.next_line()
    file.close()
    for action in (reading.next_line, reading.readline, lambda: reading.read(1), reading.tell):
        with pytest.raises(ValueError, match="closed"):
            action()
