// Who is told what: rules, hidden fields and e-mail visibility for each receiver, and rights that end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accounts, guest, Inbox, openCollection, PASSWORD, signUp, superuser, told } from "./suite.mjs";

const root = await superuser();

const TITLE = { name: "title", type: "text" };

/** Subscribe a client and return what it hears. */
async function hears(client, collection, topic = "*", options = undefined) {
    const inbox = new Inbox();
    await client.collection(collection.name).subscribe(topic, inbox.listener, options);
    return inbox;
}

/** An auth collection with two accounts that are signed in. */
async function twoAccounts(overrides = {}) {
    const users = await accounts(root, overrides);
    return { users, ann: await signUp(root, users), bob: await signUp(root, users) };
}

function ownedBy(users) {
    return [TITLE, { name: "owner", type: "relation", collectionId: users.id, maxSelect: 1 }];
}

test("a null rule is for superusers only", async () => {
    const closed = await openCollection(root, [TITLE], { listRule: null, viewRule: null });
    const { ann } = await twoAccounts();
    const inboxes = [await hears(guest(), closed), await hears(ann.client, closed)];
    const toRoot = await hears(await superuser(), closed);
    const record = await root.collection(closed.name).create({ title: "one" });
    await root.collection(closed.name).delete(record.id);
    assert.deepEqual(told(await toRoot.have(2)).sort(), ["create one", "delete one"]);
    assert.deepEqual(inboxes.map((inbox) => inbox.events), [[], []]);
});

test("the list rule is for all records, the view rule for one", async () => {
    const collection = await openCollection(root, [TITLE], { listRule: "title = 'listed'", viewRule: "title = 'viewed'" });
    const records = root.collection(collection.name);
    const record = await records.create({ title: "neither" });
    const toRoot = await hears(await superuser(), collection);
    const all = await hears(guest(), collection);
    const one = await hears(guest(), collection, record.id);
    for (const title of ["listed", "viewed", "neither"]) {
        await records.update(record.id, { title });
        await toRoot.until((events) => events.some((event) => event.record.title === title));
    }
    assert.deepEqual(told(await all.have(1)), ["update listed"]);
    assert.deepEqual(told(await one.have(1)), ["update viewed"]);
});

test("an owner hears of own records only, deletes as well", async () => {
    const { users, ann, bob } = await twoAccounts();
    const mine = "owner = @request.auth.id";
    const notes = await openCollection(root, ownedBy(users), { listRule: mine, viewRule: mine });
    const [toAnn, toBob, toGuest] = [await hears(ann.client, notes), await hears(bob.client, notes), await hears(guest(), notes)];
    const records = root.collection(notes.name);
    const a = await records.create({ title: "a", owner: ann.record.id });
    await records.create({ title: "b", owner: bob.record.id });
    await toAnn.have(1);
    await records.update(a.id, { title: "a2" });
    await toAnn.have(2);
    await records.delete(a.id);
    assert.deepEqual(told(await toAnn.have(3)), ["create a", "update a2", "delete a2"]);
    assert.deepEqual(told(await toBob.have(1)), ["create b"]);
    assert.deepEqual(toGuest.events, []);
});

test("a record that changes hands is told to its new owner", async () => {
    const { users, ann, bob } = await twoAccounts();
    const mine = "owner = @request.auth.id";
    const notes = await openCollection(root, ownedBy(users), { listRule: mine, viewRule: mine });
    const [toAnn, toBob] = [await hears(ann.client, notes), await hears(bob.client, notes)];
    const records = root.collection(notes.name);
    const note = await records.create({ title: "note", owner: ann.record.id });
    await toAnn.have(1);
    await records.update(note.id, { owner: bob.record.id });
    assert.deepEqual(told(await toBob.have(1)), ["update note"]);
    assert.deepEqual(told(toAnn.events), ["create note"]);
});

