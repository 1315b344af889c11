"""What is read of gpg's list of secret keys, so that weak keys can be refused."""

from staging_api.publishing.signing_keys import _listed

#: By gpg 2.2: a key of RSA, and a subkey of ed25519 of which the secret part is not there.
LISTING = """\
sec:u:2048:1:B69513F94474B716:1796007227:1859079227::u:::scSC:::+:::23::0:
fpr:::::::::84663BD8A7308146325D1530B69513F94474B716:
grp:::::::::881BB5DE5BBA34658EC21435076A4362C8497C5F:
uid:u::::1796007227::086C70194EA1F9F6A294B11BBF286C998DFBF0AB::one::::::::::0:
ssb:e:255:22:19AF0092F30AFA1E:1796007227::::::s:::#::ed25519::
fpr:::::::::376AF32FE87FDAD1FEBD1BBF19AF0092F30AFA1E:
grp:::::::::45FB5CCC647DA3F402D09CFFA7B0362B651B3E6B:
"""


def test_a_key_and_its_subkey_are_each_read_with_what_is_theirs() -> None:
    key, subkey = _listed(LISTING)
    assert (key.validity, key.bits, key.algorithm, key.uses) == ("u", 2048, "1", "scSC")
    assert (subkey.validity, subkey.bits, subkey.algorithm, subkey.uses) == ("e", 255, "22", "s")
    assert (key.has_secret, subkey.has_secret) == (True, False)
    assert key.fingerprint.endswith("B69513F94474B716")
    assert subkey.fingerprint.endswith("19AF0092F30AFA1E")
