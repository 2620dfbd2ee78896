// Streams that are cut while others write, with the client of clients/js: nothing is lost and nothing comes twice.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import PocketBase from "pocketbase";
import { installResume, withCursor } from "../../../clients/js/index.js";
import { proxyTo } from "./proxy.mjs";
import { beyondReference, guest, Inbox, OPEN, openCollection, superuser } from "./suite.mjs";

const { SERVER_URL, SERVER_COMMAND, SUPERUSER_EMAIL, SUPERUSER_PASSWORD } = process.env;
const FIELDS = [
    { name: "writer", type: "text" },
    { name: "step", type: "number" },
];

const root = await superuser();
const clients = [];
after(() => Promise.all(clients.map((client) => client.realtime.unsubscribe().catch(() => {}))));

/** A client behind a proxy, which resumes. */
async function behindProxy(options, url = SERVER_URL) {
    const proxy = await proxyTo(url);
    const pb = new PocketBase(proxy.url);
    pb.autoCancellation(false);
    // The test has no time for the SDK's pauses.
    pb.realtime.predefinedReconnectIntervals = [1, 5, 20];
    clients.push(pb);
    return { proxy, pb, resume: installResume(pb, options) };
}

/** Cut the streams of a proxy, after some time or some bytes, until the function that it returns is called. */
function cutting(proxy) {
    let isOver = false;
    proxy.bytesUntilCut = () => (Math.random() < 0.5 ? Math.floor(200 + Math.random() * 4_000) : Infinity);
    const loop = (async () => {
        while (!isOver) {
            await sleep(5 + Math.random() * 60);
            proxy.cut();
        }
    })();
    return async () => {
        isOver = true;
        proxy.bytesUntilCut = null;
        await loop;
        // Connections that were promised a cut.
        proxy.cut();
    };
}

/** Create, update and delete records, one after the other, in `steps` steps. */
async function write(records, writer, steps) {
    for (let step = 0; step < steps; step += 3) {
        const { id } = await records.create({ writer, step });
        await records.update(id, { step: step + 1 });
        await records.delete(id);
        await sleep(Math.random() * 10);
    }
}

const short = ({ action, record }) => `${action} ${record.writer} ${record.step} ${record.id}`;

/** What a listener was told, up to the creation of the record `fence`. */
async function toldUpTo(inbox, fence) {
    const events = await inbox.upTo(fence);
    return events.map(short);
}

test("nothing is lost and nothing comes twice", { skip: beyondReference }, async () => {
    const { name } = await openCollection(root, FIELDS);
    const records = root.collection(name);
    const gaps = [];
    const { proxy, pb } = await behindProxy({ onGap: (gap) => gaps.push(gap) });
    const inboxes = Array.from({ length: 4 }, () => new Inbox());
    const uncut = guest();
    for (const [index, client] of [uncut, pb, uncut, pb].entries()) {
        const options = index < 2 ? undefined : { filter: "step > 10" };
        await client.collection(name).subscribe("*", inboxes[index].listener, options);
    }

    const stop = cutting(proxy);
    const deadline = Date.now() + 15_000;
    // More than twice what is asked for below; the long soak makes thousands.
    while (proxy.cuts < 75 && Date.now() < deadline) {
        await Promise.all(["a", "b", "c"].map((writer) => write(guest().collection(name), writer, 30)));
    }
    await stop();
    const fence = await records.create({ writer: "fence", step: 100 });

    const [all, toldAll, some, toldSome] = await Promise.all(inboxes.map((inbox) => toldUpTo(inbox, fence.id)));
    assert.ok(proxy.cuts >= 30, `only ${proxy.cuts} cuts`);
    assert.ok(all.length >= 90);
    assert.ok(some.length >= 30 && some.length < all.length);
    assert.deepEqual(toldAll, all);
    assert.deepEqual(toldSome, some);
    assert.deepEqual(gaps, []);
});

