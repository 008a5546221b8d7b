# SPDX-License-Identifier: Apache-2.0
"""Sags, swells, lost phases, harmonics and reversed currents change the energy that is counted."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter.house import INSTALLED_S
from openami.meter.load import INTERVAL_S, WS_PER_WH, energy_over
from openami.meter.measuring.accuracy import Bench
from openami.meter.measuring.adc import together
from openami.meter.measuring.chain import Chain
from openami.meter.measuring.terminals import Terminals
from openami.meter.metrology import Metrology
from openami.meter.replay import ReplayedLoad
from openami.meter.supply import (
    LONGEST_OCTETS,
    MILLION,
    SOUND,
    Portion,
    Share,
    SupplyHistory,
    SupplyLog,
    Way,
)

LOAD = ReplayedLoad(1, 1)
START = INSTALLED_S - INSTALLED_S % INTERVAL_S + 10 * INTERVAL_S


def portions(*shares: Share) -> tuple[Portion, Portion]:
    history = SupplyHistory(shares)
    return Portion(LOAD, history, Way.IMPORT), Portion(LOAD, history, Way.EXPORT)


def test_a_sound_supply_gives_the_data_sets_energy_exactly() -> None:
    imported, exported = portions()
    for slot in range(48):
        at = START + slot * INTERVAL_S
        assert imported.interval_ws(at) == LOAD.interval_wh(at) * WS_PER_WH
        assert exported.interval_ws(at) == 0
    assert imported.power_w(START + 700) == LOAD.power_w(START + 700)


@pytest.mark.parametrize(
    ("terminals", "part"),
    [
        (Terminals(level_l1=0.7), 0.49),
        (Terminals(level_l1=1.1), 1.21),
        (Terminals(level_l1=0.0), 0.0),
        (Terminals(level_l2=0.0, level_l3=0.5), 1.0),
        (Terminals(harmonic_5=0.1), 1.01),
        (Terminals(level_l1=0.9, harmonic_5=0.2), 0.81 * 1.04),
        (Terminals(neutral_lost=True, magnet_mt=80.0, sequence_reversed=True), 1.0),
    ],
)
def test_energy_goes_with_the_square_of_the_voltage(terminals: Terminals, part: float) -> None:
    """From the 600th to the 1,200th second of a half-hour; before and behind nothing changes."""
    begun, ended = START + 600, START + 1200
    imported, exported = portions(terminals.share(begun), Terminals().share(ended))

    spoilt = imported.energy_ws(begun, ended)

    assert spoilt == pytest.approx(LOAD.energy_ws(begun, ended) * part, abs=1)
    assert imported.energy_ws(START, begun) == LOAD.energy_ws(START, begun)
    whole = LOAD.energy_ws(START, begun) + spoilt + LOAD.energy_ws(ended, START + INTERVAL_S)
    assert imported.interval_ws(START) == pytest.approx(whole, abs=1)
    assert imported.interval_ws(START + INTERVAL_S) == LOAD.interval_ws(START + INTERVAL_S)
    assert exported.interval_ws(START) == 0


def test_a_reversed_current_is_counted_as_export() -> None:
    begun = START + 900
    imported, exported = portions(Terminals(current_reversed=True, level_l1=0.8).share(begun))
    behind = LOAD.energy_ws(begun, START + INTERVAL_S)

    assert imported.interval_ws(START) == LOAD.energy_ws(START, begun)
    assert exported.interval_ws(START) == pytest.approx(0.64 * behind, abs=1)
    assert imported.power_w(begun) == 0
    assert exported.power_w(begun) == pytest.approx(0.64 * LOAD.power_w(begun), abs=1)


@pytest.mark.parametrize(
    "terminals", [Terminals(level_l1=0.7), Terminals(level_l1=1.1), Terminals(harmonic_5=0.1)]
)
def test_the_chain_measures_as_much_of_the_same_terminals(terminals: Terminals) -> None:
    """The share is what the measuring chain finds of the waveforms at such terminals."""
    bench, frames = Bench(seed=1), 4
    size = bench.config.frame

    def power_w(found: Terminals) -> float:
        home = found.home(2300, 230.0, bench.config.sampling_hz)
        samples = together([bench.converter.sample(home, 0, frames * size)])
        measured = list(Chain(bench.config, bench.calibration).feed(samples))
        return float(measured[-1].active_w[0, -1])

    part = power_w(terminals) / power_w(Terminals())

    assert part == pytest.approx(terminals.share(0).imported / MILLION, rel=1e-3)


SHARES = st.lists(
    st.tuples(
        st.integers(START - 4000, START + 4000),
        st.integers(0, 2 * MILLION),
        st.integers(0, 2 * MILLION),
    ),
    max_size=8,
)


@given(SHARES, st.lists(st.integers(-3600, 3600), max_size=6))
def test_spans_add_up_however_they_are_cut(
    found: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    history = SupplyHistory()
    for share in sorted(found):
        history.add(Share(*share))
    for way in Way:
        portion = Portion(LOAD, history, way)
        marks = sorted([START - 3600, *(START + cut for cut in cuts), START + 3600])
        parts = [energy_over(portion, start, stop) for start, stop in pairwise(marks)]
        assert sum(parts) == energy_over(portion, marks[0], marks[-1])
        assert min(parts) >= 0


@given(SHARES)
def test_what_has_flowed_is_not_changed_by_what_comes(found: list[tuple[int, int, int]]) -> None:
    """Registers never go back: each change counts from its own second on."""
    history, meter_at = SupplyHistory(), START - 4000
    portion = Portion(LOAD, history, Way.IMPORT)
    before = 0
    for share in sorted(found):
        before = energy_over(portion, meter_at, max(share[0], meter_at))
        history.add(Share(*share))
        assert energy_over(portion, meter_at, max(share[0], meter_at)) == before


def test_a_meter_counts_what_flowed_and_its_registers_only_rise() -> None:
    history = SupplyHistory()
    meter = Metrology(
        Portion(LOAD, history, Way.IMPORT),
        START,
        INTERVAL_S,
        generation=Portion(LOAD, history, Way.EXPORT),
    )
    states = [
        Terminals(), Terminals(level_l1=0.0), Terminals(level_l1=0.6),
        Terminals(current_reversed=True), Terminals(harmonic_5=0.3),
    ]  # fmt: skip
    last, intervals = (0, 0), []
    for step, at in enumerate(range(START + 97, START + 4 * INTERVAL_S, 397)):
        intervals += meter.advance(at)
        history.add(states[step % len(states)].share(at))
        shown = meter.momentary(at)
        registers = (shown.import_register_wh, shown.export_register_wh)
        assert registers >= last
        assert registers[1] >= last[1]
        last = registers
    intervals += meter.advance(START + 4 * INTERVAL_S)
    end = START + 4 * INTERVAL_S
    counted_ws = meter.last.import_register_wh * WS_PER_WH + meter.last.import_remainder_ws
    assert counted_ws == energy_over(Portion(LOAD, history, Way.IMPORT), START, end)
    assert 0 < counted_ws < energy_over(LOAD, START, end)
    assert meter.last.export_register_wh > 0
    assert sum(one.import_wh for one in intervals) == meter.last.import_register_wh


# On disk ------------------------------------------------------------------------------------


def test_a_meter_that_starts_again_counts_the_same(tmp_path: Path) -> None:
    log = SupplyLog(tmp_path / "supply.journal")
    log.note(Terminals(level_l1=0.7).share(START + 100), START)
    log.note(Terminals(level_l1=0.7).share(START + 101), START)
    log.note(Terminals().share(START + 900), START)
    wanted = Portion(LOAD, log.history, Way.IMPORT).interval_ws(START)
    log.close()

    again = SupplyLog(tmp_path / "supply.journal")

    assert again.finding is None
    assert Portion(LOAD, again.history, Way.IMPORT).interval_ws(START) == wanted
    assert again.history.now.same_as(SOUND)
    again.close()


def test_a_change_is_durable_at_once(tmp_path: Path) -> None:
    log = SupplyLog(tmp_path / "supply.journal")
    log.note(Terminals(level_l1=0.0).share(START), START)
    copied = tmp_path / "copied.journal"
    copied.write_bytes((tmp_path / "supply.journal").read_bytes())

    assert SupplyLog(copied).history.now == Share(START, 0)
    log.close()


def test_a_clock_that_goes_back_changes_nothing_that_was_counted() -> None:
    history = SupplyHistory()
    history.add(Share(START + 100, 0))
    assert history.add(Share(START, MILLION)) == Share(START + 100, MILLION)
    assert history.add(Share(START + 200, MILLION)) is None


def test_a_full_disk_keeps_changes_and_writes_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SupplyLog(tmp_path / "supply.journal")
    with monkeypatch.context() as full:
        full.setattr("os.pwrite", _full)
        log.note(Share(START, 0), START)
        assert "free space" in log.failing
        assert log.history.now == Share(START, 0), "it counts all the same"
    log.note(Share(START + 1, 0), START)
    assert log.failing == ""
    log.close()
    assert SupplyLog(tmp_path / "supply.journal").history.now == Share(START, 0)


def _full(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_long_journal_is_shortened_and_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "supply.journal"
    log = SupplyLog(path)
    count = 0
    while path.stat().st_size <= LONGEST_OCTETS:
        count += 1
        log.history.add(Share(START + count, count))
        log._journal.append([b"\x00" * 12] * 4000)
    log.note(Share(START + count + 1, 7), START + count)
    log.close()

    again = SupplyLog(path)

    assert path.stat().st_size < 200
    assert again.history.now == Share(START + count + 1, 7)
    found = list(again.history.stretches(START + count, START + count + 2))
    assert [share.imported for _, _, share in found] == [count, 7]
    again.close()
