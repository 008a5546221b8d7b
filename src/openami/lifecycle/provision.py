# SPDX-License-Identifier: Apache-2.0
"""Provisioning: certificates, keys and configuration of a whole AMI below `var`.

`provision` may be cut at any point and run again.  What is there and sound stays; what is missing
is made; what is corrupt is refused by name.  A meter's folder appears whole or not at all: it is
made under another name, made durable, and renamed.  docs/provisioning.md lists every file.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from openami.access.keystore import KeyStore
from openami.dlms.security.suites import SecuritySuite
from openami.lifecycle.authority import Authority, Credentials
from openami.lifecycle.certifying import USAGES, Pairs
from openami.lifecycle.configuration import (
    PAIRS_FILE,
    device_toml,
    hexed,
    kind_of,
    write_configurations,
)
from openami.lifecycle.keys import SECRETS, MeterKeys
from openami.lifecycle.plan import (
    HEAD_END_TITLE,
    Plan,
    concentrator_title,
    logical_device_name,
    meter_title,
)
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.files import PRIVATE, PUBLIC, read_json, sync_folder, write_durably, write_json
from openami.runtime.layout import Layout
from openami.transport.tls import Role

__all__ = ["Plan", "provision", "stored_plan"]

Progress = Callable[[str, int, int], None]  # what is made, how many are done, of how many
Wrap = Callable[[bytes], bytes]

PAIRS_FORMAT: Final = "openami-keypairs-1"
SHIPMENT_FORMAT: Final = "openami-shipment-1"
AT_ONCE: Final = 16  # meters that are made at once
STAGING: Final = ".new"  # folders that are not whole yet
SESSION_KEY_OCTETS: Final = 32


def silent(what: str, done: int, total: int) -> None:
    """Report progress to nobody."""


def plan_path(layout: Layout) -> Path:
    """Return where the plan is kept."""
    return layout.var / "plan.json"


def stored_plan(layout: Layout) -> Plan | None:
    """Return the plan of an earlier start, or None before the first."""
    path = plan_path(layout)
    return Plan.load(path) if path.exists() else None


def provision(layout: Layout, plan: Plan, progress: Progress = silent) -> list[str]:
    """Bring `layout.var` to what `plan` says.

    Args:
        layout: Where.
        plan: What; compared with the plan of an earlier start.
        progress: Told of each device that has been made.

    Returns:
        Sentences on what is to be known, e.g. files that were edited and differ from the plan.

    Raises:
        UserError: The plan contradicts an earlier one, a file is corrupt, or the disk is full.
    """
    if (earlier := stored_plan(layout)) is not None:
        earlier.verify_successor(plan, plan_path(layout))
    if earlier != plan:
        plan.store(plan_path(layout))
    authority = Authority.open(layout.authority)
    _provision_systems(layout, plan, authority)
    if plan.suite:
        _give_pairs(layout, plan, authority)
    _provision_meters(layout, plan, authority, progress)
    told = write_configurations(layout, plan)
    session_key = layout.web / "session.key"
    if not session_key.exists():
        write_durably(session_key, os.urandom(SESSION_KEY_OCTETS).hex().encode(), mode=PRIVATE)
    _ship(layout, plan, progress)
    return told


def _provision_systems(layout: Layout, plan: Plan, authority: Authority) -> None:
    """Give the head-end and the concentrators their certificates."""
    systems = [(layout.headend, HEAD_END_TITLE, Role.HEAD_END)]
    systems += [
        (layout.concentrator(name), concentrator_title(number), Role.CONCENTRATOR)
        for number, name in enumerate(plan.regions, start=1)
    ]
    for folder, title, role in systems:
        _certify(folder, title, role, authority)
        if role is Role.CONCENTRATOR:
            _give_keys(folder, title)


def _give_keys(folder: Path, title: bytes) -> None:
    """Give a concentrator DLMS keys of its own, or look through those that it has."""
    path = folder / "keys.json"
    if path.exists():
        MeterKeys.load(path, title)
    else:
        write_json(path, MeterKeys.generate().to_json(title), mode=PRIVATE)


def _give_pairs(layout: Layout, plan: Plan, authority: Authority) -> None:
    """Give the head-end its key pairs, wrapped, and their certificates."""
    path = layout.headend / PAIRS_FILE
    if path.exists():
        _clients(layout)
        return
    pairs = Pairs.drawn(authority, SecuritySuite(plan.suite), HEAD_END_TITLE, Role.HEAD_END)
    wrap = KeyStore(layout.headend / "keystore").wrap
    told = {
        "format": PAIRS_FORMAT,
        "title": hexed(HEAD_END_TITLE),
        "suite": plan.suite,
        **{name: wrap(octets).hex() for name, octets in pairs.private.items()},
        "certificates": {name: octets.hex() for name, octets in pairs.certificates.items()},
    }
    write_json(path, told, mode=PRIVATE)


def _clients(layout: Layout) -> tuple[bytes, ...]:
    """Return the head-end's certificates (DER), for the meters."""
    path = layout.headend / PAIRS_FILE
    remedy = "restore it from a backup: the meters believe the certificates in it"
    said = read_json(path, remedy)
    try:
        return tuple(bytes.fromhex(said["certificates"][name]) for name in USAGES)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} holds no key pairs ({error!r}): {remedy}") from error


