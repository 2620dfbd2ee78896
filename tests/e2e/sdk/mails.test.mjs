// What is mailed to accounts and comes back: verification, password reset, e-mail change, new places.

import assert from "node:assert/strict";
import { test } from "node:test";
import { mailbox, mailing, placed, TEMPLATES } from "./mailbox.mjs";
import { guest, PASSWORD, refuses, signUp, superuser, unique } from "./suite.mjs";

const root = await superuser();
const mails = await mailbox(root);
const users = await mailing(root);
const anybody = () => guest().collection(users.name);

const NEW = "another password";

/** The claims of a token. */
function claims(token) {
    return JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
}

/** Create an account, have a mail sent by `ask`, and return both with the token in it. */
async function asked(ask) {
    const { client, record } = await signUp(root, users);
    const to = (await ask(client, record)) ?? record.email;
    const mail = await mails.next(to);
    return { client, record, mail, token: placed(mail, "TOKEN") };
}

const verification = () => asked((_, { email }) => anybody().requestVerification(email).then(() => email));
const reset = () => asked((_, { email }) => anybody().requestPasswordReset(email).then(() => email));
const change = () =>
    asked(async (client) => {
        const email = `${unique("new")}@example.com`;
        await client.collection(users.name).requestEmailChange(email);
        return email;
    });

test("an address is verified by a token of its own kind", async () => {
    const { client, record, mail, token } = await verification();
    assert.equal(mail.subject, "verify Acme");
    assert.match(mail.from, /support@example\.com/);
    assert.equal(placed(mail, "RECORD:id"), record.id);
    assert.equal(placed(mail, "RECORD:email"), record.email);
    assert.equal(placed(mail, "RECORD:tokenKey"), "{RECORD:tokenKey}", "no secret is mailed");
    const said = claims(token);
    assert.deepEqual([said.type, said.id, said.email], ["verification", record.id, record.email]);
    assert.equal(await anybody().confirmVerification(token), true);
    assert.equal((await root.collection(users.name).getOne(record.id)).verified, true);
    assert.equal(await anybody().confirmVerification(token), true, "once more changes nothing");
    await client.collection(users.name).authRefresh();
});

test("a lost password is replaced, once, and every session ends", async () => {
    const { client, record, token } = await reset();
    assert.equal(await anybody().confirmPasswordReset(token, NEW, NEW), true);
    await refuses(client.collection(users.name).authRefresh(), 401);
    await refuses(anybody().authWithPassword(record.email, PASSWORD), 400, {});
    const answer = await anybody().authWithPassword(record.email, NEW);
    assert.equal(answer.record.verified, true, "the mail has arrived");
    await refuses(anybody().confirmPasswordReset(token, PASSWORD, PASSWORD), 400, { token: "validation_invalid_token" });
});

test("a new password must be typed twice and be long enough", async () => {
    const { token } = await reset();
    await refuses(anybody().confirmPasswordReset(token, NEW, "x"), 400, {
        passwordConfirm: "validation_values_mismatch",
    });
    await refuses(anybody().confirmPasswordReset(token, "short", "short"), 400, {
        password: "validation_length_out_of_range",
    });
    await refuses(anybody().confirmPasswordReset("", "", ""), 400, {
        token: "validation_required",
        password: "validation_required",
        passwordConfirm: "validation_required",
    });
    await anybody().confirmPasswordReset(token, NEW, NEW);
});

test("another address is confirmed with the password, and every session ends", async () => {
    const { client, record, mail, token } = await change();
    assert.deepEqual([claims(token).type, claims(token).newEmail], ["emailChange", mail.to]);
    await refuses(anybody().confirmEmailChange(token, "wrong"), 400, { password: "validation_invalid_password" });
    assert.equal(await anybody().confirmEmailChange(token, PASSWORD), true);
    const changed = await root.collection(users.name).getOne(record.id);
    assert.deepEqual([changed.email, changed.verified], [mail.to, true]);
    await refuses(client.collection(users.name).authRefresh(), 401);
    await refuses(anybody().confirmEmailChange(token, PASSWORD), 400);
    await refuses(anybody().authWithPassword(record.email, PASSWORD), 400);
});

test("another address must be one that nobody has", async () => {
    const [one, other] = [await signUp(root, users), await signUp(root, users)];
    const ask = (email) => one.client.collection(users.name).requestEmailChange(email);
    await refuses(ask(other.record.email), 400, { newEmail: "validation_invalid_new_email" });
    await refuses(ask(one.record.email), 400, { newEmail: "validation_not_in_invalid" });
    await refuses(ask("no address"), 400, { newEmail: "validation_is_email" });
    await refuses(anybody().requestEmailChange("a@example.com"), 401);
});

test("an address that somebody took in the meantime is refused", async () => {
    const { mail, token } = await change();
    await root.collection(users.name).create({ email: mail.to, password: PASSWORD, passwordConfirm: PASSWORD });
    await refuses(anybody().confirmEmailChange(token, PASSWORD), 400, {
        token: "validation_invalid_token_email",
        password: "validation_invalid_password",
    });
});

test("a token is worth nothing for another purpose or another collection", async () => {
    const others = await mailing(root);
    const tokens = [(await verification()).token, (await reset()).token, (await change()).token];
    const auth = (await signUp(root, users)).client.authStore.token;
    const confirm = [
        (collection, token) => collection.confirmVerification(token),
        (collection, token) => collection.confirmPasswordReset(token, NEW, NEW),
        (collection, token) => collection.confirmEmailChange(token, PASSWORD),
    ];
    for (const [kind, use] of confirm.entries()) {
        for (const [from, token] of [...tokens, auth].entries()) {
            if (kind !== from) {
                const error = await refuses(use(anybody(), token), 400);
                assert.ok(error.response.data.token, `${from} as ${kind}`);
            }
        }
        await refuses(use(guest().collection(others.name), tokens[kind]), 400);
    }
    for (const token of tokens) {
        const client = guest();
        client.authStore.save(token);
        await refuses(client.collection(users.name).authRefresh(), 401);
    }
});

