// Collections: create, change, import, truncate and delete them, with the data kept.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accounts, guest, OPEN, openCollection, pluck, refuses, signUp, superuser, unique } from "./suite.mjs";

const root = await superuser();

test("health answers", async () => {
    const health = await guest().health.check();
    assert.equal(health.code, 200);
    assert.equal(health.message, "API is healthy.");
});

test("a base collection gets its id, system field and null rules", async () => {
    const name = unique("plain");
    const collection = await root.collections.create({ name, type: "base", fields: [{ name: "title", type: "text" }] });
    assert.match(collection.id, /^pbc_\d+$/);
    assert.equal(collection.name, name);
    assert.equal(collection.type, "base");
    assert.equal(collection.system, false);
    assert.deepEqual(pluck(collection.fields, "name"), ["id", "title"]);
    assert.equal(collection.fields[0].system, true);
    assert.equal(collection.fields[0].primaryKey, true);
    for (const rule of ["listRule", "viewRule", "createRule", "updateRule", "deleteRule"]) {
        assert.equal(collection[rule], null);
    }
});

test("an auth collection gets the system fields, their indexes and the token options", async () => {
    const collection = await accounts(root);
    const names = pluck(collection.fields, "name");
    for (const name of ["id", "password", "tokenKey", "email", "emailVisibility", "verified"]) {
        assert.ok(names.includes(name), name);
    }
    assert.equal(collection.indexes.length, 2);
    assert.equal(collection.passwordAuth.enabled, true);
    assert.deepEqual(collection.passwordAuth.identityFields, ["email"]);
    assert.ok(collection.authToken.duration > 0);
    assert.equal(collection.authToken.secret, undefined, "secrets are not shown");
});

test("a view collection infers its fields from the query", async () => {
    const base = await openCollection(root, [
        { name: "title", type: "text" },
        { name: "score", type: "number" },
        { name: "done", type: "bool" },
    ]);
    const view = await root.collections.create({
        name: unique("view"),
        type: "view",
        listRule: "",
        viewRule: "",
        viewQuery: `SELECT id, title, score as points, (score * 2) as doubled, count(*) as total FROM ${base.name} GROUP BY id`,
    });
    assert.deepEqual(
        view.fields.map((field) => `${field.name} ${field.type}`),
        ["id text", "title text", "points number", "doubled json", "total number"],
    );
    await root.collection(base.name).create({ title: "a", score: 3 });
    const page = await guest().collection(view.name).getList(1, 10);
    assert.equal(page.totalItems, 1);
    assert.equal(page.items[0].title, "a");
    assert.equal(page.items[0].points, 3);
    assert.equal(page.items[0].doubled, 6);
    assert.equal(page.items[0].collectionName, view.name);
    await refuses(root.collection(view.name).create({ title: "b" }), 400);
});

test("a view follows its base and guards it", async () => {
    const base = await openCollection(root, [{ name: "title", type: "text" }]);
    const view = await root.collections.create({
        name: unique("view"),
        type: "view",
        viewQuery: `SELECT id, title FROM ${base.name}`,
    });
    await refuses(root.collections.delete(base.name), 400);
    await root.collections.delete(view.name);
    assert.equal(await root.collections.delete(base.name), true);
});

test("a broken or writing view query is refused", async () => {
    for (const viewQuery of ["", "SELECT", "DELETE FROM _superusers", "SELECT 1 as title", "SELECT id FROM missing_table"]) {
        const error = await refuses(root.collections.create({ name: unique("view"), type: "view", viewQuery }), 400);
        assert.ok(error.response.data.viewQuery || error.response.data.fields, viewQuery);
    }
});

test("collections are found by name in any case and by id", async () => {
    const collection = await openCollection(root, []);
    assert.equal((await root.collections.getOne(collection.id)).name, collection.name);
    assert.equal((await root.collections.getOne(collection.name.toUpperCase())).id, collection.id);
    await refuses(root.collections.getOne("no_such_collection"), 404);
});

test("collections are listed with filter, sort and fields", async () => {
    const prefix = unique("listed");
    for (const suffix of ["b", "a", "c"]) {
        await root.collections.create({ name: `${prefix}_${suffix}`, type: "base" });
    }
    const page = await root.collections.getList(1, 2, {
        filter: root.filter("name ~ {:prefix}", { prefix: `${prefix}_` }),
        sort: "-name",
        fields: "name,type",
    });
    assert.equal(page.totalItems, 3);
    assert.equal(page.totalPages, 2);
    assert.deepEqual(page.items, [
        { name: `${prefix}_c`, type: "base" },
        { name: `${prefix}_b`, type: "base" },
    ]);
    assert.ok((await root.collections.getFullList()).length >= 3);
});

