// What a client gets when its stream breaks off, against a server that does as it is told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { client, listener, plainClient, resumed, subscribed, until } from "./client.mjs";
import { scripted } from "./server.mjs";

const server = await scripted();

test("a first stream asks for positions and starts now", async () => {
    const { pb, resume } = client(server.url);
    assert.equal(resume.cursor, null);
    const pending = pb.realtime.subscribe("notes/*", () => {});
    const stream = await server.stream();
    assert.equal(stream.cursor, "");
    stream.connect("10-a", false);
    assert.deepEqual(await server.submit(), {
        url: "/api/realtime",
        clientId: `${"c".repeat(40)}_10-a`,
        subscriptions: ["notes/*"],
    });
    await pending;
    assert.equal(resume.cursor, "10-a");
    assert.equal(pb.realtime.isConnected, true);
});

test("the SDK's own next stream resumes, and nothing comes twice", async () => {
    const { pb, resume } = client(server.url);
    const listen = listener();
    const first = await subscribed(server, pb, { "notes/*": listen });
    first.tell("notes/*", "11-a");
    first.tell("notes/*", "12-a");
    await listen.have(2);
    first.cut();
    const second = await resumed(server);
    assert.equal(second.cursor, "11-a", "behind the change before the last: the last may have been told in part");
    second.tell("notes/*", "12-a");
    second.tell("notes/*", "13-a");
    assert.deepEqual(await listen.have(3), ["11-a", "12-a", "13-a"]);
    assert.equal(resume.cursor, "12-a");
});

test("a stream that breaks between two topics of one change", async () => {
    const { pb } = client(server.url);
    const [all, one] = [listener(), listener()];
    const first = await subscribed(server, pb, { "notes/*": all, "notes/one": one });
    first.tell("notes/*", "11-a");
    first.tell("notes/one", "11-a");
    first.tell("notes/*", "12-a");
    await all.have(2);
    first.cut();
    const second = await resumed(server);
    second.tell("notes/*", "12-a");
    second.tell("notes/one", "12-a");
    assert.deepEqual(await one.have(2), ["11-a", "12-a"]);
    assert.deepEqual(all.cursors, ["11-a", "12-a"]);
    second.cut();
    const third = await resumed(server);
    assert.equal(third.cursor, "11-a");
    for (const cursor of ["12-a", "13-a"]) {
        third.tell("notes/*", cursor);
        third.tell("notes/one", cursor);
    }
    assert.deepEqual(await one.have(3), ["11-a", "12-a", "13-a"]);
    assert.deepEqual(all.cursors, ["11-a", "12-a", "13-a"]);
});

test("a stream that breaks before any event resumes where it started", async () => {
    const { pb } = client(server.url);
    const first = await subscribed(server, pb, { "notes/*": () => {} });
    first.end();
    const second = await server.stream();
    assert.equal(second.cursor, "10-a");
    second.cut();
    assert.equal((await resumed(server)).cursor, "10-a");
});

test("the position that a resumed stream reports does not move ours", async () => {
    const { pb, resume } = client(server.url);
    const first = await subscribed(server, pb, { "notes/*": () => {} });
    first.cut();
    (await server.stream()).connect("99-a", true);
    await server.submit();
    assert.equal(resume.cursor, "10-a");
});

test("an event counts when its listeners have run", async () => {
    const { pb, resume } = client(server.url);
    const seen = [];
    const stream = await subscribed(server, pb, { "notes/*": (event) => seen.push([event.cursor, resume.cursor]) });
    stream.tell("notes/*", "11-a");
    stream.tell("notes/*", "12-a");
    stream.tell("notes/*", "13-a");
    await until(() => seen.length === 3);
    assert.deepEqual(seen, [
        ["11-a", "10-a"],
        ["12-a", "10-a"],
        ["13-a", "11-a"],
    ]);
    assert.equal(resume.cursor, "12-a");
});

