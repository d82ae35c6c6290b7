"""URIs of keyrings: parsing, encoding, parameters and paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.errors import UsageError
from envelope_sdk.keyrings import KeyringUri

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SCHEMES = st.from_regex(r"[a-z][a-z0-9+.-]{0,10}", fullmatch=True).filter(lambda scheme: scheme != "pkcs11")
PARAMETERS = st.dictionaries(TEXT.filter(bool), st.lists(TEXT, min_size=1, max_size=3).map(tuple), max_size=4)


@given(SCHEMES, TEXT, PARAMETERS)
def test_what_a_uri_says_comes_back_from_it(scheme, rest, parameters):
    uri = KeyringUri(scheme, rest, parameters)

    assert KeyringUri.parse(str(uri)) == uri


@given(st.text())
def test_any_text_is_a_uri_or_told(text):
    for parse in (KeyringUri.parse, KeyringUri.of_key):
        try:
            uri = parse(text)
        except UsageError:
            continue
        if uri.scheme != "key-file":
            assert KeyringUri.parse(str(uri)) == uri


TAKEN_APART = {
    "a path": ("raw-aes://a/b.key", ("raw-aes", "a/b.key", {})),
    "an absolute path": ("raw-aes:///a/b.key", ("raw-aes", "/a/b.key", {})),
    "an ARN, as it is": (f"aws-kms://{ARN}", ("aws-kms", ARN, {})),
    "a scheme in capitals": ("AWS-KMS://x", ("aws-kms", "x", {})),
    "nothing": ("aws-kms-discovery://", ("aws-kms-discovery", "", {})),
    "no parameters": ("x://a?", ("x", "a", {})),
    "parameters": ("x://a?b=c&d=e", ("x", "a", {"b": ("c",), "d": ("e",)})),
    "a parameter twice": ("x://?a=1&b=2&a=3", ("x", "", {"a": ("1", "3"), "b": ("2",)})),
    "an empty value": ("x://?a=", ("x", "", {"a": ("",)})),
    "signs among values": ("x://?a=b=c?d", ("x", "", {"a": ("b=c?d",)})),
    "what is encoded": ("x://a%3Fb%25?c%26=%C3%A9", ("x", "a?b%", {"c&": ("é",)})),
    "small letters": ("x://%c3%a9", ("x", "é", {})),
    "a plus": ("x://a+b?c=d+e", ("x", "a+b", {"c": ("d+e",)})),
    "what need not be encoded": ("x://a b#é", ("x", "a b#é", {})),
    "a URI in a URI": ("x://?k=local-kms://alias/a", ("x", "", {"k": ("local-kms://alias/a",)})),
    "a token": ("pkcs11:token=a%3Bb;id=%01?pin-source=x&y", ("pkcs11", "token=a%3Bb;id=%01?pin-source=x&y", {})),
}


@pytest.mark.parametrize(("text", "parts"), TAKEN_APART.values(), ids=TAKEN_APART)
def test_a_uri_is_taken_apart(text, parts):
    assert KeyringUri.parse(text) == KeyringUri(*parts)


def test_a_file_name_that_is_no_text_keeps_its_bytes():
    assert KeyringUri.parse("raw-aes://%ff").rest == "\udcff"
    assert str(KeyringUri("raw-aes", "\udcff")) == "raw-aes://%FF"


def test_an_arn_is_written_as_it_is():
    assert str(KeyringUri("aws-kms", ARN, {"region": ("eu-west-1",)})) == f"aws-kms://{ARN}?region=eu-west-1"


@pytest.mark.parametrize("sign", "&;|<>$`'\"\\ ()*!#\n")
def test_nothing_that_a_shell_would_act_on_is_left_in_what_is_written(sign):
    assert sign not in str(KeyringUri("hierarchical", f"a{sign}b"))


def test_the_path_of_a_file_is_a_key_file():
    assert KeyringUri.of_key("a%20b?.key") == KeyringUri("key-file", "a%20b?.key")
    assert KeyringUri.of_key("raw-aes://a%20b") == KeyringUri("raw-aes", "a b")
    assert KeyringUri.of_key("pkcs11:token=a").scheme == "pkcs11"


NO_URIS = {
    "no scheme": "hunter2",
    "an empty scheme": "://hunter2",
    "a scheme that cannot be": "a_b://hunter2",
    "a scheme with a number first": "1a://hunter2",
    "no slashes": "raw-aes:hunter2",
    "one slash": "raw-aes:/hunter2",
    "a percent sign alone": "raw-aes://hunter2%",
    "a percent sign and half a number": "raw-aes://hunter2%2",
    "a percent sign and no number": "raw-aes://hunter2%zz",
    "a NUL": "raw-aes://hunter2\0",
    "a NUL, encoded": "raw-aes://hunter2%00",
    "half a character": "raw-aes://hunter2\ud800",
    "a NUL in a token's": "pkcs11:hunter2\0",
    "a parameter without a name": "raw-aes://a?=hunter2",
    "a parameter without a value": "raw-aes://a?hunter2",
    "two signs between parameters": "raw-aes://a?b=hunter2&&c=d",
    "a parameter that is not well encoded": "raw-aes://a?b=hunter2%",
}


@pytest.mark.parametrize("text", NO_URIS.values(), ids=NO_URIS)
def test_what_is_no_uri_is_told_and_not_repeated(text):
    with pytest.raises(UsageError) as caught:
        KeyringUri.parse(text)

    assert "hunter2" not in str(caught.value)


def test_an_arn_alone_is_told_what_to_write():
    with pytest.raises(UsageError, match="write aws-kms://ARN"):
        KeyringUri.of_key(ARN)


def test_parameters_are_held_against_those_of_the_scheme():
    uri = KeyringUri.parse("vault://x?a=1&b=2&b=3")

    uri.check(single=["a"], several=["b"])
    assert (uri.one("a"), uri.one("c"), uri.every("b"), uri.every("c")) == ("1", None, ("2", "3"), ())
    with pytest.raises(UsageError, match="vault:// takes b= once, not 2 times"):
        uri.check(single=["a", "b"])
    with pytest.raises(UsageError, match=r"vault:// has no parameter 'b': it takes a="):
        uri.check(single=["a"])
    with pytest.raises(UsageError, match="it takes none at all"):
        uri.check()


def test_a_parameter_that_is_misspelt_is_told_how_it_is_spelt():
    with pytest.raises(UsageError, match=r"no parameter 'regoin' \(did you mean 'region'\?\): it takes reg"):
        KeyringUri.parse("aws-kms://x?regoin=eu-west-1").check(single=["region", "profile"])


def test_a_parameter_has_a_value():
    with pytest.raises(UsageError, match="the parameter region= of aws-kms:// has no value"):
        KeyringUri.parse("aws-kms://x?region=").check(single=["region"])


def test_paths_are_relative_to_the_folder_that_a_uri_comes_from(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    uri = KeyringUri.parse("raw-aes://a.key", "/etc/envelope")

    assert uri.path("a.key") == "/etc/envelope/a.key"
    assert uri.path("/a.key") == "/a.key"
    assert uri.path("~/a.key") == "/home/me/a.key"
    assert KeyringUri.parse("raw-aes://~/a.key").path("~/a.key") == "~/a.key"