test("only superusers reach collections", async () => {
    const { client } = await signUp(root, await accounts(root));
    for (const [who, status] of [
        [guest(), 401],
        [client, 403],
    ]) {
        await refuses(who.collections.getList(), status);
        await refuses(who.collections.getOne("_superusers"), status);
        await refuses(who.collections.create({ name: unique("x"), type: "base" }), status);
        await refuses(who.collections.update("_superusers", {}), status);
        await refuses(who.collections.delete("_superusers"), status);
        await refuses(who.collections.truncate("_superusers"), status);
        await refuses(who.collections.import([]), status);
        await refuses(who.collections.getScaffolds(), status);
    }
});

test("a collection and its fields are renamed, and the data stays", async () => {
    const collection = await openCollection(root, [
        { name: "title", type: "text" },
        { name: "score", type: "number" },
    ]);
    const record = await root.collection(collection.name).create({ title: "kept", score: 7 });
    const renamed = await root.collections.update(collection.id, {
        name: unique("renamed"),
        fields: collection.fields.map((field) => (field.name === "title" ? { ...field, name: "heading" } : field)),
    });
    assert.equal(renamed.id, collection.id);
    const read = await guest().collection(renamed.name).getOne(record.id);
    assert.equal(read.heading, "kept");
    assert.equal(read.score, 7);
    assert.equal(read.title, undefined);
    assert.equal(read.collectionName, renamed.name);
    await refuses(guest().collection(collection.name).getOne(record.id), 404);
});

test("renaming follows into relations, views and indexes", async () => {
    const target = await openCollection(root, [{ name: "title", type: "text" }], {
        indexes: [],
    });
    const source = await openCollection(root, [{ name: "to", type: "relation", collectionId: target.id, maxSelect: 1 }]);
    const indexed = await root.collections.update(target.id, {
        indexes: [`CREATE INDEX idx_${target.name} ON ${target.name} (title)`],
    });
    assert.equal(indexed.indexes.length, 1);
    const name = unique("moved");
    const moved = await root.collections.update(target.id, { name });
    assert.match(moved.indexes[0], new RegExp(`\`?${name}\`?`));
    const record = await root.collection(name).create({ title: "there" });
    const from = await root.collection(source.name).create({ to: record.id }, { expand: "to" });
    assert.equal(from.expand.to.title, "there");
});

test("fields are added and removed, and the other data stays", async () => {
    const collection = await openCollection(root, [
        { name: "title", type: "text" },
        { name: "gone", type: "text" },
    ]);
    const record = await root.collection(collection.name).create({ title: "kept", gone: "x" });
    const changed = await root.collections.update(collection.id, {
        fields: [
            ...collection.fields.filter((field) => field.name !== "gone"),
            { name: "tags", type: "select", values: ["a", "b"], maxSelect: 2 },
        ],
    });
    assert.deepEqual(pluck(changed.fields, "name"), ["id", "title", "tags"]);
    const read = await guest().collection(collection.name).getOne(record.id);
    assert.equal(read.title, "kept");
    assert.deepEqual(read.tags, []);
    assert.equal("gone" in read, false);
});

test("a single select becomes a multiple one and back, with its values", async () => {
    const collection = await openCollection(root, [{ name: "tag", type: "select", values: ["a", "b"], maxSelect: 1 }]);
    const record = await root.collection(collection.name).create({ tag: "b" });
    const retype = (maxSelect) =>
        root.collections.update(collection.id, {
            fields: collection.fields.map((field) => (field.name === "tag" ? { ...field, maxSelect } : field)),
        });
    await retype(2);
    assert.deepEqual((await root.collection(collection.name).getOne(record.id)).tag, ["b"]);
    await retype(1);
    assert.equal((await root.collection(collection.name).getOne(record.id)).tag, "b");
});

test("a field cannot change its type under the same id", async () => {
    const collection = await openCollection(root, [{ name: "title", type: "text" }]);
    await refuses(
        root.collections.update(collection.id, {
            fields: collection.fields.map((field) =>
                field.name === "title" ? { id: field.id, name: "title", type: "number" } : field,
            ),
        }),
        400,
        { fields: { 1: "validation_field_type_change" } },
    );
});

test("bad collections are refused field by field", async () => {
    await refuses(root.collections.create({ name: "", type: "base" }), 400, { name: "validation_required" });
    await refuses(root.collections.create({ name: "_superusers", type: "base" }), 400, {
        name: "validation_collection_name_exists",
    });
    await refuses(root.collections.create({ name: "not valid!", type: "base" }), 400, {
        name: "validation_match_invalid",
    });
    await refuses(root.collections.create({ name: unique("x"), type: "nothing" }), 400, {
        type: "validation_in_invalid",
    });
    await refuses(root.collections.create({ name: unique("x"), type: "base", listRule: "missing = 1" }), 400, {
        listRule: "validation_invalid_rule",
    });
    await refuses(root.collections.create({ name: unique("x"), type: "base", fields: [{ name: "a", type: "wat" }] }), 400);
});

