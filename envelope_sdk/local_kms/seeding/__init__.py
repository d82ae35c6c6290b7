"""Keys, names, policies and users from a file: what a KMS of tests or of a team begins with.

A seed file is TOML::

    region = "eu-west-1"                 # of keys that name none
    account = "111122223333"

    [[keys]]
    id = "1234abcd-12ab-34cd-56ef-1234567890ab"
    aliases = ["alias/app"]
    material = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    tags = { team = "billing" }

    [[users]]
    name = "alice"
    policies.use = { Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "kms:*", Resource = "*" }] }
    access_keys = [{ id = "AKIAIOSFODNN7EXAMPLE", secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" }]

It says what there has to be. Planting it again changes nothing; planting a changed one brings descriptions, aliases,
tags, policies and states up to date, and never touches what keys are made of.
"""

from envelope_sdk.local_kms.seeding.document import Seed, SeedKey
from envelope_sdk.local_kms.seeding.people import SeedIdentity
from envelope_sdk.local_kms.seeding.planting import Planted, plant

__all__ = ["Planted", "Seed", "SeedIdentity", "SeedKey", "plant"]
