# SPDX-License-Identifier: Apache-2.0
"""A value on the command line: text, JSON, `hex:` octets, or text with `--type`."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from openami.cosem.kinds import Kind
from openami.cosem.literals import Json, LiteralError, of_type, plain, too_deep
from openami.cosem.named import from_named, to_named
from openami.dlms import data as axdr_data
from openami.dlms.data import Data
from openami.dlms.errors import DecodeError
from openami.runtime.errors import ExitCode, UserError

HEX: Final = "hex:"
MARGIN: Final = timedelta(days=1)
"""More than any deviation from UTC."""
_JSON_TYPES: Final = frozenset({"array", "structure", "compact-array", "boolean"})


def json_or_text(text: str) -> Json:
    """Return what JSON the text is; text that is none is itself.

    Raises:
        LiteralError: It nests deeper than any value may.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise too_deep() from None
    except ValueError:
        return text


def given_type(text: str, type_name: str | None) -> tuple[bool, Data]:
    """Return whether the value tells its own type, and then the value.

    Args:
        text: The value as it was written.
        type_name: What `--type` says; None for nothing.

    Raises:
        UserError: The octets or the text are no value of that type.
    """
    try:
        if text.lower().startswith(HEX):
            return True, axdr_data.decode(bytes.fromhex(text[len(HEX) :]))
        if type_name is None:
            return False, None
        written = json_or_text(text) if type_name in _JSON_TYPES else text
        return True, of_type(type_name, written)
    except LiteralError as error:
        raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None
    except DecodeError as error:
        sentence = f"{text} is no encoded value: {error}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    except ValueError:
        sentence = f"{text} is not hexadecimal: write two digits an octet, type tag first"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None


def by_class(kind: Kind[object], text: str, place: str, example: Data = None) -> Data:
    """Return a value in the type that the class declares.

    Args:
        kind: What the class declares.
        text: The value as it was written.
        place: Where it goes, for the sentence.
        example: The value there now.

    Raises:
        UserError: It does not fit.
    """
    try:
        return from_named(kind, json_or_text(text), example)
    except LiteralError as error:
        raise UserError(f"{place}: {error}", ExitCode.ASKED_WRONGLY) from None


def shown(kind: Kind[object] | None, value: Data) -> str:
    """Return a value on one line, by the names of its class where that is known."""
    named = plain(value) if kind is None else to_named(kind, value)
    return named if isinstance(named, str) else json.dumps(named, ensure_ascii=False)


def moment(place: str, text: str | None) -> datetime | None:
    """Return the time that the option `place` names; one without an offset is in UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        for side in (-MARGIN, MARGIN):  # a clock shows it by its own deviation
            found.astimezone(UTC) + side
    except (ValueError, OverflowError):
        sentence = f"{place} {text!r} is no time: write 2026-03-01 or 2026-03-01T12:30:00+01:00"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    return found
