"""What a compiled filter is: its SQL, its inputs, how often it is made, what it may read."""

from __future__ import annotations

import re
from typing import ClassVar

import pytest

from rowcast import filters
from rowcast.errors import FilterError
from rowcast.filters import MAX_LENGTH, Part, Scope
from rowcast.schema.request import RequestInfo
from tests.unit.filters.world import World, world

ME = "u01000000000000"


def compiled(text: str, name: str = "posts", auth: str | None = ME) -> filters.Program:
    request = world().request(auth)
    return filters.compile((Part(text, allow_hidden=True),), world().scope(name, request))


def bound(text: str, request: RequestInfo | None = None, name: str = "posts") -> filters.Bound:
    request = request or world().request(ME)
    return filters.compile((Part(text, allow_hidden=True),), world().scope(name, request)).bind(request)


@pytest.mark.parametrize(
    ("text", "where", "params"),
    [
        ("owner = @request.auth.id", '"posts"."owner" = ?', [ME]),
        ("title = 'x'", '"posts"."title" = ?', ["x"]),
        ("title = ''", """("posts"."title" = '' OR "posts"."title" IS NULL)""", []),
        ("null != title", """("posts"."title" <> '' AND "posts"."title" IS NOT NULL)""", []),
        ("title = kind", """COALESCE("posts"."title", '') = COALESCE("posts"."kind", '')""", []),
        ("title != 'x'", '"posts"."title" IS NOT ?', ["x"]),
        ("title ~ 'x'", '"posts"."title" LIKE ? ESCAPE \'\\\'', ["%x%"]),
        ("title !~ 'x%'", '"posts"."title" NOT LIKE ? ESCAPE \'\\\'', ["x%"]),
        ("n > 5", '"posts"."n" > ?', [5.0]),
        ("flag = true || n = 1 && n = 2", '("posts"."flag" = 1 OR "posts"."n" = ? AND "posts"."n" = ?)', [1.0, 2.0]),
        ("team = @request.auth.team", '"posts"."team" = CAST(? AS TEXT)', None),
        ("title = @request.query.none", """("posts"."title" = '' OR "posts"."title" IS NULL)""", []),
        ("owner.id = 'x'", '"posts"."owner" = ?', ["x"]),
        ("@random = 1", None, None),
    ],
)
def test_plain_comparisons_stay_plain(text: str, where: str | None, params: list[object] | None) -> None:
    if where is None:
        with pytest.raises(FilterError):
            bound(text)
        return
    found = bound(text)
    assert found.where == where
    assert params is None or found.params == params
    assert (found.joins, found.distinct) == ("", False)


@pytest.mark.parametrize("text", ["owner = @request.auth.id", "owner = @request.query.q", "owner.id = 'x'"])
def test_an_index_answers_an_equality(text: str) -> None:
    found = bound(text, world().request(ME, query={"q": "x"}))
    plan = world().db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM posts WHERE {found.where}", found.params)
    assert "USING INDEX idx_owner" in " ".join(str(row[3]) for row in plan)


@pytest.mark.parametrize(
    ("text", "inputs", "is_local"),
    [
        ("title = 'x'", set(), True),
        ("owner = @request.auth.id", {"auth.id"}, True),
        ("owner.team = @request.auth.team", {"auth.team"}, False),
        ("@request.auth.team.name = title", {"auth.team"}, False),
        ("@request.auth.posts_via_owner.id ?= id", {"auth.id"}, False),
        ("@request.auth.collectionName = 'users'", set(), True),
        ("@request.auth.nope = 1", set(), True),
        ("@request.query.a = 1 || @request.headers.b:isset = true", {"query.a", "headers.b"}, True),
        ("@request.body.title:changed = true", {"body.title"}, True),
        ("@request.body.title:lower ~ 'x'", {"body.title"}, True),
        ("@request.body.tags:each = 'x' && @request.body.tags:length > 1", {"body.tags"}, True),
        ("@request.body.owner.name = 'x'", {"body.owner"}, False),
        ("@request.body.data.a.b = 'x'", {"body.data.a.b"}, True),
        ("@request.method = 'GET' && @request.context = 'default'", {"method", "context"}, True),
        ("day > @now || @month = 1", {"now"}, True),
        ("strftime('%Y') > '2024'", {"now"}, True),
        ("strftime('%Y', day) > '2024'", set(), True),
        ("geoDistance(geo.lon, geo.lat, @request.query.lon, 1) < 5", {"query.lon"}, True),
        ("@collection.users.id ?= owner", set(), False),
        ("tags:each ?= 'a'", set(), True),
        ("teams.id ?= 'a'", set(), False),
    ],
)
def test_a_program_tells_what_it_reads(text: str, inputs: set[str], is_local: bool) -> None:
    program = compiled(text)
    assert (set(program.inputs), program.is_local) == (inputs, is_local)
    assert program.reads_auth == any(key.startswith("auth.") for key in inputs)


