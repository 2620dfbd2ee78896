// Several writes at once: all of them or none.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
    accounts,
    beyondReference,
    guest,
    Inbox,
    openCollection,
    PASSWORD,
    pluck,
    refuses,
    signUp,
    superuser,
    told,
} from "./suite.mjs";

const root = await superuser();
await root.settings.update({ batch: { enabled: true, maxRequests: 20, timeout: 3 } });
const posts = await openCollection(root, [
    { name: "title", type: "text", max: 20 },
    { name: "files", type: "file", maxSelect: 3 },
    { name: "count", type: "number" },
]);
const all = root.collection(posts.name);

/** A batch of writes of posts. */
function batch(fill, client = guest()) {
    const writes = client.createBatch();
    fill(writes.collection(posts.name), writes);
    return writes;
}

test("records are created, changed, put and deleted together", async () => {
    const [kept, gone] = [await all.create({ title: "kept", count: 1 }), await all.create({ title: "gone" })];
    const writes = batch((write) => {
        write.create({ title: "made" });
        write.update(kept.id, { "count+": 4 });
        write.upsert({ id: kept.id, title: "put" });
        write.upsert({ title: "new" });
        write.upsert({ id: "abcdefghijklmno", title: "given" });
        write.delete(gone.id);
    });
    const results = await writes.send();
    assert.deepEqual(pluck(results, "status"), [200, 200, 200, 200, 200, 204]);
    assert.deepEqual(
        results.map(({ body }) => body?.title),
        ["made", "kept", "put", "new", "given", undefined],
    );
    assert.equal(results[5].body, null);
    assert.deepEqual([results[2].body.id, results[2].body.count], [kept.id, 5]);
    assert.equal(results[4].body.id, "abcdefghijklmno");
    await refuses(all.getOne(gone.id), 404);
});

test("files come with their parts", async () => {
    const text = (content, name) => new File([content], name, { type: "text/plain" });
    const results = await batch((write) => {
        write.create({ title: "one", files: [text("a", "a.txt"), text("b", "b.txt")] });
        write.create({ title: "two" });
        write.create({ title: "three", files: [text("c", "c.txt")] });
    }).send();
    assert.deepEqual(
        results.map(({ body }) => body.files.map((name) => name.split("_")[0][0])),
        [["a", "b"], [], ["c"]],
    );
    const url = root.files.getURL(results[2].body, results[2].body.files[0]);
    assert.equal(await (await fetch(url)).text(), "c");
    const [changed] = await batch((write) =>
        write.update(results[0].body.id, { "files-": results[0].body.files[0], "files+": [text("d", "d.txt")] }),
    ).send();
    assert.equal(changed.body.files.length, 2);
    assert.equal(changed.body.files[0], results[0].body.files[1]);
});

test("expand and fields are for one part", async () => {
    const results = await batch((write) => {
        write.create({ title: "short" }, { fields: "title" });
        write.create({ title: "whole" });
    }).send();
    assert.deepEqual(results[0].body, { title: "short" });
    assert.ok(results[1].body.id);
});

test("one part that fails undoes the others, and is named", async () => {
    const before = (await all.getList(1, 1)).totalItems;
    const writes = batch((write) => {
        write.create({ title: "fine" });
        write.create({ title: "x".repeat(30) });
        write.create({ title: "never" });
    });
    const error = await refuses(writes.send(), 400);
    assert.equal(error.response.message, "Batch transaction failed.");
    const { "1": failed, ...rest } = error.response.data.requests;
    assert.deepEqual(rest, {});
    assert.deepEqual([failed.code, failed.message], ["batch_request_failed", "Batch request failed."]);
    assert.equal(failed.response.status, 400);
    assert.equal(failed.response.message, "Failed to create record.");
    assert.equal(failed.response.data.title.code, "validation_max_text_constraint");
    assert.equal((await all.getList(1, 1)).totalItems, before);
});

