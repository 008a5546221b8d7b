# SPDX-License-Identifier: Apache-2.0
"""`openami headend campaign report`: what became of a campaign, as a page and as JSON."""

import json
from pathlib import Path

import click

from openami.cli.headend_store import HOME_OPTION, opened
from openami.cli.image_files import FILE
from openami.headend.campaign_picture import page
from openami.headend.campaign_report import report as reported
from openami.runtime.errors import ExitCode
from openami.runtime.files import write_durably


@click.command()
@HOME_OPTION
@click.argument("campaign_id", metavar="CAMPAIGN")
@click.option("--html", "html_file", type=FILE, help="Write a page that stands alone.")
@click.option("--json", "json_file", type=FILE, help="Write JSON.")
def report(*, home: Path, campaign_id: str, html_file: Path | None, json_file: Path | None) -> int:
    """Report CAMPAIGN: waves over time, each meter's state, versions before and after."""
    with opened(home) as engine:
        told = reported(engine, campaign_id)
    if json_file is not None:
        write_durably(json_file, json.dumps(told, indent=1).encode())
        click.echo(f"{json_file} is written")
    if html_file is not None:
        write_durably(html_file, page(told).encode())
        click.echo(f"{html_file} is written")
    if json_file is None and html_file is None:
        click.echo(json.dumps(told, indent=1))
    return int(ExitCode.DONE)