def test_a_rule_is_compiled_once_for_each_scope() -> None:
    scope = world().scope("posts")
    part = Part("title = 'once'", allow_hidden=True)
    assert filters.compile((part,), scope) is filters.compile((part,), world().scope("posts"))
    assert filters.compile((part,), scope) is not filters.compile((part,), world().scope("posts", table="p"))
    assert filters.closure("title = 'once'", scope) is filters.closure("title = 'once'", world().scope("posts"))


def test_an_error_is_kept_and_raised_anew() -> None:
    errors = []
    for _ in range(2):
        with pytest.raises(FilterError) as caught:
            compiled("nope = 1")
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert (errors[0].message, errors[0].start, errors[0].end) == (errors[1].message, errors[1].start, errors[1].end)


def test_one_program_serves_every_shape_of_a_value() -> None:
    program = filters.compile((Part("title = @request.query.q", allow_hidden=True),), world().scope("posts"))
    texts = {program.bind(RequestInfo(query=query)).where for query in ({}, {"q": ""}, {"q": "x"}, {"q": "y"})}
    assert texts == {'"posts"."title" = ?', """("posts"."title" = '' OR "posts"."title" IS NULL)"""}


def test_the_statements_of_a_program_are_bounded() -> None:
    text = " || ".join(f"title = @request.query.q{index}" for index in range(10))
    program = filters.compile((Part(text, allow_hidden=True),), world().scope("posts"))
    for number in range(1024):
        query = {f"q{index}": "x" for index in range(10) if number >> index & 1}
        assert program.bind(RequestInfo(query=query)).where
    assert len(program._variants) <= 64


def test_parts_share_joins_and_all_must_hold() -> None:
    parts = (Part("owner.name = 'Al'", allow_hidden=True), Part("owner.age >= 0"), Part(""))
    found = filters.compile(parts, world().scope("posts"), "owner.name").bind(RequestInfo())
    assert found.joins.count("JOIN") == 1
    assert found.distinct is False


def test_nothing_to_compile_limits_nothing() -> None:
    found = filters.compile((), world().scope("posts")).bind(RequestInfo())
    assert (found.where, found.params, found.joins, found.order_by, found.distinct) == ("1", [], "", "", False)


@pytest.mark.parametrize(
    ("text", "distinct"),
    [
        ("owner.name = 'x'", False),
        ("owner.team.lead.name = 'x'", False),
        ("teams.name = 'x'", True),
        ("posts_via_owner.id ?= 'x'", True),
        ("@collection.posts.id ?= 'x'", True),
        ("tags:each = 'x'", True),
        ("kind:each = 'x'", False),
        ("@request.auth.team.name = 'x'", False),
    ],
)
def test_rows_are_said_to_repeat_only_where_they_may(text: str, distinct: bool) -> None:
    name = "users" if text.startswith("posts_via") else "posts"
    assert bound(text, name=name).distinct is distinct


def test_the_base_row_is_read_by_its_alias_only() -> None:
    scope = world().scope("posts", table="p")
    for text in (
        "title = 'a' && teams.name != tags:each",
        "posts_via_parent.related.title != data.a",
        "related.id = id",
    ):
        found = filters.compile((Part(text, allow_hidden=True),), scope, "title").bind(RequestInfo())
        everything = f"{found.where} {found.joins} {found.order_by}"
        assert '"posts".' not in everything
        world().db.execute(f"SELECT p.* FROM posts AS p {found.joins} WHERE {found.where}", found.params)


@pytest.mark.parametrize(
    ("sort", "hidden", "order"),
    [
        ("-n,+title", False, '"posts"."n" DESC, "posts"."title" ASC'),
        (" n , -title ", False, '"posts"."n" ASC, "posts"."title" DESC'),
        ("@random", False, "RANDOM()"),
        ("-@random,-@rowid", False, 'RANDOM(), "posts"._rowid_ DESC'),
        ("owner.name", False, '"@1"."name" ASC'),
        ("title:lower", False, 'LOWER("posts"."title") ASC'),
        ("secret", True, '"posts"."secret" ASC'),
        ("@collection.teams.name", True, '"@1"."name" ASC'),
    ],
)
def test_sort_terms(sort: str, hidden: bool, order: str) -> None:
    found = filters.compile((), world().scope("posts"), sort, sort_hidden=hidden).bind(RequestInfo())
    assert found.order_by == order


