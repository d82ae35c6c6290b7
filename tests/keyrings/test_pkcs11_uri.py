"""PKCS#11 URIs and where PINs are read from: what is understood, what is refused. No token is needed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings.pkcs11.pins import pin_from
from envelope_sdk.keyrings.pkcs11.uri import KeyUri, parse_key_uri

NOTHING = KeyUri(None, None, None, None, None, None, None, None, None)

UNDERSTOOD = {
    "pkcs11:": NOTHING,
    "PKCS11:object=a": NOTHING._replace(key_label="a"),
    "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;object=my-key": NOTHING._replace(
        token="The Software PKCS#11 Softtoken", key_label="my-key"
    ),
    "pkcs11:id=%69%95%3E%5C%F4%BD%EC%91;": NOTHING._replace(key_id=b"i\x95>\\\xf4\xbd\xec\x91"),
    "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=de241856118fc9;token=tok;type=secret-key": KeyUri(
        "tok", "de241856118fc9", "SoftHSM project", "SoftHSM v2", None, None, "secret-key", None, None
    ),
    "pkcs11:type=private": NOTHING._replace(key_type="private"),
    "pkcs11:object=k?module-path=/usr/lib/a.so&pin-source=file:/etc/token_pin": NOTHING._replace(
        key_label="k", module_path="/usr/lib/a.so", pin_source="file:/etc/token_pin"
    ),
    "pkcs11:?pin-source=env:PIN": NOTHING._replace(pin_source="env:PIN"),
    "pkcs11:object=%C3%BC%3B%3D%26%3F%25": NOTHING._replace(key_label="ü;=&?%"),
    "pkcs11:object=a=b&c": NOTHING._replace(key_label="a=b&c"),
}


@pytest.mark.parametrize(("uri", "expected"), UNDERSTOOD.items(), ids=UNDERSTOOD)
def test_a_uri_says(uri: str, expected: KeyUri):
    assert parse_key_uri(uri) == expected


REFUSED = {
    "": "begins with 'pkcs11:'",
    "pkcs12:object=a": "begins with 'pkcs11:'",
    "pkcs11:object=a;object=b": "says 'object' twice",
    "pkcs11:object": "of the form name=value",
    "pkcs11:=a": "of the form name=value",
    "pkcs11:object=": "'object' is empty",
    "pkcs11:object=a b": "to be percent-encoded",
    "pkcs11:object=ü": "to be percent-encoded",
    "pkcs11:object=a/b": "to be percent-encoded",
    "pkcs11:object=%": "to be percent-encoded",
    "pkcs11:object=%4": "to be percent-encoded",
    "pkcs11:object=%zz": "to be percent-encoded",
    "pkcs11:object=a#b": "to be percent-encoded",
    "pkcs11:object=%ff": "'object' is not UTF-8 text",
    "pkcs11:?module-path=%ff": "'module-path' is not UTF-8 text",
    "pkcs11:slot-id=7": "'slot-id' cannot stand there",
    "pkcs11:library-version=3": "'library-version' cannot stand there",
    "pkcs11:module-path=/a": "'module-path' cannot stand there",
    "pkcs11:?object=a": "'object' cannot stand there",
    "pkcs11:?module-name=softhsm2": "'module-name' cannot stand there in a PKCS#11 URI; these can: module-path, pin-so",
    "pkcs11:x-vendor=a": "'x-vendor' cannot stand there",
    "pkcs11:" + "a" * 8186: "more than 8192 characters",
}


@pytest.mark.parametrize(("uri", "reason"), REFUSED.items(), ids=[uri[:40] for uri in REFUSED])
def test_a_uri_is_refused(uri: str, reason: str):
    with pytest.raises(UsageError, match=reason):
        parse_key_uri(uri)


@pytest.mark.parametrize("uri", ["pkcs11:object=a?pin-value=1234", "pkcs11:pin-value=1234"])
def test_a_pin_in_a_uri_is_refused_with_the_reason_and_not_repeated(uri: str):
    with pytest.raises(UsageError, match="process lists, shell histories and logs") as error:
        parse_key_uri(uri)

    assert "1234" not in str(error.value)


def test_what_is_not_text_is_refused():
    with pytest.raises(TypeError, match="a URI is text, not bytes"):
        parse_key_uri(b"pkcs11:object=a")  # type: ignore[arg-type]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    st.fixed_dictionaries(
        {},
        optional={"token": texts, "serial": texts, "manufacturer": texts, "model": texts, "object": texts},
    ),
    st.fixed_dictionaries({}, optional={"module-path": texts, "pin-source": texts}),
    st.none() | st.binary(min_size=1, max_size=20),
)
def test_what_is_percent_encoded_comes_back(said: dict[str, str], asked: dict[str, str], key_id: bytes | None):
    path = [f"{name}={quote(value, safe='')}" for name, value in said.items()]
    if key_id is not None:
        path.insert(0, f"id={quote(key_id, safe='')}")
    query = "&".join(f"{name}={quote(value, safe='/:')}" for name, value in asked.items())

    parsed = parse_key_uri("pkcs11:" + ";".join(path) + (f"?{query}" if query else ""))

    assert parsed == KeyUri(
        said.get("token"),
        said.get("serial"),
        said.get("manufacturer"),
        said.get("model"),
        said.get("object"),
        key_id,
        None,
        asked.get("module-path"),
        asked.get("pin-source"),
    )


@given(st.text() | st.from_regex(r"pkcs11:([a-z-]{1,12}=[a-z%0-9]{0,9}[;?&]){0,4}", fullmatch=True))
def test_any_text_is_understood_or_refused(text: str):
    for uri in (text, f"pkcs11:{text}"):
        with suppress(UsageError):
            parse_key_uri(uri)


# --- PINs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"1234", b"1234\n", b"1234\r\n"])
def test_a_file_holds_the_pin_and_perhaps_a_line_break(tmp_path: Path, content: bytes):
    (tmp_path / "pin").write_bytes(content)

    for source in (f"file:{tmp_path}/pin", f"file://{tmp_path}/pin", f"{tmp_path}/pin"):
        assert pin_from(source)() == "1234"


def test_other_white_space_belongs_to_the_pin(tmp_path: Path):
    (tmp_path / "pin").write_bytes(" ü 1\n\n".encode())

    assert pin_from(f"file:{tmp_path}/pin")() == " ü 1\n"


def test_the_file_is_read_when_the_pin_is_needed(tmp_path: Path):
    pin = pin_from(f"file:{tmp_path}/pin")
    with pytest.raises(KeyringError, match=r"the PIN cannot be read from '.*pin': no such file or directory"):
        pin()

    (tmp_path / "pin").write_bytes(b"1234")

    assert pin() == "1234"


@pytest.mark.parametrize("content", [b"", b"\n", bytes(1025), b"9" * 5000, b"12\xff34"], ids=len)
def test_a_file_without_a_pin_is_refused_and_not_repeated(tmp_path: Path, content: bytes):
    (tmp_path / "pin").write_bytes(content)

    with pytest.raises(KeyringError, match=r"holds (no PIN of 1 to 1024 bytes|a PIN that is not UTF-8 text)") as error:
        pin_from(f"file:{tmp_path}/pin")()

    assert error.value.__context__ is None


def test_a_directory_is_no_pin(tmp_path: Path):
    with pytest.raises(KeyringError, match="is a directory"):
        pin_from(f"file:{tmp_path}")()


def test_an_environment_variable_holds_the_pin(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOKEN_PIN", "1234")

    assert pin_from("env:TOKEN_PIN")() == "1234"


def test_an_environment_variable_that_is_not_set_or_empty_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TOKEN_PIN", raising=False)
    with pytest.raises(KeyringError, match="the environment variable 'TOKEN_PIN' that should hold the PIN is not set"):
        pin_from("env:TOKEN_PIN")()

    monkeypatch.setenv("TOKEN_PIN", "")
    with pytest.raises(KeyringError, match="the environment variable 'TOKEN_PIN' holds no PIN"):
        pin_from("env:TOKEN_PIN")()


@pytest.mark.parametrize(
    "source", ["", "pin", "./pin", "file:pin", "file:", "file:~/pin", "http://x/pin", "env:", "/\0"]
)
def test_another_source_is_refused(source: str):
    with pytest.raises(UsageError, match="a pin-source is file:/path, an absolute path, or env:NAME"):
        pin_from(source)


def test_a_command_is_not_run():
    with pytest.raises(UsageError, match="a pin-source that is a command is not run"):
        pin_from("|/usr/lib/pinomatic")
