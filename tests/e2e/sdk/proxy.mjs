// A network between client and server that can be cut.

import { createServer, connect } from "node:net";
import { after } from "node:test";

/** Start a proxy to the server at `url`; it ends after the tests of the file. */
export async function proxyTo(url) {
    const proxy = new Proxy(url);
    await proxy.listen();
    after(() => proxy.close());
    return proxy;
}

class Proxy {
    /** How many connections were cut so far. */
    cuts = 0;
    /** After how many bytes from the server the next connections are cut; a function, or null for never. */
    bytesUntilCut = null;
    #sockets = new Set();
    #target;
    #server = createServer((client) => this.#join(client));

    constructor(url) {
        this.#target = url;
    }

    get url() {
        return `http://127.0.0.1:${this.#server.address().port}`;
    }

    listen() {
        return new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    }

    close() {
        this.cut();
        this.#server.close();
    }

    /** Send new connections to another server, and cut those that are open. */
    retarget(url) {
        this.#target = url;
        this.cut();
    }

    /** Cut all connections, with whatever is under way. */
    cut() {
        for (const socket of this.#sockets) {
            socket.destroy();
        }
    }

    #join(client) {
        const server = connect(Number(new URL(this.#target).port), "127.0.0.1");
        let left = this.bytesUntilCut?.() ?? Infinity;
        const end = () => {
            if (this.#sockets.delete(client)) {
                this.cuts += 1;
            }
            this.#sockets.delete(server);
            client.destroy();
            server.destroy();
        };
        for (const socket of [client, server]) {
            this.#sockets.add(socket);
            socket.setNoDelay(true);
            socket.on("error", end).on("close", end);
        }
        client.pipe(server);
        server.on("data", (chunk) => {
            client.write(chunk.subarray(0, Math.min(left, chunk.length)));
            left -= chunk.length;
            if (left <= 0) {
                // The part that was let through leaves first.
                client.end(end);
            }
        });
    }
}