def _certify(folder: Path, title: bytes, role: Role, authority: Authority) -> None:
    """Look through a device's certificate; issue one where there is none."""
    if (folder / "tls.crt").exists():
        _verify_device(folder, title, role)
        return
    credentials = authority.issue(title, role)
    write_durably(folder / "ca.crt", authority.pem)
    write_durably(folder / "tls.key", credentials.key, mode=PRIVATE)
    write_durably(folder / "tls.crt", credentials.certificate)  # last: says it is whole


def _provision_meters(layout: Layout, plan: Plan, authority: Authority, progress: Progress) -> None:
    """Make the folders of the meters that are missing; look through the others."""
    staging = layout.meters / STAGING
    if staging.exists():
        shutil.rmtree(staging)

    clients = _clients(layout) if plan.suite else ()

    def make(meter_id: int) -> int:
        title = meter_title(meter_id)
        folder = layout.meter(title)
        if folder.exists():
            _certify(folder, title, Role.METER, authority)
            if not _is_personalised(folder):
                MeterKeys.load(folder / "keys.json", title)
        else:
            _make_meter(staging / folder.name, plan, meter_id, authority, clients)
            (staging / folder.name).rename(folder)
        return meter_id

    # A disk makes many files durable in the time of one: most of a meter is waiting for it.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for meter_id in pool.map(make, range(1, plan.meters + 1)):
                progress("meters", meter_id, plan.meters)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if staging.exists():
        staging.rmdir()
    sync_folder(layout.meters)


def _is_personalised(folder: Path) -> bool:
    """Tell whether a meter's keys left `keys.json` for its secure world."""
    return (folder / "attestation-pub.pem").exists()


def _make_meter(
    folder: Path, plan: Plan, meter_id: int, authority: Authority, clients: tuple[bytes, ...]
) -> None:
    title = meter_title(meter_id)
    credentials = authority.issue(title, Role.METER)
    suite = SecuritySuite(plan.suite)
    drawn, certified = MeterKeys.generate(suite), {}
    if suite:
        pairs = Pairs.drawn(authority, suite, title, Role.METER)
        root = authority.certificate.public_bytes(serialization.Encoding.DER)
        own = tuple(pairs.certificates.values())
        believed = (root, *clients, *own)
        drawn = replace(drawn, pairs=pairs.private, certificates=believed)
        certified = {f"{name}.crt": (pem(der), PUBLIC) for name, der in pairs.certificates.items()}
    keys = json.dumps(drawn.to_json(title), indent=1).encode() + b"\n"
    _write_folder(
        folder,
        {
            **certified,
            **_tls_files(authority, credentials),
            "keys.json": (keys, PRIVATE),
            "device.toml": (device_toml(plan, meter_id), PUBLIC),
        },
    )


def _tls_files(authority: Authority, credentials: Credentials) -> dict[str, tuple[bytes, int]]:
    return {
        "ca.crt": (authority.pem, PUBLIC),
        "tls.crt": (credentials.certificate, PUBLIC),
        "tls.key": (credentials.key, PRIVATE),
    }


def _write_folder(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Write files and make them and their names durable; the folder is not in use yet."""
    try:
        folder.mkdir(parents=True, mode=0o755)
        for name, (octets, mode) in files.items():
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(descriptor)
        sync_folder(folder)
    except OSError as error:
        sentence = f"{folder} cannot be written ({error.strerror}): free space or permit writing"
        raise UserError(sentence) from error


def _verify_device(folder: Path, title: bytes, role: Role) -> None:
    """Refuse a certificate or key that is corrupt or another device's."""
    remedy = f"restore it, or remove {folder / 'tls.crt'} to have a new certificate issued"
    path = folder / "tls.crt"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        path = folder / "tls.key"
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        path = folder / "ca.crt"
        x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} is corrupt: {remedy}") from error
    subject = f"CN={hexed(title)},OU={role}"
    if certificate.subject.rfc4514_string() != subject:
        found = certificate.subject.rfc4514_string()
        raise ConfigurationError(f"{folder / 'tls.crt'} is of {found}, not {subject}: {remedy}")
    if key.public_key() != certificate.public_key():
        pair = f"{folder / 'tls.key'} does not belong to tls.crt beside it"
        raise ConfigurationError(f"{pair}: {remedy}")


