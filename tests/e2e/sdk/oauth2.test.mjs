// Signing in with another service: with a code, and all in one over the realtime stream.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accounts, guest, Inbox, openCollection, PASSWORD, refuses, superuser, unique } from "./suite.mjs";

const { OIDC_URL, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, SERVER_URL } = process.env;

const root = await superuser();

/** A provider for a collection; `how` is how it behaves. */
function provider(how = "honest", overrides = {}) {
    return {
        name: "oidc",
        clientId: OIDC_CLIENT_ID,
        clientSecret: OIDC_CLIENT_SECRET,
        authURL: `${OIDC_URL}/honest/authorize`,
        tokenURL: `${OIDC_URL}/${how}/token`,
        userInfoURL: `${OIDC_URL}/honest/userinfo`,
        displayName: "Test",
        ...overrides,
    };
}

/** A provider whose id token tells who the user is, with everything checked. */
function byIdToken(how) {
    return provider(how, { userInfoURL: "", extra: { jwksURL: `${OIDC_URL}/honest/jwks`, issuers: [OIDC_URL] } });
}

async function members(oidc = provider(), overrides = {}) {
    return accounts(root, {
        fields: [
            { name: "name", type: "text" },
            { name: "link", type: "url" },
        ],
        oauth2: { enabled: true, providers: [oidc], mappedFields: { name: "name", avatarURL: "link" } },
        ...overrides,
    });
}

/** Go where a browser would go as this user, up to the answer that is no redirect to the provider or back. */
async function agree(url, user) {
    const there = await fetch(`${url}&login_hint=${user}`, { redirect: "manual" });
    assert.equal(there.status, 302);
    return fetch(there.headers.get("location"), { redirect: "manual" });
}

/** Sign in all in one as `user`. */
function allInOne(client, collection, user, options = {}) {
    let page;
    const signingIn = client.collection(collection.name).authWithOAuth2({
        provider: "oidc",
        urlCallback: async (url) => {
            page = await agree(url, user);
        },
        ...options,
    });
    return signingIn.then((answer) => ({ answer, page }));
}

/** Return a code for `user` with what belongs to it, as an app with a redirect of its own gets it. */
async function code(collection, user, redirectURL = "https://app.example/back") {
    const methods = await guest().collection(collection.name).listAuthMethods();
    const found = methods.oauth2.providers[0];
    const there = await fetch(`${found.authURL}${encodeURIComponent(redirectURL)}&login_hint=${user}`, {
        redirect: "manual",
    });
    const back = new URL(there.headers.get("location"));
    assert.equal(back.searchParams.get("state"), found.state);
    return [found.name, back.searchParams.get("code"), found.codeVerifier, redirectURL];
}

test("all in one: a new user signs up, comes back, and is seen by rules", async () => {
    const collection = await members();
    const client = guest();
    const { answer, page } = await allInOne(client, collection, "ada", { createData: { name: "Countess" } });
    assert.equal(page.status, 307);
    assert.equal(page.headers.get("location"), "../_/#/auth/oauth2-redirect-success");
    assert.equal((await fetch(`${SERVER_URL}/_/`)).status, 200, "there is a page where the window ends");
    assert.equal(answer.meta.isNew, true);
    assert.equal(answer.record.email, "ada@example.com");
    assert.equal(answer.record.verified, true);
    assert.equal(answer.record.name, "Countess");
    assert.equal(answer.record.link, `${OIDC_URL}/honest/avatar.png`);
    assert.equal(client.authStore.record.id, answer.record.id);
    const closed = await openCollection(root, [], { listRule: "@request.auth.id != ''" });
    await root.collection(closed.name).create({});
    assert.equal((await client.collection(closed.name).getList()).totalItems, 1);

    const again = await allInOne(guest(), collection, "ada");
    assert.equal(again.answer.meta.isNew, false);
    assert.equal(again.answer.record.id, answer.record.id);
    const links = await client.collection("_externalAuths").getFullList();
    assert.deepEqual(
        links.map((link) => [link.provider, link.providerId, link.recordRef]),
        [["oidc", "ada", answer.record.id]],
    );
});