@pytest.mark.parametrize(
    "sort",
    [
        *(
            "secret",
            "nope",
            "n,",
            ",",
            "- n",
            "--n",
            "@now",
            "null",
            "'n'",
            "n desc",
            "@request.query.n",
            "@request.method",
        ),
        *(
            "owner.password",
            "hiddenrel.name",
            "locked_via_user.id",
            "n,n,n,n,n,n,n,n,n",
            "data..a",
            "a" * 256,
            'n"',
            "1",
        ),
    ],
)
def test_what_cannot_be_sorted_by(sort: str) -> None:
    with pytest.raises(FilterError) as caught:
        filters.compile((), world().scope("posts"), sort)
    assert caught.value.text in (sort, "")


def test_a_view_has_no_rowid() -> None:
    with pytest.raises(FilterError):
        filters.compile((), world().scope("pv"), "@rowid")


def test_hidden_emails_do_not_show_in_the_order() -> None:
    found = world().ids("users", sort="email")
    hidden = [row["id"] for row in world().rows("users") if not row["emailVisibility"]]
    assert found[: len(hidden)] == hidden
    assert world().ids("users", sort="email", sort_hidden=True) == sorted(found)


def test_hidden_emails_cannot_be_guessed_from_lists_of_accounts() -> None:
    # t01 leads to accounts with visible and with hidden e-mails.
    for record in world().rows("teams"):
        members = [world().record("users", member) for member in re.findall(r"u\w+", str(record["members"]))]
        if members and not all(member.flag("emailVisibility") for member in members):
            assert str(record["id"]) not in world().ids("teams", Part("members.email !~ 'nobody'"))
            assert str(record["id"]) in world().ids("teams", Part("members.email !~ 'nobody'", allow_hidden=True))


