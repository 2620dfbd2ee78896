// Files through the SDK: uploads, modifiers, protected files, thumbs, and what becomes of files when writes fail.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { accounts, guest, openCollection, refuses, signUp, superuser, unique } from "./suite.mjs";

// 3x1 pixels: red, green, blue.
const PNG = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAABCAIAAACUgoPjAAAAEklEQVR4nGP4z8DA8J+BgeE/AA77Av5TyawRAAAAAElFTkSuQmCC",
    "base64",
);

let root;
let collection;
let records;

before(async () => {
    root = await superuser();
    collection = await openCollection(root, [
        { name: "title", type: "text", max: 20 },
        { name: "papers", type: "file", maxSelect: 3, maxSize: 2_000_000 },
        { name: "cover", type: "file", maxSelect: 1, mimeTypes: ["image/png", "text/plain"], thumbs: ["6x0", "2x2f"] },
        { name: "secret", type: "file", maxSelect: 1, protected: true },
    ]);
    records = guest().collection(collection.name);
});

const paper = (text, name = "My Paper.txt") => new File([text], name, { type: "text/plain" });

async function fetched(record, name, options = {}) {
    const answer = await fetch(guest().files.getURL(record, name, options));
    return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()), headers: answer.headers };
}

test("one file is uploaded, named anew and comes back", async () => {
    const record = await records.create({ title: "a", cover: paper("hello", "Größe 1.TXT") });
    assert.match(record.cover, /^gro_e_1_\w{10}\.TXT$|^gr\S*_1_\w{10}\.TXT$/);
    const { status, body, headers } = await fetched(record, record.cover);
    assert.equal(status, 200);
    assert.equal(body.toString(), "hello");
    assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(headers.get("content-disposition"), `attachment; filename=${record.cover}`);
});

test("several files are uploaded at once, in their order", async () => {
    const form = new FormData();
    form.append("title", "several");
    for (const text of ["one", "two", "three"]) {
        form.append("papers", paper(text, `${text}.txt`));
    }
    const record = await records.create(form);
    assert.deepEqual(record.papers.map((name) => name.split("_")[0]), ["one", "two", "three"]);
    const texts = await Promise.all(record.papers.map(async (name) => (await fetched(record, name)).body.toString()));
    assert.deepEqual(texts, ["one", "two", "three"]);
});

test("+ appends and prepends, - removes, and what is removed is gone", async () => {
    const first = await records.create({ papers: [paper("1", "one.txt")] });
    const second = await records.update(first.id, { "papers+": paper("2", "two.txt") });
    const third = await records.update(first.id, { "+papers": [paper("3", "three.txt")] });
    assert.deepEqual(second.papers.slice(0, 1), first.papers);
    assert.deepEqual(third.papers.slice(1), second.papers);
    const fourth = await records.update(first.id, { "papers-": [second.papers[0]] });
    assert.deepEqual(fourth.papers, [third.papers[0], second.papers[1]]);
    assert.equal((await fetched(first, second.papers[0])).status, 404);
    assert.equal((await fetched(first, second.papers[1])).body.toString(), "2");
});

test("null and an empty list remove all files", async () => {
    const record = await records.create({ papers: [paper("1"), paper("2")], cover: paper("3") });
    const changed = await records.update(record.id, { papers: [], cover: null });
    assert.deepEqual([changed.papers, changed.cover], [[], ""]);
    for (const name of [...record.papers, record.cover]) {
        assert.equal((await fetched(record, name)).status, 404);
    }
});

test("names of files that are not the record's are refused", async () => {
    const other = await records.create({ papers: [paper("1")] });
    await refuses(records.create({ papers: [other.papers[0]] }), 400, { papers: "validation_invalid_file" });
});

test("type, number and size are checked by field", async () => {
    await refuses(records.create({ cover: new File(["%PDF-1.4 x"], "a.png") }), 400, {
        cover: "validation_invalid_mime_type",
    });
    await refuses(records.create({ papers: [1, 2, 3, 4].map((n) => paper(String(n))) }), 400, {
        papers: "validation_too_many_files",
    });
    await refuses(records.create({ papers: [paper("x".repeat(2_000_001))] }), 400, {
        papers: "validation_file_size_limit",
    });
});

test("a failed write leaves the old files and none of the new", async () => {
    const record = await records.create({ title: "a", cover: paper("old"), papers: [paper("1")] });
    await refuses(records.update(record.id, { title: "x".repeat(21), cover: paper("new"), "papers+": paper("2") }), 400);
    const same = await records.getOne(record.id);
    assert.deepEqual([same.cover, same.papers], [record.cover, record.papers]);
    assert.equal((await fetched(record, record.cover)).body.toString(), "old");
});

test("files go with their record", async () => {
    const record = await records.create({ cover: paper("x") });
    await records.delete(record.id);
    assert.equal((await fetched(record, record.cover)).status, 404);
});

