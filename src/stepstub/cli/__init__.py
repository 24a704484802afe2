"""The command line. Heavy imports wait until a command needs them, so `--help` is instant.

serve.py     `stepstub serve`
running.py   `stepstub run`
trying.py    `stepstub try`
listings.py  `stepstub scenarios`, `readings`, `variations` and `spec`
verify.py    `stepstub verify`
reaching.py  the options of reaching a server
steps.py     its options that say where steps come from
planning.py  its options that choose cases, or only show them
asking.py    its options that ask for readings
options.py   what they have in common
"""

import click

from stepstub.cli.listings import readings, scenarios, spec, variations
from stepstub.cli.options import Group
from stepstub.cli.running import run
from stepstub.cli.serve import serve
from stepstub.cli.trying import try_
from stepstub.cli.verify import verify


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stepstub")
def main() -> None:
    """A stateful stub of the Complete Step API, for tests of its clients."""


for command in (serve, run, scenarios, readings, variations, spec, verify, try_):
    main.add_command(command)
