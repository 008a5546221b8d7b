# SPDX-License-Identifier: Apache-2.0
"""What a person fills in on a meter's page becomes the argument of a command, kind by kind."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from openami.exchange.commands import CommandKind
from openami.headend.orders import OrderError, attribute_row
from openami.headend.tariff_file import read_tariff

Form = Mapping[str, str]
Json = dict[str, Any]

PROFILE_ID: Final = 1  # the page sets one emergency profile
MOST_MINUTES: Final = 60 * 24 * 31

TITLES: Final[Mapping[CommandKind, str]] = {
    CommandKind.LIMIT: "Limit the load",
    CommandKind.TARIFF: "Give it a tariff",
    CommandKind.CLOCK: "Set its clock",
    CommandKind.ALARMS: "Read or clear its alarms",
    CommandKind.PARAMETERS: "Write parameters",
    CommandKind.BUNDLE: "Send a bundle",
    CommandKind.ARM: "Let a person reconnect",
}


def argument_of(kind: CommandKind, form: Form, zone: ZoneInfo) -> Json:
    """Return the argument that a form describes.

    Args:
        kind: Of the command.
        form: Its fields; those that are empty are not meant.
        zone: Of times in it.

    Raises:
        OrderError: A field is no number or time, or no text that its kind takes.
        TariffError: The tariff is none.
    """
    filled = {name: text.strip() for name, text in form.items() if text.strip()}
    reader = _READERS.get(kind)
    return {} if reader is None else reader(filled, zone)


def moment_of(text: str, zone: ZoneInfo, place: str) -> datetime:
    """Return a time of a form's field; raises `OrderError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise OrderError(f"{place} is {text!r}: give date and time") from None
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _whole(form: Form, name: str) -> int:
    try:
        return int(form[name])
    except ValueError:
        raise OrderError(f"{name} is {form[name]!r}: give a whole number") from None


def _limit(form: Form, zone: ZoneInfo) -> Json:
    names = ("normal", "emergency", "over_s", "under_s")
    said: Json = {name: _whole(form, name) for name in names if name in form}
    if "emergency_start" in form or "emergency_minutes" in form:
        start = moment_of(form.get("emergency_start", ""), zone, "emergency_start")
        minutes = _whole(form, "emergency_minutes") if "emergency_minutes" in form else 0
        if not 1 <= minutes <= MOST_MINUTES:
            raise OrderError(f"emergency_minutes is {minutes}: give 1 to {MOST_MINUTES}")
        duration_s = round(timedelta(minutes=minutes).total_seconds())
        said["profile"] = {
            "id": PROFILE_ID,
            "start": start.isoformat(),
            "duration_s": duration_s,
        }
        said["groups"] = [PROFILE_ID]
    return said


def _tariff(form: Form, zone: ZoneInfo) -> Json:
    text = form.get("tariff", "")
    said = read_tariff(text, is_json=text.startswith("{"))
    match form.get("activate", ""):
        case "":
            pass
        case "at":
            at = moment_of(form.get("activate_at", ""), zone, "activate_at")
            said["activate"] = at.isoformat()
        case word:
            said["activate"] = word
    return said


def _clock(form: Form, _zone: ZoneInfo) -> Json:
    said: Json = {"action": form.get("action", ""), "force": "force" in form}
    if "shift_s" in form and said["action"] == "shift":
        said["shift_s"] = _whole(form, "shift_s")
    return said


def _alarms(form: Form, _zone: ZoneInfo) -> Json:
    said: Json = {"action": form.get("action", "")}
    if "register" in form:
        said["register"] = _whole(form, "register")
    if "bits" in form and said["action"] == "clear":
        words = form["bits"].replace(",", " ").split()
        said["bits"] = [_whole({"bits": word}, "bits") for word in words]
    if "value" in form and said["action"] == "filter":
        try:
            said["value"] = int(form["value"], 0)
        except ValueError:
            sentence = f"value is {form['value']!r}: give a number such as 0xFFFFFFFF"
            raise OrderError(sentence) from None
    return said


def _parameters(form: Form, _zone: ZoneInfo) -> Json:
    lines = form.get("parameters", "").splitlines()
    return {"set": [attribute_row(line.strip()) for line in lines if line.strip()]}


def _bundle(form: Form, _zone: ZoneInfo) -> Json:
    try:
        items = json.loads(form.get("items", "[]"))
    except (ValueError, RecursionError) as error:
        raise OrderError(f"the items are no JSON ({error}): correct them") from error
    return {"items": items, "on_failure": form.get("on_failure", "stop")}


_READERS: Final[Mapping[CommandKind, Callable[[Form, ZoneInfo], Json]]] = {
    CommandKind.LIMIT: _limit,
    CommandKind.TARIFF: _tariff,
    CommandKind.CLOCK: _clock,
    CommandKind.ALARMS: _alarms,
    CommandKind.PARAMETERS: _parameters,
    CommandKind.BUNDLE: _bundle,
}