test("topics of one record and of all lose nothing between each other", { skip: beyondReference }, async () => {
    const { name } = await openCollection(root, FIELDS);
    const records = root.collection(name);
    const { id } = await records.create({ writer: "one", step: 0 });
    const { proxy, pb } = await behindProxy();
    const inboxes = Array.from({ length: 6 }, () => new Inbox());
    const topics = ["*", id, "*", id, "*", id];
    for (const [index, topic] of topics.entries()) {
        await pb.collection(name).subscribe(topic, inboxes[index].listener, { query: { index } });
    }
    const stop = cutting(proxy);
    const steps = 150;
    for (let step = 1; step <= steps; step += 1) {
        await records.update(id, { step });
        await sleep(Math.random() * 6);
    }
    await stop();
    for (const inbox of inboxes) {
        await inbox.until((events) => events.at(-1)?.record.step === steps, "the last step");
        assert.deepEqual(
            inbox.events.map((event) => event.record.step),
            Array.from({ length: steps }, (_, step) => step + 1),
        );
    }
    assert.ok(proxy.cuts >= 20, `only ${proxy.cuts} cuts`);
});

/** Keep `view` as a client would that shows records. */
function apply(view, { action, record }) {
    action === "delete" ? view.delete(record.id) : view.set(record.id, record.step);
}

/** Create and update records until the function that it returns is called; it returns the state then. */
function growing(name) {
    const records = guest().collection(name);
    let isOver = false;
    const loop = (async () => {
        for (let step = 0; !isOver; step += 1) {
            const { id } = await records.create({ writer: "w", step });
            await records.update(id, { step: step + 1 });
            if (step % 3 === 0) {
                await records.delete(id);
            }
        }
    })();
    return async () => {
        isOver = true;
        await loop;
        return new Map((await records.getFullList()).map((record) => [record.id, record.step]));
    };
}

const sorted = (view) => [...view].sort(([one], [other]) => (one < other ? -1 : 1));

/** Write until a listener has it: what was sent before has arrived. */
async function settled(name, view) {
    const { id } = await guest().collection(name).create({ writer: "fence", step: -1 });
    for (let tries = 0; !view.has(id); tries += 1) {
        assert.ok(tries < 1_000, "the fence did not arrive");
        await sleep(10);
    }
}

test("load, then subscribe from there", { skip: beyondReference }, async () => {
    const { name } = await openCollection(root, FIELDS);
    const { pb, resume } = await behindProxy();
    const stop = growing(name);
    await sleep(100);
    const { result, cursor } = await withCursor((fetch) => pb.collection(name).getFullList({ fetch }));
    const view = new Map(result.map((record) => [record.id, record.step]));
    await sleep(200);
    resume.startAt(cursor);
    await pb.collection(name).subscribe("*", (event) => apply(view, event));
    await sleep(100);
    await stop();
    await settled(name, view);
    const state = (await root.collection(name).getFullList()).map((record) => [record.id, record.step]);
    assert.deepEqual(sorted(view), sorted(state));
});

test("subscribe and load while events wait, on a stream that runs and is cut", { skip: beyondReference }, async () => {
    const [{ name }, other] = [await openCollection(root, FIELDS), await openCollection(root, FIELDS)];
    const { proxy, pb, resume } = await behindProxy();
    await pb.collection(other.name).subscribe("*", () => {});
    const stop = growing(name);
    await sleep(50);
    let view;
    let stopCutting;
    await resume.hold(async () => {
        await pb.collection(name).subscribe("*", (event) => apply(view, event));
        stopCutting = cutting(proxy);
        const list = await guest().collection(name).getFullList();
        await sleep(200);
        view = new Map(list.map((record) => [record.id, record.step]));
    });
    await sleep(300);
    await stop();
    await stopCutting();
    await settled(name, view);
    const state = (await root.collection(name).getFullList()).map((record) => [record.id, record.step]);
    assert.deepEqual(sorted(view), sorted(state));
});

test("without positions the stream comes back as ever", async () => {
    const { name } = await openCollection(root, FIELDS);
    const { proxy, pb } = await behindProxy();
    const inbox = new Inbox();
    await pb.collection(name).subscribe("*", inbox.listener);
    const connects = new Inbox();
    await pb.realtime.subscribe("PB_CONNECT", connects.listener);
    const one = await root.collection(name).create({ writer: "w", step: 1 });
    await inbox.upTo(one.id);
    proxy.cut();
    await connects.have(1);
    const two = await root.collection(name).create({ writer: "w", step: 2 });
    await inbox.upTo(two.id);
    assert.deepEqual(
        inbox.events.map((event) => event.record.step),
        [1, 2],
    );
});

// -- servers of their own ---------------------------------------------------------------------------------------------

const [PROGRAM, ...ARGUMENTS] = JSON.parse(SERVER_COMMAND);