test("all in one: a user who refuses is told so", async () => {
    const collection = await members();
    const error = await allInOne(guest(), collection, "refuses").catch((reason) => reason);
    assert.match(String(error.originalError ?? error.cause), /access_denied/);
    assert.equal((await root.collection(collection.name).getList()).totalItems, 0);
});

test("all in one: several users at once get their own accounts", async () => {
    const collection = await members();
    const users = ["u1", "u2", "u3", "u4"];
    const found = await Promise.all(users.map((user) => allInOne(guest(), collection, user)));
    assert.deepEqual(
        found.map(({ answer }) => answer.record.email),
        users.map((user) => `${user}@example.com`),
    );
});

test("a code with the verifier of its sign-in", async () => {
    const collection = await members();
    const given = await code(collection, "bob");
    const answer = await guest().collection(collection.name).authWithOAuth2Code(...given, { name: "Bob" });
    assert.equal(answer.record.email, "bob@example.com");
    assert.equal(answer.record.name, "Bob");
    assert.ok(answer.meta.accessToken);
    await refuses(guest().collection(collection.name).authWithOAuth2Code(...given), 400, {});
});

test("a code with another verifier or another address gets nothing", async () => {
    const collection = await members();
    const [name, first, , address] = await code(collection, "bob");
    await refuses(guest().collection(collection.name).authWithOAuth2Code(name, first, "x".repeat(43), address), 400, {});
    const [, second, verifier] = await code(collection, "bob");
    await refuses(
        guest().collection(collection.name).authWithOAuth2Code(name, second, verifier, "https://evil.example"),
        400,
        {},
    );
    assert.equal((await root.collection(collection.name).getList()).totalItems, 0);
});

test("an id token tells who the user is, if everything about it is right", async () => {
    const honest = await members(byIdToken("honest"));
    const answer = await guest().collection(honest.name).authWithOAuth2Code(...(await code(honest, "eve")));
    assert.equal(answer.record.email, "eve@example.com");
    for (const lie of ["wrong_aud", "wrong_iss", "expired", "wrong_signature", "unknown_key", "alg_none", "alg_hs256"]) {
        const collection = await members(byIdToken(lie));
        const given = await code(collection, "eve");
        const error = await refuses(guest().collection(collection.name).authWithOAuth2Code(...given), 400, {});
        assert.equal(error.response.message, "Failed to fetch OAuth2 user.", lie);
        assert.equal((await root.collection(collection.name).getList()).totalItems, 0, lie);
    }
});

test("who has taken an address before its owner comes loses the account", async () => {
    const collection = await members();
    const values = { email: "carl@example.com", password: PASSWORD, passwordConfirm: PASSWORD };
    const squatter = await guest().collection(collection.name).create(values);
    const thief = guest();
    await thief.collection(collection.name).authWithPassword(values.email, PASSWORD);
    const { answer } = await allInOne(guest(), collection, "carl");
    assert.equal(answer.record.id, squatter.id);
    assert.equal(answer.record.verified, true);
    await refuses(thief.collection(collection.name).authRefresh(), 401);
    await refuses(guest().collection(collection.name).authWithPassword(values.email, PASSWORD), 400);
});

test("who is signed in links the account", async () => {
    const collection = await members();
    const values = { email: "own@example.com", password: PASSWORD, passwordConfirm: PASSWORD };
    const record = await guest().collection(collection.name).create(values);
    const client = guest();
    await client.collection(collection.name).authWithPassword(values.email, PASSWORD);
    const { answer } = await allInOne(client, collection, "dora");
    assert.deepEqual([answer.record.id, answer.record.email, answer.meta.isNew], [record.id, "own@example.com", false]);
    assert.equal((await allInOne(guest(), collection, "dora")).answer.record.id, record.id);
});

