"""What becomes of steps, function by function: facts in, facts out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stepstub import transitions
from stepstub.errors import Refusal
from stepstub.model import Param, Params, Process, Status, Step
from stepstub.readings import DEFAULT
from stepstub.transitions import Change, Completion
from store_support import COMPLETED, FAILED, PENDING, STARTED, process

NOW = 1_000_000
OWN = {"own": Param(str_value="x"), "both": Param(str_value="own", type="STRING")}
MOVED = 7  # the exchange that brought the step to where it is


def step(status: Status, **changes: object) -> Step:
    (made,) = process(status).steps
    return replace(made, **{"moved_by": MOVED, **changes})


def following(**changes: object) -> Step:
    return replace(process(COMPLETED, PENDING, params=OWN).steps[1], **changes)


def completed(
    current: Step | None, next_step: Step | None = None, submitted: Params | None = None
) -> Change:
    change = transitions.complete("p1", current, next_step, submitted or {}, NOW, number=9)
    assert isinstance(change, Change)
    return change


REFUSALS = [
    pytest.param(None, Refusal("p1", "completed"), id="unknown"),
    pytest.param(step(PENDING), Refusal("p1", "completed", PENDING, None, MOVED), id="pending"),
    pytest.param(
        step(COMPLETED), Refusal("p1", "completed", COMPLETED, None, MOVED), id="completed"
    ),
    pytest.param(
        step(FAILED, failure="so it was"),
        Refusal("p1", "completed", FAILED, "so it was", MOVED),
        id="failed",
    ),
    pytest.param(
        step(STARTED, deadline=NOW, time_out_in_seconds=2.5),
        Refusal("p1", "completed", FAILED, "it was not completed within 2.5 s"),
        id="out of time",
    ),
]


@pytest.mark.parametrize(("current", "refusal"), REFUSALS)
def test_a_step_that_is_not_started_is_not_completed(
    current: Step | None, refusal: Refusal
) -> None:
    assert transitions.complete("p1", current, following(), {}, NOW, number=9) == refusal


@pytest.mark.parametrize(("current", "refusal"), REFUSALS)
def test_nor_is_it_failed(current: Step | None, refusal: Refusal) -> None:
    assert transitions.fail("p1", current, "why", NOW) == replace(refusal, attempted="failed")


def test_a_completion_replaces_both_steps() -> None:
    current, after = step(STARTED, deadline=NOW + 1), following(time_out_in_seconds=1.5)
    change = completed(current, after)
    assert (change.replaces, change.until) == ((current, after), NOW + 1)
    assert transitions.undo(change).until is None
    assert change.writes == (change.completed, change.started)
    assert change.completed == replace(current, status=COMPLETED, deadline=None, moved_by=9)
    assert change.started == replace(after, status=STARTED, deadline=NOW + 1500, moved_by=9)


def test_the_last_step_starts_nothing() -> None:
    change = completed(step(STARTED), submitted={"lost": Param(long_value=1)})
    assert (change.writes, change.started) == ((change.completed,), None)
    assert change.completed.params == {}


@pytest.mark.parametrize(
    ("submitted", "merged"),
    [
        ({}, OWN),
        ({"both": Param()}, {**OWN, "both": Param()}),
        ({"new": Param(long_value=None)}, {**OWN, "new": Param(long_value=None)}),
    ],
    ids=["none", "over its own", "new"],
)
def test_the_started_step_gets_the_submitted_params(submitted: Params, merged: Params) -> None:
    after, before = following(), dict(OWN)
    started = completed(step(STARTED), after, submitted).started
    assert started
    assert started.params == merged
    assert after.params == before, "the record it replaces is left as it was"


@pytest.mark.parametrize(
    ("time_out", "deadline"), [(0, None), (0.001, NOW + 1), (0.5, NOW + 500), (60, NOW + 60_000)]
)
def test_the_time_of_the_started_step_counts_from_now(
    time_out: float, deadline: int | None
) -> None:
    started = completed(step(STARTED), following(time_out_in_seconds=time_out)).started
    assert started
    assert started.deadline == deadline


def test_failing_a_step_says_why_and_leaves_the_next_one_alone() -> None:
    current = step(STARTED, deadline=NOW + 1)
    change = transitions.fail("p1", current, "why", NOW, 9)
    failed = replace(current, status=FAILED, deadline=None, failure="why", moved_by=9)
    assert change == Change((current,), (failed,), NOW + 1)


def test_starting_a_process_sets_the_deadlines_of_its_started_steps_alone() -> None:
    given_ = process(COMPLETED, STARTED, PENDING, time_out=2)
    started = transitions.start(given_, NOW)
    assert [each.deadline for each in started.steps] == [None, NOW + 2000, None]
    assert [replace(each, deadline=None) for each in started.steps] == list(given_.steps)
    unlimited = process(STARTED, PENDING)
    assert transitions.start(unlimited, NOW) == unlimited


def test_removing_a_process_replaces_all_its_steps_by_nothing() -> None:
    given_ = process(COMPLETED, STARTED, PENDING)
    assert transitions.remove(given_) == Change(given_.steps, ())


@pytest.mark.parametrize(
    ("status", "deadline", "now", "expired"),
    [
        (STARTED, None, NOW, False),
        (STARTED, NOW, NOW - 1, False),
        (STARTED, NOW, NOW, True),
        (STARTED, NOW, NOW + 1, True),
        (PENDING, NOW, NOW, False),
        (COMPLETED, NOW, NOW, False),
        (FAILED, NOW, NOW, False),
    ],
)
def test_a_started_step_is_failed_from_its_deadline_on(
    status: Status, deadline: int | None, now: int, expired: bool
) -> None:
    current = step(status, deadline=deadline, time_out_in_seconds=60.0)
    seen = transitions.expire(current, now)
    if expired:
        assert (seen.status, seen.deadline) == (FAILED, None)
        assert seen.moved_by is None, "the exchange that started it is not the one that failed it"
        assert seen.failure == "it was not completed within 60 s"
        assert transitions.expire(seen, now + 1) == seen
    else:
        assert seen == current


def test_a_step_that_is_held_back_stays_as_it_is_until_it_begins() -> None:
    current, after = step(STARTED, deadline=NOW + 1), following(time_out_in_seconds=1.5)
    change = completed(current, after)
    held = transitions.hold_back(change)
    assert held == Change((current, after), (change.completed, after), NOW + 1)
    begun = transitions.begin(change, NOW + 500, DEFAULT)
    assert change.started
    started = replace(change.started, deadline=NOW + 2000)
    assert begun == Change(held.writes, (change.completed, started))


def test_giving_up_leaves_the_completion_and_fails_what_it_started() -> None:
    change = completed(step(STARTED), following(time_out_in_seconds=1.5))
    assert change.started
    failed = replace(
        change.started,
        status=FAILED,
        deadline=None,
        failure="its delegate could not be called: why",
    )
    given_up = transitions.give_up(change, change.started, "why")
    assert given_up == Change(change.writes, (change.completed, failed))


@pytest.mark.parametrize("last", [True, False])
def test_a_completion_is_repeated_where_the_readings_say_so(last: bool) -> None:
    readings = replace(DEFAULT, completed_step="repeat")
    after, submitted = None if last else following(), {"both": Param()}
    change = transitions.complete("p1", step(STARTED), after, submitted, NOW, readings=readings)
    assert isinstance(change, Change)
    again = transitions.complete(
        "p1", change.completed, change.started, {"other": Param()}, NOW, readings=readings
    )
    assert again == transitions.completion(change, submitted)
    assert again == Completion(change.completed, change.started, submitted, {} if last else OWN)


def test_no_time_is_counted_where_the_readings_ignore_it() -> None:
    ignored = replace(DEFAULT, time_out="ignored")
    given_ = process(STARTED, PENDING, time_out=2)
    assert transitions.start(given_, NOW, ignored) == given_
    first, second = given_.steps
    change = transitions.complete("p1", first, second, {}, NOW, readings=ignored)
    assert isinstance(change, Change)
    assert change.started
    assert (change.started.deadline, change.until) == (None, None)


# --- whatever happens in whatever order

World = dict[str, Step]


def put(world: World, change: Change) -> World:
    """The change written, if the records it replaces still stand."""
    if any(world.get(each.id) != each for each in change.replaces):
        return world
    gone = {each.id for each in change.replaces} - {each.id for each in change.writes}
    kept = {name: each for name, each in world.items() if name not in gone}
    return kept | {each.id: each for each in change.writes}


def by_position(world: World) -> list[Step]:
    return sorted(world.values(), key=lambda each: each.position)


def in_order(steps: list[Step]) -> bool:
    """COMPLETED* (STARTED|FAILED)? PENDING*."""
    letters = "".join(each.status[0] for each in steps)
    done = letters.lstrip("C")
    return done.lstrip("P") == "" or (done[0] in "SF" and done[1:].lstrip("P") == "")


actions = st.lists(
    st.tuples(
        st.sampled_from(["complete", "fail", "undo", "wait"]),
        st.integers(0, 4),  # of which step, or how far back
        st.dictionaries(st.sampled_from("ab"), st.just(Param(long_value=1)), max_size=2),
    ),
    max_size=12,
)


@given(length=st.integers(1, 4), time_out=st.sampled_from([0.0, 0.005]), actions=actions)
def test_a_process_stays_in_order(
    length: int, time_out: float, actions: list[tuple[str, int, Params]]
) -> None:
    began = process(STARTED, *[PENDING] * (length - 1), time_out=time_out)
    now = NOW
    world = {each.id: each for each in transitions.start(began, now).steps}
    changes: list[Change] = []
    for number, (action, index, params) in enumerate(actions, 1):
        step_id = f"p{index + 1}"
        current, after = world.get(step_id), world.get(f"p{index + 2}")
        if action == "wait":
            now += index
        elif action == "undo":
            if index < len(changes):
                world = put(world, transitions.undo(changes[-1 - index]))
        else:
            change = (
                transitions.complete(step_id, current, after, params, now, number=number)
                if action == "complete"
                else transitions.fail(step_id, current, "why", now, number)
            )
            if isinstance(change, Change):
                before, world = world, put(world, change)
                assert world != before
                assert put(world, transitions.undo(change)) == before
                changes.append(change)
        steps = by_position(world)
        assert [each.id for each in steps] == [f"p{n}" for n in range(1, length + 1)]
        assert in_order(steps)
        assert in_order([transitions.expire(each, now) for each in steps])


@given(st.permutations(["C", "C", "S", "P"]))
def test_the_order_is_told_from_any_other(letters: list[str]) -> None:
    of = {status[0]: status for status in Status}
    steps = list(process(*(of[letter] for letter in letters)).steps)
    assert in_order(steps) == (letters == ["C", "C", "S", "P"])


@given(length=st.integers(1, 5), now=st.integers(NOW, NOW + 10))
def test_a_removed_process_comes_back_by_undoing_it(length: int, now: int) -> None:
    whole: Process = transitions.start(process(STARTED, *[PENDING] * (length - 1)), now)
    world = {each.id: each for each in whole.steps}
    gone = put(world, transitions.remove(whole))
    assert gone == {}
    assert put(gone, transitions.undo(transitions.remove(whole))) == world
