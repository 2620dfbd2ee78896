// One EventSource of the SDK: it hands events to the SDK's listeners and notes the position of each afterwards.
//
// The methods are replaced on the object, not by a subclass, so that every kind of EventSource will do: a browser's,
// the `eventsource` package, or one of React Native that has neither constants nor `onerror`.

const CONNECT = "PB_CONNECT";
/** By this event a server may tell how far a quiet stream is. */
const CURSOR = "PB_CURSOR";
const POSITION = /^[0-9a-z-]+$/;

/** Events that are no topics; they pass untouched. */
const OWN_EVENTS = new Set(["open", "error", "message", "close"]);

/** Takes over an EventSource that was just made, for `channel` (see install.js). */
export class Source {
    #inner;
    #channel;
    #listen;
    #listeners = new Map();
    #waiting = [];
    #repeated = { cursor: "", topics: new Set() };
    #isConnected = false;
    #hasPositions = false;
    #isClosed = false;

    constructor(inner, channel) {
        this.#inner = inner;
        this.#channel = channel;
        this.#listen = inner.addEventListener.bind(inner);
        const unlisten = inner.removeEventListener.bind(inner);
        const close = inner.close.bind(inner);
        this.#watch(CURSOR);
        if (!("onerror" in inner)) {
            // Later, since such a polyfill plans its own next try only after its listeners ran.
            this.#listen("error", (event) => queueMicrotask(() => this.#isClosed || inner.onerror?.(event)));
        }
        inner.addEventListener = (type, listener, ...rest) =>
            OWN_EVENTS.has(type) ? this.#listen(type, listener, ...rest) : this.#add(type, listener);
        inner.removeEventListener = (type, listener, ...rest) =>
            OWN_EVENTS.has(type) ? unlisten(type, listener, ...rest) : this.#remove(type, listener);
        inner.close = () => {
            this.#isClosed = true;
            this.#waiting = [];
            channel.closed(this);
            close();
        };
    }

    /** Hand out the events that waited, until they have to wait again. */
    flush() {
        while (this.#waiting.length && !this.#channel.isHeld) {
            this.#tell(...this.#waiting.shift());
        }
    }

    #add(type, listener) {
        if (!this.#listeners.has(type)) {
            this.#watch(type);
        }
        this.#listeners.get(type).add(listener);
    }

    /** Receive a type from now on, also when the SDK's last listener goes: what nobody wants is progress as well. */
    #watch(type) {
        this.#listeners.set(type, new Set());
        this.#listen(type, (event) => this.#receive(type, event));
    }

    #remove(type, listener) {
        this.#listeners.get(type)?.delete(listener);
    }

    #receive(type, event) {
        // Some polyfills go on with what they have read already. The next stream brings it again.
        if (this.#isClosed) {
            return;
        }
        if (type === CONNECT) {
            this.#connect(event);
        } else if (this.#channel.isHeld || this.#waiting.length) {
            this.#waiting.push([type, event]);
        } else {
            this.#tell(type, event);
        }
    }

    #connect(event) {
        if (this.#isConnected && this.#hasPositions) {
            // It came back by itself, from a position that only it knows. The SDK makes a new one, from ours.
            this.#inner.onerror?.(event);
            return;
        }
        const { cursor, resumed } = parse(event);
        this.#isConnected = true;
        this.#hasPositions = typeof cursor === "string";
        this.#repeated = this.#channel.progress.last;
        const lost = this.#channel.connected(this.#hasPositions ? cursor : "", resumed === true);
        this.#call(CONNECT, event);
        if (lost) {
            this.#channel.tellGap({ lost, cursor: this.#hasPositions ? cursor : null });
        }
    }

    #tell(type, event) {
        const cursor = this.#hasPositions ? positionOf(type, event) : "";
        if (cursor && this.#isRepeated(cursor, type)) {
            return;
        }
        this.#call(type, event);
        if (cursor && type === CURSOR) {
            this.#channel.progress.restart(cursor);
        } else if (cursor) {
            this.#channel.progress.advance(cursor, type);
        }
    }

    #isRepeated(cursor, type) {
        const { cursor: last, topics } = this.#repeated;
        return cursor === last && topics.has(type);
    }

    #call(type, event) {
        for (const listener of [...this.#listeners.get(type)]) {
            if (!this.#listeners.get(type).has(listener)) {
                continue;
            }
            try {
                listener.call(this.#inner, event);
            } catch (error) {
                // As an EventTarget does: reported, and the other listeners are called.
                queueMicrotask(() => {
                    throw error;
                });
            }
        }
    }
}

/** The position of an event. Its id may be an earlier one: that to resume from; a message has none. */
function positionOf(type, event) {
    const { cursor, record, action } = parse(event);
    const hasOne = type === CURSOR || (record !== undefined && action !== undefined);
    return hasOne && typeof cursor === "string" && POSITION.test(cursor) ? cursor : "";
}

function parse(event) {
    try {
        return JSON.parse(event.data) ?? {};
    } catch {
        return {};
    }
}
