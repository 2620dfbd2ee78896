// Records: write and read them, filter, sort, page, expand, and what rules and hidden fields keep back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accounts, beyondReference, guest, OPEN, openCollection, pluck, refuses, signUp, superuser, unique } from "./suite.mjs";

const root = await superuser();

const TASK_FIELDS = [
    { name: "title", type: "text" },
    { name: "score", type: "number" },
    { name: "done", type: "bool" },
    { name: "due", type: "date" },
    { name: "tags", type: "select", values: ["red", "green", "blue"], maxSelect: 3 },
    { name: "meta", type: "json" },
    { name: "place", type: "geoPoint" },
];

const TASKS = [
    { title: "Alpha", score: 1, done: true, due: "2024-01-01", tags: ["red"], meta: { level: 1 }, place: { lon: 23.32, lat: 42.69 } },
    { title: "beta's", score: 2, done: false, due: "2024-06-01", tags: ["red", "green"], meta: { level: 2, deep: { x: "y" } } },
    { title: 'Gam"ma', score: 3, done: true, due: "2025-01-01", tags: ["blue"], meta: [1, 2, 3], place: { lon: -0.12, lat: 51.5 } },
    { title: "50% \\ off", score: 4, done: false, due: "", tags: [], meta: null },
];

async function tasks() {
    const collection = await openCollection(root, TASK_FIELDS);
    const records = guest().collection(collection.name);
    for (const task of TASKS) {
        await records.create(task);
    }
    return records;
}

const shared = await tasks();

/** The titles that a filter finds, in the order of their score. */
async function found(filter, params) {
    const items = await shared.getFullList({ filter: params ? root.filter(filter, params) : filter, sort: "score" });
    return items.map((item) => item.score).join("");
}

// -- create, view, update, delete ---------------------------------------------------------------

test("a record is created, viewed, changed and deleted", async () => {
    const collection = await openCollection(root, TASK_FIELDS);
    const records = guest().collection(collection.name);
    const created = await records.create({ title: "one", score: 1.5, tags: ["red"], meta: { a: [1] } });
    assert.match(created.id, /^[a-z0-9]{15}$/);
    assert.equal(created.collectionId, collection.id);
    assert.equal(created.collectionName, collection.name);
    assert.deepEqual(await records.getOne(created.id), created);
    const updated = await records.update(created.id, { title: "two" });
    assert.deepEqual(updated, { ...created, title: "two" });
    assert.equal(await records.delete(created.id), true);
    await refuses(records.getOne(created.id), 404);
    await refuses(records.update(created.id, { title: "three" }), 404);
    await refuses(records.delete(created.id), 404);
});

test("a client may bring its own id, once", async () => {
    const collection = await openCollection(root, []);
    const records = guest().collection(collection.name);
    const id = "abcdefghij12345";
    assert.equal((await records.create({ id })).id, id);
    await refuses(records.create({ id }), 400, { id: "validation_not_unique" });
    await refuses(records.create({ id: "short" }), 400, { id: "validation_min_text_constraint" });
    await refuses(records.create({ id: "UPPERCASE123456" }), 400, { id: "validation_invalid_format" });
    await refuses(records.update(id, { id: "abcdefghij00000" }), 400, { id: "validation_pk_change" });
});

test("a form with @jsonPayload and fields is read like JSON", async () => {
    const collection = await openCollection(root, TASK_FIELDS);
    const form = new FormData();
    form.set("@jsonPayload", JSON.stringify({ title: "from json", tags: ["red", "blue"] }));
    form.set("score", "12");
    form.set("done", "true");
    const record = await guest().collection(collection.name).create(form);
    assert.equal(record.title, "from json");
    assert.deepEqual(record.tags, ["red", "blue"]);
    assert.equal(record.score, 12);
    assert.equal(record.done, true);
});