/** A data directory with a superuser. */
function dataDirectory() {
    const directory = mkdtempSync(join(tmpdir(), "resume-"));
    after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
    const made = spawnSync(PROGRAM, [...ARGUMENTS, "superuser", "upsert", SUPERUSER_EMAIL, SUPERUSER_PASSWORD, "--dir", directory]);
    assert.equal(made.status, 0, String(made.stderr));
    return directory;
}

async function freePort() {
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address();
    probe.close();
    await once(probe, "close");
    return port;
}

/** Start a server on a directory; `kill()` ends it as a crash would. */
async function serve(directory) {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const child = spawn(PROGRAM, [...ARGUMENTS, "serve", "--dir", directory, "--http", `127.0.0.1:${port}`], { stdio: "ignore" });
    const ended = once(child, "exit");
    const kill = () => {
        child.kill("SIGKILL");
        return ended;
    };
    after(kill);
    for (let tries = 0; ; tries += 1) {
        try {
            await fetch(`${url}/api/health`);
            return { url, kill };
        } catch (error) {
            assert.ok(tries < 500 && child.exitCode === null, `the server did not start: ${error}`);
            await sleep(20);
        }
    }
}

/** A client signed in as a superuser of the server at `url`. */
async function rootOf(url) {
    const client = new PocketBase(url);
    client.autoCancellation(false);
    await client.collection("_superusers").authWithPassword(SUPERUSER_EMAIL, SUPERUSER_PASSWORD);
    return client;
}

const createNotes = (client) => client.collections.create({ name: "notes", type: "base", ...OPEN, fields: FIELDS });

test("a server that is killed and comes back loses nothing that it confirmed", { skip: beyondReference }, async () => {
    const directory = dataDirectory();
    let server = await serve(directory);
    await createNotes(await rootOf(server.url));
    const gaps = [];
    const { proxy, pb } = await behindProxy({ onGap: (gap) => gaps.push(gap) }, server.url);
    const inbox = new Inbox();
    await pb.collection("notes").subscribe("*", inbox.listener);

    const confirmed = [];
    let step = 0;
    for (let crash = 0; crash < 3; crash += 1) {
        const writer = new PocketBase(server.url);
        const writing = (async () => {
            for (;;) {
                step += 1;
                await writer.collection("notes").create({ writer: "w", step });
                confirmed.push(step);
            }
        })().catch(() => {});
        while (confirmed.length < (crash + 1) * 12) await sleep(10);
        await server.kill();
        await writing;
        server = await serve(directory);
        proxy.retarget(server.url);
    }
    const { id } = await (await rootOf(server.url)).collection("notes").create({ writer: "fence", step: step + 1 });
    await inbox.upTo(id);

    const told = inbox.events.map((event) => event.record.step);
    assert.deepEqual(
        told,
        [...new Set(told)].sort((one, other) => one - other),
        "in order, and each once",
    );
    assert.deepEqual(
        confirmed.filter((each) => !told.includes(each)),
        [],
    );
    assert.deepEqual(gaps, []);
});

const oneDatabase = process.env.ROWCAST_DB ? "both directories have one database" : false;

test("another data directory is a gap, and events wait for the new list", { skip: beyondReference || oneDatabase }, async () => {
    const servers = [await serve(dataDirectory()), await serve(dataDirectory())];
    const roots = await Promise.all(servers.map(({ url }) => rootOf(url)));
    await Promise.all(roots.map(createNotes));
    const log = [];
    const { proxy, pb } = await behindProxy(
        {
            onGap: async (gap) => {
                assert.match(gap.lost, /^[0-9a-z-]+$/);
                await sleep(200);
                const list = await pb.collection("notes").getFullList();
                log.push(`list of ${list.length}`);
            },
        },
        servers[0].url,
    );
    const inbox = new Inbox();
    await pb.collection("notes").subscribe("*", (event) => {
        log.push(event.record.writer);
        inbox.listener(event);
    });
    const before = await roots[0].collection("notes").create({ writer: "before", step: 1 });
    await inbox.upTo(before.id);
    const connects = new Inbox();
    await pb.realtime.subscribe("PB_CONNECT", connects.listener);
    proxy.retarget(servers[1].url);
    await connects.have(1);
    assert.equal(connects.events[0].resumed, false);
    const there = await roots[1].collection("notes").create({ writer: "after", step: 2 });
    await inbox.upTo(there.id);
    assert.deepEqual(log, ["before", "list of 1", "after"]);
});
