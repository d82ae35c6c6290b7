"""Schemes that other distributions bring: found, used, and told where they cannot be."""

from __future__ import annotations

import subprocess
import sys

import pytest
from testkit.distributions import WORKING, install

from envelope_sdk import Client
from envelope_sdk.errors import KeyringError, UsageError
from envelope_sdk.keyrings import keyring_from_uri, keyrings_from_uris, known_schemes
from envelope_sdk.keyrings.key_files import encode_aes_key_file


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder for distributions, on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def test_a_plug_in_s_scheme_opens_its_keyring(site):
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})
    client = Client(keyring_from_uri("vault://team?pad=x"))

    message = client.encrypt(b"plaintext")

    assert [key.provider_id for key in message.header.encrypted_data_keys] == ["vault"]
    assert client.decrypt(message.ciphertext).plaintext == b"plaintext"


def test_a_plug_in_goes_together_with_others(site, tmp_path):
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})
    (tmp_path / "k").write_bytes(encode_aes_key_file("test", "a", bytes(32)))
    (tmp_path / "k").chmod(0o600)

    message = Client(keyrings_from_uris(["vault://team", str(tmp_path / "k")])).encrypt(b"plaintext")

    assert [key.provider_id for key in message.header.encrypted_data_keys] == ["vault", "test"]


def test_a_plug_in_is_listed_with_its_distribution_and_not_loaded(site):
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": "raise SystemExit"})

    (known,) = [known for known in known_schemes() if known.distribution is not None]

    assert (known.scheme, known.distribution, known.clash) == ("vault", "acme-vault 1.2", None)


def test_an_unknown_scheme_is_told_with_plug_ins_too(site):
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})

    with pytest.raises(UsageError, match=r"vualt:// is no scheme of keyrings \(did you mean 'vault'\?\).*, vault, and"):
        keyring_from_uri("vualt://team")


def test_two_plug_ins_with_one_scheme_are_both_told_and_neither_is_used(site):
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})
    install(site, "other-vault", "0.9", {"vault": "other_vault:from_uri"}, {"other_vault": WORKING})

    with pytest.raises(KeyringError, match=r"vault:// is claimed by acme-vault 1\.2 and by other-vault 0\.9: un"):
        keyring_from_uri("vault://team")
    assert [known.clash is None for known in known_schemes() if known.scheme == "vault"] == [False, False]


def test_one_distribution_that_claims_a_scheme_twice_is_told(site):
    install(site, "acme-vault", "1.2", {"vault": "a:from_uri", "VAULT": "b:from_uri"})

    with pytest.raises(KeyringError, match=r"claimed by acme-vault 1\.2 and by acme-vault 1\.2"):
        keyring_from_uri("vault://team")


def test_one_distribution_that_stands_twice_on_the_path_is_one(site, tmp_path, monkeypatch):
    """As an editable installation over an older one; Python takes the first."""
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})
    monkeypatch.setattr(sys, "path", [*sys.path, str(install(tmp_path / "old", "acme-vault", "1.1", {"vault": "x:y"}))])

    assert "'vault', 'team'" in repr(keyring_from_uri("vault://team"))


def test_a_plug_in_with_a_scheme_of_this_package_is_told_and_neither_is_used(site):
    install(site, "acme-kms", "3.0", {"aws-kms": "acme_kms:from_uri"}, {"acme_kms": WORKING})

    with pytest.raises(KeyringError, match=r"aws-kms:// is claimed by envelope-sdk\b.* and by acme-kms 3\.0: un"):
        keyring_from_uri("aws-kms://alias/a?region=eu-west-1")


def test_other_schemes_work_beside_a_clash(site, tmp_path):
    install(site, "acme-kms", "3.0", {"aws-kms": "acme_kms:from_uri"}, {"acme_kms": WORKING})
    (tmp_path / "k").write_bytes(encode_aes_key_file("test", "a", bytes(32)))
    (tmp_path / "k").chmod(0o600)

    assert "RawAesKeyring" in repr(keyring_from_uri(f"raw-aes://{tmp_path / 'k'}"))