test("a rule through a relation lets the members hear", async () => {
    const { users, ann, bob } = await twoAccounts();
    const rooms = await openCollection(root, [TITLE, { name: "members", type: "relation", collectionId: users.id, maxSelect: 9 }]);
    const inRoom = "room.members.id ?= @request.auth.id";
    const messages = await openCollection(root, [TITLE, { name: "room", type: "relation", collectionId: rooms.id, maxSelect: 1 }], {
        listRule: inRoom,
        viewRule: inRoom,
    });
    const room = await root.collection(rooms.name).create({ title: "room", members: [ann.record.id] });
    const [toAnn, toBob, toGuest] = [
        await hears(ann.client, messages),
        await hears(bob.client, messages),
        await hears(guest(), messages),
    ];
    const records = root.collection(messages.name);
    await records.create({ title: "one", room: room.id });
    await toAnn.have(1);
    await root.collection(rooms.name).update(room.id, { members: [bob.record.id] });
    await records.create({ title: "two", room: room.id });
    assert.deepEqual(told(await toBob.have(1)), ["create two"]);
    assert.deepEqual(told(toAnn.events), ["create one"]);
    assert.deepEqual(toGuest.events, []);
});

test("a delete is judged by what was there before it, cascades included", async () => {
    const { users, ann, bob } = await twoAccounts();
    const rooms = await openCollection(root, [TITLE, { name: "members", type: "relation", collectionId: users.id, maxSelect: 9 }]);
    const inRoom = "room.members.id ?= @request.auth.id";
    const messages = await openCollection(
        root,
        [TITLE, { name: "room", type: "relation", collectionId: rooms.id, maxSelect: 1, cascadeDelete: true }],
        { listRule: inRoom, viewRule: inRoom },
    );
    const room = await root.collection(rooms.name).create({ title: "room", members: [ann.record.id] });
    await root.collection(messages.name).create({ title: "one", room: room.id });
    const [toAnn, toBob] = [await hears(ann.client, messages), await hears(bob.client, messages)];
    await root.collection(rooms.name).delete(room.id);
    assert.deepEqual(told(await toAnn.have(1)), ["delete one"]);
    assert.deepEqual(toBob.events, []);
});

test("hidden fields are told to superusers only", async () => {
    const collection = await openCollection(root, [TITLE, { name: "secret", type: "text", hidden: true }]);
    const { ann } = await twoAccounts();
    const [toGuest, toAnn, toRoot] = [
        await hears(guest(), collection),
        await hears(ann.client, collection),
        await hears(await superuser(), collection),
    ];
    await root.collection(collection.name).create({ title: "one", secret: "s" });
    assert.equal("secret" in (await toGuest.have(1))[0].record, false);
    assert.equal("secret" in (await toAnn.have(1))[0].record, false);
    assert.equal((await toRoot.have(1))[0].record.secret, "s");
});

test("a filter of a topic cannot reach hidden fields or other collections", async () => {
    const collection = await openCollection(root, [TITLE, { name: "secret", type: "text", hidden: true }]);
    const other = await openCollection(root, [TITLE]);
    const plain = await hears(guest(), collection);
    const bySecret = await hears(guest(), collection, "*", { filter: "secret = 's'" });
    const byOther = await hears(guest(), collection, "*", { filter: `@collection.${other.name}.title ?= 'x'` });
    const broken = await hears(guest(), collection, "*", { filter: "title = (" });
    await root.collection(other.name).create({ title: "x" });
    await root.collection(collection.name).create({ title: "one", secret: "s" });
    await plain.have(1);
    assert.deepEqual([bySecret.events, byOther.events, broken.events], [[], [], []]);
});

test("an e-mail is told to its owner, to superusers, and to others if it is visible", async () => {
    const { users, ann, bob } = await twoAccounts();
    const [toAnn, toBob, toRoot] = [await hears(ann.client, users), await hears(bob.client, users), await hears(await superuser(), users)];
    await root.collection(users.name).update(ann.record.id, { emailVisibility: false, verified: true });
    for (const [inbox, isSeen] of [
        [toAnn, true],
        [toBob, false],
        [toRoot, true],
    ]) {
        const [event] = await inbox.have(1);
        assert.equal("email" in event.record, isSeen);
        assert.equal("password" in event.record, false);
        assert.equal("tokenKey" in event.record, false);
    }
    await root.collection(users.name).update(ann.record.id, { emailVisibility: true });
    assert.equal((await toBob.have(2))[1].record.email, ann.record.email);
});

