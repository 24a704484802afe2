"""What the suite does not see yet, or reports in more than one way; to be empty."""

SERVERS: dict[str, str] = {}

WRONG: dict[str, str] = {}
