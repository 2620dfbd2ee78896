"""What happens in a world: strategies for scenarios of writes, rule changes, and streams that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.property.worlds import AUTHS, BASES, NAMES, SEEDS, Schema, Topic, rules, schemas, topics

SUPERUSERS = "_superusers"
SEED = st.integers(0, SEEDS - 1)


@dataclass(frozen=True)
class Write:
    """One write of a transaction. `kind`: create, update, delete, rekey (new token key of an account)."""

    kind: str
    collection: str
    place: int
    seed: int


@dataclass(frozen=True)
class Commit:
    """Writes of one transaction."""

    writes: list[Write]


@dataclass(frozen=True)
class NewRule:
    """A rule is changed through the collections API; `name` is its JSON name."""

    collection: str
    name: str
    rule: str | None


@dataclass(frozen=True)
class NewSecret:
    """An auth collection gets a new secret, which ends all of its tokens."""

    collection: str


@dataclass(frozen=True)
class Subscribe:
    """A stream, new or open, names its topics. `who`: guest, superuser or an auth collection."""

    stream: int
    who: str
    place: int
    topics: list[Topic]
    has_cursor: bool = False


@dataclass(frozen=True)
class Leave:
    """A stream goes away."""

    stream: int


@dataclass(frozen=True)
class Resume:
    """A stream with a cursor is cut and comes back, with what it had, from a place in what it got."""

    stream: int
    place: int


@dataclass(frozen=True)
class Burst:
    """Commits, and new secrets between them, that the hub hears of only when all are made, or in the middle of them."""

    parts: list[Commit | NewSecret]
    in_thread: bool


Step = Commit | NewRule | NewSecret | Subscribe | Leave | Resume | Burst

MOST_STREAMS = 8


@dataclass(frozen=True)
class Scenario:
    """A world and what happens in it."""

    schema: Schema
    rules: Mapping[str, Mapping[str, str | None]]
    records: list[Write]
    steps: list[Step]
    budget_s: float = field(default=10.0)


def _writes() -> st.SearchStrategy[Write]:
    kinds = st.sampled_from((*["update"] * 5, *["create"] * 2, *["delete"] * 2, "rekey"))
    return st.builds(Write, kinds, st.sampled_from((*NAMES, "posts", "rooms")), st.integers(0, 5), SEED)


@st.composite
def _rule_sets(draw: st.DrawFn, schema: Schema, *, is_local: bool) -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = {}
    for name in NAMES:
        drawn = rules(schema, name, is_local=is_local)
        found[name] = {"listRule": draw(drawn), "viewRule": draw(drawn)}
        if name in AUTHS:
            found[name]["manageRule"] = draw(drawn) or None
    return found


@st.composite
def _new_rules(draw: st.DrawFn, schema: Schema) -> NewRule:
    collection = draw(st.sampled_from(NAMES))
    name = draw(st.sampled_from(("listRule", "viewRule", *(["manageRule"] if collection in AUTHS else []))))
    rule = draw(rules(schema, collection))
    return NewRule(collection, name, rule or None if name == "manageRule" else rule)


def _subscriptions(pool: list[Topic], stream: st.SearchStrategy[int]) -> st.SearchStrategy[Subscribe]:
    """Streams choose from one pool, so that they meet in groups."""
    who = st.sampled_from((*AUTHS * 4, "guest", SUPERUSERS))
    chosen = st.lists(st.sampled_from(pool), min_size=1, max_size=4)
    return st.builds(Subscribe, stream, who, st.integers(0, 3), chosen, st.booleans())


@st.composite
def _steps(draw: st.DrawFn, schema: Schema, pool: list[Topic]) -> Step:
    kind = draw(st.integers(0, 13))
    if kind > 11:
        return Resume(draw(st.integers(0, MOST_STREAMS - 1)), draw(st.integers(0, 5)))
    if kind == 11:
        return NewSecret(draw(st.sampled_from(AUTHS)))
    if kind == 10:
        return Leave(draw(st.integers(0, MOST_STREAMS - 1)))
    if kind == 9:
        return draw(_new_rules(schema))
    if kind == 8:
        return draw(_subscriptions(pool, st.integers(0, MOST_STREAMS - 1)))
    return Commit(draw(st.lists(_writes(), min_size=1, max_size=4)))


@st.composite
def _bursts(draw: st.DrawFn) -> Burst:
    commit = st.builds(Commit, st.lists(_writes(), min_size=1, max_size=3))
    parts: list[Commit | NewSecret] = [
        NewSecret(draw(st.sampled_from(AUTHS))) if draw(st.integers(0, 9)) == 9 else draw(commit)
        for _ in range(draw(st.integers(2, 8)))
    ]
    return Burst(parts, draw(st.booleans()))


@st.composite
def _rushing(draw: st.DrawFn, pool: list[Topic]) -> Step:
    kind = draw(st.integers(0, 5))
    if kind == 5:
        return Resume(draw(st.integers(0, MOST_STREAMS - 1)), draw(st.integers(0, 5)))
    if kind == 4:
        return draw(_subscriptions(pool, st.integers(0, MOST_STREAMS - 1)))
    return draw(_bursts())


@st.composite
def scenarios(draw: st.DrawFn, *, is_rushing: bool = False) -> Scenario:
    """Draw a scenario; where it is rushing, no rule reads other rows, so that it does not matter when it is asked."""
    schema = draw(schemas())
    rule_sets = draw(_rule_sets(schema, is_local=is_rushing))
    accounts = [
        Write("create", name, 0, seed) for name in AUTHS for seed in draw(st.lists(SEED, min_size=2, max_size=4))
    ]
    records = [
        Write("create", name, 0, seed) for name in BASES for seed in draw(st.lists(SEED, min_size=1, max_size=4))
    ]
    pool = draw(st.lists(topics(schema, rule_sets, is_local=is_rushing), min_size=4, max_size=8))
    opening: list[Step] = [draw(_subscriptions(pool, st.just(stream))) for stream in range(MOST_STREAMS)]
    if is_rushing:
        steps = draw(st.lists(_rushing(pool), min_size=3, max_size=8))
    else:
        steps = draw(st.lists(_steps(schema, pool), min_size=10, max_size=20))
    # Without a budget everything is judged in a thread.
    budget_s = draw(st.sampled_from((10.0, 10.0, 0.0)))
    return Scenario(schema, rule_sets, [*accounts, *records], [*opening, *steps], budget_s)
