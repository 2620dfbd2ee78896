// Backups over the API: made, listed, taken in, downloaded, deleted and restored.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { guest, needsSqlite, openCollection, superuser, unique } from "./suite.mjs";

const EMPTY_ZIP = new Uint8Array([0x50, 0x4b, 5, 6, ...new Array(18).fill(0)]);
const root = await superuser();

async function refused(call, status, check = () => {}) {
    await assert.rejects(call, (error) => {
        assert.equal(error.status, status);
        check(error.response);
        return true;
    });
}

async function keys() {
    return (await root.backups.getFullList()).map((backup) => backup.key);
}

test("a backup is made, listed, downloaded and deleted", { skip: needsSqlite }, async () => {
    const name = `${unique("made")}.zip`;
    assert.equal(await root.backups.create(name), true);
    const [listed] = (await root.backups.getFullList()).filter((backup) => backup.key === name);
    assert.match(listed.modified, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z$/);
    const url = root.backups.getDownloadURL(await root.files.getToken(), name);
    const answer = await fetch(url);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "application/zip");
    assert.equal(answer.headers.get("content-disposition"), `attachment; filename=${name}`);
    const content = new Uint8Array(await answer.arrayBuffer());
    assert.equal(content.length, listed.size);
    assert.deepEqual([...content.slice(0, 2)], [0x50, 0x4b]);
    const part = await fetch(url, { headers: { range: "bytes=0-1" } });
    assert.equal(part.status, 206);
    assert.equal(await part.text(), "PK");
    assert.equal(await root.backups.delete(name), true);
    assert.ok(!(await keys()).includes(name));
    await refused(root.backups.delete(name), 400, ({ message }) => assert.match(message, /^Invalid or already deleted/));
});

test("a name is made of the application's and the time", { skip: needsSqlite }, async () => {
    await root.settings.update({ meta: { appName: "My Own App" } });
    await root.backups.create("");
    const [name] = (await keys()).filter((key) => key.startsWith("pb_backup_my_own_app_"));
    assert.match(name, /^pb_backup_my_own_app_\d{14}\.zip$/);
    await root.backups.delete(name);
});

test("names that are no good are refused", { skip: needsSqlite }, async () => {
    const name = `${unique("taken")}.zip`;
    await root.backups.create(name);
    for (const [bad, code] of [
        ["UPPER.zip", "validation_match_invalid"],
        ["../up.zip", "validation_match_invalid"],
        [name, "validation_backup_name_exists"],
    ]) {
        await refused(root.backups.create(bad), 400, ({ data }) => assert.equal(data.name.code, code));
    }
    await root.backups.delete(name);
});

test("an archive is taken in under its own name", async () => {
    const name = `Any Name ${unique("x")}.zip`;
    const file = () => new File([EMPTY_ZIP], name, { type: "text/plain" });
    assert.equal(await root.backups.upload({ file: file() }), true);
    assert.ok((await keys()).includes(name));
    await refused(root.backups.upload({ file: file() }), 400, ({ data }) => {
        assert.equal(data.file.code, "validation_backup_name_exists");
    });
    await refused(root.backups.upload({ file: new File(["text"], "text.zip") }), 400, ({ data }) => {
        assert.equal(data.file.code, "validation_invalid_mime_type");
        assert.match(data.file.message, /^"text_[a-z0-9]{10}\.zip" mime type must be one of: application\/zip\.$/);
    });
    await refused(root.backups.upload({}), 400, ({ data }) => assert.equal(data.file.code, "validation_required"));
    await root.backups.delete(name);
});

test("backups are for superusers alone", async () => {
    for (const call of [
        (backups) => backups.getFullList(),
        (backups) => backups.create("x.zip"),
        (backups) => backups.upload({ file: new File([EMPTY_ZIP], "x.zip") }),
        (backups) => backups.delete("x.zip"),
        (backups) => backups.restore("x.zip"),
    ]) {
        await refused(call(guest().backups), 401);
    }
    assert.equal((await fetch(guest().backups.getDownloadURL("", "x.zip"))).status, 403);
    await refused(root.backups.restore("missing.zip"), 400, ({ message }) => {
        assert.equal(message, "Missing or invalid backup file.");
    });
});

test("a restore brings the state of the backup back, files too, and later streams go on", { skip: needsSqlite }, async () => {
    const notes = await openCollection(root, [
        { name: "title", type: "text" },
        { name: "file", type: "file" },
    ]);
    const records = root.collection(notes.name);
    const kept = await records.create({ title: "kept", file: new File(["content"], "kept.txt") });
    const name = `${unique("state")}.zip`;
    await root.backups.create(name);
    await records.create({ title: "lost" });
    await records.delete(kept.id);
    assert.equal(await root.backups.restore(name), true);
    for (let attempt = 0; attempt < 200; attempt += 1) {
        const found = await guest().collection(notes.name).getFullList().catch(() => []);
        if (found.length === 1 && found[0].title === "kept") break;
        await sleep(50);
    }
    const found = await records.getFullList();
    assert.deepEqual(found.map((record) => record.title), ["kept"]);
    assert.equal(await (await fetch(root.files.getURL(found[0], found[0].file))).text(), "content");
    const events = [];
    const listener = guest();
    const heard = new Promise((resolve) => {
        listener.collection(notes.name).subscribe("*", (event) => resolve(events.push(event.record.title))).then(() => {
            return records.create({ title: "after" });
        });
    });
    await heard;
    assert.deepEqual(events, ["after"]);
    // It is there still: backups are no part of what is restored.
    assert.ok((await keys()).includes(name));
});
