// Signing in, refreshing, acting for others, and the end of tokens.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accounts, guest, OPEN, openCollection, PASSWORD, refuses, signUp, superuser, unique } from "./suite.mjs";

const root = await superuser();
const users = await accounts(root);

/** The claims of a token. */
function claims(token) {
    return JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
}

test("an account signs in with its password and is seen by rules", async () => {
    const { client, record } = await signUp(root, users);
    assert.equal(client.authStore.isValid, true);
    assert.equal(client.authStore.record.id, record.id);
    assert.equal(client.authStore.record.email, record.email, "the owner sees the own address");
    const token = claims(client.authStore.token);
    assert.equal(token.id, record.id);
    assert.equal(token.type, "auth");
    assert.equal(token.collectionId, users.id);
    assert.equal(token.refreshable, true);
    assert.ok(token.exp > Date.now() / 1000);
    const closed = await openCollection(root, [], { listRule: "@request.auth.id != ''" });
    await root.collection(closed.name).create({});
    assert.equal((await client.collection(closed.name).getList()).totalItems, 1);
    assert.equal((await guest().collection(closed.name).getList()).totalItems, 0);
});

test("a wrong password, a wrong name and an empty body are refused", async () => {
    const { record } = await signUp(root, users);
    const collection = guest().collection(users.name);
    const wrong = await refuses(collection.authWithPassword(record.email, "wrong"), 400, {});
    const unknown = await refuses(collection.authWithPassword("nobody@example.com", PASSWORD), 400, {});
    assert.equal(wrong.response.message, unknown.response.message, "nobody learns which accounts exist");
    await refuses(collection.authWithPassword("", ""), 400, {
        identity: "validation_required",
        password: "validation_required",
    });
});

test("an account signs in by the identity fields of its collection", async () => {
    const name = unique("named");
    const collection = await root.collections.create({
        name,
        type: "auth",
        ...OPEN,
        fields: [{ name: "nick", type: "text" }],
        indexes: [`CREATE UNIQUE INDEX idx_nick_${name} ON ${name} (nick)`],
        passwordAuth: { enabled: true, identityFields: ["email", "nick"] },
    });
    const nick = unique("nick");
    await signUp(root, collection, { nick });
    const { record } = await guest().collection(name).authWithPassword(nick, PASSWORD);
    assert.equal(record.nick, nick);
    await refuses(guest().collection(name).authWithPassword(nick, PASSWORD, { body: { identityField: "email" } }), 400);
});

test("the auth rule decides who signs in", async () => {
    const collection = await accounts(root, { authRule: "verified = true" });
    const values = { email: "waiting@example.com", password: PASSWORD, passwordConfirm: PASSWORD };
    const record = await root.collection(collection.name).create(values);
    await refuses(guest().collection(collection.name).authWithPassword(values.email, PASSWORD), 403);
    await root.collection(collection.name).update(record.id, { verified: true });
    assert.ok((await guest().collection(collection.name).authWithPassword(values.email, PASSWORD)).token);
});

test("password sign-in can be switched off", async () => {
    const collection = await accounts(root, { passwordAuth: { enabled: false, identityFields: ["email"] } });
    await refuses(guest().collection(collection.name).authWithPassword("a@example.com", PASSWORD), 403);
    assert.equal((await guest().collection(collection.name).listAuthMethods()).password.enabled, false);
});

test("the answer of a sign-in takes expand and fields", async () => {
    const teams = await openCollection(root, [{ name: "title", type: "text" }]);
    const collection = await accounts(root, {
        fields: [{ name: "team", type: "relation", collectionId: teams.id, maxSelect: 1 }],
    });
    const team = await root.collection(teams.name).create({ title: "red" });
    const { record } = await signUp(root, collection, { team: team.id });
    const answer = await guest()
        .collection(collection.name)
        .authWithPassword(record.email, PASSWORD, { expand: "team", fields: "token,record.id,record.expand.team.title" });
    assert.deepEqual(Object.keys(answer).sort(), ["record", "token"]);
    assert.deepEqual(answer.record, { id: record.id, expand: { team: { title: "red" } } });
});

test("auth methods are listed for guests", async () => {
    const methods = await guest().collection(users.name).listAuthMethods();
    assert.deepEqual(methods.password, { enabled: true, identityFields: ["email"] });
    assert.equal(methods.otp.enabled, false);
    assert.equal(methods.mfa.enabled, false);
    assert.deepEqual(methods.oauth2, { enabled: false, providers: [] });
    await refuses(guest().collection((await openCollection(root, [])).name).listAuthMethods(), 404);
});

test("a token is refreshed, and a broken one is not", async () => {
    const { client, record } = await signUp(root, users);
    const answer = await client.collection(users.name).authRefresh();
    assert.equal(answer.record.id, record.id);
    assert.ok(claims(answer.token).exp > Date.now() / 1000);
    assert.equal(client.authStore.token, answer.token);
    await refuses(guest().collection(users.name).authRefresh(), 401);
    const broken = guest();
    broken.authStore.save(`${client.authStore.token.slice(0, -3)}abc`, answer.record);
    await refuses(broken.collection(users.name).authRefresh(), 401);
    const other = await accounts(root);
    await refuses(client.collection(other.name).authRefresh(), 403);
});