test("unknown fields are ignored, unknown collections and records are not found", async () => {
    const record = await shared.getFirstListItem("");
    const same = await shared.update(record.id, { no_such_field: 1, created: "x", collectionId: "y" });
    assert.deepEqual(same, record);
    await refuses(guest().collection("no_such_collection").getList(), 404);
    await refuses(shared.getOne("no_such_record0"), 404);
    await refuses(guest().collection(unique("x")).create({}), 404);
});

test("several faults are told at once", async () => {
    const collection = await openCollection(root, [
        { name: "title", type: "text", required: true },
        { name: "score", type: "number", max: 1 },
        { name: "mail", type: "email" },
    ]);
    await refuses(guest().collection(collection.name).create({ score: 2, mail: "x" }), 400, {
        title: "validation_required",
        score: "validation_max_number_constraint",
        mail: "validation_is_email",
    });
});

test("a unique index is told with its field", async () => {
    const name = unique("unique");
    await root.collections.create({
        name,
        type: "base",
        ...OPEN,
        fields: [{ name: "slug", type: "text" }],
        indexes: [`CREATE UNIQUE INDEX idx_${name} ON ${name} (slug)`],
    });
    const records = guest().collection(name);
    await records.create({ slug: "a" });
    const other = await records.create({ slug: "b" });
    await refuses(records.create({ slug: "a" }), 400, { slug: "validation_not_unique" });
    await refuses(records.update(other.id, { slug: "a" }), 400, { slug: "validation_not_unique" });
    assert.equal((await records.update(other.id, { slug: "b" })).slug, "b");
});

// -- modifiers ------------------------------------------------------------------------------------

test("numbers are added to and subtracted from", async () => {
    const collection = await openCollection(root, TASK_FIELDS);
    const records = guest().collection(collection.name);
    const record = await records.create({ score: 10 });
    assert.equal((await records.update(record.id, { "score+": 2.5 })).score, 12.5);
    assert.equal((await records.update(record.id, { "score-": 0.5 })).score, 12);
});

test("selects are appended, prepended and removed from", async () => {
    const collection = await openCollection(root, TASK_FIELDS);
    const records = guest().collection(collection.name);
    const record = await records.create({ tags: ["red"] });
    assert.deepEqual((await records.update(record.id, { "tags+": ["green"] })).tags, ["red", "green"]);
    assert.deepEqual((await records.update(record.id, { "+tags": "blue" })).tags, ["blue", "red", "green"]);
    assert.deepEqual((await records.update(record.id, { "tags-": ["red", "blue"] })).tags, ["green"]);
});

test("relations are appended, prepended and removed from", async () => {
    const target = await openCollection(root, []);
    const [a, b] = [await root.collection(target.name).create({}), await root.collection(target.name).create({})];
    const source = await openCollection(root, [{ name: "to", type: "relation", collectionId: target.id, maxSelect: 3 }]);
    const records = guest().collection(source.name);
    const record = await records.create({ to: a.id });
    assert.deepEqual((await records.update(record.id, { "+to": b.id })).to, [b.id, a.id]);
    assert.deepEqual((await records.update(record.id, { "to-": a.id })).to, [b.id]);
    assert.deepEqual((await records.update(record.id, { "to+": [a.id] })).to, [b.id, a.id]);
});

test("modifiers of many writers at once are all kept", { skip: beyondReference }, async () => {
    const collection = await openCollection(root, TASK_FIELDS);
    const record = await root.collection(collection.name).create({ score: 0 });
    const writer = guest().collection(collection.name);
    await Promise.all(Array.from({ length: 40 }, () => writer.update(record.id, { "score+": 1 })));
    assert.equal((await writer.getOne(record.id)).score, 40);
});

// -- filters --------------------------------------------------------------------------------------

