// What those who run a server do: settings, logs, jobs, health and SQL.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accounts, beyondReference, guest, needsSqlite, openCollection, pluck, refuses, signUp, superuser, unique } from "./suite.mjs";

const root = await superuser();
const somebody = await signUp(root, await accounts(root));

/** Ask again until the answer is there: the log is written every few seconds, and nothing tells when. */
async function eventually(ask) {
    for (let tries = 0; tries < 150; tries += 1) {
        const found = await ask();
        if (found) {
            return found;
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return assert.fail("it did not happen in time");
}

const FOR_SUPERUSERS = {
    "settings.getAll": (client) => client.settings.getAll(),
    "settings.update": (client) => client.settings.update({ meta: { appName: "No" } }),
    "settings.testS3": (client) => client.settings.testS3("storage"),
    "settings.testEmail": (client) => client.settings.testEmail("users", "a@example.com", "verification"),
    "logs.getList": (client) => client.logs.getList(),
    "logs.getOne": (client) => client.logs.getOne("x"),
    "logs.getStats": (client) => client.logs.getStats(),
    "crons.getFullList": (client) => client.crons.getFullList(),
    "crons.run": (client) => client.crons.run("__pbLogsCleanup__"),
    "sql.run": (client) => client.sql.run("SELECT 1"),
};

for (const [name, call] of Object.entries(FOR_SUPERUSERS)) {
    test(`${name} is for superusers`, async () => {
        await refuses(call(guest()), 401);
        await refuses(call(somebody.client), 403);
    });
}

test("settings are changed in part, and secrets are kept but not shown", async () => {
    const before = await root.settings.getAll();
    const changed = await root.settings.update({
        meta: { appName: "Changed" },
        smtp: { password: "secret" },
        s3: { secret: "secret" },
        backups: { s3: { secret: "secret" } },
    });
    assert.equal(changed.meta.appName, "Changed");
    assert.equal(changed.meta.senderName, before.meta.senderName);
    assert.ok(!JSON.stringify(changed).includes('"secret"'));
    // What was shown may come back whole.
    assert.deepEqual(await root.settings.update(changed), changed);
    assert.deepEqual(await root.settings.getAll(), changed);
    await root.settings.update({ meta: before.meta, smtp: { password: "" } });
});

test("wrong settings are named and change nothing", async () => {
    const before = await root.settings.getAll();
    const wrong = {
        meta: { appName: "", appURL: "x y" },
        logs: { maxDays: -1 },
        backups: { cron: "* * *", cronMaxKeep: 0 },
        smtp: { enabled: true, host: "" },
        rateLimits: { enabled: true, rules: [{ label: "a b", maxRequests: 0, duration: 0 }] },
        superuserIPs: ["x"],
        batch: { enabled: true, maxRequests: 0 },
    };
    await refuses(root.settings.update(wrong), 400, {
        meta: { appName: "validation_required", appURL: "validation_is_url" },
        logs: { maxDays: "validation_min_greater_equal_than_required" },
        backups: { cron: "validation_invalid_cron", cronMaxKeep: "validation_required" },
        smtp: { host: "validation_required" },
        rateLimits: {
            rules: {
                0: {
                    label: "validation_match_invalid",
                    maxRequests: "validation_required",
                    duration: "validation_required",
                },
            },
        },
        superuserIPs: { 0: "validation_invlaid_ip_or_subnet" },
        batch: { maxRequests: "validation_required" },
    });
    assert.deepEqual(await root.settings.getAll(), before);
});

test("rate limits are in force at once and end with the next save", async () => {
    const before = await root.settings.getAll();
    const collection = await openCollection(root, [{ name: "title", type: "text" }]);
    const rules = [{ label: `${collection.name}:list`, audience: "@guest", maxRequests: 2, duration: 60 }];
    await root.settings.update({ rateLimits: { enabled: true, rules } });
    try {
        const list = (client) => client.collection(collection.name).getList();
        await list(guest());
        await list(guest());
        await refuses(list(guest()), 429);
        await list(somebody.client);
        await list(root);
        await guest().collection(collection.name).create({ title: "others are not counted" });
        await root.settings.update({ rateLimits: { enabled: true, rules } });
        await list(guest());
    } finally {
        await root.settings.update({ rateLimits: before.rateLimits });
    }
});

test("requests are logged, found by filters and counted by hours", async () => {
    const path = unique("/api/logged");
    await root.settings.update({ logs: { maxDays: 5, minLevel: 0, logIP: true, logAuthId: true } });
    await refuses(somebody.client.send(path, {}), 404);
    const filter = root.filter("data.url = {:path}", { path });
    const entry = await eventually(async () => (await root.logs.getList(1, 10, { filter })).items[0]);
    assert.equal(entry.level, 8);
    assert.equal(entry.message, `GET ${path}`);
    assert.match(entry.id, /^[a-z0-9]{15}$/);
    assert.match(entry.created, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(entry.data.status, 404);
    assert.equal(entry.data.method, "GET");
    assert.equal(entry.data.type, "request");
    assert.equal(entry.data.auth, somebody.record.collectionName);
    assert.equal(entry.data.authId, somebody.record.id);
    assert.equal(entry.data.userIP, "127.0.0.1");
    assert.equal(entry.data.remoteIP, "127.0.0.1");
    assert.equal(typeof entry.data.execTime, "number");
    assert.deepEqual(await root.logs.getOne(entry.id), entry);
    const stats = await root.logs.getStats({ filter });
    assert.deepEqual(pluck(stats, "total"), [1]);
    assert.equal(stats[0].date.slice(13), ":00:00.000Z");
    await refuses(root.logs.getList(1, 1, { filter: "unknown = 1" }), 400);
    await refuses(root.logs.getOne("missing"), 404);
});

test("addresses and ids are left out, and levels held back, where the settings say so", async () => {
    const [quiet, path] = [unique("/api/quiet"), unique("/api/bare")];
    await root.settings.update({ logs: { minLevel: 9 } });
    await refuses(guest().send(quiet, {}), 404);
    await root.settings.update({ logs: { minLevel: 0, logIP: false, logAuthId: false } });
    await refuses(somebody.client.send(path, {}), 404);
    const found = (url) => root.logs.getList(1, 10, { filter: root.filter("data.url = {:url}", { url }) });
    const entry = await eventually(async () => (await found(path)).items[0]);
    assert.deepEqual(
        ["authId", "userIP", "remoteIP"].filter((name) => name in entry.data),
        [],
    );
    assert.equal((await found(quiet)).totalItems, 0);
    await root.settings.update({ logs: { logIP: true } });
});

test("the jobs are listed and run", async () => {
    const jobs = await root.crons.getFullList();
    const expressions = Object.fromEntries(jobs.map(({ id, expression }) => [id, expression]));
    assert.equal(expressions.__pbDBOptimize__, "0 0 * * *");
    assert.equal(expressions.__pbMFACleanup__, "0 * * * *");
    assert.equal(expressions.__pbOTPCleanup__, "0 * * * *");
    assert.equal(expressions.__pbLogsCleanup__, "0 */6 * * *");
    for (const { id } of jobs) {
        assert.equal(await root.crons.run(id), true);
    }
    const refused = await refuses(root.crons.run("missing"), 404);
    assert.equal(refused.response.message, "Missing or invalid cron job.");
});

test("health says more to superusers", async () => {
    assert.deepEqual((await guest().health.check()).data, {});
    assert.deepEqual((await somebody.client.health.check()).data, {});
    const { data } = await root.health.check();
    assert.deepEqual(data, { canBackup: true, possibleProxyHeader: "", realIP: "127.0.0.1" });
    const proxied = await root.health.check({ headers: { "CF-Connecting-IP": "1.2.3.4" } });
    assert.equal(proxied.data.possibleProxyHeader, "CF-Connecting-IP");
    assert.equal(proxied.data.realIP, "127.0.0.1", "the header is not trusted");
});

test("SQL reads and writes", { skip: needsSqlite }, async () => {
    const table = unique("sql_table");
    const created = await root.sql.run(`CREATE TABLE ${table} (a INT, b TEXT); INSERT INTO ${table} VALUES (1, 'x')`);
    assert.deepEqual([created.columns, created.rows], [[], []]);
    assert.equal((await root.sql.run(`INSERT INTO ${table} VALUES (2, NULL), (3, 'z')`)).affectedRows, 2);
    const read = await root.sql.run(`SELECT a, b, a * 0.5 c FROM ${table} ORDER BY a`);
    assert.deepEqual(read.columns, [
        { name: "a", type: "INT", nullable: true },
        { name: "b", type: "TEXT", nullable: true },
        { name: "c", type: "", nullable: true },
    ]);
    assert.deepEqual(read.rows, [
        ["1", "x", "0.5"],
        ["2", null, "1"],
        ["3", "z", "1.5"],
    ]);
    const failed = await refuses(root.sql.run(`DELETE FROM ${table}; INSERT INTO missing VALUES (1)`), 400);
    assert.equal(
        failed.response.message,
        "Failed to execute query. Raw error:\nSQL logic error: no such table: missing (1).",
    );
    assert.deepEqual((await root.sql.run(`SELECT count(*) FROM ${table}`)).rows, [["3"]]);
    await refuses(root.sql.run(""), 400, { query: "validation_required" });
    await root.sql.run(`DROP TABLE ${table}`);
});

test("records that SQL changes are what the next request sees", async () => {
    const collection = await openCollection(root, [{ name: "title", type: "text" }]);
    const record = await root.collection(collection.name).create({ title: "before" });
    await root.sql.run(`UPDATE ${collection.name} SET title = 'after' WHERE id = '${record.id}'`);
    assert.equal((await guest().collection(collection.name).getOne(record.id)).title, "after");
});

test("collections that SQL changes are in force at once", { skip: beyondReference || needsSqlite }, async () => {
    const collection = await openCollection(root, [{ name: "title", type: "text" }]);
    await guest().collection(collection.name).getList();
    await root.sql.run(`UPDATE _collections SET listRule = NULL WHERE id = '${collection.id}'`);
    await refuses(guest().collection(collection.name).getList(), 403);
});
