// A real mail server in a process of its own, and what arrives there. Templates are short, so that tests can read them.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after } from "node:test";
import { createInterface } from "node:readline";
import { accounts, Inbox } from "./suite.mjs";

const [program, ...args] = JSON.parse(process.env.MAIL_SINK);

/** Start the mail server and have the server under test use it; returns what waits for mails. */
export async function mailbox(root, smtp = {}) {
    const cwd = new URL("../../../", import.meta.url);
    const sink = spawn(program, args, { cwd, stdio: ["pipe", "pipe", "inherit"] });
    after(() => sink.stdin.end());
    const said = new Inbox();
    createInterface({ input: sink.stdout }).on("line", (line) => said.listener(JSON.parse(line)));
    const [{ port }] = await said.have(1);
    await root.settings.update({ smtp: { enabled: true, host: "127.0.0.1", port, ...smtp } });
    return new Mailbox(said);
}

class Mailbox {
    #said;
    #read = new Set();

    constructor(said) {
        this.#said = said;
    }

    /** Wait for the next mail to an address that was not read yet. */
    async next(to) {
        const isNew = (mail) => mail.to === to && !this.#read.has(mail);
        await this.#said.until((mails) => mails.some(isNew), `a mail to ${to}`);
        const mail = this.#said.events.find(isNew);
        this.#read.add(mail);
        return mail;
    }

    /** The mails that arrived for an address so far. */
    to(address) {
        return this.#said.events.filter((mail) => mail.to === address);
    }
}

const template = (subject, ...names) => ({
    subject: `${subject} {APP_NAME}`,
    body: names.map((name) => `<p>${name}=[{${name}}]</p>`).join(""),
});

/** Options of an auth collection whose mails hold `NAME=[value]` for each placeholder. */
export const TEMPLATES = {
    verificationTemplate: template("verify", "TOKEN", "RECORD:id", "RECORD:email", "RECORD:tokenKey", "APP_URL"),
    resetPasswordTemplate: template("reset", "TOKEN"),
    confirmEmailChangeTemplate: template("change", "TOKEN"),
    authAlert: { enabled: true, emailTemplate: template("alert", "ALERT_INFO", "RECORD:id") },
    otp: { enabled: true, duration: 180, length: 8, emailTemplate: template("otp", "OTP", "OTP_ID") },
};

/** Create an auth collection with these templates. */
export function mailing(root, overrides = {}) {
    return accounts(root, { ...TEMPLATES, authAlert: { ...TEMPLATES.authAlert, enabled: false }, ...overrides });
}

/** What stands for a placeholder in a mail. */
export function placed(mail, name) {
    const found = mail.html.match(new RegExp(`${name}=\\[([^\\]]*)\\]`));
    assert.ok(found, `no ${name} in ${mail.html}`);
    return found[1];
}