test("a guest stream takes over the account that signs in", async () => {
    const users = await accounts(root);
    const notes = await openCollection(root, [TITLE], { listRule: "@request.auth.id != ''" });
    const other = await openCollection(root, [TITLE]);
    const { record } = await signUp(root, users);
    const client = guest();
    const inbox = await hears(client, notes);
    const open = await hears(client, other);
    await root.collection(notes.name).create({ title: "before" });
    await root.collection(other.name).create({ title: "fence" });
    await open.have(1);
    assert.deepEqual(inbox.events, []);
    const id = client.realtime.clientId;
    await client.collection(users.name).authWithPassword(record.email, PASSWORD);
    // The SDK submits its topics again, now with the token, when it gets another one.
    await client.collection(notes.name).subscribe("another", () => {});
    assert.equal(client.realtime.clientId, id);
    await root.collection(notes.name).create({ title: "after" });
    assert.deepEqual(told(await inbox.have(1)), ["create after"]);
});

test("a change of the account changes what it hears at once", async () => {
    const users = await accounts(root, { fields: [{ name: "role", type: "text" }] });
    const notes = await openCollection(root, [TITLE], { listRule: "@request.auth.role = 'reader'" });
    const { client, record } = await signUp(root, users, { role: "reader" });
    const toRoot = await hears(await superuser(), notes);
    const inbox = await hears(client, notes);
    await root.collection(notes.name).create({ title: "one" });
    await inbox.have(1);
    await root.collection(users.name).update(record.id, { role: "nobody" });
    await root.collection(notes.name).create({ title: "two" });
    await toRoot.have(2);
    await root.collection(users.name).update(record.id, { role: "reader" });
    await root.collection(notes.name).create({ title: "three" });
    assert.deepEqual(told(await inbox.have(2)), ["create one", "create three"]);
});

/** A listener that only accounts may have, and an open one of the same client that shows that the stream lives. */
async function rights() {
    const users = await accounts(root);
    const closed = await openCollection(root, [TITLE], { listRule: "@request.auth.id != ''" });
    const open = await openCollection(root, [TITLE]);
    const { client, record } = await signUp(root, users);
    const [inbox, alive] = [await hears(client, closed), await hears(client, open)];
    await root.collection(closed.name).create({ title: "one" });
    await inbox.have(1);
    return {
        users,
        record,
        async areGone() {
            const id = client.realtime.clientId;
            await root.collection(closed.name).create({ title: "two" });
            await root.collection(open.name).create({ title: "fence" });
            await alive.have(1);
            assert.deepEqual(told(inbox.events), ["create one"]);
            assert.equal(client.realtime.clientId, id, "the stream stays open, as a guest's");
        },
    };
}

test("a new password takes the rights of open streams away", async () => {
    const { users, record, areGone } = await rights();
    await root.collection(users.name).update(record.id, { password: "another one", passwordConfirm: "another one" });
    await areGone();
});

test("a new e-mail takes the rights of open streams away", async () => {
    const { users, record, areGone } = await rights();
    await root.collection(users.name).update(record.id, { email: `new_${record.email}` });
    await areGone();
});

test("a deleted account takes the rights of open streams away", async () => {
    const { users, record, areGone } = await rights();
    await root.collection(users.name).delete(record.id);
    await areGone();
});

test("a new token secret takes the rights of open streams away", async () => {
    const { users, areGone } = await rights();
    await root.collections.update(users.id, { authToken: { secret: "y".repeat(50) } });
    await areGone();
});

test("a deleted auth collection takes the rights of open streams away", async () => {
    const { users, areGone } = await rights();
    await root.collections.delete(users.id);
    await areGone();
});

test("a new rule counts for open streams", async () => {
    const collection = await openCollection(root, [TITLE]);
    const [toGuest, toRoot] = [await hears(guest(), collection), await hears(await superuser(), collection)];
    const records = root.collection(collection.name);
    await records.create({ title: "one" });
    await toGuest.have(1);
    await root.collections.update(collection.id, { listRule: null });
    await records.create({ title: "two" });
    await toRoot.have(2);
    assert.deepEqual(told(toGuest.events), ["create one"]);
});

test("system collections are told to superusers only", async () => {
    const users = await root.collections.getOne("_superusers");
    const [toGuest, toRoot] = [await hears(guest(), users), await hears(await superuser(), users)];
    const { id } = await root
        .collection("_superusers")
        .create({ email: "another@example.com", password: PASSWORD, passwordConfirm: PASSWORD });
    const [event] = await toRoot.have(1);
    assert.equal(event.record.id, id);
    assert.equal("password" in event.record, false);
    assert.deepEqual(toGuest.events, []);
});
