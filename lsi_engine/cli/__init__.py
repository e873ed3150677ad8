"""``lsi …``: the whole product from the command line. ``python -m lsi_engine …`` is the same program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsi_engine.cli import compare, duplicates, export, load, map, reading, rescore, scores, subsets
from lsi_engine.cli.compute import commands as compute
from lsi_engine.cli.compute import corruptions, image_sources, pairs, text_sources
from lsi_engine.cli.console import Json, RunName, notes, or_a_sentence, out, print_json
from lsi_engine.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Laplace Sample Information: what each training sample is worth.",
)
for name, command in (image_sources.COMMANDS | text_sources.COMMANDS).items():
    compute.app.command(name)(command)
compute.app.command("pairs")(pairs.compute_pairs)
app.add_typer(compute.app, name="compute")
app.command("corruptions")(corruptions.list_corruptions)
app.command("scores")(scores.list_scores)
app.command("load")(load.load_scores)
app.command("runs")(reading.list_runs)
app.command("show")(reading.show_run)
app.command("evaluate")(reading.evaluate_run)
app.command("export")(export.export_run)
app.command("compare")(compare.compare_runs)
app.command("duplicates")(duplicates.find_duplicates)
app.command("map")(map.map_run)
app.command("rescore")(rescore.rescore_run)
app.command("subsets")(subsets.compare_subsets_of_run)


@app.command("dashboard")
def dashboard(
    port: Annotated[int, typer.Option(envvar="PORT", help="Port on this machine.")] = 8501,
    headless: Annotated[bool, typer.Option(envvar="HEADLESS", help="Do not open a browser.")] = False,
    share: Annotated[bool, typer.Option("--share", help="Let other machines in, behind a password.")] = False,
    host: Annotated[
        str | None, typer.Option(help="Where to listen: 127.0.0.1, and with --share every interface.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the shared password, mode 0600; else LSI_PASSWORD.")
    ] = None,
    hostname: Annotated[
        list[str] | None, typer.Option(help="A further name by which others reach this machine; repeatable.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM certificate, for https.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM key of the certificate.")] = None,
) -> None:
    """Open the dashboard on this machine (127.0.0.1), or share it: docs/sharing.md."""
    from dashboard.server import Sharing
    from dashboard.server import main as serve

    sharing = Sharing(password_file, hostname or (), certificate, key) if share else None
    if sharing is None and (password_file or hostname or certificate or key):
        raise InputError("--password-file, --hostname, --certificate and --key go with --share")
    serve(port=port, host=host, headless=headless, sharing=sharing)


@app.command("report")
def report_run(
    name: RunName,
    filter: Annotated[
        str, typer.Option(help="Conditions as in a page's address, or the address: 'class=cat&suspicion=0.5..1.0'.")
    ] = "",
    to: Annotated[
        Path | None, typer.Option("--to", "-o", help="File to write; RUN.report.html when not given.")
    ] = None,
) -> None:
    """Write one HTML file of a run, or of a part of it, to mail: figures, tables, both ends of each class."""
    from dashboard.report import write_report

    out.print(f"wrote {write_report(name, filter, to)}", markup=False)


@app.command("doctor")
def doctor(as_json: Json = False) -> None:
    """Say what is installed, whether there is a GPU, and where the cache is."""
    from lsi_engine.cli.doctor import examine

    report = examine()
    if as_json:
        print_json(report)
    else:
        for key, value in report["facts"].items():
            out.print(f"{key:<18}{value}", markup=False)
        for problem in report["problems"]:
            notes.print(f"problem: {problem}", markup=False)
    if report["problems"]:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; a problem the user can mend is one line on standard error and exit code 1."""
    or_a_sentence(app)