test("events leave after the commit and in order; a batch that fails sends none", async () => {
    const inbox = new Inbox();
    const listener = guest();
    await listener.collection(posts.name).subscribe("*", inbox.listener);
    const failing = batch((write) => {
        write.create({ title: "never" });
        write.delete("nobody");
    });
    await refuses(failing.send(), 400);
    const results = await batch((write) => {
        write.create({ title: "1" });
        write.create({ title: "2" });
        write.create({ title: "3" });
    }).send();
    await batch((write) => {
        write.update(results[0].body.id, { title: "4" });
        write.delete(results[1].body.id);
    }).send();
    const last = await all.create({ title: "last" });
    await inbox.upTo(last.id);
    const heard = told(inbox.events);
    const wanted = ["create 1", "create 2", "create 3", "update 4", "delete 2", "create last"];
    if (beyondReference) {
        // It may swap events that are sent back to back.
        heard.sort();
        wanted.sort();
    }
    assert.deepEqual(heard, wanted);
});

test("rules hold for each part, with the account of the batch", async () => {
    const users = await accounts(root);
    const mine = await openCollection(root, [{ name: "owner", type: "text" }], {
        createRule: "@request.auth.id != '' && owner = @request.auth.id",
        updateRule: "owner = @request.auth.id",
        deleteRule: null,
    });
    const { client, record } = await signUp(root, users);
    const made = client.createBatch();
    made.collection(mine.name).create({ owner: record.id });
    const [{ body }] = await made.send();
    const foreign = client.createBatch();
    foreign.collection(mine.name).update(body.id, { owner: record.id });
    foreign.collection(mine.name).create({ owner: "somebody" });
    const error = await refuses(foreign.send(), 400);
    assert.deepEqual(Object.keys(error.response.data.requests), ["1"]);
    const forbidden = client.createBatch();
    forbidden.collection(mine.name).delete(body.id);
    assert.equal((await refuses(forbidden.send(), 400)).response.data.requests["0"].response.status, 403);
    const stranger = guest().createBatch();
    stranger.collection(mine.name).update(body.id, { owner: "x" });
    assert.equal((await refuses(stranger.send(), 400)).response.data.requests["0"].response.status, 404);
});

test("accounts are made together and sign in", async () => {
    const users = await accounts(root);
    const writes = guest().createBatch();
    const emails = ["a", "b", "c"].map((name) => `${name}@batch.example.com`);
    for (const email of emails) {
        writes.collection(users.name).create({ email, password: PASSWORD, passwordConfirm: PASSWORD });
    }
    const [first] = await writes.send();
    assert.equal(first.body.password, undefined);
    for (const email of emails) {
        await guest().collection(users.name).authWithPassword(email, PASSWORD);
    }
    const again = guest().createBatch();
    again.collection(users.name).create({ email: "d@batch.example.com", password: PASSWORD, passwordConfirm: PASSWORD });
    again.collection(users.name).create({ email: emails[0], password: PASSWORD, passwordConfirm: PASSWORD });
    const error = await refuses(again.send(), 400);
    assert.equal(error.response.data.requests["1"].response.data.email.code, "validation_not_unique");
    await refuses(guest().collection(users.name).authWithPassword("d@batch.example.com", PASSWORD), 400);
});

test("the settings bound a batch, and can forbid it", async () => {
    const many = batch((write) => Array.from({ length: 21 }, () => write.create({ title: "x" })));
    await refuses(many.send(), 400, { requests: "validation_length_too_long" });
    await refuses(guest().createBatch().send(), 400, { requests: "validation_required" });
    const odd = { requests: [{ method: "POST", url: "/api/settings", body: {} }] };
    await refuses(guest().send("/api/batch", { method: "POST", body: odd }), 400);
    await root.settings.update({ batch: { enabled: false } });
    await refuses(batch((write) => write.create({ title: "x" })).send(), 403, {});
    await root.settings.update({ batch: { enabled: true } });
});