test("filters compare with every operator", async () => {
    assert.equal(await found("score = 2"), "2");
    assert.equal(await found("score != 2"), "134");
    assert.equal(await found("score > 2"), "34");
    assert.equal(await found("score >= 2"), "234");
    assert.equal(await found("score < 2"), "1");
    assert.equal(await found("score <= 2"), "12");
    assert.equal(await found("title ~ 'a'"), "123");
    assert.equal(await found("title ~ 'al%'"), "1");
    assert.equal(await found("title !~ 'a'"), "4");
    assert.equal(await found("tags:each ?= 'red'"), "12");
    assert.equal(await found("tags:each ?= 'green'"), "2");
    assert.equal(await found("tags:each != 'red'"), "34");
    assert.equal(await found("tags:length > 1"), "2");
    assert.equal(await found("title:lower = 'alpha'"), "1");
    assert.equal(await found("meta.level >= 1"), "12");
    assert.equal(await found("meta.deep.x = 'y'"), "2");
});

test("filters combine with brackets, && and ||", async () => {
    assert.equal(await found("done = true && (score = 1 || score = 2)"), "1");
    assert.equal(await found("done = true && score = 1 || score = 2"), "12");
    assert.equal(await found("(done = false || score = 3) && score > 2"), "34");
});

test("filters know dates, macros, null and places", async () => {
    assert.equal(await found("due > '2024-03-01' && due < '2024-12-31'"), "2");
    assert.equal(await found("due = ''"), "4");
    assert.equal(await found("due < @now"), "1234");
    assert.equal(await found("due != '' && due > @todayStart"), "");
    assert.equal(await found("meta = null"), "4");
    assert.equal(await found("geoDistance(place.lon, place.lat, 23.32, 42.69) < 10"), "1");
    assert.equal(await found("strftime('%Y', due) = '2024'"), "12");
});

test("pb.filter binds every kind of value", async () => {
    assert.equal(await found("title = {:t}", { t: "beta's" }), "2");
    assert.equal(await found("title = {:t}", { t: 'Gam"ma' }), "3");
    assert.equal(await found("title ~ {:t}", { t: "50%" }), "4");
    assert.equal(await found("title = {:t}", { t: "' || 1=1 || '" }), "");
    assert.equal(await found("score = {:n} && done = {:b}", { n: 3, b: true }), "3");
    assert.equal(await found("due >= {:d}", { d: new Date(Date.UTC(2024, 5, 1)) }), "23");
    assert.equal(await found("meta = {:x}", { x: null }), "4");
});

test("broken filters are refused, whatever they hold", async () => {
    for (const filter of ["score =", "missing = 1", "(score = 1", "score = 1 &&", "title ~ 'open", "score ==== 1", "1; DROP TABLE x"]) {
        await refuses(shared.getList(1, 1, { filter }), 400);
    }
});

test("filters go through relations, back-relations and other collections", async () => {
    const people = await openCollection(root, [{ name: "name", type: "text" }]);
    const posts = await openCollection(root, [
        { name: "title", type: "text" },
        { name: "author", type: "relation", collectionId: people.id, maxSelect: 1 },
        { name: "readers", type: "relation", collectionId: people.id, maxSelect: 9 },
    ]);
    const [ann, bob] = await Promise.all(["Ann", "Bob"].map((name) => root.collection(people.name).create({ name })));
    await root.collection(posts.name).create({ title: "first", author: ann.id, readers: [ann.id, bob.id] });
    await root.collection(posts.name).create({ title: "second", author: bob.id, readers: [bob.id] });
    const titles = async (filter) => pluck(await guest().collection(posts.name).getFullList({ filter, sort: "title" }), "title");
    assert.deepEqual(await titles("author.name = 'Ann'"), ["first"]);
    assert.deepEqual(await titles("readers.name ?= 'Ann'"), ["first"]);
    assert.deepEqual(await titles("readers.name = 'Bob'"), ["second"], "all of them");
    assert.deepEqual(await titles("readers.name ?= 'Bob'"), ["first", "second"], "any of them");
    const names = async (filter) => pluck(await guest().collection(people.name).getFullList({ filter, sort: "name" }), "name");
    assert.deepEqual(await names(`${posts.name}_via_author.title = 'second'`), ["Bob"]);
    assert.deepEqual(await names(`${posts.name}_via_readers.title ?= 'first'`), ["Ann", "Bob"]);
    await refuses(guest().collection(people.name).getList(1, 1, { filter: `@collection.${posts.name}.author ?= id` }), 403);
    const asRoot = await root.collection(people.name).getFullList({
        filter: `@collection.${posts.name}.author ?= id && @collection.${posts.name}.title ?= 'first'`,
        sort: "name",
    });
    assert.deepEqual(pluck(asRoot, "name"), ["Ann"], "both conditions meet the same row");
});