SECRET = "hunter2"
BROKEN = {
    "a module that is not there": (
        "nosuch:from_uri",
        "",
        "cannot be loaded: ModuleNotFoundError: No module named 'nosuch'",
    ),
    "a name that is not there": ("acme:nosuch", "", "cannot be loaded: AttributeError"),
    "a module with an error": ("acme:from_uri", f"raise RuntimeError('{SECRET}')", "cannot be loaded: RuntimeError"),
    "something that is no function": (
        "acme:from_uri",
        "from_uri = 7",
        "no function that makes keyrings, but of type int",
    ),
    "a function that fails": ("acme:from_uri", f"def from_uri(uri): raise OSError('{SECRET}')", "failed: OSError"),
    "a function of something else": ("acme:from_uri", "def from_uri(): ...", "failed: TypeError"),
    "nothing": ("acme:from_uri", "def from_uri(uri): return None", "made no keyring, but something of type NoneType"),
    "a text": ("acme:from_uri", f"def from_uri(uri): return '{SECRET}'", "made no keyring, but something of type str"),
    "a class of keyrings": (
        "acme:from_uri",
        "def from_uri(uri):\n    from envelope_sdk.keyrings import RawAesKeyring\n    return RawAesKeyring",
        "made no keyring, but something of type type",
    ),
    "something that fails when it is looked at": (
        "acme:from_uri",
        f"class Acme:\n    def __getattr__(self, name): raise OSError('{SECRET}')\ndef from_uri(uri): return Acme()",
        # From 3.12 on, to see whether it is a keyring is not to look at it.
        "failed: OSError" if sys.version_info < (3, 12) else "made no keyring",
    ),
}


@pytest.mark.parametrize(("target", "source", "why"), BROKEN.values(), ids=BROKEN)
def test_a_plug_in_that_does_not_work_is_told_with_its_distribution(site, target, source, why):
    install(site, "acme-vault", "1.2", {"vault": target}, {"acme": source})

    with pytest.raises(KeyringError) as caught:
        keyring_from_uri("vault://team")

    assert str(caught.value).startswith("the plug-in for vault:// of acme-vault 1.2 ")
    assert why in str(caught.value)
    assert SECRET not in str(caught.value)


MALFORMED = {
    "a line without a value": b"[envelope_sdk.keyrings]\nvault\n",
    "bytes that are no text": b"[envelope_sdk.keyrings]\nvault = \xff\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_list_of_plug_ins_that_cannot_be_read_is_told_with_its_distribution(site, data):
    install(site, "acme-vault", "1.2", {})
    (site / "acme_vault-1.2.dist-info" / "entry_points.txt").write_bytes(data)
    why = r"the plug-ins cannot be listed: the entry_points\.txt of acme-vault 1\.2 is malformed"

    with pytest.raises(KeyringError, match=why):
        known_schemes()
    with pytest.raises(KeyringError, match=why):
        keyring_from_uri("aws-kms://alias/a?region=eu-west-1")


def test_what_a_plug_in_says_of_its_uri_is_told_as_it_is(site):
    install(site, "acme-vault", "1.2", {"vault": "acme_vault:from_uri"}, {"acme_vault": WORKING})

    with pytest.raises(UsageError, match="vault:// has no parameter 'pda'"):
        keyring_from_uri("vault://team?pda=x")


def test_a_key_file_is_opened_without_looking_for_plug_ins(tmp_path):
    (tmp_path / "k").write_bytes(encode_aes_key_file("test", "a", bytes(32)))
    (tmp_path / "k").chmod(0o600)
    program = (
        "import sys\nfrom envelope_sdk.keyrings import keyring_from_uri\nkeyring_from_uri(sys.argv[1])\n"
        "print(*{'importlib.metadata', 'boto3', 'sqlite3', 'tomllib', 'difflib'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "k")], capture_output=True, text=True, check=True
    )

    # Measuring coverage imports things of its own.
    measured = {"importlib.metadata", "sqlite3", "tomllib"} if "coverage" in sys.modules else set()
    assert set(done.stdout.split()) <= measured