def test_filters_of_clients_are_short() -> None:
    text = "title = '" + "é" * ((MAX_LENGTH - 10) // 2) + "'"
    assert len(text.encode()) == MAX_LENGTH
    world().ids("posts", Part(text, is_client=True))
    with pytest.raises(FilterError, match="length"):
        world().ids("posts", Part(text + " ", is_client=True))
    world().ids("posts", Part(text + " ", allow_hidden=True))


class TestListRules:
    """Rows that a client's filter joins must pass the list rule of their collection."""

    def test_a_joined_row_must_be_listable(self) -> None:
        strict = World(users="name = 'Al'")
        every = strict.ids("posts", Part("owner.name != 'never'", allow_hidden=True))
        some = strict.ids("posts", Part("owner.name != 'never'"))
        owners = {str(row["id"]): row["owner"] for row in strict.rows("posts")}
        known = {str(row["id"]) for row in strict.rows("users")}
        assert some == [post for post in every if owners[post] == "u00000000000000" or owners[post] not in known]

    def test_a_rule_may_join_on_its_own(self) -> None:
        strict = World(teams="members.name ?= 'Al'", users="team.public = true")
        found = strict.ids("posts", Part("team.name != 'never'"))
        teams = {str(row["id"]): str(row["members"]) for row in strict.rows("teams")}
        owners = {str(row["id"]): str(row["team"]) for row in strict.rows("posts")}
        assert found == [p for p, t in sorted(owners.items()) if t not in teams or "u00000000000000" in teams[t]]

    @pytest.mark.parametrize(
        "text", ["owner.name = 'x'", "posts_via_parent.owner.name = 'x'", "comments_via_post.author.age > 1"]
    )
    def test_a_collection_without_list_rule_is_out_of_reach(self, text: str) -> None:
        strict = World(users=None)
        with pytest.raises(FilterError, match="superusers"):
            strict.ids("posts", Part(text))
        strict.ids("posts", Part(text, allow_hidden=True))

    def test_the_sort_expression_counts_too(self) -> None:
        strict = World(users=None)
        with pytest.raises(FilterError, match="superusers"):
            strict.ids("posts", sort="owner.name")

    def test_the_base_collection_is_not_asked(self) -> None:
        strict = World(posts=None)
        assert strict.ids("posts", Part("title != 'never'"))


def test_one_alias_stands_for_one_collection() -> None:
    with pytest.raises(FilterError, match="alias"):
        compiled("@collection.teams:x.name = 'a' && @collection.users:x.password = 'a'")


class TestNewRecords:
    """Create rules: the base row isn't stored yet."""

    ROW: ClassVar[dict[str, object]] = {
        "id": "new",
        "title": "5",
        "n": 5,
        "parent": "p03",
        "tags": '["a"]',
        "owner": "u00000000000000",
    }

    @pytest.mark.parametrize(
        ("rule", "passes"),
        [
            ("parent.title = 'abc'", True),
            ("parent.id = 'p03'", True),
            ("parent.posts_via_parent.id ?= id", False),
            ("@collection.posts.id ?= id", False),
            ("@collection.posts.id ?= parent", True),
            ("tags:each ?= 'a' && tags:length = 1", True),
            ("owner.name = 'Al'", True),
            ("title = 5", False),
            ("title = '5'", True),
            ("n = '5'", False),
            ("n = 5", True),
            ("n ~ '5.0'", True),
        ],
    )
    def test_rules(self, rule: str, passes: bool) -> None:
        scope = world().scope("posts", is_new=True)
        row = {
            field.name: field.to_db(field.prepare(self.ROW.get(field.name))) for field in world().find("posts").fields
        }
        assert world().passes(rule, scope, row, RequestInfo()) is passes
        closure = filters.closure(rule, scope)
        assert closure is None or closure(row, RequestInfo()) is passes

    def test_nothing_refers_to_a_new_record(self) -> None:
        with pytest.raises(FilterError, match="invalid collection reference"):
            filters.compile(
                (Part("posts_via_parent.id ?= 'x'", allow_hidden=True),), world().scope("posts", is_new=True)
            )


def test_an_unsaved_collection_finds_itself() -> None:
    users = world().find("users")
    fields = tuple(field for field in users.fields if field.name in {"id", "name", "friends"})
    draft = type(users)(id=users.id, name="people", type="auth", fields=fields)
    scope = Scope(world().catalog, draft)
    filters.compile((Part("friends.friends.name = 'x'", allow_hidden=True),), scope)
    filters.compile((Part("@collection.people.name = 'x'", allow_hidden=True),), scope)
    with pytest.raises(FilterError):
        filters.compile((Part("friends.age = 1", allow_hidden=True),), scope)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@request.body.title:each = 1", 'field "title" doesn\'t support multivalue operations'),
        ("@request.body.title:length = 1", 'field "title" doesn\'t support multivalue operations'),
        ("@request.query.q:each = 1", "invalid modifier sequence q:each"),
        ("@request.query.q:nope = 1", 'unknown modifier in "q:nope"'),
        ("@request.auth.name.x = 1", 'field "name" is not a valid relation'),
        ("strftime('%Y', day, '1', '2', '3', '4', '5', '6', '7', '8', '9') = ''", "too many arguments"),
        ("strftime('%Y', @request.body.title:changed) = ''", "can't be an argument"),
        ("comments_via_text.id = 1", 'invalid back relation field "text"'),
        ("teams_via_lead.id = 1", 'invalid collection reference of a back relation field "lead"'),
        ("f(1 = 1", "expected comma after the last argument"),
        ("f(= 1", "unsupported argument character"),
        ("f(1", "invalid or incomplete function"),
        ("f(", "invalid or incomplete function"),
    ],
)
def test_what_a_name_cannot_be(text: str, message: str) -> None:
    with pytest.raises(FilterError, match=re.escape(message)):
        compiled(text)


def test_relations_to_nowhere_are_errors() -> None:
    posts = world().find("posts")
    scope = Scope(type(world().catalog)([posts]), posts)
    for text in ("owner.name = 'x'", "@request.body.owner.name = 'x'"):
        with pytest.raises(FilterError, match="failed to load"):
            filters.compile((Part(text, allow_hidden=True),), scope)


def test_numbers_out_of_range_are_zero() -> None:
    assert bound(f"n = {'9' * 400}").params == [0.0]


def test_a_time_in_the_request_is_read_from_it() -> None:
    request = world().request(ME, query={"day": "2024-05-06"})
    part = Part("strftime('%Y', @request.query.day) = '2024'", allow_hidden=True)
    assert len(world().ids("posts", part, request=request)) == 14
    assert world().ids("posts", part) == []


def test_a_relation_of_the_body_can_be_an_argument() -> None:
    part = Part(
        "strftime('%Y', @request.body.parent.day) = '' && geoDistance(@request.body.parent.n,0,0,0) = null", True
    )
    assert len(world().ids("posts", part, request=RequestInfo(body={"parent": ""}))) == 14
    assert world().ids("posts", part, request=RequestInfo(body={"parent": "p01"})) == []
