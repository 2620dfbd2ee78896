from __future__ import annotations

import pytest

from rowcast.schema.collection import MFAOptions, OTPOptions
from rowcast.schema.record import Record
from tests.unit.auth.world import HASH, World


@pytest.fixture
def user(world: World) -> Record:
    world.alter("users", mfa=MFAOptions(duration=60), otp=OTPOptions(duration=120))
    return world.user()


def begin(world: World, account: Record, name: str, count: int = 1) -> None:
    more = {"method": "password"} if name == "_mfas" else {"password": HASH}
    for _ in range(count):
        world.add(name, collectionRef=account.collection.id, recordRef=account.id, **more)


def expire(world: World) -> None:
    world.accounts.delete_expired_mfas()
    world.accounts.delete_expired_otps()


@pytest.mark.parametrize(("passed_s", "mfas", "otps"), [(59, 1, 1), (61, 0, 1), (119, 0, 1), (121, 0, 0)])
def test_what_is_too_old_goes(world: World, user: Record, passed_s: int, mfas: int, otps: int) -> None:
    begin(world, user, "_mfas")
    begin(world, user, "_otps")
    world.now += passed_s
    expire(world)
    assert (len(world.rows("_mfas")), len(world.rows("_otps"))) == (mfas, otps)


def test_each_collection_has_its_own_time(world: World, user: Record) -> None:
    world.alter("_superusers", mfa=MFAOptions(duration=1000))
    begin(world, user, "_mfas")
    begin(world, world.superuser(), "_mfas")
    world.now += 500
    expire(world)
    (row,) = world.rows("_mfas")
    assert row["collectionRef"] == world.of("_superusers").id


def test_many_go_in_small_transactions(world: World, user: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.auth.expiry._BATCH", 2)
    begin(world, user, "_mfas", 5)
    world.now += 500
    world.changes.clear()
    expire(world)
    assert world.rows("_mfas") == []
    assert [change.action for change in world.changes] == ["delete"] * 5


def test_missing_system_collections_do_not_matter(world: World, user: Record) -> None:
    world.catalog.current = world.catalog.current.without(world.of("_mfas").id)
    expire(world)
