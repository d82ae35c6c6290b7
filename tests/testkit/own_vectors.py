"""Our own vectors: one message, one fault (or one permitted oddity) each. Run this file to write them again.

Every case says which error is due, in which section, and what the plaintext really is.
"""

from __future__ import annotations

import base64
import hashlib
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import PublicFormat
from testkit.builder import EDK, FINAL_FRAME, FRAME, Message, Signer, context_field, counted, edks_field, sample_bytes

from envelope_sdk.formats.suites import AlgorithmSuite, SignatureAlgorithm

DIRECTORY = Path(__file__).parent.parent / "vectors" / "own"

COMMITTED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
COMMITTED_SIGNED = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
PLAIN = AlgorithmSuite.AES_128_GCM_IV12_TAG16
DERIVED = AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA256
SIGNED_256 = AlgorithmSuite.AES_128_GCM_IV12_TAG16_HKDF_SHA256_ECDSA_P256
SIGNED_384 = AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384

TRUTH = sample_bytes(40)
"""Two frames of 16 bytes and a final one of 8."""
A, B, C = TRUTH[:16], TRUTH[16:32], TRUTH[32:]


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        name: the file's name.
        expect: ``ok`` or the error class.
        message: the bytes.
        section: what the error says about the place.
        limit: the bound that a refusal names.
        key: the data key.
        plaintext: the truth.
        why: the fault in words.
        limits: bounds that the reader sets.
    """

    name: str
    why: str
    expect: str
    message: bytes
    key: bytes
    section: str = ""
    limit: str = ""
    plaintext: bytes = TRUTH
    limits: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        fields = {
            "why": self.why,
            "expect": self.expect,
            "section": self.section,
            "limit": self.limit,
            "limits": " ".join(f"{name}={value}" for name, value in self.limits.items()),
            "key": self.key.hex(),
            "plaintext": self.plaintext.hex(),
        }
        head = "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
        return head + "\n" + "".join(f"{line}\n" for line in textwrap.wrap(self.message.hex(), 96))

    @classmethod
    def parse(cls, name: str, text: str) -> Case:
        head, _, body = text.partition("\n\n")
        fields = dict(line.split(": ", 1) for line in head.splitlines())
        return cls(
            name,
            fields["why"],
            fields["expect"],
            bytes.fromhex(body),
            bytes.fromhex(fields["key"]),
            fields.get("section", ""),
            fields.get("limit", ""),
            bytes.fromhex(fields.get("plaintext", "")),
            {key: int(value) for key, _, value in (pair.partition("=") for pair in fields.get("limits", "").split())},
        )


def read_all() -> list[Case]:
    return [Case.parse(path.stem, path.read_text("ascii")) for path in sorted(DIRECTORY.glob("*.txt"))]


def _case(name: str, why: str, expect: str, order: Message, message: bytes, **more: object) -> Case:
    return Case(name, why, expect, message, order.data_key, **more)  # type: ignore[arg-type]


def _changed(order: Message, **changes: object) -> Message:
    return replace(order, changes=changes)


def _flip(data: bytes, index: int) -> bytes:
    out = bytearray(data)
    out[index] ^= 1
    return bytes(out)


# --- what is allowed -------------------------------------------------------------------------------------------------


def allowed() -> Iterator[Case]:
    for suite in AlgorithmSuite:
        order = Message(suite)
        number = f"{suite.suite_id:04x}"
        yield _case(f"ok-framed-{number}", "nothing", "ok", order, order.whole(TRUTH))
        order = replace(order, frame_length=0)
        yield _case(f"ok-block-{number}", "nothing: a body without frames", "ok", order, order.whole(TRUTH))

    order = Message(COMMITTED)

    def body(name: str, why: str, *parts: bytes, truth: bytes = TRUTH, by: Message = order) -> Case:
        return _case(f"ok-{name}", why, "ok", by, by.signed(by.header() + b"".join(parts)), plaintext=truth)

    yield body("final-empty-only", "nothing: an empty plaintext", order.final(1, b""), truth=b"")
    yield body(
        "final-empty-after-full",
        "nothing: an empty final frame after an exact multiple",
        order.frame(1, A),
        order.frame(2, B),
        order.final(3, b""),
        truth=A + B,
    )
    yield body("final-full", "nothing: a full final frame", order.frame(1, A), order.final(2, B), truth=A + B)
    yield body(
        "frame-iv-arbitrary",
        "nothing: IVs that are not the sequence numbers",
        order.frame(1, A, iv=sample_bytes(12, "iv 1")),
        order.frame(2, B, iv=sample_bytes(12, "iv 2")),
        order.final(3, C, iv=sample_bytes(12, "iv 3")),
    )
    one = replace(order, frame_length=1)
    yield _case("ok-frame-length-one", "nothing: frames of one byte", "ok", one, one.whole(TRUTH))
    most = replace(order, frame_length=0xFFFFFFFF)
    yield _case("ok-frame-length-most", "nothing: the longest frames", "ok", most, most.whole(TRUTH))
    block = replace(order, frame_length=0)
    yield _case("ok-block-empty", "nothing: an empty body without frames", "ok", block, block.whole(b""), plaintext=b"")
    yield _case(
        "ok-block-iv-arbitrary",
        "nothing: an IV of the writer's choice",
        "ok",
        block,
        block.header() + block.block(TRUTH, iv=sample_bytes(12, "block iv")),
    )
    old = _changed(Message(DERIVED), iv=sample_bytes(12, "header iv"))
    yield _case("ok-header-iv-arbitrary", "nothing: a header IV that is not zero", "ok", old, old.whole(TRUTH))
    unsorted = replace(order, pairs=(("b", "2"), ("a", "1"), ("\U0001f600", "3"), ("\uffff", "4")))
    yield _case("ok-context-unsorted", "nothing: context pairs in another order", "ok", unsorted, unsorted.whole(TRUTH))
    empty = replace(order, pairs=())
    yield _case("ok-context-empty", "nothing: no context", "ok", empty, empty.whole(TRUTH))
    blank = replace(order, pairs=(("", ""),))
    yield _case("ok-context-blank-pair", "nothing: an empty key with an empty value", "ok", blank, blank.whole(TRUTH))
    many = replace(order, edks=tuple((f"provider-{number}", b"", b"") for number in range(100)))
    yield _case("ok-data-keys-hundred", "nothing: as many data keys as allowed", "ok", many, many.whole(TRUTH))

    for suite in (SIGNED_256, COMMITTED_SIGNED):
        signed = Message(suite)
        number = f"{suite.suite_id:04x}"
        covered = signed.header() + signed.body(TRUTH)
        wanted = signed.signing.algorithm.signature_length
        forms: dict[str, Callable[[bytes], bytes]] = {
            "low-s": signed.signing.low_s,
            "high-s": signed.signing.high_s,
            "short": lambda data, by=signed, length=wanted - 2: by.signing.of_length(data, length),  # type: ignore[misc]
            "long": lambda data, by=signed, length=wanted + 1: by.signing.of_length(data, length),  # type: ignore[misc]
        }
        for form, sign in forms.items():
            message = signed.signed(covered, sign(covered))
            yield _case(f"ok-signature-{form}-{number}", f"nothing: a {form} signature", "ok", signed, message)


# --- the header ------------------------------------------------------------------------------------------------------


def bad_headers() -> Iterator[Case]:
    order = Message(COMMITTED)
    old = Message(DERIVED)
    good = order.whole(TRUTH)

    def header(name: str, why: str, expect: str, by: Message, section: str = "header") -> Case:
        return _case(f"header-{name}", why, expect, by, by.whole(TRUTH), section=section)

    unsupported = "UnsupportedMessageError"
    yield _case("header-none", "no bytes at all", "TruncatedMessageError", order, b"", section="header")
    for version in (0, 3, 0x80, 0xFF):
        why = f"version {version}"
        yield header(f"version-{version:02x}", why, unsupported, _changed(order, version=version))
    encoded = base64.b64encode(good)
    yield _case("header-base64", "a message in base64", unsupported, order, encoded, section="header")
    yield header("type-00", "version 1 with another type", unsupported, _changed(old, type=0))
    for suite_id in (0x0000, 0x0013, 0x0678, 0xFFFF):
        changed = _changed(order, suite_id=suite_id)
        yield header(f"suite-{suite_id:04x}", "an unknown algorithm suite", unsupported, changed)
    for content_type in (0, 3, 255):
        changed = _changed(order, content_type=content_type)
        yield header(f"content-type-{content_type}", "an unknown content type", unsupported, changed)
    malformed = "MessageError"
    yield header("suite-of-version-1-in-2", "a suite of version 1", malformed, _changed(order, suite_id=0x0178))
    yield header("suite-of-version-2-in-1", "a suite of version 2", malformed, _changed(old, suite_id=0x0478))
    yield header("frame-length-zero", "frames of length zero", malformed, _changed(order, frame_length=0))
    block = replace(order, frame_length=0)
    yield header("frame-length-of-block", "a frame length without frames", malformed, _changed(block, frame_length=16))
    yield header("reserved-not-zero", "reserved bytes in use", malformed, _changed(old, reserved=b"\0\0\0\1"))
    yield header("iv-length-16", "an IV length that is not 12", malformed, _changed(old, iv_length=16))
    yield header("iv-length-0", "an IV length that is not 12", malformed, _changed(old, iv_length=0))
    yield from _bad_contexts(order)
    yield from _bad_data_keys(order)
    yield from _unauthentic_headers(order, old)
    yield from _bad_public_keys()


def _bad_contexts(order: Message) -> Iterator[Case]:
    def context(name: str, why: str, field_: bytes) -> Case:
        changed = _changed(order, context=field_)
        return _case(
            f"context-{name}", why, "MessageError", changed, changed.whole(TRUTH), section="encryption context"
        )

    pairs = (("a", "1"), ("b", "2"))
    yield context("duplicate-key", "the same key twice", context_field((("a", "1"), ("a", "2"))))
    yield context("duplicate-pair", "the same pair twice", context_field((("a", "1"), ("a", "1"))))
    yield context("count-zero", "a length but no pairs", context_field((), count=0))
    yield context("count-too-small", "more pairs than counted", context_field(pairs, count=1))
    yield context("count-too-large", "fewer pairs than counted", context_field(pairs, count=3))
    yield context("count-most", "65,535 pairs counted, two there", context_field(pairs, count=0xFFFF))
    yield context("length-one", "one byte: too short for the count", counted(b"\0"))
    yield context("left-over-byte", "a byte after the last pair", context_field(pairs, extra=b"\0"))
    yield context("key-past-end", "a key that reaches past the section", counted(b"\0\1\0\xffa"))
    yield context("value-missing", "a key without a value", counted(b"\0\1\0\1a"))
    yield context("key-not-utf8", "a key that is not UTF-8", context_field(((b"\xff", "1"),)))
    yield context("value-not-utf8", "a value that is not UTF-8", context_field((("a", b"\xc3\x28"),)))
    yield context("surrogate", "a surrogate in UTF-8", context_field((("a", b"\xed\xa0\x80"),)))
    yield context("overlong", "an overlong form of UTF-8", context_field((("a", b"\xc0\x80"),)))


def _bad_data_keys(order: Message) -> Iterator[Case]:
    def keys(name: str, why: str, expect: str, field_: bytes, **more: object) -> Case:
        changed = _changed(order, edks=field_)
        return _case(f"data-keys-{name}", why, expect, changed, changed.whole(TRUTH), **more)

    section = "encrypted data keys"
    yield keys("none", "no data keys", "MessageError", edks_field((), count=0), section=section)
    not_text = edks_field(((b"\xff\xfe", b"", b""),))
    yield keys("provider-not-utf8", "a provider id that is not UTF-8", "MessageError", not_text, section=section)
    hostile = edks_field((EDK,), count=0xFFFF)
    limit = "max_encrypted_data_keys"
    yield keys("count-hostile", "65,535 data keys counted, one there", "LimitExceededError", hostile, limit=limit)
    many = edks_field((EDK,) * 101)
    yield keys("too-many", "one data key more than allowed", "LimitExceededError", many, limit=limit)
    two = edks_field((EDK, EDK))
    yield keys("above-limit", "more than the caller allows", "LimitExceededError", two, limit=limit, limits={limit: 1})
    wide = edks_field((("p", bytes(600), b""),))
    yield keys(
        "header-too-long",
        "a header longer than the caller allows",
        "LimitExceededError",
        wide,
        limit="max_header_length",
        limits={"max_header_length": 500},
    )
    yield keys("past-the-end", "a data key longer than the message", "TruncatedMessageError",
               (1).to_bytes(2, "big") + b"\0\1p\xff\xff", section=section)  # fmt: skip


def _unauthentic_headers(order: Message, old: Message) -> Iterator[Case]:
    def header(name: str, why: str, by: Message, expect: str = "AuthenticationError") -> Case:
        return _case(f"header-{name}", why, expect, by, by.whole(TRUTH), section="header")

    good = order.header()
    yield header("tag-altered", "one bit of the tag", _changed(order, tag=_flip(good[-16:], 0)))
    yield header("tag-last-bit", "one bit of the tag's last byte", _changed(order, tag=_flip(good[-16:], 15)))
    yield header("tag-of-no-bytes", "a tag over nothing", _changed(order, tag_covers=b""))
    yield header(
        "tag-with-empty-context", "a tag over two zero bytes more", _changed(order, tag_covers=good[:-16] + bytes(2))
    )
    yield header("tag-without-version", "a tag that leaves the version out", _changed(order, tag_covers=good[1:-16]))
    yield header("tag-under-data-key", "a tag under the data key", _changed(order, header_key=order.data_key))
    without_id = HKDF(SHA256(), 32, None, DERIVED.id_bytes).derive(old.data_key)
    yield header("key-without-message-id", "a key derived without the message id", _changed(old, header_key=without_id))
    iv_less = old.header()
    zero_tag = iv_less[-16:]
    yield header("iv-altered", "another IV than the tag's", _changed(old, iv=bytes(11) + b"\1", tag=zero_tag))
    yield header("context-altered", "another context than the tag's", _changed(
        replace(order, pairs=(("purpose", "tesT"),)), tag=good[-16:]))  # fmt: skip
    yield header("frame-length-altered", "another frame length than the tag's", replace(
        order, frame_length=17, changes={"tag": good[-16:]}))  # fmt: skip
    yield header("data-key-altered", "another wrapped key than the tag's", replace(
        order, edks=((EDK[0], EDK[1], b"wrappeD"),), changes={"tag": good[-16:]}))  # fmt: skip
    yield header("unstored-pair", "a pair under the tag that the reader does not know", replace(
        order, unstored=(("tenant", "7"),)))  # fmt: skip
    commitment = good[-48:-16]
    failing = "CommitmentError"
    yield header("commitment-altered", "one bit", _changed(order, suite_data=_flip(commitment, 31)), failing)
    yield header("commitment-zero", "no commitment to speak of", _changed(order, suite_data=bytes(32)), failing)
    yield header("message-id-altered", "another message id", _changed(
        order, message_id=_flip(order.message_id, 0)), failing)  # fmt: skip
    suite = _changed(order, suite_id=0x0578)
    yield header("suite-swapped", "an unsigned message that says it is signed", suite, "SignatureError")


def _bad_public_keys() -> Iterator[Case]:
    def key(name: str, why: str, by: Message, expect: str = "SignatureError") -> Case:
        return _case(f"public-key-{name}", why, expect, by, by.whole(TRUTH), section="header")

    for suite in (SIGNED_256, COMMITTED_SIGNED):
        order = Message(suite)
        signer = order.signing
        number = f"{suite.suite_id:04x}"

        def encode(point: bytes) -> str:
            return base64.b64encode(point).decode()

        def off_curve(point: bytes = signer.point(), by: Message = order) -> bytes:
            # Every other x is no point's: take the next that is not.
            curve_is_short = by.suite is SIGNED_256
            prime = 2**256 - 2**224 + 2**192 + 2**96 - 1 if curve_is_short else 2**384 - 2**128 - 2**96 + 2**32 - 1
            b = int(
                "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"
                if curve_is_short
                else "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
                16,
            )
            x = int.from_bytes(point[1:], "big")
            while pow(x**3 - 3 * x + b, (prime - 1) // 2, prime) == 1:
                x += 1
            return point[:1] + x.to_bytes(len(point) - 1, "big")

        other = SIGNED_384.signature if suite is SIGNED_256 else SIGNED_256.signature
        assert other is not None
        yield key(f"missing-{number}", "a signed suite without a key", replace(order, public_key=None))
        yield key(f"not-base64-{number}", "not base64", replace(order, public_key="*" * 44))
        yield key(f"empty-point-{number}", "no bytes", replace(order, public_key="===="))
        yield key(f"off-curve-{number}", "not on the curve", replace(order, public_key=encode(off_curve())))
        yield key(f"uncompressed-{number}", "an uncompressed point", replace(
            order, public_key=encode(signer.point(PublicFormat.UncompressedPoint))))  # fmt: skip
        yield key(f"other-curve-{number}", "of the other curve", replace(
            order, public_key=Signer(other).public_key))  # fmt: skip
        yield key(f"short-{number}", "a byte short", replace(order, public_key=encode(signer.point()[:-1])))
        yield key(f"infinity-{number}", "the point at infinity", replace(order, public_key=encode(b"\0")))
    unsigned = Message(COMMITTED, pairs=(("aws-crypto-public-key", Signer(SignatureAlgorithm.ECDSA_P384_SHA384)
                                          .public_key),))  # fmt: skip
    yield key("in-unsigned", "a key in an unsigned message", unsigned)


# --- the body --------------------------------------------------------------------------------------------------------


def bad_bodies() -> Iterator[Case]:
    order = Message(COMMITTED)
    frame_1, frame_2, final = order.frame(1, A), order.frame(2, B), order.final(3, C)

    def body(name: str, why: str, expect: str, section: str, *parts: bytes, **more: object) -> Case:
        return _case(f"body-{name}", why, expect, order, order.header() + b"".join(parts), section=section, **more)

    malformed, altered, cut = "MessageError", "AuthenticationError", "TruncatedMessageError"
    yield body("none", "a header and nothing more", cut, "frame 1")
    yield body("frame-dropped", "the second frame is missing", malformed, "final frame", frame_1, final)
    yield body("first-dropped", "the first frame is missing", malformed, "frame 1", frame_2, final)
    yield body("frames-swapped", "two frames changed places", malformed, "frame 1", frame_2, frame_1, final)
    yield body("frame-repeated", "a frame stands twice", malformed, "frame 2", frame_1, frame_1, frame_2, final)
    resealed = (order.frame(1, B), order.frame(2, A, shown=3))
    yield body("number-skipped", "a number is left out", malformed, "frame 2", frame_1, order.frame(3, B), final)
    yield body("number-zero", "frames counted from 0", malformed, "frame 1", order.frame(0, A), order.frame(1, B))
    yield body("number-shown-wrong", "another number than the tag's", malformed, "frame 2", frame_1, resealed[1])
    yield body("renumbered", "swapped frames, numbered as they stand", altered, "frame 1",
               order.frame(2, B, shown=1), order.frame(1, A, shown=2), final)  # fmt: skip
    yield body("final-first", "the final frame alone", malformed, "final frame", final)
    yield body("final-missing", "no final frame", cut, "frame 3", frame_1, frame_2)
    yield body("final-number-low", "the final frame repeats a number", malformed, "final frame",
               frame_1, frame_2, order.final(2, C))  # fmt: skip
    yield body("final-number-high", "the final frame skips a number", malformed, "final frame",
               frame_1, frame_2, order.final(4, C))  # fmt: skip
    yield body("final-number-zero", "the final frame has number 0", malformed, "final frame",
               frame_1, frame_2, order.final(0, C))  # fmt: skip
    yield body("final-number-shown-wrong", "another number than the tag's", altered, "final frame",
               frame_1, frame_2, order.final(4, C, shown=3))  # fmt: skip
    yield body("final-too-long", "more than a frame in the final one", malformed, "final frame",
               frame_1, order.final(2, B + C))  # fmt: skip
    yield body("final-length-hostile", "4 GiB claimed", malformed, "final frame",
               frame_1, frame_2, order.final(3, C, claimed=0xFFFFFFFF))  # fmt: skip
    yield body("final-length-short", "a byte less claimed", altered, "final frame",
               frame_1, frame_2, order.final(3, C, claimed=7))  # fmt: skip
    yield body("final-length-long", "a byte more claimed", cut, "final frame",
               frame_1, frame_2, order.final(3, C, claimed=9))  # fmt: skip
    yield body("final-altered", "one bit of the final frame", altered, "final frame",
               frame_1, frame_2, _flip(final, 25))  # fmt: skip
    yield body("final-iv-altered", "one bit of its IV", altered, "final frame", frame_1, frame_2, _flip(final, 10))
    yield body("frame-altered", "one bit of a frame", altered, "frame 2", frame_1, _flip(frame_2, 20), final)
    yield body("frame-tag-altered", "one bit of its tag", altered, "frame 2", frame_1, _flip(frame_2, 47), final)
    yield body("frame-iv-altered", "one bit of its IV", altered, "frame 2", frame_1, _flip(frame_2, 9), final)
    yield body("frame-sealed-as-final", "a regular frame with the final's tag", altered, "frame 1",
               order.frame(1, A, text=FINAL_FRAME), frame_2, final)  # fmt: skip
    yield body("final-sealed-as-frame", "a final frame with a regular one's tag", altered, "final frame",
               frame_1, frame_2, order.final(3, C, text=FRAME))  # fmt: skip
    yield body("frame-relabelled-final", "the message cut after a regular frame that then says it is the last",
               altered, "final frame", frame_1, b"\xff\xff\xff\xff" + frame_2[:16] + (16).to_bytes(4, "big")
               + frame_2[16:])  # fmt: skip
    yield body("final-relabelled-frame", "a full final frame that says it is a regular one", altered, "frame 2",
               frame_1, order.frame(2, B, text=FINAL_FRAME), order.final(3, C))  # fmt: skip
    other = sample_bytes(32, "another message")
    yield body("frame-of-other-message", "sealed for another message id", altered, "frame 2",
               frame_1, order.frame(2, B, message_id=other), final)  # fmt: skip
    yield body("message-id-shortened", "16 bytes of the message id under the tag", altered, "frame 1",
               order.frame(1, A, message_id=order.message_id[:16]))  # fmt: skip
    yield body("trailing-byte", "a byte after the message", "TrailingDataError", "end", frame_1, frame_2, final, b"\0")
    yield body("trailing-final", "a second final frame", "TrailingDataError", "end",
               frame_1, frame_2, final, order.final(4, C))  # fmt: skip
    yield body("trailing-frame", "a frame after the final one", "TrailingDataError", "end",
               frame_1, frame_2, final, order.frame(4, A))  # fmt: skip
    yield body("trailing-message", "two messages in a row", "TrailingDataError", "end",
               frame_1, frame_2, final, order.whole(TRUTH))  # fmt: skip
    yield body("trailing-footer", "a footer that the suite does not have", "TrailingDataError", "end",
               frame_1, frame_2, final, counted(b"0" * 71))  # fmt: skip
    limits = {"max_body_length": 15}
    yield _case("body-frame-length-above-limit", "longer frames than allowed", "LimitExceededError", order,
                order.whole(TRUTH), limit="max_body_length", limits=limits)  # fmt: skip
    yield from _bad_blocks(replace(order, frame_length=0))


def _bad_blocks(order: Message) -> Iterator[Case]:
    def block(name: str, why: str, expect: str, part: bytes, **more: object) -> Case:
        return _case(f"block-{name}", why, expect, order, order.header() + part, section="body", **more)

    good = order.block(TRUTH)
    yield block("altered", "one bit of the content", "AuthenticationError", _flip(good, 30))
    yield block("tag-altered", "one bit of the tag", "AuthenticationError", _flip(good, len(good) - 1))
    yield block("iv-altered", "one bit of the IV", "AuthenticationError", _flip(good, 3))
    yield block("length-short", "a byte less claimed", "AuthenticationError", order.block(TRUTH, claimed=39))
    yield block("length-long", "a byte more claimed", "TruncatedMessageError", order.block(TRUTH, claimed=41))
    yield block("length-most", "2^36 - 32 bytes claimed", "TruncatedMessageError",
                order.block(TRUTH, claimed=2**36 - 32))  # fmt: skip
    yield block("length-hostile", "2^36 - 31 bytes claimed", "MessageError", order.block(TRUTH, claimed=2**36 - 31))
    yield block("length-absurd", "2^64 - 1 bytes claimed", "MessageError", order.block(TRUTH, claimed=2**64 - 1))
    yield block("sealed-as-frame", "with a frame's tag", "AuthenticationError", order.block(TRUTH, text=FINAL_FRAME))
    yield block("missing", "a header and nothing more", "TruncatedMessageError", b"")
    trailing = order.header() + good + b"\0"
    yield _case("block-trailing-byte", "a byte after the message", "TrailingDataError", order, trailing, section="end")
    yield _case("block-above-limit", "more content than allowed", "LimitExceededError", order, order.whole(TRUTH),
                limit="max_body_length", limits={"max_body_length": 39})  # fmt: skip


# --- the footer ------------------------------------------------------------------------------------------------------


def bad_footers() -> Iterator[Case]:
    yield from _bad_signatures(Message(SIGNED_256))
    yield from _bad_signatures(Message(COMMITTED_SIGNED))
    order = Message(COMMITTED_SIGNED)
    frames = order.header() + order.frame(1, A) + order.frame(2, B)
    early = frames + counted(order.signing.sign(frames))
    yield _case("footer-instead-of-final", "a footer where the final frame is due", "MessageError", order, early,
                section="frame 3")  # fmt: skip
    final = bytearray(order.final(3, C))
    final[-1] ^= 1
    resigned = order.signed(frames + bytes(final))
    yield _case("footer-over-altered-body", "a good signature over a frame that was altered before it was made",
                "AuthenticationError", order, resigned, section="final frame")  # fmt: skip


def _bad_signatures(order: Message) -> Iterator[Case]:
    number = f"{order.suite.suite_id:04x}"
    signer = order.signing
    covered = order.header() + order.body(TRUTH)
    signature = signer.sign(covered)
    r, s = signer.numbers(covered)
    curve_order = signer.algorithm.curve_order
    stranger = Signer(signer.algorithm, signer.secret + 1)

    def footer(name: str, why: str, expect: str, part: bytes, section: str = "footer") -> Case:
        return _case(f"footer-{name}-{number}", why, expect, order, covered + part, section=section)

    bad, cut = "SignatureError", "TruncatedMessageError"
    yield footer("missing", "no footer", cut, b"")
    yield footer("length-cut", "half of the length", cut, b"\0")
    yield footer("cut", "a byte short", cut, counted(signature)[:-1])
    yield footer("empty", "a signature of no bytes", bad, counted(b""))
    yield footer("altered", "one bit", bad, counted(_flip(signature, len(signature) - 1)))
    yield footer("other-key", "another key's", bad, counted(stranger.sign(covered)))
    yield footer("header-only", "over the header alone", bad, counted(signer.sign(order.header())))
    yield footer("body-only", "over the body alone", bad, counted(signer.sign(order.body(TRUTH))))
    with_length = covered + len(signature).to_bytes(2, "big")
    yield footer("over-its-length", "over the footer's length too", bad, counted(signer.sign(with_length)))
    digest = hashlib.sha256(covered).digest()
    yield footer("over-a-digest", "over a digest of the message", bad, counted(signer.sign(digest)))
    yield footer("not-der", "random bytes", bad, counted(sample_bytes(len(signature), "not DER")))
    yield footer("der-left-over", "a byte after the DER", bad, counted(signature + b"\0"))
    width = curve_order.bit_length() // 8
    raw = r.to_bytes(width, "big") + s.to_bytes(width, "big")
    yield footer("raw", "r and s without DER", bad, counted(raw))
    yield footer("zero", "r and s are zero", bad, counted(encode_dss_signature(0, 0)))
    yield footer("s-past-order", "s plus the curve's order", bad, counted(encode_dss_signature(r, s + curve_order)))
    yield footer("trailing-byte", "a byte after the message", "TrailingDataError", counted(signature) + b"\0", "end")
    yield footer("twice", "two footers", "TrailingDataError", counted(signature) * 2, "end")


def cases() -> list[Case]:
    """Return every case, in the order of their names."""
    every = [*allowed(), *bad_headers(), *bad_bodies(), *bad_footers()]
    assert len({case.name for case in every}) == len(every)
    return sorted(every, key=lambda case: case.name)


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    for path in DIRECTORY.glob("*.txt"):
        path.unlink()
    for case in cases():
        (DIRECTORY / f"{case.name}.txt").write_text(case.text(), "ascii")


if __name__ == "__main__":
    main()
