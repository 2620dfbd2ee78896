// The API as this page uses it, and the account that it asks as. The token stays in memory and goes with the page.

const ROOT = new URL("../../api/", import.meta.url);

/** A request that was refused; the message names the fields that the server complains about. */
export class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** Who asks: a guest until `signIn`. */
export class Session {
    #token = "";

    constructor() {
        this.account = null;
    }

    get isSuperuser() {
        return this.account?.collection === "_superusers";
    }

    /** Become an account of an auth collection. */
    async signIn(collection, identity, password) {
        const path = `collections/${encodeURIComponent(collection)}/auth-with-password`;
        const { token, record } = await send("", "POST", path, { identity, password });
        this.#token = token;
        this.account = { id: record.id, collection: record.collectionName, name: record.email || identity };
    }

    /** Become a guest. */
    signOut() {
        this.#token = "";
        this.account = null;
    }

    /** Return the JSON of an answer, null for an empty one. Throws Refused. */
    send(method, path, body) {
        return send(this.#token, method, path, body);
    }
}

/** The address of a stream; a cursor is a position to go on from, "" for now, and null for a plain stream. */
export function streamAddress(cursor) {
    const url = new URL("realtime", ROOT);
    if (cursor !== null) {
        url.searchParams.set("cursor", cursor);
    }
    return url;
}

async function send(token, method, path, body) {
    const headers = token ? { Authorization: token } : {};
    if (body !== undefined) {
        headers["Content-Type"] = "application/json";
    }
    let answer;
    try {
        const payload = body === undefined ? undefined : JSON.stringify(body);
        answer = await fetch(new URL(path, ROOT), { method, headers, body: payload, cache: "no-store" });
    } catch {
        throw new Refused(0, "The server does not answer.");
    }
    const text = await answer.text();
    const data = parse(text);
    if (!answer.ok) {
        throw new Refused(answer.status, explain(answer.status, data));
    }
    return data;
}

function parse(text) {
    try {
        return text ? JSON.parse(text) : null;
    } catch {
        return null;
    }
}

function explain(status, data) {
    const parts = [data?.message || "The request was refused."];
    for (const [field, problem] of Object.entries(data?.data ?? {})) {
        parts.push(`${field}: ${problem?.message ?? JSON.stringify(problem)}`);
    }
    return `${parts.join(" ")} (${status})`;
}
