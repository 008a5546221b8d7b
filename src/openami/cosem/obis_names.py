# SPDX-License-Identifier: Apache-2.0
"""What an OBIS code names, in words (IEC 62056-6-1).

`describe` first looks whether the code is one of the named objects, then composes what value
groups C, D and E of electricity say.  A code that no rule here knows is not guessed at: its
medium is named, if that is known.  National codes (C = 94) are as the profiles of their
countries use them.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from openami.dlms.obis import Obis

MEDIA: Final = {
    0: "abstract object",
    1: "electricity",
    4: "heat cost allocator",
    5: "cooling",
    6: "heat",
    7: "gas",
    8: "cold water",
    9: "hot water",
    15: "other medium",
}
"""Value group A."""

_OBJECTS: Final = """
0.b.0.1.0       billing period counter
0.b.0.1.2       time of the last billing period
0.b.1.0.e       clock
0.b.10.0.0      script table: global reset
0.b.10.0.1      script table: reset of maximum demand
0.b.10.0.100    script table: tariff
0.b.10.0.101    script table: test mode
0.b.10.0.102    script table: normal mode
0.b.10.0.103    script table: outputs
0.b.10.0.104    script table: optical test
0.b.10.0.105    script table: power quality
0.b.10.0.106    script table: disconnect control
0.b.10.0.107    script table: image activation
0.b.10.0.108    script table: push
0.b.10.0.109    script table: load profile
0.b.10.0.110    script table: M-Bus profile
0.b.10.0.111    script table: function control
0.b.10.0.125    script table: broadcast
0.b.10.0.e      script table {e}
0.b.11.0.e      special days table
0.b.12.0.e      schedule
0.b.13.0.e      activity calendar
0.b.14.0.e      register activation
0.b.15.0.0      single action schedule: end of billing period
0.b.15.0.1      single action schedule: disconnect control
0.b.15.0.2      single action schedule: image activation
0.b.15.0.3      single action schedule: output
0.b.15.0.4      single action schedule: push
0.b.15.0.5      single action schedule: load profile
0.b.15.0.6      single action schedule: M-Bus profile
0.b.15.0.7      single action schedule: function control
0.b.16.0.e      register monitor {e}
0.b.16.1.0-9    alarm monitor {e}
0.b.16.2.e      parameter monitor {e}
0.b.17.0.e      limiter {e}
0.b.18.0.e      array manager {e}
0.b.19.0-9.0    account {d}
0.b.19.10-19.e  credit {d}
0.b.19.20-29.e  charge {d}
0.b.19.40-49.e  token gateway {d}
0.b.19.50-59.1  maximum credit limit
0.b.19.50-59.2  maximum vend limit
0.b.19.60-69.0  IEC 62055-41 attributes
0.b.20.0.e      optical port
0.b.22.0.e      HDLC setup
0.b.24.1.e      M-Bus client
0.b.24.2.e      M-Bus value {e}
0.b.24.3.e      M-Bus profile {e}
0.b.24.4.e      M-Bus disconnect control
0.b.24.5.e      M-Bus event log
0.b.24.6.e      M-Bus master port
0.b.24.8.e      DLMS server M-Bus port
0.b.24.9.e      M-Bus diagnostic
0.b.25.0.e      TCP-UDP setup
0.b.25.1.e      IPv4 setup
0.b.25.2.e      MAC address
0.b.25.3.e      PPP setup
0.b.25.4.e      GPRS modem setup
0.b.25.6.e      GSM diagnostic
0.b.25.7.e      IPv6 setup
0.b.25.9.e      push setup {e}
0.b.25.10.e     NTP setup
0.b.25.11.e     LTE monitoring
0.b.26.0.e      S-FSK physical and MAC setup
0.b.26.1.e      S-FSK active initiator
0.b.26.2.e      S-FSK synchronization timeouts
0.b.26.3.e      S-FSK MAC counters
0.b.26.5.e      IEC 61334-4-32 LLC setup
0.b.26.6.e      S-FSK reporting system list
0.b.27.0.e      LLC type 1 setup
0.b.27.1.e      LLC type 2 setup
0.b.27.2.e      LLC type 3 setup
0.b.28.0.e      PRIME LLC SSCS setup
0.b.28.1.e      PRIME physical layer counters
0.b.28.2.e      PRIME MAC setup
0.b.28.3.e      PRIME MAC functional parameters
0.b.28.4.e      PRIME MAC counters
0.b.28.5.e      PRIME MAC network administration
0.b.28.6.e      PRIME MAC address
0.b.28.7.e      PRIME application identification
0.b.29.0.e      G3 MAC layer counters
0.b.29.1.e      G3 MAC setup
0.b.29.2.e      G3 6LoWPAN adaptation layer
0.b.30.0.e      ZigBee SAS startup
0.b.30.1.e      ZigBee SAS join
0.b.30.2.e      ZigBee SAS APS fragmentation
0.b.30.3.e      ZigBee network control
0.b.30.4.e      ZigBee tunnel setup
0.b.33.0.e      HS-PLC MAC setup
0.b.33.1.e      HS-PLC CPAS setup
0.b.33.2.e      HS-PLC IP SSAS setup
0.b.33.3.e      HS-PLC HDLC SSAS setup
0.b.40.0.0      current association
0.b.40.0.e      association {e}
0.b.41.0.e      SAP assignment
0.b.42.0.0      logical device name
0.b.43.0.e      security setup {e}
0.b.43.1.e      invocation counter {e}
0.b.43.2.e      data protection {e}
0.b.44.0.e      image transfer
0.b.44.1.e      function control
0.b.66.0.e      compact data {e}
0.b.94.31.0     Netherlands: administrative state
0.b.94.31.3     Netherlands: configuration
0.b.94.31.6     Netherlands: definable load profile
0.b.94.31.12    Netherlands: randomisation
0.b.94.91.0     India: tamper count
0.b.94.91.8     India: cumulative duration of power failures
0.b.94.91.9     India: meter type
0.b.94.91.10    India: name plate
0.b.94.91.11    India: meter category
0.b.94.91.12    India: current rating
0.b.94.91.13    India: power-on duration in the billing period
0.b.94.91.14    India: cumulative power-on duration
0.b.96.1.0-9    device identifier {e}
0.b.96.2.0      number of configuration changes
0.b.96.3.10     disconnect control
0.b.96.3.20-29  arbitrator
0.b.96.7.9      number of long power failures
0.b.96.7.0      number of power failures
0.b.96.7.21     number of power failures in any phase
0.b.96.10.e     status word {e}
0.b.96.11.e     event code {e}
0.b.96.14.0     active tariff
0.b.96.15.e     communication counter {e}
0.b.97.97.e     error register {e}
0.b.97.98.0-9   alarm register {e}
0.b.97.98.10-19 alarm filter {e}
0.b.97.98.20-29 alarm descriptor {e}
0.b.98.1.e      billing profile {e}
0.b.99.98.e     event log {e}
1.b.0.2.0       firmware identifier
1.b.0.2.8       firmware signature
1.b.0.8.0       demand integration period
1.b.0.8.4       capture period of load profile 1
1.b.0.8.5       capture period of load profile 2
1.b.94.91.0     India: instantaneous profile
1.b.98.1.e      billing profile {e}
1.b.99.1.0      load profile 1
1.b.99.1.e      load profile 1, variant {e}
1.b.99.2.0      load profile 2, daily
1.b.99.2.e      load profile 2, variant {e}
1.b.99.97.0     log of long power failures
"""

_QUANTITIES: Final = {
    1: ("active", "import"),
    2: ("active", "export"),
    3: ("reactive", "import"),
    4: ("reactive", "export"),
    5: ("reactive", "QI"),
    6: ("reactive", "QII"),
    7: ("reactive", "QIII"),
    8: ("reactive", "QIV"),
    9: ("apparent", "import"),
    10: ("apparent", "export"),
    15: ("active", "import plus export"),
    16: ("active", "import minus export"),
}
"""Value group C of powers and energies; 20, 40, 60 more are of one phase."""

_INSTANTANEOUS: Final = {11: "current", 12: "voltage", 13: "power factor", 14: "frequency"}
_PHASES: Final = {0: "", 20: " L1", 40: " L2", 60: " L3"}
_OTHER: Final = {
    81: "angles",
    82: "pulses",
    90: "current, sum of phases",
    91: "neutral current",
    92: "neutral voltage",
}
_ENERGIES: Final = {8: "", 9: ", time integral 2", 29: " in the interval"}
_PROCESSING: Final = {
    0: ", billing average",
    2: ", cumulative maximum",
    4: ", current average",
    5: ", last average",
    6: ", maximum",
    7: "",
    24: ", average",
    27: ", average",
    32: ", number of sags",
    33: ", duration of the last sag",
    34: ", magnitude of the last sag",
    35: ", threshold",
    36: ", number of swells",
    37: ", duration of the last swell",
    38: ", magnitude of the last swell",
}
_DISTORTION: Final = 124  # value group E: total harmonic distortion


class _Rule(NamedTuple):
    """Groups A to E as ranges, and what such an object is."""

    groups: tuple[range, ...]
    text: str

    def fits(self, code: Obis) -> bool:
        return all(group in allowed for group, allowed in zip(code, self.groups, strict=False))


def _rules() -> Iterator[_Rule]:
    for line in _OBJECTS.strip().splitlines():
        code, text = line.split(None, 1)
        yield _Rule(tuple(map(_range, code.split("."))), text)


def _range(group: str) -> range:
    if group.isalpha():
        return range(256)
    first, _, last = group.partition("-")
    return range(int(first), int(last or first) + 1)


_RULES: Final = tuple(_rules())


@lru_cache(maxsize=4096)
def describe(obis: Obis) -> str:
    """Return what an object is, e.g. "active energy import, tariff 1"; empty if unknown."""
    named = next((rule.text for rule in _RULES if rule.fits(obis)), None)
    if named is not None:
        text = named.format(d=obis.d % 10, e=obis.e)
    else:
        text = _electricity(obis) if obis.a == 1 else ""
    if not text:
        return MEDIA.get(obis.a, "") if obis.a > 1 else ""
    return text + _channel(obis) + _period(obis)


def _electricity(obis: Obis) -> str:
    """Compose what groups C, D and E say; empty if one of them is not known."""
    phase, quantity = _PHASES.get(obis.c // 20 * 20), obis.c % 20
    if obis.c in _OTHER:
        base = _OTHER[obis.c]
    elif phase is None:
        return ""
    elif quantity in _INSTANTANEOUS:
        base = _INSTANTANEOUS[quantity] + phase
    elif quantity in _QUANTITIES:
        kind, direction = _QUANTITIES[quantity]
        if obis.d in _ENERGIES:
            base = f"{kind} energy {direction}{phase}{_ENERGIES[obis.d]}"
            return base + _tariff(obis.e)
        base = f"{kind} power {direction}{phase}"
    else:
        return ""
    if obis.d not in _PROCESSING:
        return ""
    base += _PROCESSING[obis.d]
    return f"{base}, harmonic distortion" if obis.e == _DISTORTION else base + _tariff(obis.e)


def _tariff(group_e: int) -> str:
    return f", tariff {group_e}" if 1 <= group_e <= 63 else ""


def _channel(obis: Obis) -> str:
    return f", channel {obis.b}" if 1 <= obis.b <= 64 else ""


def _period(obis: Obis) -> str:
    return "" if obis.f == 255 else f", billing period {obis.f}"