test("large files come and go whole, and in ranges", async () => {
    const content = Buffer.alloc(1_900_000, "0123456789abcdef");
    const record = await records.create({ papers: [new File([content], "large.bin")] });
    const url = guest().files.getURL(record, record.papers[0]);
    assert.ok((await fetched(record, record.papers[0])).body.equals(content));
    const part = await fetch(url, { headers: { Range: "bytes=1000001-1000010" } });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get("content-range"), "bytes 1000001-1000010/1900000");
    assert.equal(await part.text(), content.subarray(1_000_001, 1_000_011).toString());
    const head = await fetch(url, { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), "1900000");
    const since = head.headers.get("last-modified");
    assert.equal((await fetch(url, { headers: { "If-Modified-Since": since } })).status, 304);
    const changed = { Range: "bytes=0-1", "If-Range": "Mon, 01 Jan 2001 00:00:00 GMT" };
    assert.equal((await fetch(url, { headers: changed })).status, 200);
});

test("thumbs have the size that is asked for, if the field offers it", async () => {
    const record = await records.create({ cover: new File([PNG], "flag.png") });
    const size = async (thumb) => {
        const { body, headers } = await fetched(record, record.cover, { thumb });
        assert.equal(headers.get("content-type"), "image/png");
        return [body.readUInt32BE(16), body.readUInt32BE(20)];
    };
    assert.deepEqual(await size("6x0"), [6, 2]);
    assert.deepEqual(await size("2x2f"), [2, 1]);
    assert.deepEqual(await size("100x100"), [100, 100]);
    assert.deepEqual(await size("7x7"), [3, 1]);
    const named = await fetched(record, record.cover, { thumb: "6x0" });
    assert.equal(named.headers.get("content-disposition"), `inline; filename=6x0_${record.cover}`);
    const download = await fetched(record, record.cover, { thumb: "6x0", download: true });
    assert.equal(download.headers.get("content-disposition"), `attachment; filename=6x0_${record.cover}`);
});

test("many who want one thumb at once all get it", async () => {
    const record = await records.create({ cover: new File([PNG], "flag.png") });
    const answers = await Promise.all(
        Array.from({ length: 20 }, () => fetched(record, record.cover, { thumb: "6x0" })),
    );
    assert.deepEqual(new Set(answers.map(({ body }) => body.toString("base64"))).size, 1);
    assert.equal(answers[0].body.readUInt32BE(16), 6);
});

test("what is no picture has no thumb", async () => {
    const record = await records.create({ cover: paper("text") });
    assert.equal((await fetched(record, record.cover, { thumb: "6x0" })).body.toString(), "text");
});

test("protected files need a token of an account that the rule lets in", async () => {
    const people = await accounts(root);
    const own = await openCollection(
        root,
        [
            { name: "owner", type: "text" },
            { name: "secret", type: "file", maxSelect: 1, protected: true },
        ],
        { viewRule: "owner = @request.auth.id" },
    );
    const [mine, theirs] = [await signUp(root, people), await signUp(root, people)];
    const record = await root
        .collection(own.name)
        .create({ owner: mine.record.id, secret: paper("top secret", `${unique("s")}.txt`) });
    assert.equal((await fetched(record, record.secret)).status, 404);
    const token = await mine.client.files.getToken();
    assert.equal((await fetched(record, record.secret, { token })).body.toString(), "top secret");
    const other = await theirs.client.files.getToken();
    assert.equal((await fetched(record, record.secret, { token: other })).status, 404);
    assert.equal((await fetched(record, record.secret, { token: mine.client.authStore.token })).status, 404);
    const all = await root.files.getToken();
    assert.equal((await fetched(record, record.secret, { token: all })).status, 200);
    await refuses(guest().files.getToken(), 401);
});

test("files come with a batch", async () => {
    await root.settings.update({ batch: { enabled: true, maxRequests: 50, timeout: 10 } });
    const batch = guest().createBatch();
    batch.collection(collection.name).create({ title: "one", cover: paper("1") });
    batch.collection(collection.name).create({ title: "two", papers: [paper("2"), paper("3")] });
    const [one, two] = (await batch.send()).map(({ body }) => body);
    assert.equal((await fetched(one, one.cover)).body.toString(), "1");
    assert.equal((await fetched(two, two.papers[1])).body.toString(), "3");
});

test("no file lies outside of its record", async () => {
    const record = await records.create({ cover: paper("x", "../../../../etc/passwd") });
    assert.match(record.cover, /^passwd_\w{10}\.\w+$|^passwd_\w{10}$/);
    const base = guest().files.getURL(record, "x").replace(/x$/, "");
    for (const path of ["..%2f..%2fdata.db", "%2e%2e%2fdata.db", `..%5c${record.cover}`, `${record.cover}.attrs`]) {
        assert.equal((await fetch(base + path)).status, 404);
    }
});