test("the redirect reaches a stream that waits for it, once, and no other", async () => {
    const client = guest();
    const inbox = new Inbox();
    await client.realtime.subscribe("@oauth2", inbox.listener);
    const state = client.realtime.clientId;
    const back = (query) => fetch(`${SERVER_URL}/api/oauth2-redirect?${query}`, { redirect: "manual" });
    const failure = "../_/#/auth/oauth2-redirect-failure";
    assert.equal((await back("state=unknown&code=1")).headers.get("location"), failure);
    assert.equal((await back("code=1")).headers.get("location"), failure);
    const done = await back(`state=${state}&code=1`);
    assert.equal(done.headers.get("location"), "../_/#/auth/oauth2-redirect-success");
    assert.deepEqual(await inbox.have(1), [{ state, code: "1" }]);
    assert.equal((await back(`state=${state}&code=2`)).headers.get("location"), failure);
    const deaf = guest();
    await deaf.realtime.subscribe(unique("other"), () => {});
    assert.equal((await back(`state=${deaf.realtime.clientId}&code=1`)).headers.get("location"), failure);
    assert.equal(inbox.events.length, 1);
});

test("the redirect takes the form that Apple sends", async () => {
    const client = guest();
    const inbox = new Inbox();
    await client.realtime.subscribe("@oauth2", inbox.listener);
    const state = client.realtime.clientId;
    const user = JSON.stringify({ name: { firstName: "Ada", lastName: "L" } });
    const answer = await fetch(`${SERVER_URL}/api/oauth2-redirect`, {
        method: "POST",
        body: new URLSearchParams({ state, code: "abc", user }),
        redirect: "manual",
    });
    assert.equal(answer.status, 303);
    assert.equal(answer.headers.get("location"), "../_/#/auth/oauth2-redirect-success");
    assert.deepEqual(await inbox.have(1), [{ state, code: "abc" }], "the name is for the server");
});

test("a provider that hangs keeps nobody else from anything", async () => {
    const collection = await members(provider("hang"));
    const posts = await openCollection(root, [{ name: "title", type: "text" }]);
    const controller = new AbortController();
    const given = await Promise.all(["h1", "h2", "h3", "h4"].map((user) => code(collection, user)));
    const hanging = given.map((one) =>
        guest()
            .collection(collection.name)
            .authWithOAuth2Code(...one, {}, { signal: controller.signal })
            .catch((error) => error.isAbort),
    );
    const other = await members();
    const { answer } = await allInOne(guest(), other, "quick");
    assert.equal(answer.record.email, "quick@example.com");
    for (let at = 0; at < 20; at += 1) {
        await guest().collection(posts.name).create({ title: `post ${at}` });
    }
    assert.equal((await guest().collection(posts.name).getList()).totalItems, 20);
    controller.abort();
    assert.deepEqual(await Promise.all(hanging), [true, true, true, true]);
});

test("a provider that answers garbage or without end gets a clear refusal", async () => {
    for (const how of ["garbage", "flood", "page", "null", "number"]) {
        const collection = await members(provider(how));
        const given = await code(collection, "ada");
        const error = await refuses(guest().collection(collection.name).authWithOAuth2Code(...given), 400, {});
        assert.equal(error.response.message, "Failed to fetch OAuth2 token.", how);
    }
});

test("a form without anything, an unknown provider, and a collection without OAuth2", async () => {
    const collection = await members();
    await refuses(guest().collection(collection.name).authWithOAuth2Code("", "", "", ""), 400, {
        provider: "validation_required",
        code: "validation_required",
    });
    await refuses(guest().collection(collection.name).authWithOAuth2Code("google", "1", "", ""), 400, {
        provider: "validation_invalid_provider",
    });
    const closed = await accounts(root);
    await refuses(guest().collection(closed.name).authWithOAuth2Code("oidc", "1", "", ""), 403);
});
