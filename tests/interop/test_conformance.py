# SPDX-License-Identifier: Apache-2.0
"""The conformance tests at a meter that a foreign implementation serves.

gurux-dlms calls its server a sample; what is found here was looked at in the transcripts, and
stands for what such a run tells.
"""

import json
from pathlib import Path

import pytest

from interop.test_foreign_meter import foreign_meter
from openami.cli.main import main

pytestmark = pytest.mark.interop

PROFILE = """
[meter]
associations = ["public"]
[timing]
response_s = 5.0
[public]
client = 16
conformance = ["get", "set", "action", "multiple-references", "selective-access",
    "block-transfer-with-get-or-read", "block-transfer-with-set-or-write",
    "block-transfer-with-action"]
"""
VERDICTS = {
    "APPL_IDLE_N1": ("PASS", ""),
    "APPL_OPEN_1": ("PASS", ""),
    "APPL_OPEN_4": (
        "FAIL",
        "AARE accepted, diagnostic null came to the AARQ with protocol-version 2",
    ),
    "APPL_OPEN_9": ("FAIL", "with a dedicated key and no ciphering; the association must not open"),
    "APPL_OPEN_14": ("PASS", ""),
    "APPL_DATA_LN_GET": ("PASS", ""),
    "APPL_DATA_LN_LIST": ("PASS", ""),
    "APPL_DATA_LN_CONFORMANCE": ("FAIL", "came to GET with a list, which was not negotiated"),
}


def test_a_foreign_server_is_judged_by_what_it_answers(tmp_path: Path) -> None:
    profile, found = tmp_path / "meter.toml", tmp_path / "c.json"
    profile.write_text(PROFILE)
    chosen = [part for case in VERDICTS for part in ("--case", case)]
    reports = ["--json", str(found), "--html", str(tmp_path / "c.html")]
    with foreign_meter(client_sap=16, mechanism="none", connections=100) as url:
        status = main(
            ["conformance", "run", str(url), "--profile", str(profile), *reports, *chosen]
        )
    assert status == 1
    results = {each["case"]: each for each in json.loads(found.read_text())["results"]}
    assert set(results) == set(VERDICTS)
    for case, (verdict, reason) in VERDICTS.items():
        assert results[case]["verdict"] == verdict, results[case]["reason"]
        assert reason in results[case]["reason"]