def _ship(layout: Layout, plan: Plan, progress: Progress) -> None:
    """Write `shipment.json`, unless it lists these very meters already.

    Rows of meters that were shipped stay: the keys of one that was personalised are nowhere else.
    """
    path = layout.headend / "shipment.json"
    titles = [hexed(meter_title(meter_id)) for meter_id in range(1, plan.meters + 1)]
    shipped: dict[str, dict[str, object]] = {}
    if path.exists():
        remedy = "remove it; it is written again from the meters' folders"
        try:
            shipped = {row["title"]: row for row in read_json(path, remedy)["meters"]}
        except (KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} is no shipment: {remedy}") from error
        if list(shipped) == titles:
            return
    wrap = KeyStore(layout.headend / "keystore").wrap
    rows = []
    for meter_id, title in enumerate(titles, start=1):
        rows.append(shipped.get(title) or _shipped(layout, plan, meter_id, wrap))
        progress("keys", meter_id, plan.meters)
    concentrators = [
        {"name": name, "title": hexed(plan.concentrator_of(name)), "region": name}
        for name in plan.regions
    ]
    shipment = {
        "format": SHIPMENT_FORMAT,
        "head_end": hexed(HEAD_END_TITLE),
        "concentrators": concentrators,
        "meters": rows,
    }
    write_json(path, shipment, mode=PRIVATE)


def _shipped(layout: Layout, plan: Plan, meter_id: int, wrap: Wrap) -> dict[str, object]:
    """Return a meter's row of the shipment, its keys wrapped."""
    title = meter_title(meter_id)
    folder = layout.meter(title)
    if _is_personalised(folder):
        place = layout.headend / "shipment.json"
        problem = f"{place} is gone, and the keys of {folder.name} are in its secure world alone"
        raise ConfigurationError(f"{problem}: restore it from a backup")
    keys = MeterKeys.load(folder / "keys.json", title)
    region = plan.region_of(meter_id)
    return {
        "meter_id": meter_id,
        "title": hexed(title),
        "ldn": logical_device_name(meter_id),
        "kind": kind_of(meter_id),
        "region": region,
        "concentrator": hexed(plan.concentrator_of(region)),
        "zone": plan.zone,
        "installed_us": plan.installed_us,
        "capture_period_s": plan.capture_period_s,
        "key_epoch": keys.epoch,
        "keys": {name: wrap(getattr(keys, name)).hex() for name in SECRETS},
        **_certificates(folder, keys.suite),
    }


def _certificates(folder: Path, suite: SecuritySuite) -> dict[str, object]:
    """Return what a shipment says of a meter's suite and certificates; in suite 0 nothing."""
    if not suite:
        return {}
    found = {}
    for name in USAGES:
        path = folder / f"{name}.crt"
        try:
            read = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            remedy = "restore it from a backup"
            raise ConfigurationError(f"{path} cannot be used ({error}): {remedy}") from error
        found[name] = read.public_bytes(serialization.Encoding.DER).hex()
    return {"suite": int(suite), "certificates": found}


def ship_again(layout: Layout, meter_id: int) -> None:
    """Put the certificates of a meter into the shipment that were made when it was personalised.

    Raises:
        ConfigurationError: A file of them cannot be used.
    """
    path = layout.headend / "shipment.json"
    remedy = "restore it from a backup"
    said = read_json(path, remedy)
    try:
        row = next(each for each in said["meters"] if each["meter_id"] == meter_id)
        suite = SecuritySuite(row.get("suite", 0))
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise ConfigurationError(f"{path} has no meter {meter_id}: {remedy}") from error
    fresh = _certificates(layout.meter(meter_title(meter_id)), suite)
    if fresh.items() <= row.items():
        return
    row.update(fresh)
    write_json(path, said, mode=PRIVATE)


def pem(certificate: bytes) -> bytes:
    """Return a certificate (DER) as PEM."""
    found = x509.load_der_x509_certificate(certificate)
    return found.public_bytes(serialization.Encoding.PEM)
