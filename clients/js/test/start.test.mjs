// Where a stream starts: loaded lists, stored positions, and loading while events wait.

import assert from "node:assert/strict";
import { test } from "node:test";
import { client, listener, resumed, subscribed, until } from "./client.mjs";
import { scripted } from "./server.mjs";
import { withCursor } from "../index.js";

const server = await scripted();

/** Storage as a browser's, which more than one page uses. */
class Storage extends Map {
    getItem(key) {
        return this.get(key) ?? null;
    }
    setItem(key, value) {
        this.set(key, String(value));
    }
    removeItem(key) {
        this.delete(key);
    }
}

/** Let lists answer with positions: the n-th request gets the n-th of `cursors`. */
function listsAt(...cursors) {
    server.heads.of = () => ({ "Rowcast-Cursor": cursors.shift() });
}

test("load, then subscribe from there", async () => {
    const { pb, resume } = client(server.url);
    listsAt("40-a");
    const { result, cursor } = await withCursor((fetch) => pb.collection("notes").getList(1, 30, { fetch }));
    assert.deepEqual(result.items, []);
    assert.equal(cursor, "40-a");
    resume.startAt(cursor);
    const pending = pb.realtime.subscribe("notes/*", () => {});
    assert.equal((await resumed(server)).cursor, "40-a");
    await pending;
    assert.throws(() => resume.startAt("50-a"), /runs already/);
});

test("startAt is refused while the SDK is between two streams", async () => {
    const { pb, resume } = client(server.url);
    const stream = await subscribed(server, pb, { "notes/*": () => {} });
    stream.cut();
    await until(() => !pb.realtime.isConnected);
    assert.throws(() => resume.startAt("50-a"), /runs already/);
    await resumed(server);
    await pb.realtime.unsubscribe();
    resume.startAt("50-a");
    assert.equal(resume.cursor, "50-a");
});

test("a start that is too old is a gap", async () => {
    const gaps = [];
    const { pb } = client(server.url, { cursor: "40-a", onGap: (gap) => gaps.push(gap) });
    const pending = pb.realtime.subscribe("notes/*", () => {});
    const stream = await server.stream();
    assert.equal(stream.cursor, "40-a");
    stream.connect("90-b", false);
    await server.submit();
    await pending;
    assert.deepEqual(gaps, [{ lost: "40-a", cursor: "90-b" }]);
});

test("of several loads the first position counts, and the others wait for it", async () => {
    const { pb } = client(server.url);
    const asked = [];
    let answer;
    const answered = new Promise((resolve) => (answer = resolve));
    server.heads.before = (url) => {
        const name = url.split("/")[3];
        asked.push(name);
        return name === "one" ? answered : undefined;
    };
    server.heads.of = (url) => ({ "Rowcast-Cursor": url.includes("/one/") ? "40-a" : "41-a" });
    const names = ["one", "two", "three"];
    const loading = withCursor((fetch) => Promise.all(names.map((name) => pb.collection(name).getList(1, 30, { fetch }))));
    await until(() => asked.length === 1);
    await pb.collection("four").getOne("fence");
    assert.deepEqual(asked.splice(0), ["one", "four"]);
    answer();
    const { result, cursor } = await loading;
    assert.deepEqual(asked.sort(), ["three", "two"]);
    assert.equal(cursor, "40-a");
    assert.equal(result.length, 3);
    server.heads.before = undefined;
});

test("a load that fails gives its error; a later one may give the position", async () => {
    const { pb } = client(server.url);
    listsAt("40-a");
    await assert.rejects(
        withCursor((fetch) => pb.collection("notes").getList(1, 30, { fetch, signal: AbortSignal.abort() })),
        /aborted/,
    );
    const { cursor } = await withCursor(async (fetch) => {
        await fetch("http://127.0.0.1:1/").catch(() => {});
        return pb.collection("notes").getList(1, 30, { fetch });
    });
    assert.equal(cursor, "40-a");
});

test("a server without positions gives none", async () => {
    const { pb } = client(server.url);
    server.heads.of = undefined;
    const { cursor } = await withCursor((fetch) => pb.collection("notes").getList(1, 30, { fetch }));
    assert.equal(cursor, null);
});

