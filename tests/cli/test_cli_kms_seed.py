"""``envelope kms seed``, and the example of its page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from envelope_sdk.local_kms import LocalKms

PAGE = (Path(__file__).parents[2] / "docs" / "local-kms-seed.md").read_text("utf-8")
ID = "1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    found = re.search(r"<!-- seed -->\n```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / "kms.toml").write_text(found[1])
    return tmp_path / "kms.toml"


def test_it_says_what_it_has_made_and_nothing_the_second_time(envelope: Any, seed: Path) -> None:
    first, second = envelope("kms", "seed", str(seed)), envelope("kms", "seed", str(seed))

    assert (first.code, second.code) == (0, 0)
    made = re.findall(r"^made       (\S+)$", first.text, re.MULTILINE)
    assert len(made) == 7
    assert f"arn:aws:kms:eu-west-1:111122223333:key/{ID}" in made
    assert re.findall(r"^unchanged  (\S+)$", second.text, re.MULTILINE) == made


def test_its_keys_are_listed_where_they_are(envelope: Any, seed: Path) -> None:
    envelope.ok("kms", "seed", str(seed))
    (listing,) = re.findall(r"^envelope (kms list-keys .*)$", PAGE, re.MULTILINE)

    assert ID in envelope.ok(*listing.split()).text
    assert ID not in envelope.ok("kms", "list-keys").text


def test_what_it_has_made_is_used(seed: Path) -> None:
    with LocalKms.in_memory(seed=seed, region="eu-west-1", account="111122223333") as kms:
        blob = kms.encrypt(KeyId="alias/everywhere", Plaintext=b"x")["CiphertextBlob"]
        alice = kms.acting_as("arn:aws:iam::111122223333:user/alice")
        assert alice.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        assert kms.in_region("us-east-1").decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        assert kms.describe_key(KeyId="alias/signing")["KeyMetadata"]["KeySpec"] == "ECC_NIST_P256"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory"),
        ("keys = 1", "keys: has to be a list"),
        ('[[keys]]\nid = "app"', "keys[0].id: has to be a UUID"),
        ('[[users]]\nname = "a b"', "the user a b: a user cannot be called"),
    ],
)
def test_what_cannot_be_planted_is_one_line(envelope: Any, tmp_path: Path, content: str | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "kms.toml").write_text(content)
    ran = envelope("kms", "seed", str(tmp_path / "kms.toml"))

    assert ran.code == 2
    assert expected in ran.err
    assert "Traceback" not in ran.err


def test_accounts_and_regions_may_be_told_apart(envelope: Any, tmp_path: Path) -> None:
    (tmp_path / "kms.toml").write_text(f'[[keys]]\nid = "{ID}"')
    ran = envelope("kms", "seed", str(tmp_path / "kms.toml"), "--region", "eu-west-1", "--account", "111122223333")

    assert ran.text == f"made       arn:aws:kms:eu-west-1:111122223333:key/{ID}\n"


def test_the_listing_shows_a_seeded_key(envelope: Any, tmp_path: Path) -> None:
    (tmp_path / "kms.toml").write_text(f'[[keys]]\nid = "{ID}"\naliases = ["alias/app"]')
    envelope("kms", "seed", str(tmp_path / "kms.toml"))

    (key,) = envelope("kms", "list-keys", "--json").json["Keys"]
    assert (key["KeyId"], key["Aliases"]) == (ID, ["alias/app"])
