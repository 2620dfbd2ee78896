// What all suites share: clients of the official SDK, throw-away collections, and listeners that wait for events.

import assert from "node:assert/strict";
import { after } from "node:test";
import PocketBase, { ClientResponseError } from "pocketbase";
import { EventSource } from "eventsource";

global.EventSource = EventSource;

const { SERVER_URL, SERVER_KIND, SUPERUSER_EMAIL, SUPERUSER_PASSWORD } = process.env;

/** A reason to skip a test of what rowcast promises beyond the reference, or false. */
export const beyondReference = SERVER_KIND === "reference" ? "the reference does not promise this" : false;

/** A reason to skip a test of SQLite's SQL or files, or false. */
export const needsSqlite = process.env.ROWCAST_DB ? "the server keeps its data in PostgreSQL" : false;

const WAIT_MS = 15_000;

const clients = [];

/** A new client of a guest. */
export function guest() {
    const client = new PocketBase(SERVER_URL);
    client.autoCancellation(false);
    clients.push(client);
    return client;
}

// An open stream would keep the process alive.
after(() => Promise.all(clients.map((client) => client.realtime.unsubscribe().catch(() => {}))));

let signedIn;

/** A new client signed in as a superuser. */
export async function superuser() {
    signedIn ??= guest().collection("_superusers").authWithPassword(SUPERUSER_EMAIL, SUPERUSER_PASSWORD);
    const { token, record } = await signedIn;
    const client = guest();
    client.authStore.save(token, record);
    return client;
}

let counter = 0;

/** A name that no other collection, account or file of this run has. */
export function unique(prefix) {
    counter += 1;
    return `${prefix}_${counter}`;
}

export const OPEN = { listRule: "", viewRule: "", createRule: "", updateRule: "", deleteRule: "" };

/** Create a base collection that everybody may do everything with, unless `overrides` say otherwise. */
export async function openCollection(root, fields, overrides = {}) {
    return root.collections.create({ name: unique("open"), type: "base", ...OPEN, fields, ...overrides });
}

// As the field is by default, but for the cost: what hashes cost is no part of what suites prove, and they make hundreds.
const QUICK_PASSWORD = { name: "password", type: "password", system: true, hidden: true, required: true, min: 8, cost: 4 };

/** Create an auth collection that everybody may do everything with, unless `overrides` say otherwise. */
export async function accounts(root, { fields = [], ...overrides } = {}) {
    return root.collections.create({
        name: unique("accounts"),
        type: "auth",
        ...OPEN,
        fields: [QUICK_PASSWORD, ...fields],
        ...overrides,
    });
}

export const PASSWORD = "correct horse";

/** Create an account and return a client signed in with it. */
export async function signUp(root, collection, values = {}) {
    const email = `${unique("somebody")}@example.com`;
    const record = await root
        .collection(collection.name)
        .create({ email, password: PASSWORD, passwordConfirm: PASSWORD, ...values });
    const client = guest();
    await client.collection(collection.name).authWithPassword(record.email || email, values.password ?? PASSWORD);
    return { client, record };
}

/** Assert that `promise` is refused with `status`, and its error names `codes` ({field: code}, nested) if given. */
export async function refuses(promise, status, codes) {
    const error = await promise.then(
        (value) => assert.fail(`expected status ${status}, got the answer ${JSON.stringify(value)}`),
        (reason) => reason,
    );
    assert.ok(error instanceof ClientResponseError, `not an answer of the server: ${error}`);
    assert.equal(error.status, status, JSON.stringify(error.response));
    assert.equal(error.response.status, status);
    assert.equal(typeof error.response.message, "string");
    if (codes) {
        assert.deepEqual(onlyCodes(error.response.data), codes);
    }
    return error;
}

function onlyCodes(data) {
    if (typeof data?.code === "string") {
        assert.equal(typeof data.message, "string");
        return data.code;
    }
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, onlyCodes(value)]));
}

/** The values of one field of records, in their order. */
export function pluck(records, field) {
    return records.map((record) => record[field]);
}

/** Collects what arrives at a listener, and waits for it. */
export class Inbox {
    events = [];
    #waiting = [];

    /** Give this to `subscribe`. */
    listener = (event) => {
        this.events.push(event);
        this.#waiting = this.#waiting.filter((check) => !check());
    };

    /** Wait until `count` events are there, and return them all. */
    async have(count) {
        await this.until((events) => events.length >= count, `${count} events`);
        return this.events;
    }

    /** Wait until `isThere(events)` holds. */
    until(isThere, what = "the awaited event") {
        if (isThere(this.events)) {
            return Promise.resolve();
        }
        return new Promise((resolve, reject) => {
            const timer = setTimeout(
                () => reject(new Error(`${what} did not arrive; there are ${JSON.stringify(this.events)}`)),
                WAIT_MS,
            );
            this.#waiting.push(() => {
                if (!isThere(this.events)) {
                    return false;
                }
                clearTimeout(timer);
                resolve();
                return true;
            });
        });
    }

    /** Wait until the event of the record `id` is there. Whatever was sent before it is there as well. */
    async upTo(id) {
        await this.until((events) => events.some((event) => event.record?.id === id), `the event of ${id}`);
        return this.events;
    }
}

/** Actions and titles of events, in their order: the short form that tests compare. */
export function told(events) {
    return events.map((event) => `${event.action} ${event.record.title}`);
}