test("a listener that fails is reported, and the event is not told again", async () => {
    const reported = [];
    process.setUncaughtExceptionCaptureCallback((error) => reported.push(error.message));
    try {
        const { pb } = client(server.url);
        const listen = listener();
        const fail = () => {
            throw new Error("of the application");
        };
        await subscribed(server, pb, { "notes/*": fail }).then(async (stream) => {
            await pb.realtime.subscribe("notes/*", listen);
            stream.tell("notes/*", "11-a");
            await listen.have(1);
            stream.cut();
        });
        const second = await resumed(server);
        second.tell("notes/*", "11-a");
        second.tell("notes/*", "12-a");
        assert.deepEqual(await listen.have(2), ["11-a", "12-a"]);
        assert.deepEqual(reported, ["of the application", "of the application"]);
    } finally {
        process.setUncaughtExceptionCaptureCallback(null);
    }
});

test("what nobody listens to any more is progress as well", async () => {
    const { pb, resume } = client(server.url);
    const [keeps, goes] = [listener(), listener()];
    const stream = await subscribed(server, pb, { "notes/*": keeps, "tasks/*": goes });
    await Promise.all([pb.realtime.unsubscribe("tasks/*"), server.submit()]);
    for (const cursor of ["11-a", "12-a", "13-a"]) {
        stream.tell("tasks/*", cursor);
    }
    await until(() => resume.cursor === "12-a");
    assert.deepEqual(goes.cursors, []);
});

test("a quiet stream moves on by what the server says of it", async () => {
    const { pb, resume } = client(server.url);
    const listen = listener();
    const stream = await subscribed(server, pb, { "notes/*": listen });
    stream.tell("notes/*", "11-a");
    stream.send("PB_CURSOR", "50-a", { cursor: "50-a" });
    await until(() => resume.cursor === "50-a");
    stream.tell("notes/*", "51-a");
    await listen.have(2);
    assert.equal(resume.cursor, "50-a");
});

test("a message without a position is not taken for a repeated event", async () => {
    const { pb } = client(server.url);
    const told = [];
    const first = await subscribed(server, pb, { news: (message) => told.push(message.text ?? message.cursor) });
    first.tell("news", "11-a");
    await until(() => told.length === 1);
    first.cut();
    const second = await resumed(server);
    second.tell("news", "11-a");
    second.send("news", "11-a", { text: "a message" });
    await until(() => told.length === 2);
    assert.deepEqual(told, ["11-a", "a message"]);
});

test("a position that the server does not know any more is a gap", async () => {
    const gaps = [];
    const { pb, resume } = client(server.url, { onGap: (gap) => gaps.push(gap) });
    const first = await subscribed(server, pb, { "notes/*": () => {} });
    assert.deepEqual(gaps, [], "a fresh start is none");
    first.cut();
    const second = await server.stream();
    second.connect("70-b", false);
    await server.submit();
    assert.deepEqual(gaps, [{ lost: "10-a", cursor: "70-b" }]);
    assert.equal(resume.cursor, "70-b");
});

test("events wait until a gap is dealt with", async () => {
    let done;
    const { pb } = client(server.url, { onGap: () => new Promise((resolve) => (done = resolve)) });
    const listen = listener();
    const first = await subscribed(server, pb, { "notes/*": listen });
    first.cut();
    const second = await server.stream();
    second.connect("70-b", false);
    await server.submit();
    second.tell("notes/*", "71-b");
    second.tell("notes/*", "72-b");
    second.cut();
    const third = await resumed(server);
    assert.equal(third.cursor, "70-b", "what waited when the stream broke was not told");
    third.tell("notes/*", "71-b");
    third.tell("notes/*", "72-b");
    await pb.send("/api/collections/notes/records", {}); // time for them to arrive
    assert.deepEqual(listen.cursors, []);
    done();
    assert.deepEqual(await listen.have(2), ["71-b", "72-b"]);
});

