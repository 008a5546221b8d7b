# SPDX-License-Identifier: Apache-2.0
"""When something is wrong: a sentence on the page, no trace, the service goes on."""

import logging

import pytest

from openami.runtime.errors import UserError
from openami.store import live
from openami.web import fleet
from web.ami import Ami
from web.clients import sign_in, visitor


def test_an_address_that_leads_nowhere(seen: Ami) -> None:
    answer = visitor(seen).get("/nowhere")
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.text
    assert visitor(seen).get("/api/nowhere").json() == {
        "error": "There is no page at this address."
    }


def test_a_method_that_is_not_served(seen: Ami) -> None:
    assert visitor(seen).get("/logout").status_code == 405


def test_a_store_that_does_not_answer_is_told_in_a_sentence(
    fresh: Ami, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(fresh, "utility")

    def refuse(*_: object) -> None:
        raise UserError("the disk is full: free space")

    monkeypatch.setattr(fleet, "today", refuse)
    answer = client.get("/console")
    assert answer.status_code == 503
    assert "the disk is full: free space" in answer.text
    assert client.get("/api/fleet").json() == {"error": "the disk is full: free space"}
    monkeypatch.setattr(live, "feed_end", refuse)
    assert client.get("/ready").status_code == 503


def test_a_fault_of_ours_has_a_reference_and_shows_no_trace(
    fresh: Ami, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = sign_in(fresh, "utility")

    def fail(*_: object) -> None:
        raise RuntimeError("the secret of the trace")

    monkeypatch.setattr(fleet, "today", fail)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/console")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    record = next(record for record in caplog.records if "reference" in record.message)
    reference = record.message.rsplit(" ", 1)[1]
    assert reference in answer.text
    assert client.get("/console/jobs").status_code == 200, "the service goes on"
    assert answer.headers["content-security-policy"]
