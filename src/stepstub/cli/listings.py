"""The commands that print what there is: scenarios, readings, variations, the contract."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from stepstub.cli.options import (
    DEFAULT_SCENARIO,
    chosen_readings,
    count,
    listed,
    readings_options,
    wrong,
)

if TYPE_CHECKING:
    from stepstub.profiles import Profile


@click.command()
@click.argument("file", required=False)
def scenarios(file: str | None) -> None:
    """List the built-in scenarios, or check FILE and say what is in it."""
    from stepstub import scenario

    if file is not None:
        processes = scenario.load(file).processes
        steps = sum(len(process.steps) for process in processes)
        click.echo(f"{file}: {count(len(processes), 'process', 'es')}, {count(steps, 'step')}")
        click.echo("".join(f"{line}\n" for line in listed(processes)), nl=False)
        return
    names = scenario.built_in()
    width = max(map(len, names))
    for name in names:
        default = " (default)" if name == DEFAULT_SCENARIO else ""
        description = scenario.load(name).description
        click.echo(f"{name:{width}}  {description}{default}")


@click.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a profile instead.")
@click.argument("profile", required=False, metavar="[NAME|PATH]")
def readings(schema: bool, profile: str | None) -> None:
    """List the readings and the built-in profiles, or check a profile and say what is in it."""
    from stepstub import profiles
    from stepstub.readings import alternatives, questions

    if schema:
        click.echo(json.dumps(profiles.json_schema(), indent=2))
        return
    if profile is not None:
        for line in _contents(profiles.load_profile(profile)):
            click.echo(line)
        return
    for name, question in questions().items():
        click.echo(f"{question.number:>2}  {name}: {question.text}")
        for index, value in enumerate(alternatives(name)):
            default = " (default)" if index == 0 else ""
            click.echo(f"      {value}: {question.meanings[value]}{default}")
    click.echo(f"\nProfiles: {', '.join(profiles.built_in())}")


def _contents(profile: "Profile") -> Iterator[str]:
    """What a profile changes and does not know, and what a verification accepts with it."""
    from stepstub.readings import differing, questions
    from stepstub.schema import printable

    for name, value in differing(profile.readings).items():
        yield f"{name}: {printable(str(value))}"
    if unknown := [name for name in questions() if name in profile.unknown]:
        yield f"unknown: {', '.join(unknown)}"
    now = datetime.now(UTC)
    for each in profile.accepted:
        verb = "was" if each.has_expired(now) else "is"
        cause, reason = printable(each.cause), printable(each.reason)
        yield f"{cause} {verb} accepted until {each.until}: {reason}"


@click.command()
def variations() -> None:
    """List the kinds of variation, in which `serve --vary SEED` varies responses."""
    from stepstub.variations import KINDS

    width = max(map(len, KINDS))
    for name, kind in KINDS.items():
        click.echo(f"{name:{width}}  {kind.meaning}")


@click.command()
@readings_options
@click.option("--control", is_flag=True, help="The control API's document, as it was written.")
@click.option("--overlay", is_flag=True, help="Only the overlay that the readings amount to.")
@click.option(
    "--format",
    "output_format",
    default="yaml",
    show_default=True,
    type=click.Choice(["yaml", "json"]),
    help="As it was written, or as JSON.",
)
def spec(
    profile: str | None,
    single_readings: tuple[str, ...],
    control: bool,
    overlay: bool,
    output_format: str,
) -> None:
    """Print the contract as the readings have it; by default, openapi.yaml itself.

    With --overlay, print the OpenAPI Overlay 1.1 document that leads from openapi.yaml to it.
    """
    from stepstub import contract

    if control:
        if overlay:
            raise wrong("control", "it has no overlays: they are of the contract.")
        as_json = output_format == "json"
        click.echo(_as_json(contract.control_document()) if as_json else contract.control_text())
        return
    effective = contract.effective(chosen_readings(profile, single_readings))
    document = effective.combined_overlay() if overlay else effective.document
    if output_format == "json":
        text = _as_json(document)
    else:
        text = contract.as_yaml(document) if overlay else effective.text
    click.echo(text.rstrip("\n"))


def _as_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
