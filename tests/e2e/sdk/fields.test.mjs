// Every type of field: what goes in, what comes out, and what is refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { guest, openCollection, PASSWORD, refuses, superuser, unique } from "./suite.mjs";

const root = await superuser();

/** Create a collection with one field "x" and return functions that write and read it. */
async function oneField(field) {
    const collection = await openCollection(root, [{ name: "x", ...field }]);
    const records = guest().collection(collection.name);
    return {
        collection,
        records,
        /** What is stored for `value`, as the answer of the create and a later view tell it. */
        async stored(value) {
            const created = await records.create({ x: value });
            const read = await records.getOne(created.id);
            assert.deepEqual(read.x, created.x, "create and view agree");
            return read.x;
        },
        refused: (value, code) => refuses(records.create({ x: value }), 400, { x: code }),
    };
}

/** Run a table of [submitted, stored] pairs and one of [submitted, code] refusals. */
function field(claim, definition, accepted, refused = []) {
    test(claim, async () => {
        const { stored, refused: isRefused } = await oneField(definition);
        for (const [value, expected] of accepted) {
            assert.deepEqual(await stored(value), expected, `stored for ${JSON.stringify(value)}`);
        }
        for (const [value, code] of refused) {
            await isRefused(value, code);
        }
    });
}

field("text keeps any text", { type: "text" }, [
    ["plain", "plain"],
    ["quote ' and \" and \\ and ü and 😀\n", "quote ' and \" and \\ and ü and 😀\n"],
    ["", ""],
    [12.5, "12.5"],
    [true, "true"],
    [null, ""],
]);

field(
    "text checks length and pattern",
    { type: "text", min: 2, max: 4, pattern: "^[a-z]+$" },
    [
        ["ab", "ab"],
        ["abcd", "abcd"],
        ["", ""],
    ],
    [
        ["a", "validation_min_text_constraint"],
        ["abcde", "validation_max_text_constraint"],
        ["AB", "validation_invalid_format"],
    ],
);

field("required text refuses the empty text", { type: "text", required: true }, [["a", "a"]], [["", "validation_required"]]);

test("text fills itself from its autogenerate pattern", async () => {
    const { stored } = await oneField({ type: "text", autogeneratePattern: "[a-z]{8}-[0-9]{3}" });
    assert.match(await stored(undefined), /^[a-z]{8}-[0-9]{3}$/);
    assert.equal(await stored("own"), "own");
});

field("editor keeps HTML", { type: "editor" }, [
    ["<p>Hello <b>you</b></p>", "<p>Hello <b>you</b></p>"],
    [null, ""],
]);

field(
    "number turns what it gets into a number",
    { type: "number" },
    [
        [5, 5],
        [-0.25, -0.25],
        ["12.5", 12.5],
        ["not a number", 0],
        [null, 0],
        [1e15, 1e15],
    ],
    [],
);

field(
    "number checks its range and integers",
    { type: "number", min: -1, max: 10, onlyInt: true },
    [
        [-1, -1],
        [10, 10],
    ],
    [
        [-2, "validation_min_number_constraint"],
        [11, "validation_max_number_constraint"],
        [1.5, "validation_only_int_constraint"],
    ],
);

field("bool turns what it gets into a bool", { type: "bool" }, [
    [true, true],
    ["true", true],
    [1, true],
    ["no", false],
    [null, false],
]);

field("required bool must be true", { type: "bool", required: true }, [[true, true]], [[false, "validation_required"]]);

field(
    "email checks its form and domains",
    { type: "email", exceptDomains: ["blocked.example.com"] },
    [
        ["a@example.com", "a@example.com"],
        ["", ""],
    ],
    [
        ["nobody", "validation_is_email"],
        ["a@blocked.example.com", "validation_email_domain_not_allowed"],
    ],
);

field(
    "url checks its form and domains",
    { type: "url", onlyDomains: ["example.com"] },
    [["https://example.com/a?b=c", "https://example.com/a?b=c"]],
    [
        ["nowhere", "validation_invalid_url"],
        ["https://other.example.org", "validation_url_domain_not_allowed"],
    ],
);