// -- sort, paging, fields -------------------------------------------------------------------------

test("lists are sorted by several fields, by rowid and at random", async () => {
    const order = async (sort) => (await shared.getFullList({ sort })).map((item) => item.score).join("");
    assert.equal(await order("-score"), "4321");
    assert.equal(await order("done,-score"), "4231");
    assert.equal(await order("@rowid"), "1234");
    assert.equal(await order("-@rowid"), "4321");
    assert.equal((await order("@random")).length, 4);
    await refuses(shared.getList(1, 1, { sort: "missing" }), 400);
});

test("lists are paged, with and without totals", async () => {
    const second = await shared.getList(2, 3, { sort: "score" });
    assert.deepEqual([second.page, second.perPage, second.totalItems, second.totalPages], [2, 3, 4, 2]);
    assert.deepEqual(pluck(second.items, "score"), [4]);
    const quick = await shared.getList(1, 3, { sort: "score", skipTotal: true });
    assert.deepEqual([quick.totalItems, quick.totalPages], [-1, -1]);
    assert.deepEqual(pluck(quick.items, "score"), [1, 2, 3]);
    const beyond = await shared.getList(9, 3);
    assert.deepEqual(beyond.items, []);
    assert.equal(beyond.totalItems, 4);
    assert.equal((await shared.getList(1, 5000)).perPage, 1000);
    assert.equal((await shared.getFullList({ batch: 1 })).length, 4);
});

test("the first match is found, or is missing", async () => {
    assert.equal((await shared.getFirstListItem("score > 2", { sort: "score" })).score, 3);
    await assert.rejects(shared.getFirstListItem("score > 100"), { status: 404 });
});

test("fields picks keys, excerpts texts and keeps totals", async () => {
    const collection = await openCollection(root, [{ name: "body", type: "editor" }, ...TASK_FIELDS]);
    const records = guest().collection(collection.name);
    const record = await records.create({ body: "<p>The <b>quick</b> brown fox jumps</p>", title: "x", meta: { a: 1, b: 2 } });
    assert.deepEqual(await records.getOne(record.id, { fields: "title,meta.a" }), { title: "x", meta: { a: 1 } });
    assert.deepEqual(await records.getOne(record.id, { fields: "body:excerpt(9,true)" }), { body: "The quick..." });
    const page = await records.getList(1, 1, { fields: "id" });
    assert.deepEqual(page.items, [{ id: record.id }]);
    assert.equal(page.totalItems, 1);
    assert.deepEqual(await records.update(record.id, { title: "y" }, { fields: "title" }), { title: "y" });
});

// -- relations ------------------------------------------------------------------------------------

