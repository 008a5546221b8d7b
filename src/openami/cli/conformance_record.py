# SPDX-License-Identifier: Apache-2.0
"""What a conformance run leaves: one record a case, in words that need no tools, without secrets.

A report is a dictionary as it stands in JSON; the HTML report is drawn from it, and a run that was
stopped goes on from it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openami.cli.conformance_profile import Profile
from openami.cosem.conformance.case import Verdict
from openami.cosem.conformance.declaration import DeclaredAssociation
from openami.cosem.conformance.runner import Crossing, Result
from openami.cosem.conformance.suite import Planned
from openami.dlms.apdu.acse import Aare
from openami.dlms.errors import DlmsError
from openami.dlms.recordings.translate import Node, TranslationKeys, describe
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json

FORMAT: Final = "openami-conformance-1"
HIDDEN: Final = "··"
MOST_LINES: Final = 80
MOST_OCTETS: Final = 600
RESERVED_COUNTERS: Final = 1000
"""A run that goes on begins so far above the counters of the one that was stopped."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Takes secrets out of texts, however their octets are written."""

    secrets: tuple[bytes, ...]

    def __call__(self, text: str) -> str:
        for octets in self.secrets:
            if len(octets) < 4:
                continue
            hidden = " ".join([HIDDEN] * len(octets))
            for shown in (octets.hex(" "), octets.hex()):
                text = text.replace(shown, hidden).replace(shown.upper(), hidden)
            plain = octets.decode("latin-1")
            if plain.isprintable():
                text = text.replace(plain, hidden)
        return text


def record(planned: Planned, result: Result, hide: Redaction) -> dict[str, Any]:
    """Return one result as it stands in JSON."""
    case = result.case
    return {
        "key": planned.key,
        "case": case.id,
        "group": case.group.value,
        "title": case.title,
        "association": result.association,
        "clause": case.clause,
        "steps": case.steps,
        "accepts": case.accepts,
        "verdict": result.verdict.value,
        "reason": hide(result.reason),
        "remarks": [hide(each) for each in result.remarks],
        "transcript": [
            {name: hide(text) for name, text in line.items()}
            for line in _transcript(result.transcript, planned.association)
        ],
    }


def _transcript(
    crossings: Iterable[Crossing], association: DeclaredAssociation | None
) -> Iterator[dict[str, str]]:
    title = b""
    for crossing in crossings:
        octets = crossing.octets
        line = {"kind": crossing.kind}
        if crossing.text:
            line["text"] = crossing.text
        if octets:
            title = _server_title(octets) or title
            cut = octets[:MOST_OCTETS].hex(" ")
            line["octets"] = f"{cut} … {len(octets)} octets" if len(octets) > MOST_OCTETS else cut
            sender = title
            if crossing.kind == "send" and association is not None:
                sender = association.client_title
            line["words"] = words(octets, association, sender)
        yield line


def _server_title(octets: bytes) -> bytes:
    if octets[:1] != b"\x61":
        return b""
    try:
        return Aare.decode(octets).responding_ap_title or b""
    except DlmsError:
        return b""


def words(octets: bytes, association: DeclaredAssociation | None, sender: bytes) -> str:
    """Return what octets say, a line for each field; what keys hide is opened with them."""
    keys = association.keys if association else None
    opening = None
    if keys is not None:
        opening = TranslationKeys(
            encryption_key=keys.encryption_key,
            authentication_key=keys.authentication_key,
            system_title=sender,
        )
    translation = describe(octets, keys=opening)
    lines = [line for node in translation.tree for line in _lines(node, 0)]
    more = len(lines) - MOST_LINES
    return "\n".join([*lines[:MOST_LINES], *([f"… {more} lines more"] if more > 0 else [])])


def _lines(node: Node, depth: int) -> Iterator[str]:
    label = node.label.replace("_", "-")
    yield "  " * depth + (f"{label}: {node.value}" if node.value else label)
    for child in node.children:
        yield from _lines(child, depth + 1)


def report(
    profile: Profile, url: str, times: Mapping[str, str], records: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """Return the whole report.

    Args:
        profile: What was declared; its counters are kept for a run that goes on.
        url: Where the meter is.
        times: When the run began and ended.
        records: Of `record`.
    """
    results = list(records)
    counts = Counter(each["verdict"] for each in results)
    return {
        "format": FORMAT,
        "meter": profile.declaration.name,
        "url": url,
        **times,
        "summary": {verdict.value: counts[verdict.value] for verdict in Verdict},
        "counters": {
            aa.name: aa.counters.following + RESERVED_COUNTERS
            for aa in profile.declaration.associations
            if aa.is_ciphered
        },
        "results": results,
    }


def resumed(path: Path, profile: Profile) -> list[dict[str, Any]]:
    """Return the records of a run that was stopped, and go on with its frame counters.

    Raises:
        ConfigurationError: The file is no report.
    """
    remedy = "give --json the report of the run that was stopped, or leave --resume out"
    if not path.exists():
        return []
    found = read_json(path, remedy)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ConfigurationError(f"{path} is no report of a conformance run: {remedy}")
    for association in profile.declaration.associations:
        counter = found["counters"].get(association.name, 0)
        association.counters.following = max(association.counters.following, counter)
    return [each for each in found["results"] if each["verdict"] != Verdict.INCONCLUSIVE.value]