test("of two new fields with one name the last one counts, two old ones are refused", async () => {
    const text = { name: "twice", type: "text" };
    const number = { name: "twice", type: "number" };
    const collection = await openCollection(root, [text, number]);
    assert.deepEqual(pluck(collection.fields, "type"), ["text", "number"]);
    const [id, twice] = collection.fields;
    await refuses(root.collections.update(collection.id, { fields: [id, twice, { ...twice, id: "another" }] }), 400, {
        fields: { 2: { name: "validation_duplicated_field_name" } },
    });
});

test("indexes are made, enforce uniqueness, and broken ones are refused", async () => {
    const name = unique("indexed");
    const collection = await root.collections.create({
        name,
        type: "base",
        ...OPEN,
        fields: [
            { name: "title", type: "text" },
            { name: "part", type: "number" },
        ],
        indexes: [`CREATE UNIQUE INDEX idx_${name} ON ${name} (title, part)`],
    });
    await root.collection(name).create({ title: "a", part: 1 });
    await root.collection(name).create({ title: "a", part: 2 });
    await refuses(root.collection(name).create({ title: "a", part: 1 }), 400, {
        title: "validation_not_unique",
        part: "validation_not_unique",
    });
    await refuses(root.collections.update(name, { indexes: ["CREATE INDEX broken ON"] }), 400, {
        indexes: { 0: "validation_invalid_index_expression" },
    });
    await refuses(root.collections.update(name, { indexes: [`CREATE UNIQUE INDEX idx_x ON ${name} (missing)`] }), 400);
    const without = await root.collections.update(name, { indexes: [] });
    assert.deepEqual(without.indexes, []);
    await root.collection(collection.name).create({ title: "a", part: 1 });
});

test("scaffolds show a new collection of each type", async () => {
    const scaffolds = await root.collections.getScaffolds();
    assert.deepEqual(Object.keys(scaffolds).sort(), ["auth", "base", "view"]);
    assert.equal(scaffolds.base.type, "base");
    assert.ok(scaffolds.auth.fields.some((field) => field.name === "tokenKey"));
    assert.equal(scaffolds.view.viewQuery, "");
});

test("an import creates, changes and keeps collections", async () => {
    const kept = await openCollection(root, [{ name: "title", type: "text" }]);
    const changed = await openCollection(root, [{ name: "title", type: "text" }]);
    const record = await root.collection(changed.name).create({ title: "kept" });
    const created = unique("imported");
    await root.collections.import([
        { ...changed, fields: [...changed.fields, { name: "more", type: "number" }] },
        { name: created, type: "base", fields: [{ name: "title", type: "text" }] },
    ]);
    assert.deepEqual(pluck((await root.collections.getOne(changed.id)).fields, "name"), ["id", "title", "more"]);
    assert.equal((await root.collection(changed.name).getOne(record.id)).title, "kept");
    assert.equal((await root.collections.getOne(created)).type, "base");
    assert.equal((await root.collections.getOne(kept.id)).name, kept.name);
});

test("an import with a fault changes nothing", async () => {
    const name = unique("imported");
    await refuses(
        root.collections.import([
            { name, type: "base", fields: [{ name: "title", type: "text" }] },
            { name: unique("broken"), type: "base", listRule: "missing = 1" },
        ]),
        400,
    );
    await refuses(root.collections.getOne(name), 404);
    await refuses(root.collections.import([]), 400, { collections: "validation_required" });
});

test("truncate removes the records and keeps the collection", async () => {
    const collection = await openCollection(root, [{ name: "title", type: "text" }]);
    for (const title of ["a", "b", "c"]) {
        await root.collection(collection.name).create({ title });
    }
    assert.equal(await root.collections.truncate(collection.name), true);
    assert.equal((await root.collection(collection.name).getList()).totalItems, 0);
    await root.collection(collection.name).create({ title: "d" });
});

test("a collection that others point to cannot be deleted", async () => {
    const target = await openCollection(root, []);
    const source = await openCollection(root, [{ name: "to", type: "relation", collectionId: target.id, maxSelect: 1 }]);
    await refuses(root.collections.delete(target.name), 400);
    assert.equal(await root.collections.delete(source.name), true);
    assert.equal(await root.collections.delete(target.name), true);
    await refuses(root.collections.getOne(target.id), 404);
    await refuses(guest().collection(target.name).getList(), 404);
});

test("system collections keep their name and fields and cannot be deleted", async () => {
    for (const name of ["_superusers", "_authOrigins", "_externalAuths", "_mfas", "_otps"]) {
        const collection = await root.collections.getOne(name);
        assert.equal(collection.system, true);
        await refuses(root.collections.delete(name), 400);
        await refuses(root.collections.update(name, { name: unique("x") }), 400);
        const error = await refuses(root.collections.update(name, { fields: [] }), 400);
        assert.equal(error.response.data.fields.code, "validation_system_field_change");
        assert.deepEqual((await root.collections.getOne(name)).fields, collection.fields);
    }
    await refuses(root.collections.update("_superusers", { listRule: "" }), 400);
});