test("relations are expanded, nested and backwards", async () => {
    const people = await openCollection(root, [{ name: "name", type: "text" }]);
    const posts = await openCollection(root, [
        { name: "title", type: "text" },
        { name: "author", type: "relation", collectionId: people.id, maxSelect: 1 },
    ]);
    const comments = await openCollection(root, [
        { name: "text", type: "text" },
        { name: "post", type: "relation", collectionId: posts.id, maxSelect: 1 },
        { name: "likes", type: "relation", collectionId: people.id, maxSelect: 9 },
    ]);
    const [ann, bob] = await Promise.all(["Ann", "Bob"].map((name) => root.collection(people.name).create({ name })));
    const post = await root.collection(posts.name).create({ title: "post", author: ann.id });
    const comment = await root.collection(comments.name).create({ text: "hi", post: post.id, likes: [bob.id, ann.id] });
    const read = await guest().collection(comments.name).getOne(comment.id, { expand: "post.author,likes" });
    assert.equal(read.expand.post.title, "post");
    assert.equal(read.expand.post.expand.author.name, "Ann");
    assert.deepEqual(pluck(read.expand.likes, "name"), ["Bob", "Ann"], "in the order of the relation");
    const back = `${comments.name}_via_post`;
    const withComments = await guest().collection(posts.name).getOne(post.id, { expand: `${back}.likes` });
    assert.deepEqual(pluck(withComments.expand[back], "text"), ["hi"]);
    assert.deepEqual(pluck(withComments.expand[back][0].expand.likes, "name"), ["Bob", "Ann"]);
    const picked = await guest()
        .collection(comments.name)
        .getOne(comment.id, { expand: "post.author", fields: "text,expand.post.expand.author.name" });
    assert.deepEqual(picked, { text: "hi", expand: { post: { expand: { author: { name: "Ann" } } } } });
    const unknown = await guest().collection(comments.name).getOne(comment.id, { expand: "missing" });
    assert.deepEqual(unknown.expand ?? {}, {});
});

test("an expand obeys the view rule of its target", async () => {
    const secrets = await openCollection(root, [{ name: "title", type: "text" }], { viewRule: "title != 'secret'" });
    const source = await openCollection(root, [{ name: "to", type: "relation", collectionId: secrets.id, maxSelect: 9 }]);
    const [plain, secret] = await Promise.all(
        ["plain", "secret"].map((title) => root.collection(secrets.name).create({ title })),
    );
    const record = await root.collection(source.name).create({ to: [plain.id, secret.id] });
    const read = await guest().collection(source.name).getOne(record.id, { expand: "to" });
    assert.deepEqual(pluck(read.expand.to, "title"), ["plain"]);
    const all = await root.collection(source.name).getOne(record.id, { expand: "to" });
    assert.deepEqual(pluck(all.expand.to, "title"), ["plain", "secret"]);
});

test("a delete cascades, unsets or is refused, as the relation says", async () => {
    const parents = await openCollection(root, []);
    const relation = { name: "to", type: "relation", collectionId: parents.id, maxSelect: 1 };
    const cascading = await openCollection(root, [{ ...relation, cascadeDelete: true }]);
    const loose = await openCollection(root, [relation]);
    const strict = await openCollection(root, [{ ...relation, required: true }]);
    const parent = await root.collection(parents.name).create({});
    const gone = await root.collection(cascading.name).create({ to: parent.id });
    const unset = await root.collection(loose.name).create({ to: parent.id });
    const blocker = await root.collection(strict.name).create({ to: parent.id });
    await refuses(root.collection(parents.name).delete(parent.id), 400);
    assert.equal((await root.collection(cascading.name).getOne(gone.id)).to, parent.id, "nothing happened");
    await root.collection(strict.name).delete(blocker.id);
    assert.equal(await root.collection(parents.name).delete(parent.id), true);
    await refuses(root.collection(cascading.name).getOne(gone.id), 404);
    assert.equal((await root.collection(loose.name).getOne(unset.id)).to, "");
});

// -- rules ----------------------------------------------------------------------------------------

test("null rules are for superusers only", async () => {
    const collection = await root.collections.create({ name: unique("closed"), type: "base", fields: [] });
    const record = await root.collection(collection.name).create({});
    const records = guest().collection(collection.name);
    await refuses(records.getList(), 403);
    await refuses(records.getOne(record.id), 403);
    await refuses(records.create({}), 403);
    await refuses(records.update(record.id, {}), 403);
    await refuses(records.delete(record.id), 403);
});

