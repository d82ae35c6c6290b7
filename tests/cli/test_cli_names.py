"""Names of files: where output goes, what is refused, and names that are no text."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

# --- where it goes ---------------------------------------------------------------------------------------------------

TARGETS = {
    "beside": (["a"], "a.enc"),
    "another ending": (["a", "--suffix", ".sealed"], "a.sealed"),
    "a file": (["a", "-o", "d"], "d"),
    "a folder": (["a", "-o", "folder"], "folder/a.enc"),
    "a folder with a slash": (["a", "-o", "folder/"], "folder/a.enc"),
    "a folder to be made": (["a", "-o", "new/er/"], "new/er/a.enc"),
    "two files": (["a", "b/c", "-o", "new"], "new/c.enc"),
    "a file in a folder, beside": (["b/c"], "b/c.enc"),
    "a file that ends like a message": (["x.enc"], "x.enc.enc"),
    "a folder, beside": (["-r", "b"], "b/c.enc"),
    "a folder, elsewhere": (["-r", "b", "-o", "new"], "new/c.enc"),
    "a folder, inside itself": (["-r", "b", "-o", "b/out"], "b/out/c.enc"),
    "the folder one is in": (["-r", ".", "-o", "out"], "out/b/c.enc"),
    "a file of which nothing is left": (["-r", "b"], "b/.enc.enc"),
}


@pytest.mark.parametrize(("arguments", "target"), TARGETS.values(), ids=TARGETS)
def test_where_it_goes(envelope: Any, arguments: list[str], target: str) -> None:
    for name in ("a", "b/c", "b/.enc", "x.enc"):
        envelope.write(name, name.encode())
    (envelope.home / "folder").mkdir()
    key = envelope.key()

    envelope.ok("encrypt", "-k", key, *arguments)

    assert target in envelope.names()
    source = {"d": "a", "a": "a", "c": "b/c", "": "b/.enc"}.get(target.rpartition("/")[2].split(".")[0], "x.enc")
    assert envelope.ok("decrypt", "-k", key, target, "-o", "-").out == source.encode()


def test_a_folder_written_inside_itself_is_not_read_again(envelope: Any) -> None:
    envelope.write("b/c", b"c")
    key = envelope.key()

    for _ in range(2):
        ran = envelope.ok("encrypt", "-k", key, "-r", "b", "-o", "b/out", "-f", "--suffix", ".x")

        assert ran.err == "encrypted b/c to b/out/c.x\n"


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["a", "./a", "../home/a", "link", "sub/../a"])
def test_a_file_is_not_written_over_itself(envelope: Any, target: str) -> None:
    envelope.write("a", b"hello")
    (envelope.home / "sub").mkdir()
    (envelope.home / "link").symlink_to("a")
    key = envelope.key()

    ran = envelope("encrypt", "-k", key, "a", "-o", target, "--force")

    assert ran.code == 2
    assert ran.lines[0] == f"envelope: {target.removeprefix('./')} is an input too: it would be lost"
    assert envelope.read("a") == b"hello"


def test_a_target_that_leads_to_its_source_is_refused(envelope: Any) -> None:
    """The message and its target are both links to one file."""
    key = envelope.key()
    envelope.ok("encrypt", "-k", key, "-", "-o", "real", stdin=b"hello")
    for name in ("x.enc", "x"):
        (envelope.home / name).symlink_to("real")
    before = envelope.read("real")

    ran = envelope("decrypt", "-k", key, "x.enc", "--force")

    assert ran.code == 2
    assert envelope.read("real") == before


def test_an_input_is_not_another_ones_output(envelope: Any) -> None:
    envelope.write("a", b"hello")
    envelope.write("a.enc", b"an input too")
    key = envelope.key()

    ran = envelope("encrypt", "-k", key, "a", "a.enc", "--force")

    assert (ran.code, ran.lines[0]) == (2, "envelope: a.enc is an input too: it would be lost")
    assert envelope.read("a.enc") == b"an input too"


def test_one_output_does_not_take_two_inputs(envelope: Any) -> None:
    for name in ("one/a", "two/a"):
        envelope.write(name, name.encode())
    key = envelope.key()
    before = envelope.names()

    ran = envelope("encrypt", "-k", key, "-r", "one", "two", "-o", "out")

    assert (ran.code, ran.lines[0]) == (2, "envelope: one/a and two/a would both become out/a.enc")
    assert envelope.names() == before


# --- links -----------------------------------------------------------------------------------------------------------


def test_links_are_followed(envelope: Any) -> None:
    envelope.write("real", b"hello")
    envelope.write("old", b"old")
    (envelope.home / "link").symlink_to("real")
    (envelope.home / "out").symlink_to("old")
    (envelope.home / "dangling").symlink_to("to be made")
    key = envelope.key()

    envelope.ok("encrypt", "-k", key, "link", "-o", "out", "--force")
    envelope.ok("encrypt", "-k", key, "link", "-o", "dangling")

    for name, behind in (("out", "old"), ("dangling", "to be made")):
        assert (envelope.home / name).is_symlink()
        assert envelope.ok("decrypt", "-k", key, behind, "-o", "-").out == b"hello"


def test_in_folders_links_to_files_are_followed_and_what_is_no_file_is_left_out(envelope: Any) -> None:
    envelope.write("elsewhere/x", b"x")
    (envelope.home / "b").mkdir()
    (envelope.home / "b" / "file").symlink_to("../elsewhere/x")
    (envelope.home / "b" / "broken").symlink_to("nowhere")
    (envelope.home / "b" / "round").symlink_to("../b")
    os.mkfifo(envelope.home / "b" / "pipe")

    ran = envelope.ok("encrypt", "-k", envelope.key(), "-r", "b", "-o", "out")

    assert ran.lines == [
        "warning: left out b/broken: it is a link to nothing",
        "warning: left out b/pipe: it is no regular file",
        "warning: left out b/round: it is a link to a folder",
        "encrypted b/file to out/file.enc",
    ]
    assert {name for name in envelope.names() if name.startswith("out/")} == {"out/file.enc"}


def test_in_folders_only_what_would_have_been_decrypted_is_missed(envelope: Any) -> None:
    for name in ("b/one", "c/two"):
        envelope.write(name, b"x")
    key = envelope.key()
    envelope.ok("encrypt", "-k", key, "-r", "b", "c")
    for name in ("broken", "broken.enc"):
        (envelope.home / "b" / name).symlink_to("nowhere")
    (envelope.home / "b" / "linked").symlink_to("../c")

    ran = envelope.ok("decrypt", "-k", key, "-r", "b", "-o", "out")

    assert ran.lines == [
        "warning: left out b/broken.enc: it is a link to nothing",
        "warning: left out b/linked: it is a link to a folder",
        "decrypted b/one.enc to out/one",
    ]


# --- what opens messages ---------------------------------------------------------------------------------------------


def contents(envelope: Any) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in envelope.home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("option", ["--output", "--metadata"])
@pytest.mark.parametrize("scheme", ["", "raw-aes://"])
@pytest.mark.parametrize("name", ["a.key", "./a.key", "symbolic", "hard"])
def test_a_key_in_use_is_not_written_to(envelope: Any, option: str, scheme: str, name: str) -> None:
    key = envelope.key()
    envelope.write("a", b"hello")
    envelope.ok("encrypt", "-k", key, "a")
    (envelope.home / "symbolic").symlink_to(key)
    os.link(envelope.home / key, envelope.home / "hard")
    before = contents(envelope)

    for arguments in (("encrypt", "a"), ("decrypt", "a.enc")):
        ran = envelope(*arguments, "-f", "-k", f"{scheme}{key}", option, name)

        assert ran.code == 2
        assert ran.lines[0].startswith(
            f"envelope: {name.removeprefix('./') if option == '--output' else name} is a key"
        )
        assert contents(envelope) == before


@pytest.mark.parametrize("option", ["--output", "--metadata"])
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal", ".rootkey"])
@pytest.mark.parametrize("made", [True, False], ids=["there", "to be made"])
def test_the_local_kms_is_not_written_over(envelope: Any, option: str, ending: str, made: bool) -> None:
    envelope.write("a", b"hello")
    if made:
        envelope.ok("encrypt", "-", stdin=b"x")
    name = f"{envelope.store}{ending}"
    before = contents(envelope)

    for arguments in (("encrypt", "a"), ("encrypt", "a", "-k", envelope.key(f"{made}.key")), ("decrypt", "a.enc")):
        ran = envelope(*arguments, "-f", option, name)

        assert (ran.code, len(ran.lines)) == (2, 2)
        assert ran.lines[0].startswith(f"envelope: {name} is part of the local KMS: ")
        assert {name: data for name, data in contents(envelope).items() if not name.endswith(".key")} == before


def test_a_log_is_no_input_or_output_by_another_name(envelope: Any) -> None:
    key = envelope.key()
    for name in ("a", "b"):
        envelope.write(name, b"hello")
        os.link(envelope.home / name, envelope.home / f"{name} too")

    for log in ("a too", "b too"):
        ran = envelope("encrypt", "-f", "-k", key, "a", "-o", "b", "--metadata", log)

        assert (ran.code, ran.lines[0]) == (
            2,
            f"envelope: {log} is an input or an output: --metadata needs a file of its own",
        )
        assert envelope.read(log) == b"hello"


def test_in_folders_what_opens_messages_is_left_out(envelope: Any) -> None:
    envelope.write("a", b"hello")
    used, other = envelope.key("used.key"), envelope.key("other.key")
    envelope.ok("kms", "create-key", "--alias", "one")
    folder = ".local/share/envelope"

    ran = envelope.ok("encrypt", "-r", ".", "-k", used, "-k", "local-kms://alias/one")

    assert ran.lines == [
        "warning: left out used.key: it is a key in use",
        f"warning: left out {folder}/kms.db: it is part of the local KMS",
        f"warning: left out {folder}/kms.db.rootkey: it is part of the local KMS",
        "encrypted 2 of 2 files",
    ]
    assert sorted(name for name in contents(envelope) if name.endswith(".enc")) == [
        f"{envelope.home}/a.enc",
        f"{envelope.home}/{other}.enc",
    ]


# --- names that are no text ------------------------------------------------------------------------------------------

NOT_UTF8 = b"caf\xe9"


def test_names_that_are_not_utf8_come_back(envelope: Any) -> None:
    envelope.write(os.fsdecode(b"in/" + NOT_UTF8), b"hello")
    key = envelope.key()

    made = envelope.process("encrypt", "-k", key, "-r", b"in", "-o", b"out\xff")
    opened = envelope.process("decrypt", "-k", key, b"out\xff/" + NOT_UTF8 + b".enc", "-o", NOT_UTF8)

    assert (made.code, opened.code) == (0, 0)
    assert opened.err == "decrypted out\ufffd/caf\ufffd.enc to caf\ufffd\n"
    assert os.fsdecode(NOT_UTF8) in envelope.names()
    assert envelope.read(os.fsdecode(NOT_UTF8)) == b"hello"


def test_names_that_are_not_utf8_are_told_and_noted(envelope: Any) -> None:
    key = envelope.key()

    failed = envelope.process("encrypt", "-k", key, NOT_UTF8, "--metadata", "-")
    envelope.ok("encrypt", "-k", key, "-", "-o", NOT_UTF8, stdin=b"x")
    shown = envelope.process("inspect", NOT_UTF8)
    noted = envelope.process("inspect", "--json", NOT_UTF8)

    assert failed.err == "envelope: caf\ufffd: no such file or directory\n"
    assert os.fsencode(json.loads(failed.out)["input"]) == NOT_UTF8
    assert shown.text.splitlines()[0] == "caf\ufffd"
    assert os.fsencode(noted.json["file"]) == NOT_UTF8


@pytest.mark.parametrize("arguments", [("-c", b"team=\xff"), ("-c", b"\xff=blue")])
def test_a_context_that_is_not_utf8_is_refused(envelope: Any, arguments: tuple[str, bytes]) -> None:
    ran = envelope("encrypt", "-k", envelope.key(), *arguments, "-", stdin=b"x")

    assert (ran.code, ran.out) == (2, b"")
    assert "UTF-8" in ran.err


# --- names that would like to be messages ----------------------------------------------------------------------------

INJECTION = "a\nenvelope: all is well\r\x1b[2J\u202e"


def test_a_name_is_one_line_wherever_it_is_shown(envelope: Any) -> None:
    envelope.write(INJECTION, b"hello")
    key = envelope.key()

    made = envelope.ok("encrypt", "-k", key, INJECTION)
    shown = envelope.ok("inspect", f"{INJECTION}.enc")
    refused = envelope("decrypt", "-k", key, f"{INJECTION}.enc")
    usage = envelope("encrypt", "-k", key, INJECTION, "-o", INJECTION)
    absent = envelope("encrypt", "-k", f"nosuch{INJECTION}", INJECTION, "-o", "b")

    escaped = r"a\nenvelope: all is well\r\x1b[2J\u202e"
    assert made.err == f"encrypted {escaped} to {escaped}.enc\n"
    assert shown.text.splitlines()[0] == f"{escaped}.enc"
    assert refused.lines[0] == f"envelope: {escaped}.enc: {escaped}: file exists"
    assert usage.lines[0] == f"envelope: {escaped.replace(chr(92) + 'n', ' ')} is an input too: it would be lost"
    for ran in (made, shown, refused, usage, absent):
        assert all(line.isprintable() for line in [*ran.lines, *ran.text.splitlines()])
        assert not any(line.startswith("envelope: all is well") for line in ran.lines)


def test_a_context_cannot_add_lines_to_inspect(envelope: Any) -> None:
    forged = "blue\n  signature   valid"
    envelope.ok(
        "encrypt", "-k", envelope.key(), "-c", f"team={forged}", "-c", f"{forged}=x", "-", "-o", "a", stdin=b"x"
    )

    shown = envelope.ok("inspect", "a").text

    assert [line for line in shown.splitlines() if line.startswith("  signature")] == ["  signature   none"]
    assert r"team = 'blue\n  signature   valid'" in shown
    assert envelope.ok("inspect", "--json", "a").json["encryption_context"] == {"team": forged, forged: "x"}


@pytest.mark.parametrize("value", ["red\nenvelope: fine", "red\x1b[2J"])
def test_a_required_context_cannot_add_lines_to_messages(envelope: Any, value: str) -> None:
    key = envelope.key()
    envelope.ok("encrypt", "-k", key, "-c", "team=blue", "-", "-o", "a", stdin=b"x")

    for options in (("-c", f"team={value}"), ("-c", value), ("-c", f"{value}=x")):
        ran = envelope("decrypt", "-k", key, *options, "a", "-o", "b")

        assert ran.code in (3, 4)
        assert [line.startswith(("envelope: a: ", "hint: ")) for line in ran.lines] == [True] * len(ran.lines)
        assert all(line.isprintable() for line in ran.lines)


def test_key_names_and_namespaces_cannot_add_lines_to_inspect(envelope: Any) -> None:
    envelope.ok("keygen", "k", "--name", "a\n  signature   valid", "--namespace", "b\n  signature   valid")
    envelope.ok("encrypt", "-k", "k", "-", "-o", "a", stdin=b"x")

    lines = envelope.ok("inspect", "a").text.splitlines()

    assert [line for line in lines if line.startswith("  signature")] == ["  signature   none"]
    assert lines[-2] == r"  keys        'b\n  signature   valid'  'a\n  signature   valid'"
    assert lines[-1].startswith(
        r"              --key raw-aes://FILE   FILE holds an AES key of the namespace 'b\n  sig"
    )
