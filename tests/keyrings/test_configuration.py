"""The configuration file and the environment: keys by names, and the keys where none is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk import Client
from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings import KeyringUri, keyring_from_uri, keyrings_from_uris
from envelope_sdk.keyrings.configuration import Configuration, default_uris, load_configuration
from envelope_sdk.keyrings.key_files import encode_aes_key_file
from envelope_sdk.keyrings.places import local_store_path

PATH = Path("/etc/envelope/config.toml")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of the test's own, which is the current folder too."""
    for name in ("ENVELOPE_CONFIG", "ENVELOPE_KEY", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, text, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def key(path, name):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_aes_key_file("test", name, bytes(32)))
    path.chmod(0o600)
    return path


def names_of(keyring):
    keys = Client(keyring).encrypt(b"").header.encrypted_data_keys
    return [key.provider_info[:-20].decode() for key in keys]


def parsed(text):
    return Configuration.parse(text.encode(), PATH)


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_name_stands_for_its_keys(home):
    key(home / ".config" / "envelope" / "a.key", "a")
    key(home / "keys" / "b.key", "b")
    write(
        home / ".config" / "envelope" / "config.toml",
        '[keyrings]\napp = ["raw-aes://a.key", "~/keys/b.key"]\none = "a.key"\n',
    )

    assert names_of(keyring_from_uri("keyring://app")) == ["a", "b"]
    assert names_of(keyring_from_uri("keyring://one")) == ["a"]


def test_names_may_stand_among_others_and_in_each_other(home, monkeypatch):
    for name in "abc":
        key(home / f"{name}.key", name)
    write(
        home / "config.toml",
        '[keyrings]\nboth = ["keyring://first", "b.key"]\nfirst = "a.key"\n',
    )
    monkeypatch.setenv("ENVELOPE_CONFIG", "config.toml")

    assert names_of(keyrings_from_uris(["c.key", "keyring://both"])) == ["c", "a", "b"]
    assert names_of(keyrings_from_uris(["keyring://both", "c.key"])) == ["a", "b", "c"]


def test_paths_are_relative_to_the_file_s_folder_wherever_one_is(home, monkeypatch):
    key(home / "etc" / "a.key", "a")
    write(home / "etc" / "config.toml", '[keyrings]\napp = "a.key"\n')
    monkeypatch.setenv("ENVELOPE_CONFIG", str(home / "etc" / "config.toml"))
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")

    assert names_of(keyring_from_uri("keyring://app")) == ["a"]


@pytest.mark.parametrize("place", ["ENVELOPE_CONFIG", "XDG_CONFIG_HOME", "HOME"])
def test_the_file_is_found_where_the_environment_says(place, home, monkeypatch):
    below = {
        "ENVELOPE_CONFIG": "x.toml",
        "XDG_CONFIG_HOME": "x/envelope/config.toml",
        "HOME": "x/.config/envelope/config.toml",
    }
    path = write(home / below[place], '[keyrings]\napp = "a.key"\n')
    monkeypatch.setenv(place, str(path if place == "ENVELOPE_CONFIG" else home / "x"))

    assert load_configuration().names == ("app",)


