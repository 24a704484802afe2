"""Identity as an object: readable ids, counted per sandbox, so that a test can name them."""

from collections import defaultdict
from itertools import count


class Ids:
    """Hands out `order-1`, `order-2`, ... for each prefix."""

    def __init__(self) -> None:
        self._counters: defaultdict[str, count[int]] = defaultdict(lambda: count(1))

    def next(self, prefix: str) -> str:
        return f"{prefix}-{next(self._counters[prefix])}"