test("rules on the owner keep others out", async () => {
    const users = await accounts(root);
    const mine = "owner = @request.auth.id";
    const notes = await openCollection(
        root,
        [
            { name: "title", type: "text" },
            { name: "owner", type: "relation", collectionId: users.id, maxSelect: 1 },
        ],
        { listRule: mine, viewRule: mine, createRule: `@request.auth.id != '' && ${mine}`, updateRule: mine, deleteRule: mine },
    );
    const ann = await signUp(root, users);
    const bob = await signUp(root, users);
    const note = await ann.client.collection(notes.name).create({ title: "mine", owner: ann.record.id });
    assert.equal((await ann.client.collection(notes.name).getList()).totalItems, 1);
    assert.equal((await bob.client.collection(notes.name).getList()).totalItems, 0);
    assert.equal((await guest().collection(notes.name).getList()).totalItems, 0);
    await refuses(bob.client.collection(notes.name).getOne(note.id), 404);
    await refuses(bob.client.collection(notes.name).update(note.id, { title: "taken" }), 404);
    await refuses(bob.client.collection(notes.name).delete(note.id), 404);
    await refuses(bob.client.collection(notes.name).create({ owner: ann.record.id }), 400);
    await refuses(guest().collection(notes.name).create({ title: "x" }), 400);
});

test("rules see the body, what changes, the query and the headers", async () => {
    const collection = await openCollection(root, [{ name: "title", type: "text" }, { name: "score", type: "number" }], {
        createRule: "@request.body.score:isset = false && @request.headers.x_key = 'open'",
        updateRule: "@request.body.title:changed = false",
        listRule: "@request.query.key = 'let me in'",
    });
    const records = guest().collection(collection.name);
    await refuses(records.create({ title: "a" }), 400);
    await refuses(records.create({ title: "a", score: 1 }, { headers: { "X-Key": "open" } }), 400);
    const record = await records.create({ title: "a" }, { headers: { "X-Key": "open" } });
    assert.equal((await records.update(record.id, { title: "a", score: 2 })).score, 2);
    await refuses(records.update(record.id, { title: "b" }), 404);
    assert.equal((await records.getList(1, 1, { query: { key: "let me in" } })).totalItems, 1);
    assert.equal((await records.getList(1, 1)).totalItems, 0);
});

test("hidden fields are for superusers only, also in filters and sorts", async () => {
    const collection = await openCollection(root, [
        { name: "title", type: "text" },
        { name: "secret", type: "text", hidden: true },
    ]);
    const records = guest().collection(collection.name);
    const record = await root.collection(collection.name).create({ title: "a", secret: "s" });
    assert.equal(record.secret, "s");
    assert.equal("secret" in (await records.getOne(record.id)), false);
    assert.equal("secret" in (await records.getList()).items[0], false);
    assert.deepEqual(await records.getOne(record.id, { fields: "secret" }), {});
    await refuses(records.getList(1, 1, { filter: "secret = 's'" }), 400);
    await refuses(records.getList(1, 1, { sort: "secret" }), 400);
    assert.equal((await root.collection(collection.name).getList(1, 1, { filter: "secret = 's'" })).totalItems, 1);
    await records.update(record.id, { secret: "changed" });
    assert.equal((await root.collection(collection.name).getOne(record.id)).secret, "s");
});

test("an e-mail is seen by its owner, by superusers, and by others if it is visible", async () => {
    const users = await accounts(root);
    const ann = await signUp(root, users, { emailVisibility: false });
    const bob = await signUp(root, users, { emailVisibility: true });
    const seen = async (client) => {
        const list = await client.collection(users.name).getFullList({ sort: "@rowid" });
        return list.map((record) => "email" in record);
    };
    assert.deepEqual(await seen(guest()), [false, true]);
    assert.deepEqual(await seen(ann.client), [true, true]);
    assert.deepEqual(await seen(bob.client), [false, true]);
    assert.deepEqual(await seen(root), [true, true]);
});
