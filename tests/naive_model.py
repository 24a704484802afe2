"""A sandbox, written down as simply as can be: plain dicts and lists, one thing after the other.

It knows nothing of stores, changes or undoing by records. What a delegate does while it is called
is a script, a list of actions that ends in "accept" or "fail".
"""

from typing import Any

Action = tuple[Any, ...]
Script = list[Action]


class NaiveSandbox:
    """Statuses are their first letters; ids of faults are their places in the order they came."""

    def __init__(self) -> None:
        self.now = 0
        self.steps: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, list[str]] = {}
        self.calls: list[list[Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.exchanges = 0
        self.moves = 0
        self.scripts: list[Script] = []

    def look(self, process_id: str) -> list[tuple[Any, ...]]:
        steps = [self.steps[step_id] for step_id in self.processes[process_id]]
        return [(self.letter(s), s["params"], self.mover(s)) for s in steps]

    def letter(self, step: dict[str, Any]) -> str:
        late = step["deadline"] is not None and self.now >= step["deadline"]
        return "F" if step["letter"] == "S" and late else str(step["letter"])

    def mover(self, step: dict[str, Any]) -> int | None:
        return step["mover"] if self.letter(step) == step["letter"] else None

    def set(self, step: dict[str, Any], letter: str, mover: int | None) -> None:
        self.moves += 1
        step.update(letter=letter, mover=mover, deadline=None, moved=self.moves)
        if letter == "S" and step["seconds"]:
            step["deadline"] = self.now + step["seconds"]

    def strike(self, phase: str, step_id: str) -> int | None:
        for place, fault in enumerate(self.faults):
            if fault["left"] and fault["phase"] == phase and fault["step"] in (None, step_id):
                fault["left"] -= 1
                return place
        return None

    def complete(self, step_id: str, params: dict[str, int]) -> tuple[Any, ...]:
        self.exchanges += 1
        number = self.exchanges
        fault = self.strike("before", step_id)
        if fault is not None:
            return ("fault before", fault)
        refusal = self.refusal(step_id)
        if refusal:
            return refusal
        step = self.steps[step_id]
        process = self.processes[step["process"]]
        index = process.index(step_id) + 1
        if index == len(process):
            self.set(step, "C", number)
            return ("completed", None, self.strike("after", step_id))
        following = self.steps[process[index]]
        before = dict(step), dict(following)
        self.set(step, "C", number)
        self.set(following, "S", number)
        following["params"] = {**following["params"], **params}
        moved = following["moved"]
        if not self.call(number, process[index]):
            if following["moved"] == moved:
                step.update(before[0])
                following.update(before[1])
                return ("delegate failed", "undone")
            if following["letter"] != "C":
                return ("delegate failed", "stands")
        return ("completed", process[index], self.strike("after", step_id))

    def refusal(self, step_id: str) -> tuple[Any, ...] | None:
        step = self.steps.get(step_id)
        if step is None:
            return ("refused", None, None)
        if self.letter(step) != "S":
            return ("refused", self.letter(step), self.mover(step))
        return None

    def fail(self, step_id: str) -> tuple[Any, ...]:
        refusal = self.refusal(step_id)
        if refusal:
            return refusal
        self.set(self.steps[step_id], "F", None)
        return ("failed",)

    def start(self, process_id: str, letters: str, seconds: int) -> tuple[Any, ...]:
        step_ids = [f"{process_id}{place}" for place in range(1, len(letters) + 1)]
        if process_id in self.processes or any(step_id in self.steps for step_id in step_ids):
            return ("in use",)
        self.processes[process_id] = step_ids
        for step_id, letter in zip(step_ids, letters, strict=True):
            self.steps[step_id] = {"process": process_id, "params": {}, "seconds": seconds}
            self.set(self.steps[step_id], letter, None)
        before = {step_id: self.steps[step_id]["moved"] for step_id in step_ids}
        for step_id, letter in zip(step_ids, letters, strict=True):
            if letter == "S" and not self.call(None, step_id):
                if all(self.steps[each]["moved"] == before[each] for each in step_ids):
                    for each in step_ids:
                        del self.steps[each]
                    del self.processes[process_id]
                    return ("delegate failed",)
                if self.steps[step_id]["letter"] != "C":
                    return ("delegate failed",)
        return ("added",)

    def call(self, number: int | None, step_id: str) -> bool:
        """Whether the delegate of a step accepts its call."""
        call = [number, step_id, None]
        self.calls.append(call)
        for action in self.scripts.pop(0) if self.scripts else [("accept",)]:
            if action[0] in ("accept", "fail"):
                call[2] = action[0]
                break
            self.act(step_id, action)
        return call[2] == "accept"

    def act(self, step_id: str, action: Action) -> tuple[Any, ...] | None:
        if action[0] == "complete it":
            return self.complete(step_id, {})
        if action[0] == "fail it":
            return self.fail(step_id)
        self.now += action[1]
        return None
