# SPDX-License-Identifier: Apache-2.0
"""Connections that do not say what they want, and requests for heads, on a real port."""

import socket
from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from openami.transport.doors import parse_networks
from web.ami import UTILITY_PASSWORD, Ami
from web.clients import sign_in, visitor
from web.servers import client_of, served

FORM = b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"


def dialled(base: str) -> socket.socket:
    url = httpx.URL(base)
    assert url.port
    return socket.create_connection((url.host, url.port), timeout=20)


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a",
        b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n|GET /he",
        FORM + b"Content-Length: 9\r\n\r\nl",
    ],
    ids=["nothing", "half a head", "half a second one", "half a body"],
)
def test_who_does_not_say_what_it_wants_is_closed(fresh: Ami, words: bytes) -> None:
    fresh.context.config = replace(fresh.context.config, request_timeout_s=1.0)
    with served(fresh) as base, dialled(base) as line:
        first, _, rest = words.partition(b"|")
        line.sendall(first)
        if rest:
            assert line.recv(4096).startswith(b"HTTP/1.1 200")
            line.sendall(rest)
        while line.recv(4096):
            pass  # it ends; a server that waits for ever ends it by our timeout, with an error


def test_one_address_has_so_many_that_say_nothing_and_others_are_served(fresh: Ami) -> None:
    fresh.context.config = replace(fresh.context.config, half_open_per_address=2)
    with served(fresh) as base:
        with dialled(base), dialled(base), dialled(base) as third:
            assert third.recv(1) == b""
        shared = parse_networks(["127.0.0.0/8"])
    fresh.context.config = replace(fresh.context.config, gateways=shared)
    with served(fresh) as base, dialled(base), dialled(base), dialled(base):
        assert httpx.get(f"{base}/health").status_code == 200


@pytest.mark.parametrize("path", ["/login", "/health", "/console", "/nowhere", "/api/meters"])
def test_a_head_is_what_get_says_without_its_body(fresh: Ami, path: str) -> None:
    page = sign_in(fresh, "utility")
    head, full = page.head(path), page.get(path)
    assert (head.status_code, head.content) == (full.status_code, b"")
    assert head.headers.keys() == full.headers.keys()
    assert path != "/health" or head.headers["content-length"] == full.headers["content-length"]


def test_where_get_is_not_answered_a_head_is_not(fresh: Ami) -> None:
    assert visitor(fresh).head("/logout").status_code == 405


def test_the_head_of_a_stream_ends(fresh: Ami) -> None:
    with served(fresh) as base, closing(client_of(base, "utility", UTILITY_PASSWORD)) as client:
        assert client.head("/api/stream").headers["content-type"].startswith("text/event-stream")
