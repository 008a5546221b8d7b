# SPDX-License-Identifier: Apache-2.0
"""`openami headend campaign report`: what became of a campaign, as a page and as JSON."""

from pathlib import Path

import click

from openami.cli.headend_store import HOME_OPTION, opened
from openami.cli.image_files import FILE
from openami.headend.campaign_picture import page
from openami.headend.campaign_report import as_json, every_meter, first_looked_at
from openami.headend.campaign_report import report as reported
from openami.runtime.errors import ExitCode
from openami.runtime.files import write_durably


@click.command()
@HOME_OPTION
@click.argument("campaign_id", metavar="CAMPAIGN")
@click.option("--html", "html_file", type=FILE, help="Write a page that stands alone.")
@click.option("--json", "json_file", type=FILE, help="Write JSON.")
def report(*, home: Path, campaign_id: str, html_file: Path | None, json_file: Path | None) -> int:
    """Report CAMPAIGN: waves over time, each meter's state, versions before and after.

    The page lists up to a thousand meters, those that did not do well first; JSON has all.
    """
    with opened(home) as engine:
        told = reported(engine, campaign_id)
        name = told["campaign_id"]
        if json_file is not None:
            pieces = as_json(told, every_meter(engine, name))
            write_durably(json_file, (piece.encode() for piece in pieces))
            click.echo(f"{json_file} is written")
        if html_file is not None:
            shown = page(told, first_looked_at(engine, name))
            write_durably(html_file, shown.encode())
            click.echo(f"{html_file} is written")
        if json_file is None and html_file is None:
            for piece in as_json(told, every_meter(engine, name)):
                click.echo(piece, nl=False)
    return int(ExitCode.DONE)