field(
    "date is told in UTC with milliseconds",
    { type: "date", min: "2020-01-01 00:00:00.000Z", max: "2030-01-01 00:00:00.000Z" },
    [
        ["2022-02-03 04:05:06.789Z", "2022-02-03 04:05:06.789Z"],
        ["2022-02-03T04:05:06+02:00", "2022-02-03 02:05:06.000Z"],
        ["2022-02-03", "2022-02-03 00:00:00.000Z"],
        ["", ""],
        ["never", ""],
    ],
    [
        ["2019-12-31", "validation_min_greater_equal_than_required"],
        ["2030-01-02", "validation_max_less_equal_than_required"],
    ],
);

test("a Date of the SDK is stored to the millisecond", async () => {
    const { stored } = await oneField({ type: "date" });
    assert.equal(await stored(new Date(Date.UTC(2024, 1, 29, 23, 59, 58, 7))), "2024-02-29 23:59:58.007Z");
});

test("autodate sets itself on create and on update", async () => {
    const collection = await openCollection(root, [
        { name: "title", type: "text" },
        { name: "made", type: "autodate", onCreate: true },
        { name: "touched", type: "autodate", onCreate: true, onUpdate: true },
    ]);
    const records = guest().collection(collection.name);
    const created = await records.create({ title: "a", made: "2001-01-01 00:00:00.000Z" });
    assert.match(created.made, /^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.notEqual(created.made.slice(0, 4), "2001", "nobody sets it from outside");
    const updated = await records.update(created.id, { title: "b" });
    assert.equal(updated.made, created.made);
    assert.ok(updated.touched >= created.touched);
});

field(
    "single select takes one of its values",
    { type: "select", values: ["a", "b"], maxSelect: 1 },
    [
        ["a", "a"],
        ["", ""],
        [["a", "b"], "b"],
    ],
    [["c", "validation_invalid_value"]],
);

field(
    "multiple select takes some of its values",
    { type: "select", values: ["a", "b", "c"], maxSelect: 2 },
    [
        [["c", "a"], ["c", "a"]],
        ["b", ["b"]],
        [[], []],
        [["a", "a"], ["a"]],
    ],
    [
        [["a", "b", "c"], "validation_too_many_values"],
        [["a", "z"], "validation_invalid_value"],
    ],
);

field(
    "json keeps any JSON value",
    { type: "json", maxSize: 60 },
    [
        [{ b: [1, 2.5, "x", null, true], a: {} }, { b: [1, 2.5, "x", null, true], a: {} }],
        [[], []],
        [12, 12],
        ["plain words", "plain words"],
        [null, null],
        [false, false],
    ],
    [["x".repeat(70), "validation_json_size_limit"]],
);

field(
    "geoPoint keeps longitude and latitude",
    { type: "geoPoint" },
    [
        [
            { lon: 23.3, lat: 42.7 },
            { lon: 23.3, lat: 42.7 },
        ],
        [null, { lon: 0, lat: 0 }],
        ["nowhere", { lon: 0, lat: 0 }],
    ],
    [
        [{ lon: 181, lat: 0 }, "validation_invalid_longitude"],
        [{ lon: 0, lat: -91 }, "validation_invalid_latitude"],
    ],
);

test("password is checked, stored as a hash and never shown", async () => {
    const { records, refused } = await oneField({ type: "password", min: 8 });
    const created = await records.create({ x: PASSWORD });
    assert.equal(created.x, "");
    assert.equal((await records.getOne(created.id)).x, "");
    await refused("short", "validation_min_text_constraint");
    assert.equal((await root.collection(created.collectionName).getOne(created.id)).x, "");
});

test("relation holds ids of records that exist", async () => {
    const target = await openCollection(root, []);
    const [a, b, c] = await Promise.all([1, 2, 3].map(() => root.collection(target.name).create({})));
    const single = await oneField({ type: "relation", collectionId: target.id, maxSelect: 1 });
    assert.equal(await single.stored(a.id), a.id);
    assert.equal(await single.stored(""), "");
    await single.refused("no_such_record0", "validation_missing_rel_records");
    const several = await oneField({ type: "relation", collectionId: target.id, minSelect: 1, maxSelect: 2, required: true });
    assert.deepEqual(await several.stored([b.id, a.id]), [b.id, a.id]);
    await several.refused([], "validation_required");
    await several.refused([a.id, b.id, c.id], "validation_too_many_values");
    await several.refused([a.id, "no_such_record0"], "validation_missing_rel_records");
});

test("file keeps an upload under a safe new name", async () => {
    const { records } = await oneField({ type: "file", maxSelect: 1, maxSize: 100 });
    const record = await records.create({ x: new File(["hello"], "my file.TXT", { type: "text/plain" }) });
    assert.match(record.x, /^my_file_[a-z0-9]{10}\.(txt|TXT)$/);
    const url = guest().files.getURL(record, record.x);
    assert.ok(url.includes(`/api/files/${record.collectionId}/${record.id}/${record.x}`));
    await refuses(records.create({ x: new File(["x".repeat(101)], "big.txt") }), 400, {
        x: "validation_file_size_limit",
    });
    const cleared = await records.update(record.id, { x: null });
    assert.equal(cleared.x, "");
});

test("file checks the kind of its content, not its name", async () => {
    const { records } = await oneField({ type: "file", maxSelect: 1, mimeTypes: ["image/png"] });
    const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
    const record = await records.create({ x: new File([png], "dot.png") });
    assert.match(record.x, /^dot_[a-z0-9]{10}\.png$/);
    await refuses(records.create({ x: new File(["plain text"], "fake.png", { type: "image/png" }) }), 400, {
        x: "validation_invalid_mime_type",
    });
});

test("several files are added, prepended and removed", async () => {
    const { records } = await oneField({ type: "file", maxSelect: 3 });
    const upload = (name) => new File([name], `${name}.txt`);
    const created = await records.create({ x: [upload("one"), upload("two")] });
    assert.equal(created.x.length, 2);
    const added = await records.update(created.id, { "x+": upload("three") });
    assert.deepEqual(added.x.slice(0, 2), created.x);
    assert.match(added.x[2], /^three_/);
    await refuses(records.update(created.id, { "x+": upload("four") }), 400, { x: "validation_too_many_files" });
    const removed = await records.update(created.id, { "x-": [created.x[0]] });
    assert.deepEqual(removed.x, [created.x[1], added.x[2]]);
    const prepended = await records.update(created.id, { "+x": upload("first") });
    assert.match(prepended.x[0], /^first_/);
    assert.deepEqual(prepended.x.slice(1), removed.x);
});

test("a name of a file that was never uploaded is refused", async () => {
    const { refused } = await oneField({ type: "file", maxSelect: 1 });
    await refused("../../data.db", "validation_invalid_file");
});

test("bad options of a field are refused with their place", async () => {
    const bad = (options, codes) =>
        refuses(root.collections.create({ name: unique("bad"), type: "base", fields: [{ name: "x", ...options }] }), 400, {
            fields: { 1: codes },
        });
    await bad({ type: "text", min: 5, max: 2 }, { max: "validation_min_greater_equal_than_required" });
    await bad({ type: "text", pattern: "(" }, { pattern: "validation_invalid_regex" });
    await bad({ type: "number", min: 5, max: 2 }, { max: "validation_min_number_constraint" });
    await bad({ type: "select", maxSelect: 1, values: [] }, { values: "validation_required" });
    await bad({ type: "relation", collectionId: "", maxSelect: 1 }, { collectionId: "validation_required" });
    await bad({ type: "relation", collectionId: "missing", maxSelect: 1 }, {
        collectionId: "validation_field_relation_missing_collection",
    });
    await bad({ type: "email", onlyDomains: ["a.com"], exceptDomains: ["b.com"] }, {
        exceptDomains: "validation_empty",
        onlyDomains: "validation_empty",
    });
    await bad({ type: "text", name: "" }, { name: "validation_required" });
    await bad({ type: "text", name: "not valid" }, { name: "validation_match_invalid" });
    await bad({ type: "text", name: "null" }, { name: "validation_not_in_invalid" });
});