test("a broken token counts as none", async () => {
    const open = await openCollection(root, []);
    const broken = guest();
    broken.authStore.save("not.a.token", null);
    assert.equal((await broken.collection(open.name).getList()).totalItems, 0);
});

test("a superuser acts for an account, for a while", async () => {
    const { record, client } = await signUp(root, users);
    const acting = await root.collection(users.name).impersonate(record.id, 120);
    assert.equal(acting.authStore.record.id, record.id);
    const token = claims(acting.authStore.token);
    assert.equal(token.refreshable, false);
    assert.ok(Math.abs(token.exp - Date.now() / 1000 - 120) < 30);
    assert.equal((await acting.collection(users.name).authRefresh()).token, acting.authStore.token);
    await refuses(client.collection(users.name).impersonate(record.id, 120), 403);
    await refuses(guest().collection(users.name).impersonate(record.id, 120), 401);
    await refuses(root.collection(users.name).impersonate("no_such_record0", 120), 404);
});

test("a new password ends the old tokens", async () => {
    const { client, record } = await signUp(root, users);
    await refuses(client.collection(users.name).update(record.id, { password: "new password", passwordConfirm: "new password" }), 400, {
        oldPassword: "validation_required",
    });
    await client.collection(users.name).update(record.id, {
        oldPassword: PASSWORD,
        password: "new password",
        passwordConfirm: "new password",
    });
    await refuses(client.collection(users.name).authRefresh(), 401);
    await refuses(guest().collection(users.name).authWithPassword(record.email, PASSWORD), 400);
    const answer = await guest().collection(users.name).authWithPassword(record.email, "new password");
    assert.equal(answer.record.id, record.id);
});

test("a superuser sets a password without the old one", async () => {
    const { client, record } = await signUp(root, users);
    await root.collection(users.name).update(record.id, { password: "set by root", passwordConfirm: "set by root" });
    await refuses(client.collection(users.name).authRefresh(), 401);
    assert.ok((await guest().collection(users.name).authWithPassword(record.email, "set by root")).token);
});

test("a new secret of the collection ends all its tokens", async () => {
    const collection = await accounts(root);
    const { client } = await signUp(root, collection);
    await client.collection(collection.name).authRefresh();
    await root.collections.update(collection.id, { authToken: { secret: "x".repeat(50) } });
    await refuses(client.collection(collection.name).authRefresh(), 401);
});

test("a deleted account is signed out", async () => {
    const { client, record } = await signUp(root, users);
    await root.collection(users.name).delete(record.id);
    await refuses(client.collection(users.name).authRefresh(), 401);
    await refuses(guest().collection(users.name).authWithPassword(record.email, PASSWORD), 400);
});

test("accounts are checked when they are made", async () => {
    const collection = guest().collection(users.name);
    await refuses(collection.create({}), 400, {
        password: "validation_required",
        passwordConfirm: "validation_required",
    });
    const email = `${unique("twice")}@example.com`;
    await refuses(collection.create({ email, password: "short", passwordConfirm: "short" }), 400, {
        password: "validation_min_text_constraint",
    });
    await refuses(collection.create({ email, password: PASSWORD, passwordConfirm: "different" }), 400, {
        passwordConfirm: "validation_values_mismatch",
    });
    const created = await collection.create({ email, password: PASSWORD, passwordConfirm: PASSWORD });
    assert.equal(created.verified, false);
    for (const secret of ["password", "tokenKey", "email"]) {
        assert.equal(secret in created, false, secret);
    }
    await refuses(collection.create({ email, password: PASSWORD, passwordConfirm: PASSWORD }), 400, {
        email: "validation_not_unique",
    });
});

test("only managers and superusers set verified and e-mail", async () => {
    const { client, record } = await signUp(root, users);
    await refuses(client.collection(users.name).update(record.id, { verified: true }), 400, {
        verified: "validation_values_mismatch",
    });
    await refuses(client.collection(users.name).update(record.id, { email: "other@example.com" }), 400, {
        email: "validation_values_mismatch",
    });
    const managed = await accounts(root, { manageRule: "@request.auth.verified = true" });
    const boss = await signUp(root, managed, { verified: true });
    const worker = await signUp(root, managed);
    const seen = await boss.client.collection(managed.name).getOne(worker.record.id);
    assert.equal(seen.email, worker.record.email);
    await boss.client.collection(managed.name).update(worker.record.id, { email: "changed@example.com", verified: true });
    await refuses(worker.client.collection(managed.name).update(boss.record.id, { email: "x@example.com" }), 400);
});

test("superusers sign in, refresh, and are records of their own collection", async () => {
    const email = `${unique("admin")}@example.com`;
    const record = await root.collection("_superusers").create({ email, password: PASSWORD, passwordConfirm: PASSWORD });
    const client = guest();
    await client.collection("_superusers").authWithPassword(email, PASSWORD);
    assert.equal(client.authStore.isSuperuser, true);
    await client.collection("_superusers").authRefresh();
    assert.ok((await client.collections.getList()).totalItems > 0);
    await refuses(guest().collection("_superusers").getList(), 403);
    await root.collection("_superusers").delete(record.id);
    await refuses(client.collections.getList(), 401);
});

test("the last superuser cannot be deleted", async () => {
    const others = await root.collection("_superusers").getFullList();
    assert.equal(others.length, 1);
    await refuses(root.collection("_superusers").delete(others[0].id), 400);
});
