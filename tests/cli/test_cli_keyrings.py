"""Keys by URI at the command line: every scheme, names, plug-ins, and the files that are not written over."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from testkit.distributions import WORKING, install

PROVIDER = "aws-kms"


@pytest.fixture
def aws(envelope: Any, kms_server: Any) -> Any:
    """A KMS in several Regions that the command reaches over HTTP, in an account of its own."""
    envelope.env = dict(kms_server.environment())
    return kms_server


def new_key(kms: Any) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


def closed(envelope: Any, *keys: str) -> bytes:
    named = [word for key in keys for word in ("-k", key)]
    message: bytes = envelope.ok("encrypt", *named, "-", stdin=b"hello").out
    return message


def opens(envelope: Any, key: str, message: bytes) -> bool:
    ran = envelope("decrypt", "-k", key, "-", stdin=message)
    assert (ran.code == 0) is (ran.out == b"hello"), ran.err
    return bool(ran.code == 0)


# --- schemes ---------------------------------------------------------------------------------------------------------


def test_a_key_of_the_local_kms_in_another_file(envelope: Any) -> None:
    envelope.ok("kms", "--kms-store", "other.db", "create-key", "--alias", "a")

    message = closed(envelope, "local-kms://alias/a?store=other.db")

    assert opens(envelope, "local-kms://alias/a?store=other.db", message)
    assert opens(envelope, "local-kms-discovery://?store=other.db", message)
    assert not opens(envelope, "local-kms-discovery://", message)


def test_the_store_of_the_command_is_the_usual_one_of_uris(envelope: Any) -> None:
    envelope.ok("kms", "--kms-store", "other.db", "create-key", "--alias", "a")

    made = envelope.ok("encrypt", "--kms-store", "other.db", "-k", "local-kms://alias/a", "-", stdin=b"hello")

    opened = envelope.ok("decrypt", "--kms-store", "other.db", "-k", "local-kms-discovery://", "-", stdin=made.out)
    assert opened.out == b"hello"


def test_the_region_of_a_key_is_that_of_its_arn(envelope: Any, aws: Any) -> None:
    arn = new_key(aws.region("eu-west-1"))

    message = closed(envelope, f"aws-kms://{arn}")

    assert opens(envelope, f"aws-kms://{arn}", message)
    assert set(aws.asked) == {"eu-west-1"}


def test_the_region_of_an_alias_is_what_is_said(envelope: Any, aws: Any) -> None:
    kms = aws.region("eu-west-1")
    kms.create_alias(AliasName="alias/a", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])

    closed(envelope, "aws-kms://alias/a?region=eu-west-1")

    assert aws.asked == ["eu-west-1"]


def test_the_address_and_the_profile_are_what_is_said(envelope: Any, aws: Any) -> None:
    address = envelope.env.pop("AWS_ENDPOINT_URL_KMS")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del envelope.env[name]
    envelope.write("aws", b"[profile work]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = example\n")
    envelope.env["AWS_CONFIG_FILE"] = str(envelope.home / "aws")

    message = closed(envelope, f"aws-kms://{new_key(aws.kms)}?endpoint-url={address}&profile=work")

    assert (
        envelope.ok("inspect", "--json", "-", stdin=message).json["encrypted_data_keys"][0]["provider_id"] == PROVIDER
    )


def test_discovery_asks_in_the_regions_that_it_is_told(envelope: Any, aws: Any) -> None:
    message = closed(envelope, f"aws-kms://{new_key(aws.region('eu-west-1'))}")
    aws.asked.clear()

    assert opens(envelope, "aws-kms-discovery://?region=us-west-2&region=eu-west-1", message)
    assert aws.asked == ["us-west-2", "eu-west-1"]
    assert not opens(envelope, "aws-kms-discovery://?region=us-west-2", message)
    assert opens(envelope, "aws-kms-mrk-discovery://eu-west-1", message)
    assert not opens(envelope, "aws-kms-mrk-discovery://us-west-2", message)


def test_discovery_asks_in_the_region_that_the_message_names_where_it_is_told_none(envelope: Any, aws: Any) -> None:
    message = closed(envelope, *(f"aws-kms://{new_key(aws.region(name))}" for name in ("eu-west-1", "us-west-2")))
    aws.region("eu-west-1").disable_key(KeyId=aws.region("eu-west-1").list_keys()["Keys"][0]["KeyId"])
    aws.asked.clear()

    assert opens(envelope, "aws-kms-discovery://", message)
    assert aws.asked == ["eu-west-1", "us-west-2"]


def test_discovery_asks_for_keys_of_the_accounts_that_it_is_told(envelope: Any, aws: Any) -> None:
    message = closed(envelope, f"aws-kms://{new_key(aws.kms)}")
    aws.asked.clear()

    for region in ("", "&region=us-east-1"):
        assert not opens(envelope, f"aws-kms-discovery://?partition=aws&account=111122223333{region}", message)
        assert aws.asked == []
        uri = f"aws-kms-discovery://?partition=aws&account=111122223333&account=000000000000{region}"
        assert opens(envelope, uri, message)
        aws.asked.clear()


def test_discovery_does_not_encrypt(envelope: Any, aws: Any) -> None:
    for uri in ("aws-kms-discovery://", "aws-kms-mrk-discovery://us-east-1", "local-kms-discovery://"):
        envelope.ok("kms", "create-key")
        ran = envelope("encrypt", "-k", uri, "-", stdin=b"x")
        assert (ran.code, ran.out) in ((4, b""), (2, b"")), uri


def test_a_multi_region_key_s_keyring_takes_keys_of_one_region_too(envelope: Any, aws: Any) -> None:
    arn = new_key(aws.region("eu-west-1"))

    assert opens(envelope, f"aws-kms-mrk://{arn}", closed(envelope, f"aws-kms-mrk://{arn}"))


def test_an_rsa_key_of_aws_kms(envelope: Any, aws: Any) -> None:
    arn = aws.asymmetric.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    envelope.write("rsa.der", aws.asymmetric.public_key(arn))

    message = closed(envelope, f"aws-kms-rsa://{arn}?public-key=rsa.der")

    assert aws.asked == []
    assert opens(envelope, f"aws-kms-rsa://{arn}", message)
    assert f"--key aws-kms-rsa://{arn}\n" in envelope.ok("inspect", "-", stdin=message).text


def test_a_key_agreement_key_of_aws_kms_and_a_key_pair_of_somebody_s(envelope: Any, aws: Any) -> None:
    arn = aws.asymmetric.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]
    envelope.key("friend", "--type", "ecdh-p256")

    message = closed(envelope, f"aws-kms-ecdh://{arn}?recipient=friend.pub")

    assert opens(envelope, f"aws-kms-ecdh://{arn}?recipient=friend.pub", message)
    assert opens(envelope, "raw-ecdh://friend", message)
    shown = envelope.ok("inspect", "-", stdin=message).text
    assert "--key raw-ecdh://FILE   FILE holds one of these key pairs: p256 " in shown
    assert "--key aws-kms-ecdh://ARN   ARN names one of these key pairs: p256 " in shown


def test_a_branch_key(envelope: Any) -> None:
    envelope.ok("kms", "create-key", "--alias", "a")
    store = "file=branch.db&kms-key=local-kms://alias/a"
    uri = envelope.ok("branch-keys", "create", f"hierarchical://?{store}").text.strip()

    message = closed(envelope, uri)
    envelope.ok("branch-keys", "version", uri)

    assert opens(envelope, uri, message)
    assert opens(envelope, uri, closed(envelope, uri))
    branch = uri.partition("://")[2].partition("?")[0]
    assert f"--key hierarchical://{branch} " in envelope.ok("inspect", "-", stdin=message).text
    assert envelope.ok("branch-keys", "show", uri).json["BranchKeyId"] == branch


BAD_BRANCHES = {
    "another scheme": (("show", "raw-aes://a"), "branch keys are named by hierarchical://BRANCH-KEY-ID?..."),
    "no id": (("show", "hierarchical://?file=b.db"), "names no branch key"),
    "no store": (("create", "hierarchical://?kms-key=local-kms://alias/a"), "either table= or file="),
    "two stores": (("create", "hierarchical://?file=a&table=b&kms-key=local-kms://alias/a"), "either table= or file="),
    "no KMS key": (("create", "hierarchical://?file=b.db"), "needs kms-key="),
    "a key of something else": (("create", "hierarchical://?file=b.db&kms-key=raw-aes://a"), "kms-key= is an ARN"),
    "a parameter that is unknown": (("create", "hierarchical://?fiel=b.db"), "did you mean 'file'"),
    "an id without a context": (
        ("create", "hierarchical://x?file=b.db&kms-key=local-kms://alias/a"),
        "own needs",
    ),
    "a table that nobody named": (
        ("create", "hierarchical://?file=b.db&kms-key=local-kms://alias/a", "--create-table"),
        "names no table= to make",
    ),
}


@pytest.mark.parametrize(("arguments", "why"), BAD_BRANCHES.values(), ids=BAD_BRANCHES)
def test_a_branch_key_that_cannot_be_is_told(envelope: Any, arguments: tuple[str, ...], why: str) -> None:
    envelope.ok("kms", "create-key", "--alias", "a")

    ran = envelope("branch-keys", *arguments)

    assert (ran.code, ran.out) == (2, b"")
    assert why in ran.err


def test_branch_keys_that_are_not_there_are_not_made_by_looking(envelope: Any) -> None:
    envelope.ok("kms", "create-key", "--alias", "a")
    uri = "hierarchical://x?file=branch.db&kms-key=local-kms://alias/a"

    for command in (("branch-keys", "show", uri), ("branch-keys", "version", uri), ("encrypt", "-k", uri, "-")):
        ran = envelope(*command)
        assert (ran.code, ran.out) == (4, b"")
        assert "there are no branch keys in 'branch.db'" in ran.err
    assert envelope.names() == set()


def test_a_pin_in_a_uri_is_refused_and_not_repeated(envelope: Any) -> None:
    ran = envelope("encrypt", "-k", "pkcs11:token=a;object=b?module-path=/x.so&pin-value=hunter2", "-", stdin=b"x")

    assert ran.code == 2
    assert "pin-value is refused" in ran.err
    assert "hunter2" not in ran.err


# --- names -----------------------------------------------------------------------------------------------------------


def configure(envelope: Any, text: str) -> Path:
    path: Path = envelope.write(".config/envelope/config.toml", text.encode())
    path.chmod(0o600)
    return path


def providers(envelope: Any, *options: str) -> list[str]:
    message = envelope.ok("encrypt", *options, "-", stdin=b"hello").out
    keys = envelope.ok("inspect", "--json", "-", stdin=message).json["encrypted_data_keys"]
    return [key["provider_id"] for key in keys]


def test_keys_come_from_options_then_the_environment_then_the_configuration_then_the_local_kms(envelope: Any) -> None:
    for name in ("option", "environment", "configured"):
        envelope.key(name, "--namespace", name)

    assert providers(envelope) == [PROVIDER]
    configure(envelope, '[keyrings]\ndefault = "../../configured"\n')
    assert providers(envelope) == ["configured"]
    envelope.env = {"ENVELOPE_KEY": "environment"}
    assert providers(envelope) == ["environment"]
    assert providers(envelope, "-k", "option") == ["option"]


def test_decryption_uses_the_same_keys(envelope: Any) -> None:
    envelope.key("a", "--namespace", "a")
    envelope.key("b", "--namespace", "b")
    message = closed(envelope, "a")
    configure(envelope, '[keyrings]\ndefault = ["keyring://b", "keyring://a"]\na = "../../a"\nb = "../../b"\n')

    assert envelope.ok("decrypt", "-", stdin=message).out == b"hello"
    envelope.env = {"ENVELOPE_KEY": "keyring://b"}
    assert envelope("decrypt", "-", stdin=message).code == 4
    envelope.env = {"ENVELOPE_KEY": "b\na"}
    assert envelope.ok("decrypt", "-", stdin=message).out == b"hello"


def test_a_name_stands_for_several_keys(envelope: Any) -> None:
    for name in "abc":
        envelope.key(name, "--namespace", name)
    configure(envelope, '[keyrings]\nteam = ["../../a", "../../b"]\n')

    assert providers(envelope, "-k", "keyring://team", "-k", "c") == ["a", "b", "c"]


def test_a_configuration_that_others_can_write_is_refused(envelope: Any) -> None:
    envelope.key("a")
    configure(envelope, '[keyrings]\ndefault = "../../a"\n').chmod(0o666)

    ran = envelope("encrypt", "-", stdin=b"x")

    assert (ran.code, ran.out) == (4, b"")
    assert "can be written by others" in ran.err
    # Whoever names a key does not look there.
    assert envelope("encrypt", "-k", "a", "-", stdin=b"x").code == 0


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_a_malformed_configuration_is_told_with_its_place(envelope: Any, command: str) -> None:
    path = configure(envelope, "[keyrings]\ndefault = 7\n")

    ran = envelope(command, "-", stdin=b"x")

    assert (ran.code, ran.lines[0]) == (
        2,
        f"envelope: {path}, line 2: 'default' is not a key, or a list of keys, each as text",
    )


# --- files that are not written over ---------------------------------------------------------------------------------

GUARDED = {
    "a key file by its scheme": (["-k", "raw-aes://k"], "k", "a key in use"),
    "a key file of a name": (["-k", "keyring://team"], "k", "a key in use"),
    "the configuration": (["-k", "k"], ".config/envelope/config.toml", "the configuration of keys"),
    "a store": (["-k", "local-kms://alias/a?store=other.db"], "other.db", "a key in use"),
    "a store's root key": (["-k", "local-kms://alias/a?store=other.db"], "other.db.rootkey", "part of the local KMS"),
    "branch keys": (["-k", "BRANCH"], "branch.db", "a key in use"),
    "what SQLite keeps beside branch keys": (["-k", "BRANCH"], "branch.db-journal", "a key in use"),
    "a store behind branch keys": (["-k", "BRANCH"], "other.db.rootkey", "part of the local KMS"),
}


@pytest.mark.parametrize(("options", "target", "what"), GUARDED.values(), ids=GUARDED)
def test_what_opens_messages_is_not_written_over(envelope: Any, options: list[str], target: str, what: str) -> None:
    envelope.key("k")
    configure(envelope, '[keyrings]\nteam = "../../k"\n')
    envelope.ok("kms", "--kms-store", "other.db", "create-key", "--alias", "a")
    store = "hierarchical://?file=branch.db&kms-key=local-kms://alias/a%3Fstore%3Dother.db"
    branch = envelope.ok("branch-keys", "create", store).text.strip()
    options = [branch if option == "BRANCH" else option for option in options]
    before = (envelope.home / target).exists() and envelope.read(target)

    ran = envelope("encrypt", *options, "-f", "-", "-o", target, stdin=b"x")

    assert ran.code == 2
    assert ran.lines[0] == f"envelope: {target} is {what}: it would be lost"
    assert ((envelope.home / target).exists() and envelope.read(target)) == before


PATHS_OF_NOTHING = {
    "a store": (f"local-kms://alias/a?store={'x' * 300}", "cannot be used: file name too long", 4),
    "the root folder": ("local-kms://alias/a?store=/", "the key store / cannot be used", 4),
    "branch keys": (f"hierarchical://a?file={'x' * 300}&kms-key=arn:x", "cannot be read: file name too long", 4),
    "a library": ("pkcs11:object=a?module-path=/%00", "module_path is empty or holds a null character", 2),
}


@pytest.mark.parametrize(("key", "why", "code"), PATHS_OF_NOTHING.values(), ids=PATHS_OF_NOTHING)
def test_a_path_that_no_file_can_have_is_told(envelope: Any, key: str, why: str, code: int) -> None:
    ran = envelope("encrypt", "-k", key, "-", stdin=b"x")

    assert (ran.code, why in ran.err) == (code, True), ran.err


# --- plug-ins --------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(envelope: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder for distributions, on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("acme_vault", None)


def test_a_plug_in_s_scheme_is_one_like_others(envelope: Any, site: Path) -> None:
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})

    message = closed(envelope, "vault://team")

    assert opens(envelope, "vault://team?pad=x", message)
    assert "vault://...\n    from acme-vault 1.2\n" in envelope.ok("keyrings").text


def test_a_file_that_a_plug_in_s_uri_names_is_not_written_over(envelope: Any, site: Path) -> None:
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})
    envelope.write("token", b"secret")

    ran = envelope("encrypt", "-k", "vault://team?pad=token", "-f", "-", "-o", "token", stdin=b"x")

    assert (ran.code, envelope.read("token")) == (2, b"secret")


def test_a_clash_of_plug_ins_is_told(envelope: Any, site: Path) -> None:
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})
    install(site, "other-vault", "0.9", {"vault": "nosuch:from_uri"})

    ran = envelope("encrypt", "-k", "vault://team", "-", stdin=b"x")

    why = "vault:// is claimed by acme-vault 1.2 and by other-vault 0.9: uninstall all but one"
    assert (ran.code, ran.lines) == (4, [f"envelope: {why}"])
    assert f"    cannot be used: {why}\n" in envelope.ok("keyrings").text


ENDINGS = {
    "when it is imported": "import sys\nsys.exit(0)",
    "when it makes a keyring": "import sys\ndef from_uri(uri): sys.exit(0)",
    "when its keyring is asked": (
        "import sys\nclass Vault:\n    def on_encrypt(self, materials): sys.exit(0)\n"
        "    def on_decrypt(self, materials, keys): sys.exit(0)\ndef from_uri(uri): return Vault()"
    ),
}


@pytest.mark.parametrize("source", ENDINGS.values(), ids=ENDINGS)
def test_a_plug_in_that_ends_the_command_does_not_end_it_well(envelope: Any, site: Path, source: str) -> None:
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": source})

    ran = envelope("encrypt", "-k", "vault://team", "-", "-o", "out", stdin=b"x")

    assert (ran.code, ran.lines) == (1, ["envelope: a plug-in ended the command before it was done"])
    assert envelope.names() == set()


def test_what_a_plug_in_raises_is_no_traceback_whatever_it_is(envelope: Any, site: Path) -> None:
    source = "class Odd(BaseException): ...\ndef from_uri(uri): raise Odd('hunter2')"
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": source})

    ran = envelope("encrypt", "-k", "vault://team", "-", stdin=b"x")

    assert (ran.code, len(ran.lines)) == (1, 1)
    assert "internal error (Odd)" in ran.err


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_keyrings_are_listed_for_programs(envelope: Any) -> None:
    path = configure(envelope, '[keyrings]\nteam = ["../../a b.key", "aws-kms://alias/a"]\n')

    listed = envelope.ok("keyrings", "--json").json

    assert [scheme["scheme"] for scheme in listed["schemes"]][:3] == ["key-file", "raw-aes", "raw-rsa"]
    assert listed["configuration"] == str(path)
    assert listed["names"] == {"team": ["key-file://../../a%20b.key", "aws-kms://alias/a"]}


def test_names_cannot_add_lines_to_what_is_listed(envelope: Any) -> None:
    configure(envelope, '[keyrings]\n"a\\nb" = "x\\ny"\n')

    text = envelope.ok("keyrings").text

    assert text.endswith("  keyring://a\\nb\n    key-file://x%0Ay\n")


def test_a_pin_in_the_configuration_is_refused_and_not_shown(envelope: Any) -> None:
    configure(envelope, '[keyrings]\ncard = "pkcs11:object=a?pin-value=hunter2"\n')

    ran = envelope("keyrings")

    assert ran.code == 2
    assert "config.toml, line 2: 'card': pin-value is refused" in ran.err
    assert "hunter2" not in ran.text + ran.err


def test_what_opens_each_data_key_is_shown_and_works(envelope: Any, aws: Any) -> None:
    arn = new_key(aws.region("eu-west-1"))
    key = envelope.key("k", "--namespace", "acme", "--name", "team key")
    message = closed(envelope, f"aws-kms://{arn}", key)

    first, second = envelope.ok("inspect", "--json", "-", stdin=message).json["encrypted_data_keys"]

    # The server's account is the one that local KMSs have.
    assert first["keyrings"] == [{"uri": f"local-kms://{arn}", "needs": ""}]
    assert second["keyrings"] == [
        {"uri": "raw-aes://FILE", "needs": "FILE holds an AES key of the namespace 'acme' and name 'team key'"}
    ]


def test_nothing_is_shown_of_the_configuration_where_there_is_none(envelope: Any) -> None:
    assert "names in" not in envelope.ok("keyrings").text
    assert envelope.ok("keyrings", "--json").json["configuration"] is None
    assert json.loads(envelope.ok("keyrings", "--json").text)["names"] == {}