def test_a_relative_base_folder_is_none(home, monkeypatch):
    write(home / "here" / "envelope" / "config.toml", '[keyrings]\ndefault = "other.key"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    monkeypatch.setenv("XDG_DATA_HOME", "here")
    monkeypatch.delenv("ENVELOPE_KMS_STORE", raising=False)

    assert default_uris() == ()
    assert local_store_path() == home / ".local" / "share" / "envelope" / "kms.db"


def test_an_empty_variable_is_no_variable(home, monkeypatch):
    write(home / ".config" / "envelope" / "config.toml", '[keyrings]\napp = "a.key"\n')
    monkeypatch.setenv("ENVELOPE_CONFIG", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("ENVELOPE_KEY", " \n")

    assert load_configuration().names == ("app",)
    assert default_uris() == ()


def test_there_need_be_no_file(home):
    assert load_configuration().names == ()
    with pytest.raises(UsageError, match=r"says what keyring://app is: there is no .*/\.config/envelope/config\.toml"):
        keyring_from_uri("keyring://app")


def test_an_empty_file_is_one():
    assert parsed("").names == ()


# --- where none is named ---------------------------------------------------------------------------------------------


def test_the_default_is_used_where_no_key_is_named(home):
    write(home / ".config" / "envelope" / "config.toml", '[keyrings]\ndefault = "keyring://app"\napp = "a.key"\n')

    assert default_uris() == (KeyringUri("key-file", "a.key", {}, str(home / ".config" / "envelope")),)


def test_the_environment_comes_before_the_default(home, monkeypatch):
    write(
        home / ".config" / "envelope" / "config.toml", '[keyrings]\ndefault = "a.key"\nc = "keyring://d"\nd = "d.key"\n'
    )
    key(home / "my b.key", "b")
    monkeypatch.setenv("ENVELOPE_KEY", "my b.key\n\n  aws-kms://alias/a  \nkeyring://c\n")

    assert [(uri.scheme, uri.rest) for uri in default_uris()] == [
        ("key-file", "my b.key"),
        ("aws-kms", "alias/a"),
        ("key-file", "d.key"),
    ]


@pytest.mark.parametrize("value", ["hunter2", "aHVudGVyMg==hunter2", "raw-aes://hunter2%", "hunter2://", "x\nhunter2"])
def test_what_the_environment_should_not_hold_is_not_repeated(value, monkeypatch, home):
    """Somebody may well put a key there instead of its name."""
    key(home / "x", "x")
    monkeypatch.setenv("ENVELOPE_KEY", value)

    with pytest.raises(UsageError) as caught:
        keyrings_from_uris(default_uris())

    assert "hunter2" not in str(caught.value).removeprefix("hunter2://")


# --- what is wrong ---------------------------------------------------------------------------------------------------

MALFORMED = {
    "no TOML": ("[keyrings]\napp = \n", "/etc/envelope/config.toml: the configuration is not TOML: .*line 2"),
    "a name twice": ('[keyrings]\napp = "a"\napp = "b"\n', "not TOML: .*line 3"),
    "too deep": ("a=" + "[" * 5000, "not TOML: it is nested too deep"),
    "a number without end": ("[keyrings]\na = " + "1" * 5000, "not TOML: "),
    "another table": (
        "\n\n[keyring]\n",
        r"line 3: 'keyring' means nothing \(did you mean 'keyrings'\?\)",
    ),
    "a name outside of the table": ('app = "a"\n', "line 1: 'app' means nothing: keys stand in \\[keyrings\\]"),
    "no table": ('keyrings = "a"\n', "line 1: 'keyrings' is no table: write \\[keyrings\\]"),
    "a number": ("[keyrings]\na = 'x'\napp = 7\n", "line 3: 'app' is not a key, or a list of keys, each as text"),
    "a number in a list": ("[keyrings]\napp = ['a', 7]\n", "line 2: 'app' is not a key"),
    "an empty list": ("[keyrings]\napp = []\n", "line 2: 'app' is not a key"),
    "an empty text": ("[keyrings]\napp = ['a', '']\n", "line 2: 'app' is not a key"),
    "a table in the table": ("[keyrings.app]\nkey = 'a'\n", "line 1: 'app' is not a key"),
    "a number with a dot before it": ("keyrings.app = 7\n", "line 1: 'app' is not a key"),
    "a name in quotes": ("[keyrings]\n'a b' = 7\n", "line 2: 'a b' is not a key"),
}


@pytest.mark.parametrize(("text", "why"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_told_with_the_place(text, why):
    with pytest.raises(UsageError, match=why):
        parsed(text)


def test_a_file_that_is_not_utf8_is_told_with_the_line():
    with pytest.raises(UsageError, match=r"config\.toml, line 2: the configuration is not UTF-8"):
        Configuration.parse(b"[keyrings]\n# \xff", PATH)


@given(st.binary() | st.text().map(str.encode) | st.text().map(lambda text: f"[keyrings]\na = {text}\n".encode()))
def test_any_bytes_are_a_configuration_or_told(data):
    try:
        configuration = Configuration.parse(data, PATH)
        for name in configuration.names:
            configuration.uris(name)
    except UsageError as error:
        told = str(error)
    else:
        told = f"{PATH}: nothing to tell"
    assert told.startswith(str(PATH))


NAMES = st.sampled_from("abcd")
ENTRIES = st.lists(NAMES.map("keyring://{}".format) | st.just("x"), min_size=1, max_size=3)


@given(st.dictionaries(NAMES, ENTRIES, min_size=1))
def test_names_of_names_end_in_keys_or_are_told(lists):
    configuration = parsed("[keyrings]\n" + "".join(f"{name} = {entries}\n" for name, entries in lists.items()))

    for name in lists:
        try:
            uris = configuration.uris(name)
        except UsageError as error:
            told = str(error)
        else:
            told = "a circle of none"
            assert {uri.rest for uri in uris} == {"x"}
        assert "circle" in told or "there is no keyring of the name" in told


CIRCLES = {
    "itself": ("[keyrings]\na = 'keyring://a'\n", "line 2: names of keyrings lead in a circle: a -> a"),
    "through another": ("[keyrings]\na = 'keyring://b'\nb = ['x', 'keyring://a']\n", "line 2: .* circle: a -> b -> a"),
    "further on": ("[keyrings]\na = 'keyring://b'\nb = 'keyring://c'\nc = 'keyring://b'\n", "line 3: .*: b -> c -> b"),
}


@pytest.mark.parametrize(("text", "why"), CIRCLES.values(), ids=CIRCLES)
def test_a_circle_is_told(text, why):
    with pytest.raises(UsageError, match=why):
        parsed(text).uris("a")


def test_the_same_keys_twice_are_no_circle():
    text = "[keyrings]\na = ['keyring://c', 'keyring://b']\nb = 'keyring://c'\nc = 'x'\n"

    assert [uri.rest for uri in parsed(text).uris("a")] == ["x", "x"]


def test_names_that_stand_for_each_other_without_end_are_told():
    chain = "".join(f"a{number} = 'keyring://a{number + 1}'\n" for number in range(2000))
    tree = "".join(f"a{number} = ['keyring://a{number + 1}', 'keyring://a{number + 1}']\n" for number in range(90))

    with pytest.raises(UsageError, match="line 102: names of keyrings stand for each other 100 deep"):
        parsed(f"[keyrings]\n{chain}a2000 = 'x'\n").uris("a0")
    with pytest.raises(UsageError, match="line 76: 'a74' stands for more than 65535 keys"):
        parsed(f"[keyrings]\n{tree}a90 = 'x'\n").uris("a0")


@pytest.mark.parametrize(
    ("entry", "why"),
    [("keyring://b?regoin=x", "keyring:// has no parameter 'regoin'"), ("keyring://", "keyring:// names nothing")],
)
def test_a_name_among_others_is_checked_as_one_alone_is(entry, why):
    with pytest.raises(UsageError, match=f"line 2: 'a': {why}"):
        parsed(f"[keyrings]\na = '{entry}'\nb = 'x'\n").uris("a")


def test_an_unknown_name_is_told_with_the_place_that_asks_for_it():
    configuration = parsed("[keyrings]\napp = 'keyring://bakcup'\nbackup = 'x'\n")

    with pytest.raises(UsageError, match=r"line 2: there is no .* name 'bakcup' \(did you mean 'backup'\?\)"):
        configuration.uris("app")
    with pytest.raises(UsageError, match=r"config\.toml: there is no keyring of the name 'x'.*: app, backup"):
        configuration.uris("x")


def test_a_malformed_uri_is_told_with_the_place_and_not_repeated():
    configuration = parsed("[keyrings]\n\napp = 'raw-aes://hunter2%'\n")

    with pytest.raises(UsageError, match="line 3: 'app': in raw-aes://") as caught:
        configuration.uris("app")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(home, monkeypatch):
    for name in ("nosuch", "."):
        monkeypatch.setenv("ENVELOPE_CONFIG", name)
        with pytest.raises(KeyringError, match="cannot be read: "):
            load_configuration()


def test_the_usual_file_is_not_passed_over_where_it_cannot_be_read(home):
    (home / ".config" / "envelope" / "config.toml").mkdir(parents=True)

    with pytest.raises(KeyringError, match="cannot be read: is a directory"):
        default_uris()


def test_a_usual_folder_that_is_a_file_holds_no_configuration(home):
    (home / ".config").write_text("")

    assert default_uris() == ()


def test_a_file_that_is_far_too_long_is_none(home, monkeypatch):
    write(home / "x.toml", "#" * (2**20 + 1))
    monkeypatch.setenv("ENVELOPE_CONFIG", "x.toml")

    with pytest.raises(UsageError, match="it is too long"):
        load_configuration()


@pytest.mark.parametrize("mode", [0o660, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(mode, home):
    """They could have messages encrypted for keys of theirs."""
    write(home / ".config" / "envelope" / "config.toml", '[keyrings]\ndefault = "a.key"\n', mode)

    with pytest.raises(KeyringError, match="can be written by others, who could choose the keys: 'chmod go-w' it"):
        default_uris()


def test_a_file_that_others_can_read_is_not_refused(home):
    write(home / ".config" / "envelope" / "config.toml", '[keyrings]\ndefault = "a.key"\n', 0o644)

    assert len(default_uris()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused(home, monkeypatch):
    path = write(home / "x.toml", '[keyrings]\ndefault = "a.key"\n', 0o644)
    os.chown(path, 12345, -1)
    monkeypatch.setenv("ENVELOPE_CONFIG", str(path))

    with pytest.raises(KeyringError, match="belongs to another user"):
        load_configuration()


def test_a_configuration_shows_names_and_no_keys():
    assert repr(parsed("[keyrings]\napp = 'hunter2'\n")) == "Configuration('/etc/envelope/config.toml', ['app'])"