test("events wait while something is held", async () => {
    const { pb, resume } = client(server.url);
    const listen = listener();
    const stream = await subscribed(server, pb, { "notes/*": listen });
    const loaded = await resume.hold(async () => {
        stream.tell("notes/*", "11-a");
        stream.tell("notes/*", "12-a");
        const list = await pb.collection("notes").getList(1, 30);
        await resume.hold(async () => {});
        assert.deepEqual(listen.cursors, []);
        return list;
    });
    assert.equal(loaded.page, 1);
    stream.tell("notes/*", "13-a");
    assert.deepEqual(await listen.have(3), ["11-a", "12-a", "13-a"]);
    await assert.rejects(
        resume.hold(() => Promise.reject(new Error("not loaded"))),
        /not loaded/,
    );
    stream.tell("notes/*", "14-a");
    await listen.have(4);
});

test("a listener may hold what comes behind its event", async () => {
    const { pb, resume } = client(server.url);
    const listen = listener();
    let release;
    const stop = (event) => {
        listen(event);
        if (event.cursor === "11-a") {
            resume.hold(() => new Promise((resolve) => (release = resolve)));
        }
    };
    const stream = await subscribed(server, pb, { "notes/*": stop });
    await resume.hold(async () => {
        for (const cursor of ["11-a", "12-a", "13-a"]) {
            stream.tell("notes/*", cursor);
        }
        await pb.collection("notes").getList(1, 30);
    });
    await listen.have(1);
    assert.deepEqual(listen.cursors, ["11-a"]);
    release();
    assert.deepEqual(await listen.have(3), ["11-a", "12-a", "13-a"]);
});

test("a stored position is resumed from by the next page", async () => {
    const storage = new Storage();
    const before = client(server.url, { storage });
    const listen = listener();
    const first = await subscribed(server, before.pb, { "notes/*": listen });
    first.tell("notes/*", "11-a");
    first.tell("notes/*", "12-a");
    await listen.have(2);
    assert.deepEqual([...storage.keys()], [`rowcast-cursor:${server.url}`]);

    const after = client(server.url, { storage });
    assert.equal(after.resume.cursor, "11-a");
    const pending = after.pb.realtime.subscribe("notes/*", listen);
    const second = await resumed(server);
    await pending;
    second.tell("notes/*", "12-a");
    second.tell("notes/*", "13-a");
    assert.deepEqual(await listen.have(3), ["11-a", "12-a", "13-a"]);

    const elsewhere = client(server.url, { storage, storageKey: "other" });
    assert.equal(elsewhere.resume.cursor, null);
    const given = client(server.url, { storage, cursor: "77-a" });
    assert.equal(given.resume.cursor, "77-a");
});

test("who unsubscribes from everything leaves nothing in the storage", async () => {
    const storage = new Storage();
    const { pb } = client(server.url, { storage });
    await subscribed(server, pb, { "notes/*": () => {} });
    assert.equal(storage.size, 1);
    await pb.realtime.unsubscribe();
    assert.equal(storage.size, 0);
});

test("a storage that fails or holds something else does no harm", async () => {
    const warnings = [];
    const { warn } = console;
    console.warn = (message) => warnings.push(message);
    try {
        const refuses = () => {
            throw new Error("quota");
        };
        const { pb, resume } = client(server.url, { storage: { getItem: () => "{", setItem: refuses, removeItem: refuses } });
        const listen = listener();
        const stream = await subscribed(server, pb, { "notes/*": listen });
        stream.tell("notes/*", "11-a");
        await listen.have(1);
        assert.equal(resume.cursor, "10-a");
        for (const text of ["null", "[]", '{"settled":5}', '{"settled":"","last":"1-a"}']) {
            assert.equal(client(server.url, { storage: { getItem: () => text } }).resume.cursor, null);
        }
        const odd = client(server.url, { storage: { getItem: () => '{"settled":"1-a","last":2,"told":3}' } });
        assert.equal(odd.resume.cursor, "1-a");
        assert.deepEqual(
            warnings.map((text) => text.split(": ")[1]),
            ["the stored position cannot be read", "the position cannot be stored", "the stored position cannot be read"],
        );
    } finally {
        console.warn = warn;
    }
});
