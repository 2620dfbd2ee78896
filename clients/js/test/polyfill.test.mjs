// Other kinds of EventSource than that of the `eventsource` package.

import assert from "node:assert/strict";
import { test } from "node:test";
import { client, listener, plainClient, until } from "./client.mjs";
import { scripted } from "./server.mjs";
import { installResume } from "../index.js";

const server = await scripted();
const connectData = (cursor, resumed) => JSON.stringify({ clientId: "c_1", cursor, resumed });

/**
 * Has the shape of one for React Native: no constants, no `onerror`, events are plain objects. A test plays the server.
 * It connects again by itself a moment after an error, unless it was closed meanwhile.
 */
class Bare {
    static made = [];

    constructor(url) {
        this.url = url;
        this.handlers = {};
        this.retries = 0;
        Bare.made.push(this);
    }

    addEventListener(type, handler) {
        (this.handlers[type] ??= []).push(handler);
    }

    removeEventListener(type, handler) {
        this.handlers[type] = (this.handlers[type] ?? []).filter((other) => other !== handler);
    }

    close() {
        clearTimeout(this.timer);
        this.dispatch("close", {});
    }

    dispatch(type, event) {
        for (const handler of this.handlers[type] ?? []) {
            handler({ type, ...event });
        }
    }

    connect(cursor, resumed) {
        this.dispatch("PB_CONNECT", { lastEventId: `c_${cursor}`, data: connectData(cursor, resumed) });
    }

    tell(topic, cursor) {
        this.dispatch(topic, { lastEventId: cursor, data: JSON.stringify({ record: {}, action: "create", cursor }) });
    }

    fail() {
        this.dispatch("error", { message: "broken" });
        this.timer = setTimeout(() => (this.retries += 1), 5);
    }
}

/** A client whose streams are of `Bare`, subscribed to notes/*; `next()` waits for its next stream. */
async function bareClient() {
    const { pb, resume } = client(server.url, { EventSource: Bare });
    Bare.made.length = 0;
    const listen = listener();
    const pending = pb.realtime.subscribe("notes/*", listen);
    const next = async () => {
        await until(() => Bare.made.length > 0, "another stream");
        return Bare.made.shift();
    };
    const stream = await next();
    stream.connect("10-a", false);
    await server.submit();
    await pending;
    return { pb, resume, listen, stream, next };
}

const cursorOf = (stream) => new URL(stream.url).searchParams.get("cursor");

test("an EventSource of its own may be given", async () => {
    const { stream } = await bareClient();
    assert.equal(cursorOf(stream), "");
    const other = new globalThis.EventSource("http://127.0.0.1:1");
    assert.equal(other instanceof Bare, false);
    other.close();
});

test("one without onerror comes back all the same", async () => {
    const { listen, stream, next } = await bareClient();
    stream.tell("notes/*", "11-a");
    stream.tell("notes/*", "12-a");
    stream.fail();
    const second = await next();
    assert.equal(cursorOf(second), "11-a");
    assert.equal(stream.retries, 0, "the broken one must not go on by itself");
    second.connect("11-a", true);
    await server.submit();
    second.tell("notes/*", "12-a");
    second.tell("notes/*", "13-a");
    assert.deepEqual(listen.cursors, ["11-a", "12-a", "13-a"]);
});

test("one that comes back by itself is replaced by one from our position", async () => {
    const { listen, stream, next, pb } = await bareClient();
    stream.tell("notes/*", "11-a");
    stream.connect("12-a", true);
    stream.tell("notes/*", "13-a");
    assert.deepEqual(listen.cursors, ["11-a"]);
    const second = await next();
    assert.equal(cursorOf(second), "10-a");
    second.connect("10-a", true);
    await server.submit();
    for (const cursor of ["11-a", "12-a", "13-a"]) {
        second.tell("notes/*", cursor);
    }
    assert.deepEqual(listen.cursors, ["11-a", "12-a", "13-a"]);
    assert.equal(pb.realtime.isConnected, true);
});

test("what one still reads after it was closed does not count", async () => {
    const { listen, resume, stream, next } = await bareClient();
    stream.fail();
    const second = await next();
    stream.tell("notes/*", "11-a");
    stream.tell("notes/*", "12-a");
    assert.equal(resume.cursor, "10-a");
    assert.deepEqual(listen.cursors, []);
    assert.equal(cursorOf(second), "10-a");
});

test("a plain server may be talked to by one that comes back by itself", async () => {
    const { pb } = client(server.url, { EventSource: Bare });
    Bare.made.length = 0;
    const pending = pb.realtime.subscribe("notes/*", () => {});
    await until(() => Bare.made.length > 0);
    const [stream] = Bare.made;
    for (const clientId of ["one", "two"]) {
        stream.dispatch("PB_CONNECT", { lastEventId: clientId, data: JSON.stringify({ clientId }) });
        assert.equal((await server.submit()).clientId, clientId);
    }
    await pending;
});

test("the global EventSource stays what it is to everybody else", async () => {
    const { EventSource } = globalThis;
    assert.equal(EventSource.CLOSED, 2);
    assert.equal(EventSource.name, "EventSource");
    const own = new EventSource(`${server.url}/api/realtime?mine`);
    assert.ok(own instanceof EventSource);
    assert.equal(Object.hasOwn(own, "addEventListener"), false);
    await server.stream();
    own.close();
    class Derived extends EventSource {}
    const derived = new Derived(`${server.url}/api/realtime?mine`);
    assert.ok(derived instanceof Derived);
    await server.stream();
    derived.close();
});

test("without any EventSource it says so", () => {
    const { EventSource } = globalThis;
    globalThis.EventSource = undefined;
    try {
        assert.throws(() => installResume(plainClient(server.url)), /there is no EventSource/);
        const pb = plainClient(server.url);
        installResume(pb, { EventSource: Bare });
        assert.equal(typeof globalThis.EventSource, "function");
    } finally {
        globalThis.EventSource = EventSource;
    }
});

test("one that is set too late is found out, and watched from its next stream on", async () => {
    const { EventSource } = globalThis;
    const warnings = [];
    const { warn } = console;
    console.warn = (message) => warnings.push(message);
    const { pb, resume } = client(server.url, { cursor: "10-a" });
    globalThis.EventSource = Bare;
    Bare.made.length = 0;
    try {
        const pending = pb.realtime.subscribe("notes/*", () => {});
        await until(() => Bare.made.length > 0);
        assert.match(warnings[0], /replaced after installResume/);
        const [first] = Bare.made.splice(0);
        first.connect("10-a", true);
        await server.submit();
        await pending;
        first.onerror({});
        await until(() => Bare.made.length > 0);
        const [second] = Bare.made;
        assert.equal(cursorOf(second), "10-a");
        second.connect("10-a", true);
        await server.submit();
        second.tell("notes/*", "11-a");
        second.tell("notes/*", "12-a");
        assert.equal(resume.cursor, "11-a");
    } finally {
        console.warn = warn;
        globalThis.EventSource = EventSource;
    }
});
