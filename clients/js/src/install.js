// Ties resuming to a client of the SDK, by its public parts only.
//
// The SDK makes a `new EventSource(this.client.buildURL("/api/realtime"))` for each try. So its realtime service gets a
// client that differs from `pb` in this one URL, and the global EventSource tells by it whose stream it is. Streams
// of other clients, of the SDK's sign-in with OAuth2, and of the application itself are not touched.

import { Progress } from "./progress.js";
import { Source } from "./source.js";

const PATH = "/api/realtime";

/** The stream that the SDK is about to make, between its URL and its constructor. */
let opening = null;

/** The global EventSource as this module has set it. */
let takenOver = null;

/** What the streams of one client share. */
class Channel {
    #source = null;
    #holds = 0;
    #hasStarted = false;
    #onGap;

    constructor({ progress, onGap, EventSource }) {
        this.progress = progress;
        this.EventSource = EventSource;
        this.#onGap = onGap;
    }

    get isHeld() {
        return this.#holds > 0;
    }

    opened(source) {
        this.#source = source;
    }

    closed(source) {
        if (this.#source === source) {
            this.#source = null;
        }
    }

    /** Note what PB_CONNECT said, and return the position that was lost, or an empty text. */
    connected(cursor, isResumed) {
        this.#hasStarted = true;
        const before = this.progress.cursor;
        if (before && cursor && isResumed) {
            return "";
        }
        this.progress.restart(cursor);
        return before;
    }

    /** The SDK has closed the stream for good: nothing is subscribed to any more. */
    ended() {
        this.#hasStarted = false;
        this.progress.forget();
    }

    startAt(cursor) {
        if (this.#source || this.#hasStarted) {
            throw new Error("startAt: the stream runs already; subscribe first and load inside of hold() instead.");
        }
        this.progress.restart(cursor);
    }

    async hold(work) {
        this.#holds += 1;
        try {
            return await work();
        } finally {
            this.#holds -= 1;
            this.#source?.flush();
        }
    }

    tellGap(gap) {
        if (this.#onGap) {
            this.hold(() => this.#onGap(gap)).catch((error) => {
                queueMicrotask(() => {
                    throw error;
                });
            });
        }
    }
}

/** See index.d.ts. */
export function installResume(pb, options = {}) {
    if (Object.getPrototypeOf(pb.realtime.client) === pb) {
        throw new Error("installResume: this client resumes already.");
    }
    if (pb.realtime.isConnected) {
        throw new Error("installResume: call it before the first subscribe.");
    }
    takeOver(options.EventSource);
    const { cursor, storage, storageKey: key = `rowcast-cursor:${pb.baseURL}` } = options;
    const channel = new Channel({ ...options, progress: new Progress({ cursor, storage, key }) });
    pb.realtime.client = Object.create(pb, {
        buildURL: { value: (path) => (path === PATH ? announce(pb.buildURL(path), channel) : pb.buildURL(path)) },
        // The POST of the topics goes to the plain URL.
        send: { value: (...request) => pb.send(...request) },
    });
    watchEnd(pb.realtime, () => channel.ended());
    return {
        get cursor() {
            return channel.progress.cursor || null;
        },
        startAt: (position) => channel.startAt(position),
        hold: (work) => channel.hold(work),
    };
}

function announce(base, channel) {
    const url = `${base}${base.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(channel.progress.cursor)}`;
    const announced = { url, channel };
    opening = announced;
    queueMicrotask(() => {
        if (opening === announced) {
            // This stream goes unwatched. The next one starts where it did: what comes twice is better than a loss.
            opening = null;
            takeOver(channel.EventSource);
            console.warn("rowcast-client: EventSource was replaced after installResume; events may come twice");
        }
    });
    return url;
}

/** Let the global EventSource take over the streams that are announced; all others are made as before. */
function takeOver(replacement) {
    const current = globalThis.EventSource ?? replacement;
    if (!current) {
        throw new Error("installResume: there is no EventSource; load one first, or pass it as options.EventSource.");
    }
    if (current !== takenOver) {
        takenOver = new Proxy(current, { construct });
        globalThis.EventSource = takenOver;
    }
}

function construct(target, args, newTarget) {
    if (!opening || args[0] !== opening.url) {
        return Reflect.construct(target, args, newTarget);
    }
    const { channel } = opening;
    opening = null;
    const inner = new (channel.EventSource ?? target)(...args);
    channel.opened(new Source(inner, channel));
    return inner;
}

/** Call `ended` when the SDK disconnects with nothing subscribed; the application's own hook stays as it is. */
function watchEnd(realtime, ended) {
    let hook = realtime.onDisconnect;
    Object.defineProperty(realtime, "onDisconnect", {
        configurable: true,
        enumerable: true,
        get() {
            // Bound to the hook of this moment: an application may wrap what it reads here and set it again.
            const current = hook;
            return (topics) => {
                if (!topics.length) {
                    ended();
                }
                current?.call(realtime, topics);
            };
        },
        set(value) {
            hook = value;
        },
    });
}
