// How far a client has been told, and what waits. It knows positions as opaque texts and nothing of streams.
//
// Several topics may get an event of the same change, each with the same position, and a connection may break between
// them. So a stream resumes behind the change before the last one, and the topics that already had the last one are
// kept, for their events come again.

/** The progress of one client; it outlives the streams. */
export class Progress {
    #settled = "";
    #last = "";
    #told = new Set();
    #storage;
    #key;

    /** Start from `cursor`, or else from what `storage` holds under `key`. */
    constructor({ cursor, storage, key }) {
        this.#storage = storage ?? null;
        this.#key = key;
        if (cursor) {
            this.restart(cursor);
        } else {
            this.#load();
        }
    }

    /** The position that the next stream has to start behind; empty if it may start anywhere. */
    get cursor() {
        return this.#settled;
    }

    /** The last change that was told, and to which topics. */
    get last() {
        return { cursor: this.#last, topics: new Set(this.#told) };
    }

    /** Note that the listeners of `topic` have been told of the change at `cursor`. */
    advance(cursor, topic) {
        if (cursor !== this.#last) {
            this.#settled = this.#last || this.#settled;
            this.#last = cursor;
            this.#told.clear();
        }
        this.#told.add(topic);
        this.#save();
    }

    /** Go on from `cursor`, whatever was before. */
    restart(cursor) {
        this.#settled = cursor;
        this.#last = "";
        this.#told.clear();
        this.#save();
    }

    /** Know nothing any more. */
    forget() {
        if (this.#settled) {
            this.restart("");
        }
    }

    #load() {
        try {
            const { settled, last, told } = JSON.parse(this.#storage?.getItem(this.#key) ?? "{}");
            if (typeof settled === "string" && settled) {
                this.#settled = settled;
                this.#last = typeof last === "string" ? last : "";
                this.#told = new Set(Array.isArray(told) ? told : []);
            }
        } catch (error) {
            console.warn("rowcast-client: the stored position cannot be read", error);
        }
    }

    #save() {
        try {
            if (this.#settled) {
                const state = { settled: this.#settled, last: this.#last, told: [...this.#told] };
                this.#storage?.setItem(this.#key, JSON.stringify(state));
            } else {
                this.#storage?.removeItem(this.#key);
            }
        } catch (error) {
            // A page that may not store anything still resumes as long as it is open.
            this.#storage = null;
            console.warn("rowcast-client: the position cannot be stored", error);
        }
    }
}
