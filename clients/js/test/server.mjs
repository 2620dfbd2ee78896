// A server that does what a test says: it shows each request, and sends the frames that it is given.

import { createServer } from "node:http";
import { after } from "node:test";

/** A queue that is waited on. */
class Queue {
    #items = [];
    #waiting = [];

    put(item) {
        const take = this.#waiting.shift();
        take ? take(item) : this.#items.push(item);
    }

    /** The next item, or an error if there is none soon. */
    next() {
        if (this.#items.length) {
            return Promise.resolve(this.#items.shift());
        }
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new Error("nothing came")), 5_000);
            this.#waiting.push((item) => {
                clearTimeout(timer);
                resolve(item);
            });
        });
    }
}

/** One stream that a client has opened. */
class Stream {
    #answer;

    constructor(request, answer) {
        this.#answer = answer;
        this.query = new URL(request.url, "http://server").searchParams;
        this.lastEventId = request.headers["last-event-id"];
        answer.writeHead(200, { "Content-Type": "text/event-stream" });
    }

    /** What the client resumes from; null if it does not know of cursors. */
    get cursor() {
        return this.query.get("cursor");
    }

    send(event, id, data) {
        this.#answer.write(`id:${id}\nevent:${event}\ndata:${JSON.stringify(data)}\n\n`);
    }

    /** Send PB_CONNECT with a position. */
    connect(cursor, resumed) {
        const clientId = `${"c".repeat(40)}_${cursor}`;
        this.send("PB_CONNECT", clientId, { clientId, cursor, resumed });
    }

    /** Send PB_CONNECT as a server does that knows nothing of positions. */
    connectPlainly() {
        const clientId = "p".repeat(40);
        this.send("PB_CONNECT", clientId, { clientId });
    }

    /** Send an event of a record at a position. */
    tell(topic, cursor) {
        this.send(topic, cursor, { record: { id: cursor }, action: "update", cursor });
    }

    cut() {
        this.#answer.destroy();
    }

    end() {
        this.#answer.end();
    }
}

/** Start a server; it is closed after the tests of the file. */
export async function scripted() {
    const streams = new Queue();
    const submits = new Queue();
    const heads = {};
    const server = createServer(async (request, answer) => {
        if (request.url.startsWith("/api/realtime") && request.method === "GET") {
            streams.put(new Stream(request, answer));
            return;
        }
        const chunks = await Array.fromAsync(request);
        if (request.url.startsWith("/api/realtime")) {
            submits.put({ url: request.url, ...JSON.parse(Buffer.concat(chunks)) });
            answer.writeHead(204).end();
            return;
        }
        await heads.before?.(request.url);
        answer.writeHead(200, { "Content-Type": "application/json", ...heads.of?.(request.url) });
        answer.end(JSON.stringify({ page: 1, perPage: 30, totalItems: 0, totalPages: 0, items: [] }));
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    after(() => {
        server.closeAllConnections();
        server.close();
    });
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        /** What lists answer: `before(url)` is waited for, `of(url)` gives headers. */
        heads,
        stream: () => streams.next(),
        submit: () => submits.next(),
    };
}
