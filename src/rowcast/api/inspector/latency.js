// How long an event took: from a write of this page, or from the record's `updated`, to its arrival.

const KEPT_MS = 2000;
const SHOWN = 200;

/** Writes of this page that are still expected to arrive, and the figures of the last events. */
export class Latency {
    #writes = [];
    #recent = [];
    #figures = [];

    /** Note that a write starts; `id` is empty for a create. Call `settle` with what comes back when it is answered. */
    start(id) {
        const write = { id, at: performance.now(), until: Infinity, seen: new Set() };
        this.#writes.push(write);
        return write;
    }

    /** Note that a write was answered; events that were faster than the answer learn of it now. */
    settle(write, id) {
        write.until = performance.now() + KEPT_MS;
        if (!write.id && id) {
            write.id = id;
            for (const event of this.#recent) {
                this.#match(write, event);
            }
        }
    }

    /** Note that a write was refused. */
    forget(write) {
        this.#writes = this.#writes.filter((other) => other !== write);
    }

    /**
     * Note an event. `tell(ms, from)` is called at once, and again if its write turns out to be of this page;
     * `from` is "write", "updated", or "" where nothing is known and ms is null.
     */
    heard({ topic, data, at }, tell) {
        const event = { topic, id: data?.record?.id ?? "", at, tell, index: -1 };
        this.#writes = this.#writes.filter((write) => write.until > at);
        this.#recent = [...this.#recent.slice(-49), event];
        if (!this.#writes.some((write) => write.id && this.#match(write, event))) {
            const ms = sinceUpdated(data, at);
            this.#tell(event, ms, ms === null ? "" : "updated");
        }
    }

    /** The quantile of the last events in ms, null where there are none. */
    quantile(share) {
        const sorted = this.#figures.map((figure) => figure.ms).sort((a, b) => a - b);
        return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
    }

    #match(write, event) {
        if (event.id !== write.id || event.at < write.at || write.seen.has(event.topic)) {
            return false;
        }
        write.seen.add(event.topic);
        this.#tell(event, event.at - write.at, "write");
        return true;
    }

    #tell(event, ms, from) {
        event.tell(ms, from);
        if (ms === null) {
            return;
        }
        if (event.figure) {
            event.figure.ms = ms;
            return;
        }
        event.figure = { ms };
        this.#figures.push(event.figure);
        if (this.#figures.length > SHOWN) {
            this.#figures.shift();
        }
    }
}

/** Return a latency as people read it. */
export function milliseconds(ms) {
    if (ms === null) {
        return "–";
    }
    if (ms < 9.95) {
        return `${ms.toFixed(1)} ms`;
    }
    return ms < 9995 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
}

function sinceUpdated(data, at) {
    // A delete and a leave tell of no moment; the record's date is that of an earlier write.
    const updated = data?.record?.updated;
    if (typeof updated !== "string" || !["create", "update"].includes(data.action)) {
        return null;
    }
    const written = Date.parse(updated.replace(" ", "T"));
    return Number.isNaN(written) ? null : Math.max(0, performance.timeOrigin + at - written);
}
