"""What a run is to do, and what came of it: shared by everything that takes part in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from tests.soak.checker import Ack, Change, Client
from tests.soak.world import World


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what, for how long."""

    seconds: float
    seed: int = 0
    clients: int = 48
    writers: int = 4
    writes_per_s: float = 120.0
    open_for_s: float = 0.8
    """How long a connection is open on average before something happens to it."""
    server_lives_s: tuple[float, float] = (5.0, 15.0)
    """How long it takes until something happens to a process of the server."""
    workers: int = 0
    nodes: int = 1
    has_database: bool = False
    """Whether the nodes have a PostgreSQL database in place of SQLite's."""
    has_bus: bool = False
    """Whether Redis connects them in place of sockets."""
    outages: float = 0.5
    """Which part of the faults meets what the nodes stand on."""
    stops_for_s: float = 4.0
    """How long a process that is stopped stays so at most."""
    turns_every_s: float = 1.5
    """How long it takes until a rule, an account or a field changes."""
    freezes_for_s: float = 1.0
    long_freezes: bool = True
    """Whether some clients stay frozen until the server closes them as slow."""


@dataclass(slots=True)
class Journal:
    """What came of it."""

    clients: list[Client] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    first: str = ""
    tables: dict[tuple[str, str], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    """How long the slowest answer took."""
    recoveries_s: list[float] = field(default_factory=list)
    """How long after each outage of the database the first write was answered."""


@dataclass(slots=True)
class Run:
    """A run under way."""

    plan: Plan
    port: int
    world: World
    journal: Journal = field(default_factory=Journal)
    is_written: asyncio.Event = field(default_factory=asyncio.Event)
    seq: int = 0

    def next_seq(self) -> int:
        """Return a number that no other write has."""
        self.seq += 1
        return self.seq
