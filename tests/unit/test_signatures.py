"""Signatures of OpenPGP, minisign and signify: the signer, and invalid signatures."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from staging_api.signatures import SignatureInvalid, check_key, signed_message, signer_of
from tests.signed import CosignKey, MinisignKey, OpenPgpKey

P384 = (
    ec.generate_private_key(ec.SECP384R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
MESSAGE = b"e3b0c442  image.zip\n"


@pytest.fixture(scope="module")
def builder():
    return OpenPgpKey()


@pytest.fixture(scope="module")
def other():
    return OpenPgpKey("Other <other@depot.example>")


@pytest.fixture(params=["OpenPGP", "minisign", "signify", "alone", "old", "new", "ed25519"])
def key(request, builder):
    if request.param == "OpenPGP":
        return builder
    if request.param in ("alone", "old", "new"):
        return CosignKey(request.param)
    if request.param == "ed25519":
        return CosignKey(is_ed25519=True)
    return MinisignKey(signify=request.param == "signify")


def others_of_cosign():
    return [CosignKey().public, CosignKey(is_ed25519=True).public]


def test_the_signer_is_the_key_that_signed(key, other):
    keys = [other.public, MinisignKey(9).public, *others_of_cosign(), key.public]
    assert signer_of(MESSAGE, key.sign(MESSAGE), keys) == key.signer


def test_a_signature_without_prehashing_is_good():
    key = MinisignKey()
    assert signer_of(MESSAGE, key.sign(MESSAGE, prehashed=False), [key.public]) == key.signer


def test_other_bytes_other_keys_and_no_keys_are_refused(key, other):
    signature = key.sign(MESSAGE)
    for message, keys in (
        (MESSAGE + b" ", [key.public]),
        (MESSAGE, [other.public, MinisignKey(9).public, *others_of_cosign()]),
        (MESSAGE, []),
    ):
        with pytest.raises(SignatureInvalid):
            signer_of(message, signature, keys)


def test_what_is_no_signature_is_refused(key):
    pgp = (b"-----BEGIN PGP SIGNATURE-----\n", b"\x88junk")
    for junk in (b"", b"junk", b"a\nb\nc\nd\n", b"{", b"{}", b'{"messageSignature": 1}', *pgp):
        with pytest.raises(SignatureInvalid):
            signer_of(MESSAGE, junk, [key.public])


def test_no_character_is_passed_over_in_a_signature():
    for key in (MinisignKey(), CosignKey("alone")):
        *before, line = key.sign(MESSAGE).splitlines()[:2]
        stray = b"\n".join([*before, line[:4] + b"!" + line[4:], b""])
        with pytest.raises(SignatureInvalid):
            signer_of(MESSAGE, stray, [key.public])


def test_a_trusted_comment_that_was_changed_is_refused():
    key = MinisignKey()
    signature = key.sign(MESSAGE).replace(b"timestamp:1", b"timestamp:2")
    with pytest.raises(SignatureInvalid):
        signer_of(MESSAGE, signature, [key.public])


def test_a_key_of_the_same_id_with_other_bytes_is_refused():
    key, forged = MinisignKey(), MinisignKey(2)
    forged._id = key._id
    with pytest.raises(SignatureInvalid):
        signer_of(MESSAGE, forged.sign(MESSAGE), [key.public])


def test_a_clear_signature_has_its_message_in_it(builder, other):
    clear = builder.sign(MESSAGE, clear=True)
    assert signed_message(clear, [other.public, builder.public]) == (MESSAGE, builder.signer)
    for signed, keys in (
        (clear.replace(b"image", b"image2"), [builder.public]),
        (clear, [other.public]),
        (MESSAGE, [builder.public]),
    ):
        with pytest.raises(SignatureInvalid):
            signed_message(signed, keys)


def test_a_key_that_expired_after_it_signed_is_still_good_and_a_revoked_one_is_not(builder):
    signature = builder.sign(MESSAGE)
    later = builder.expired(datetime.now(UTC) + timedelta(seconds=1))
    assert signer_of(MESSAGE, signature, [later]) == builder.signer
    with pytest.raises(SignatureInvalid):
        signer_of(MESSAGE, signature, [builder.revoked()])


def test_keys_are_texts_or_files(tmp_path, key):
    file = tmp_path / "key.pub"
    comment = "untrusted comment: minisign public key\n" if isinstance(key, MinisignKey) else ""
    file.write_text(f"{comment}{key.public}\n")
    check_key(key.public)
    check_key(str(file))
    assert signer_of(MESSAGE, key.sign(MESSAGE), [str(file)]) == key.signer


def test_a_key_ends_within_the_first_mebibyte_of_its_file(tmp_path):
    file, key = tmp_path / "key.pub", MinisignKey()
    comment = "untrusted comment: ".ljust((1 << 20) - len(key.public) - 1, "x")
    file.write_text(f"{comment}\n{key.public}")
    check_key(str(file))
    file.write_text(f"{comment}x\n{key.public}")
    with pytest.raises(SignatureInvalid):
        check_key(str(file))


@pytest.mark.parametrize(
    "key",
    [
        *("", "key.pub", "/nowhere/key.pub", "RWQ", "-----BEGIN PGP PUBLIC KEY BLOCK-----"),
        *("-----BEGIN PUBLIC KEY-----", P384),
    ],
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(SignatureInvalid):
        check_key(key)


def test_a_folder_of_keys_is_all_of_them_and_one_that_is_none_is_found_at_the_start(
    tmp_path, builder, caplog
):
    folder, empty, minisign = tmp_path / "keys", tmp_path / "empty", MinisignKey()
    for each in (folder, empty, folder / "sub"):
        each.mkdir()
    (folder / "a.pub").write_text(minisign.public)
    (folder / "b.asc").write_text(builder.public)
    (folder / ".hidden").write_text("no key")
    check_key(str(folder))
    (folder / "c.pub").write_text("no key")
    with pytest.raises(SignatureInvalid, match="a key must be"):
        check_key(str(folder))
    # After that time the other keys count.
    for key in (minisign, builder):
        assert signer_of(MESSAGE, key.sign(MESSAGE), [str(folder)]) == key.signer
    assert "c.pub is left out" in caplog.text
    with pytest.raises(SignatureInvalid, match="has no keys"):
        check_key(str(empty))


@pytest.mark.parametrize("message", [b"", b"x", MESSAGE * 10_000])
def test_a_file_is_signed_as_its_bytes_are(tmp_path, key, message):
    file = tmp_path / "message"
    file.write_bytes(message)
    signature = key.sign(message)
    assert signer_of(file, signature, [key.public]) == key.signer
    file.write_bytes(message + b"x")
    with pytest.raises(SignatureInvalid):
        signer_of(file, signature, [key.public])
    plain = MinisignKey()
    file.write_bytes(message)
    assert signer_of(file, plain.sign(message, prehashed=False), [plain.public]) == plain.signer
