# SPDX-License-Identifier: Apache-2.0
"""What browsers are given: vendored files as they were published, contrast, manifest, contract."""

import hashlib
import json
import re
import struct
from pathlib import Path

import pytest

from openami.web.rendering import STATIC, environment, static_url
from web.ami import Ami
from web.clients import TestClient, visitor

VENDOR = STATIC / "vendor"
PACKAGES = json.loads((VENDOR / "manifest.json").read_text())
CSS = (STATIC / "css" / "base.css").read_text()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_a_vendored_package_is_as_published(package: dict[str, object]) -> None:
    files = package["files"]
    assert isinstance(files, dict)
    assert {"name", "version", "licence", "source"} <= package.keys()
    assert any(Path(name).name == "LICENSE" for name in files)
    for name, digest in files.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_every_vendored_file_is_in_the_manifest() -> None:
    there = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()}
    listed = {name for package in PACKAGES for name in package["files"]}
    assert there == listed | {"manifest.json"}


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in [*STATIC.glob("js/*.js"), *STATIC.glob("css/*.css")]:
        assert not re.search(r"https?://(?!www\.w3\.org)", path.read_text()), path


def palette(*, dark: bool) -> dict[str, str]:
    light_part, dark_part = CSS.split("@media (prefers-color-scheme: dark)")
    pattern = re.compile(r"--([\w-]+): (#[0-9a-f]{6});")
    colours = dict(pattern.findall(light_part))
    return colours | (dict(pattern.findall(dark_part)) if dark else {})


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


TEXT = [
    (ink, ground)
    for ink in ("ink", "ink-2")
    for ground in ("ground", "surface", "raised", "sunken")
] + [
    ("accent", "surface"),
    ("accent", "ground"),
    ("accent", "accent-soft"),
    ("accent-ink", "accent"),
    ("look", "surface"),
    ("look", "look-soft"),
    ("harm", "surface"),
    ("harm", "harm-soft"),
    ("harm-ink", "harm"),
    ("good", "good-soft"),
]
SHAPES = [
    (shape, "surface")
    for shape in ("import", "region-1", "region-2", "region-3", "region-4", "line-strong")
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_can_be_read(ink: str, ground: str, scheme: str) -> None:
    colours = palette(dark=scheme == "dark")
    assert contrast(colours[ink], colours[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("shape", "ground"), SHAPES)
def test_shapes_stand_out(shape: str, ground: str, scheme: str) -> None:
    colours = palette(dark=scheme == "dark")
    assert contrast(colours[shape], colours[ground]) >= 3.0


def test_both_schemes_define_the_same_colours() -> None:
    light, dark = palette(dark=False), palette(dark=True)
    assert light.keys() == dark.keys()


def test_the_app_can_be_installed(seen: Ami) -> None:
    manifest = visitor(seen).get(static_url("app.webmanifest")).json()
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        octets = (STATIC / Path(icon["src"]).relative_to("/static")).read_bytes()
        if icon["type"] == "image/png":
            width, height = struct.unpack(">II", octets[16:24])
            assert icon["sizes"] == f"{width}x{height}"


def test_a_file_with_its_hash_may_be_kept_for_ever(seen: Ami) -> None:
    client = visitor(seen)
    address = static_url("css/base.css")
    assert "immutable" in client.get(address).headers["cache-control"]
    assert client.get("/static/css/base.css").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", environment().list_templates())
def test_every_template_can_be_parsed(name: str) -> None:
    environment().get_template(name)


def test_the_contract_of_the_interface_is_there(seen: Ami) -> None:
    contract = visitor(seen).get("/api/openapi.json").json()
    assert "/api/meters/{meter_id}/day" in contract["paths"]
    assert not [path for path in contract["paths"] if path.startswith("/console")]
    assert visitor(seen).get("/docs").status_code == 404


def test_health_and_readiness(seen: Ami, utility: TestClient) -> None:
    client = visitor(seen)
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    assert "app;dur=" in utility.get("/console").headers["server-timing"]
