# SPDX-License-Identifier: Apache-2.0
"""Telegrams of consumer ports: plain, and sealed as some countries send them."""

from openami.dlms.apdu.ciphered import GeneralGloCiphering
from openami.dlms.obis import Obis
from openami.dlms.recordings.translate import TranslationKeys, describe
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl, SecuritySuite

LINES = b"""/ISk5\\2M550T-1012\r
\r
1-3:0.2.8(50)\r
0-0:1.0.0(260101120000W)\r
0-0:96.1.1(4530303434)\r
1-0:1.8.1(000004.426*kWh)\r
1-0:2.7.0(00.000*kW)\r
1-0:32.7.0(230.1*V)\r
0-1:24.2.1(260101115500W)(00012.345*m3)\r
1-0:99.97.0(1)(0-0:96.7.19)(250101000000W)(0000000301*s)\r
!"""
TELEGRAM = LINES + b"D90B\r\n"
GUEK, GAK, TITLE = (
    bytes(range(16)),
    bytes.fromhex("00112233445566778899aabbccddeeff"),
    b"SAG\x00\x01\x02\x03\x04",
)


def checked(lines: bytes) -> bytes:
    check = 0
    for octet in lines:
        check ^= octet
        for _ in range(8):
            check = check >> 1 ^ 0xA001 if check & 1 else check >> 1
    return lines + f"{check:04X}\r\n".encode()


def test_what_a_telegram_names() -> None:
    translation = describe(checked(LINES))

    assert translation.findings == ()
    assert translation.framings == ("p1",)
    assert translation.text.startswith("/ISk5")
    found = {str(each.obis): each for each in translation.readings}
    assert found["1.0.1.8.1.255"].quantity is not None
    assert (int(found["1.0.1.8.1.255"].value), found["1.0.1.8.1.255"].scaler) == (4426, 0)
    assert found["1.0.1.8.1.255"].unit == 30
    assert str(found["1.0.32.7.0.255"].quantity) == "230.1"
    gas = found["0.1.24.2.1.255"]
    assert (str(gas.quantity), gas.unit) == ("12.345", 13)
    assert gas.date_time.hex() == "07ea0101ff0b370000800000"
    assert translation.moment.hex() == "07ea0101ff0c000000800000"
    assert found["0.0.96.1.1.255"].value == "4530303434"
    assert Obis(1, 3, 0, 2, 8, 255) in {each.obis for each in translation.readings}


def test_a_wrong_check_is_told() -> None:
    translation = describe(LINES + b"0000\r\n")

    assert "the check is 0000, not" in translation.findings[0]
    assert describe(LINES + b"0000\r\n", accept={"bad-checksum"}).findings == ()


def test_a_telegram_that_is_cut_off_is_told() -> None:
    assert "no exclamation mark" in describe(LINES[:-20]).findings[0]


def test_a_sealed_telegram_is_read_as_text() -> None:
    cipher = Cipher(KeySet(encryption_key=GUEK, authentication_key=GAK))
    what = SecurityControl.of(SecuritySuite.AES_GCM_128)
    sealed = GeneralGloCiphering(
        system_title=TITLE, ciphered_service=cipher.seal(what, 9, TITLE, checked(LINES))
    ).encode()
    keys = TranslationKeys(encryption_key=GUEK, authentication_key=GAK)
    translation = describe(sealed, keys=keys)

    assert translation.findings == ()
    assert translation.text.splitlines()[5] == "1-0:1.8.1(000004.426*kWh)"
    assert translation.seals[0].tag_checked
    assert len(translation.readings) == 8
    closed = describe(sealed)
    assert (closed.text, closed.complete) == ("", False)
    without = describe(
        sealed, keys=TranslationKeys(encryption_key=GUEK), accept={"tag-not-checked"}
    )
    assert without.findings == ()
    assert without.text == translation.text
