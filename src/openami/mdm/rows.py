# SPDX-License-Identifier: Apache-2.0
"""Messages of the inbox to rows of readings, thousands at a time.

A message carries profile rows (clock, status, four channels; docs/architecture.md, 4).  Messages
whose rows have one shape are decoded together by `dlms.bulk.columns`; one that cannot be decoded is
named with its reason and holds up nobody.  A row's clock is the end of its interval; the store
keeps the start.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from openami.dlms.axdr import encode_length, read_length
from openami.dlms.bulk.columns import Columns, decode_profile
from openami.dlms.errors import DecodeError
from openami.exchange.channels import PROFILE_CHANNELS
from openami.exchange.quality import Quality, quality_of_status
from openami.store.inbox import Message
from openami.store.intervals import SCHEMA

COLUMNS: Final = ("clock", "status", *(channel.name for channel in PROFILE_CHANNELS))
MICROSECONDS: Final = 1_000_000
NO_STATUS: Final = 0xFF  # clock status not specified
CLOCK_BAD: Final = 0x03  # clock status: invalid, doubtful (IEC 62056-6-2, 4.1.6.1)

_QUALITY: Final = np.array([int(quality_of_status(status)) for status in range(256)], np.int16)

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that makes no sense, and why."""

    message: Message
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a batch of messages says.

    Attributes:
        rows: Columns of `readings` but `version`, in the order in which messages came.
        clock_status: For each message the bits of its rows' clock status; missing if unreadable.
        unreadable: Messages that could not be decoded.
    """

    rows: pl.DataFrame
    clock_status: dict[int, int]
    unreadable: list[Unreadable]


def decode_messages(messages: Sequence[Message], period_s: int) -> Decoded:
    """Decode the rows of messages; `period_s` is the capture period of their profiles."""
    parts: list[pl.DataFrame] = []
    status: dict[int, int] = {}
    unreadable: list[Unreadable] = []
    for group in _by_shape(messages, unreadable):
        decoded = _together(group, period_s)
        single = [decoded] if decoded is not None else []
        if decoded is None:
            for message in group:
                try:
                    single.append(_decode([message], message.rows, period_s))
                except DecodeError as error:
                    unreadable.append(Unreadable(message, str(error)))
        for rows, found in single:
            parts.append(rows)
            status.update(found)
    rows = pl.concat(parts) if parts else _empty()
    unreadable.sort(key=lambda each: each.message.message_id)
    return Decoded(rows.sort("message_id", maintain_order=True), status, unreadable)


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={name: kind for name, kind in SCHEMA.items() if name != "version"})


def _by_shape(
    messages: Iterable[Message], unreadable: list[Unreadable]
) -> Iterable[Sequence[Message]]:
    """Return groups of messages whose rows seem to have one length and one beginning."""
    groups: dict[tuple[int, int, bytes], list[Message]] = {}
    for message in messages:
        try:
            count, first = _header(message.rows)
        except DecodeError as error:
            unreadable.append(Unreadable(message, str(error)))
            continue
        octets = len(message.rows) - first
        whole = bool(count) and octets % count == 0
        # Where the length does not divide, the message is a group of its own.
        key = (octets // count, 0, message.rows[first : first + 4]) if whole else None
        groups.setdefault(key or (0, message.message_id, b""), []).append(message)
    return groups.values()


def _header(rows: bytes) -> tuple[int, int]:
    if not rows or rows[0] != 0x01:
        raise DecodeError("profile rows are no array", rows, 0, "IEC 62056-6-2, 4.3.6")
    return read_length(rows, 1, "number of rows")


def _together(
    messages: Sequence[Message], period_s: int
) -> tuple[pl.DataFrame, dict[int, int]] | None:
    """Decode messages as one buffer; None if they must be taken one by one."""
    if len(messages) == 1:
        return None
    payloads = []
    total = 0
    for message in messages:
        count, first = _header(message.rows)
        total += count
        payloads.append(message.rows[first:])
    octets = b"".join((b"\x01", encode_length(total), *payloads))
    try:
        return _decode(messages, octets, period_s, by_stride_only=True)
    except DecodeError:
        return None


def _decode(
    messages: Sequence[Message], octets: bytes, period_s: int, *, by_stride_only: bool = False
) -> tuple[pl.DataFrame, dict[int, int]]:
    columns = decode_profile(octets, names=COLUMNS, capture_period_s=period_s)
    if columns.rows == 0:
        return _empty(), {message.message_id: 0 for message in messages}
    if by_stride_only and columns.exact_path:
        # Rows need not end where messages end then.
        raise DecodeError("rows differ in shape", octets, 0, "IEC 62056-6-2, 4.3.6")
    _check(columns, octets)
    counts = [_header(message.rows)[0] for message in messages]
    return _frame(messages, np.array(counts, np.int64), columns, period_s)


def _check(columns: Columns, octets: bytes) -> None:
    for name, values in zip(columns.names[1:], columns.values[1:], strict=True):
        if values.dtype.kind not in "iu":
            problem = f"column {name} holds {values.dtype} values, not integers"
            raise DecodeError(problem, octets, 0, "IEC 62056-6-2, 4.3.6")
    status = columns.values[1]
    if int(status.min()) < 0 or int(status.max()) > 0xFF:
        raise DecodeError("column status is wider than an octet", octets, 0, "0.0.96.10.1.255")


def _frame(
    messages: Sequence[Message], counts: Int64, columns: Columns, period_s: int
) -> tuple[pl.DataFrame, dict[int, int]]:
    assert columns.times_us is not None  # noqa: S101  column 0 is the clock
    assert columns.clock_status is not None  # noqa: S101
    clock_status = np.where(columns.clock_status == NO_STATUS, 0, columns.clock_status)
    quality = _QUALITY[columns.values[1].astype(np.int64)]
    doubtful = (clock_status & CLOCK_BAD) != 0
    quality = np.where(doubtful, quality | np.int16(Quality.CLOCK_DOUBTFUL), quality)

    def repeated(values: Iterable[int], kind: type[np.generic]) -> npt.NDArray[np.generic]:
        return np.repeat(np.fromiter(values, kind), counts)

    shared = pl.DataFrame(
        {
            "meter_id": repeated((message.meter_id for message in messages), np.int32),
            "start": columns.times_us - period_s * MICROSECONDS,
            "quality": quality.astype(np.int16),
            "received_us": repeated((message.received_us for message in messages), np.int64),
            "message_id": repeated((message.message_id for message in messages), np.int64),
        }
    ).with_columns(pl.col("start").cast(SCHEMA["start"]))
    channels = [
        shared.with_columns(
            pl.lit(int(channel), pl.Int8).alias("channel"),
            pl.Series("value", values.astype(np.int64)),
        )
        for channel, values in zip(PROFILE_CHANNELS, columns.values[2:], strict=True)
    ]
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    filled = counts > 0
    status = dict.fromkeys((message.message_id for message in messages), 0)
    numbers = np.array([message.message_id for message in messages])[filled]
    bits = np.bitwise_or.reduceat(clock_status, starts[filled])
    status.update(zip(numbers.tolist(), bits.tolist(), strict=True))
    return pl.concat(channels).select(_empty().columns), status
