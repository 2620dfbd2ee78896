// One realtime stream: open, closed, cut on purpose, lost and back again.
//
// The browser reconnects by itself and, in cursor mode, tells the server the last event id, so that the stream resumes.
// Where it gives up (an answer that is no stream), and after a cut, this module connects again from the last cursor.

import { streamAddress } from "./api.js";

const RETRY_MS = [500, 1000, 2000, 5000];

/**
 * Tells what happens through `on`: state(name, text), event({topic, data, at}), note(action, text), problem(text).
 * Times are those of performance.now().
 */
export class Stream {
    #session;
    #on;
    #source = null;
    #timer = 0;
    #tries = 0;
    #topics = [];
    #cursor = null;
    #isCursor = false;
    #hasConnected = false;

    constructor(session, on) {
        this.#session = session;
        this.#on = on;
        this.clientId = "";
    }

    get isOn() {
        return this.#source !== null || this.#timer !== 0;
    }

    /** Start a new stream in this mode; with a cursor it can resume. */
    open(isCursor) {
        this.close();
        this.#isCursor = isCursor;
        this.#cursor = isCursor ? "" : null;
        this.#hasConnected = false;
        this.#connect();
    }

    /** End it for good. */
    close() {
        this.#drop();
        this.#tries = 0;
        this.#on.state("closed", "closed");
    }

    /** Drop the connection and come back after some seconds. */
    cut(seconds) {
        this.#drop();
        this.#on.state("cut", `cut for ${seconds} s`);
        this.#on.note("cut", `for ${seconds} s${this.#cursor ? `, at ${this.#cursor}` : ""}`);
        this.#timer = setTimeout(() => this.#connect(), seconds * 1000);
    }

    /** Drop the connection of a page that is left; true where `cut(0)` is to bring it back with the page. */
    suspend() {
        const wasOn = this.isOn;
        this.#drop();
        return wasOn;
    }

    /** Start again as the account that the session has now: a stream belongs to one account. */
    restart() {
        if (this.isOn) {
            this.open(this.#isCursor);
        }
    }

    /** Replace the topics, also those of a stream that is open. */
    async setTopics(texts) {
        for (const text of texts) {
            if (!this.#topics.includes(text)) {
                this.#source?.addEventListener(text, this.#heard);
            }
        }
        for (const text of this.#topics) {
            if (!texts.includes(text)) {
                this.#source?.removeEventListener(text, this.#heard);
            }
        }
        this.#topics = [...texts];
        if (this.clientId) {
            await this.#submit();
        }
    }

    #connect() {
        this.#drop();
        this.#on.state("connecting", "connecting");
        const source = new EventSource(streamAddress(this.#cursor));
        this.#source = source;
        source.addEventListener("PB_CONNECT", this.#connected);
        source.addEventListener("error", () => this.#lost(source));
        for (const text of this.#topics) {
            source.addEventListener(text, this.#heard);
        }
    }

    #drop() {
        clearTimeout(this.#timer);
        this.#timer = 0;
        this.#source?.close();
        this.#source = null;
        this.clientId = "";
    }

    #connected = async (event) => {
        const { clientId, cursor, resumed } = JSON.parse(event.data);
        const isBack = this.#hasConnected;
        this.#hasConnected = true;
        this.#tries = 0;
        this.clientId = clientId;
        if (this.#isCursor) {
            this.#on.note("connected", cursorNote(isBack, this.#cursor, cursor, resumed));
            this.#cursor = cursor ?? null;
        } else {
            this.#on.note("connected", isBack ? "again; what happened meanwhile is not told" : "plain stream");
        }
        if (await this.#submit()) {
            this.#on.state("open", isBack && this.#isCursor ? `open · resumed: ${resumed}` : "open");
        }
    };

    /** Submit the topics; false where the server refused, or the stream changed meanwhile. */
    async #submit() {
        const clientId = this.clientId;
        try {
            await this.#session.send("POST", "realtime", { clientId, subscriptions: this.#topics });
        } catch (error) {
            if (clientId === this.clientId) {
                this.#on.problem(error.message);
            }
            return false;
        }
        if (clientId === this.clientId) {
            this.#on.problem("");
        }
        return clientId === this.clientId;
    }

    #heard = (event) => {
        if (!(event instanceof MessageEvent)) {
            // A topic may have the name of an event of the EventSource itself.
            return;
        }
        const at = performance.now();
        let data;
        try {
            data = JSON.parse(event.data);
        } catch {
            data = event.data;
        }
        if (this.#isCursor && data?.cursor) {
            this.#cursor = data.cursor;
        }
        this.#on.event({ topic: event.type, data, at });
    };

    #lost(source) {
        if (source !== this.#source) {
            return;
        }
        if (this.clientId) {
            this.#on.note("lost", "the connection ended");
        }
        this.clientId = "";
        this.#on.state("connecting", "reconnecting");
        if (source.readyState === EventSource.CLOSED) {
            const wait = RETRY_MS[Math.min(this.#tries, RETRY_MS.length - 1)];
            this.#tries += 1;
            this.#drop();
            this.#timer = setTimeout(() => this.#connect(), wait);
        }
    }
}

function cursorNote(isBack, before, now, isResumed) {
    if (!isBack) {
        return `new stream at ${now}`;
    }
    if (isResumed) {
        return `resumed: true, from ${before}`;
    }
    return `resumed: false, ${before} is not known any more: load again, and go on from ${now}`;
}