test("a new password ends every token that was mailed before it", async () => {
    const found = [await verification(), await reset(), await change()];
    for (const { record } of found) {
        await root.collection(users.name).update(record.id, { password: NEW, passwordConfirm: NEW });
    }
    const code = { token: "validation_invalid_token" };
    await refuses(anybody().confirmVerification(found[0].token), 400, code);
    await refuses(anybody().confirmPasswordReset(found[1].token, NEW, NEW), 400, code);
    await refuses(anybody().confirmEmailChange(found[2].token, NEW), 400);
});

test("each kind of token has a secret and a time of its own", async () => {
    const own = await mailing(root, {
        verificationToken: { duration: 1111 },
        passwordResetToken: { duration: 2222 },
        emailChangeToken: { duration: 3333 },
    });
    const { client, record } = await signUp(root, own);
    const collection = client.collection(own.name);
    await collection.requestVerification(record.email);
    await collection.requestPasswordReset(record.email);
    await collection.requestEmailChange("elsewhere@example.com");
    const [first, second] = [await mails.next(record.email), await mails.next(record.email)];
    const last = await mails.next("elsewhere@example.com");
    const byKind = Object.fromEntries([first, second, last].map((mail) => [mail.subject.split(" ")[0], mail]));
    for (const [kind, seconds] of [["verify", 1111], ["reset", 2222], ["change", 3333]]) {
        const left = claims(placed(byKind[kind], "TOKEN")).exp - Date.now() / 1000;
        assert.ok(left > seconds - 60 && left <= seconds, `${kind}: ${left}`);
    }
    await root.collections.update(own.id, { verificationToken: { secret: "x".repeat(40) } });
    await refuses(collection.confirmVerification(placed(byKind.verify, "TOKEN")), 400, {
        token: "validation_invalid_token",
    });
    await collection.confirmPasswordReset(placed(byKind.reset, "TOKEN"), NEW, NEW);
});

test("two requests at once change a password once", async () => {
    const { record, token } = await reset();
    const words = ["first password", "second password", "third password"];
    const outcomes = await Promise.allSettled(words.map((word) => anybody().confirmPasswordReset(token, word, word)));
    const won = words.filter((_, index) => outcomes[index].status === "fulfilled");
    assert.ok(won.length >= 1);
    const valid = await Promise.allSettled(words.map((word) => anybody().authWithPassword(record.email, word)));
    assert.equal(valid.filter((outcome) => outcome.status === "fulfilled").length, 1);
});

test("nobody learns who has an account, and mails are few", async () => {
    const { record } = await signUp(root, users);
    for (const email of [record.email, "nobody@example.com", record.email]) {
        assert.equal(await anybody().requestVerification(email), true);
        assert.equal(await anybody().requestPasswordReset(email), true);
    }
    await mails.next(record.email);
    await mails.next(record.email);
    assert.equal(mails.to(record.email).length, 2, "one of a kind in two minutes");
    assert.deepEqual(mails.to("nobody@example.com"), []);
    await refuses(anybody().requestVerification("no address"), 400, { email: "validation_is_email" });
    await refuses(anybody().requestPasswordReset(""), 400, { email: "validation_required" });
});

test("a sign-in from a new place is told, one from a known place is not", async () => {
    const watched = await mailing(root, { authAlert: TEMPLATES.authAlert });
    const email = `${unique("somebody")}@example.com`;
    const record = await root
        .collection(watched.name)
        .create({ email, password: PASSWORD, passwordConfirm: PASSWORD });
    const signIn = (agent) =>
        guest()
            .collection(watched.name)
            .authWithPassword(email, PASSWORD, { headers: { "User-Agent": agent } });
    await signIn("first");
    await signIn("first");
    assert.deepEqual(mails.to(email), [], "the first place is no news");
    await signIn('second <b>"');
    const mail = await mails.next(email);
    assert.equal(placed(mail, "RECORD:id"), record.id);
    assert.match(placed(mail, "ALERT_INFO"), /127\.0\.0\.1 second &lt;b&gt;/);
    const origins = () => root.collection("_authOrigins").getFullList({ filter: `recordRef = "${record.id}"` });
    // It is stored once the mail has left.
    for (let tries = 0; (await origins()).length < 2 && tries < 100; tries += 1);
    assert.equal((await origins()).length, 2);
    await signIn('second <b>"');
    assert.equal(mails.to(email).length, 1);
    await root.collection(watched.name).update(record.id, { password: NEW, passwordConfirm: NEW });
    assert.equal((await origins()).length, 0, "a new password begins anew");
});

test("superusers try their settings and templates", async () => {
    for (const template of ["verification", "password-reset", "email-change", "otp", "login-alert"]) {
        assert.equal(await root.settings.testEmail(users.name, "trial@example.com", template), true);
        const mail = await mails.next("trial@example.com");
        assert.match(mail.subject, / Acme$/);
    }
    await refuses(root.settings.testEmail(users.name, "x", "nope"), 400, {
        email: "validation_is_email",
        template: "validation_in_invalid",
    });
    await refuses(guest().settings.testEmail(users.name, "a@example.com", "otp"), 401);
});
