// What the tests of a client share: clients that resume, and the events that reached their listeners.

import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EventSource, PocketBase } from "./sdk.mjs";
import { installResume } from "../index.js";

globalThis.EventSource = EventSource;

const clients = [];

// An open stream would keep the process alive.
after(() => Promise.all(clients.map((client) => client.realtime.unsubscribe())));

/** A client of the SDK that does not resume yet. */
export function plainClient(url) {
    const client = new PocketBase(url);
    client.autoCancellation(false);
    clients.push(client);
    return client;
}

/** A client that resumes, and what installResume gave. */
export function client(url, options) {
    const pb = plainClient(url);
    return { pb, resume: installResume(pb, options) };
}

/** Wait until `holds()` does. */
export async function until(holds, what = "what was waited for") {
    const deadline = Date.now() + 5_000;
    while (!holds()) {
        if (Date.now() > deadline) {
            throw new Error(`${what} did not happen`);
        }
        await sleep(2);
    }
}

/** A listener that keeps the positions it was told of. */
export function listener() {
    const cursors = [];
    const listen = (event) => cursors.push(event.cursor);
    /** Wait for `count` events, and return their positions. */
    listen.have = async (count) => {
        await until(() => cursors.length >= count, `event ${count}`);
        return cursors;
    };
    listen.cursors = cursors;
    return listen;
}

/**
 * Subscribe `topics` ({topic: listener}) on a new stream of `server` that starts at `cursor`.
 * Returns the stream as the server sees it.
 */
export async function subscribed(server, pb, topics, cursor = "10-a") {
    const pending = Promise.all(Object.entries(topics).map(([topic, listen]) => pb.realtime.subscribe(topic, listen)));
    const stream = await server.stream();
    stream.connect(cursor, false);
    await server.submit();
    await pending;
    return stream;
}

/** Take the next stream of `server`, let it resume, and wait until its topics are there. */
export async function resumed(server) {
    const stream = await server.stream();
    stream.connect(stream.cursor, true);
    await server.submit();
    return stream;
}