test("a plain server works as it does without this", async () => {
    const gaps = [];
    const { pb, resume } = client(server.url, { onGap: (gap) => gaps.push(gap) });
    const told = [];
    const pending = pb.realtime.subscribe("notes/*", (event) => told.push(event));
    const first = await server.stream();
    first.connectPlainly();
    await server.submit();
    await pending;
    first.send("notes/*", "p".repeat(40), { record: { id: "one" }, action: "create" });
    await until(() => told.length === 1);
    assert.deepEqual(told, [{ record: { id: "one" }, action: "create" }]);
    assert.equal(resume.cursor, null);
    first.cut();
    const second = await server.stream();
    assert.equal(second.cursor, "");
    second.connectPlainly();
    assert.deepEqual((await server.submit()).subscriptions, ["notes/*"]);
    assert.deepEqual(gaps, []);
});

test("a server that knows positions no more is a gap", async () => {
    const gaps = [];
    const { pb, resume } = client(server.url, { onGap: (gap) => gaps.push(gap) });
    (await subscribed(server, pb, { "notes/*": () => {} })).cut();
    (await server.stream()).connectPlainly();
    await server.submit();
    assert.deepEqual(gaps, [{ lost: "10-a", cursor: null }]);
    assert.equal(resume.cursor, null);
});

test("clients have positions of their own, and other streams are left alone", async () => {
    const [one, two] = [client(server.url), client(server.url)];
    (await subscribed(server, one.pb, { "notes/*": () => {} }, "10-a")).cut();
    assert.equal((await resumed(server)).cursor, "10-a");
    await subscribed(server, two.pb, { "notes/*": () => {} }, "20-a");
    assert.deepEqual([one.resume.cursor, two.resume.cursor], ["10-a", "20-a"]);

    const without = plainClient(server.url);
    const pending = without.realtime.subscribe("notes/*", () => {});
    const stream = await server.stream();
    assert.equal(stream.cursor, null);
    stream.connectPlainly();
    await server.submit();
    await pending;
});

test("the stream of a sign-in with OAuth2 is left alone", async () => {
    const { pb, resume } = client(server.url);
    await subscribed(server, pb, { "notes/*": () => {} });
    const oauth = new pb.realtime.constructor(pb);
    const pending = oauth.subscribe("@oauth2", () => {});
    const stream = await server.stream();
    assert.equal(stream.cursor, null);
    stream.connectPlainly();
    await server.submit();
    await pending;
    await oauth.unsubscribe();
    assert.equal(resume.cursor, "10-a");
});

test("who unsubscribes from everything starts anew", async () => {
    const { pb, resume } = client(server.url);
    const ended = [];
    pb.realtime.onDisconnect = (topics) => ended.push(["first", topics]);
    const hook = pb.realtime.onDisconnect;
    pb.realtime.onDisconnect = function (topics) {
        assert.equal(this, pb.realtime);
        hook(topics);
        ended.push(["second", topics]);
    };
    (await subscribed(server, pb, { "notes/*": () => {} })).cut();
    await resumed(server);
    assert.deepEqual(ended.splice(0), [
        ["first", ["notes/*"]],
        ["second", ["notes/*"]],
    ]);
    assert.equal(resume.cursor, "10-a");
    await pb.realtime.unsubscribe();
    assert.deepEqual(ended, [
        ["first", []],
        ["second", []],
    ]);
    assert.equal(resume.cursor, null);
    const again = await subscribed(server, pb, { "notes/*": () => {} }, "30-a");
    assert.equal(again.cursor, "");
});

test("mistakes are told", async () => {
    const { pb } = client(server.url);
    const { installResume } = await import("../index.js");
    assert.throws(() => installResume(pb), /resumes already/);
    const late = plainClient(server.url);
    const pending = late.realtime.subscribe("notes/*", () => {});
    (await server.stream()).connectPlainly();
    await server.submit();
    await pending;
    assert.throws(() => installResume(late), /before the first subscribe/);
});
