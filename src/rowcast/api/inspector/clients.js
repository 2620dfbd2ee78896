// The table of the server's streams, for superusers.

import { milliseconds } from "./latency.js";

const POLL_MS = 2000;
const SLOW_POLL_MS = 10_000;
const MANY = 1000;
const SHOWN = 100;
const COLUMNS = ["Stream", "Account", "Topics", "Age", "Queued", "Sent", "Lag", ""];

/** Asks for the streams while there is a superuser and the page is visible. */
export class Clients {
    #session;
    #section;
    #body;
    #rows = new Map();
    #timer = 0;
    #ownId;
    #onTotal;

    constructor(session, section, { ownId, onTotal }) {
        this.#session = session;
        this.#section = section;
        this.#body = section.querySelector("tbody");
        this.#ownId = ownId;
        this.#onTotal = onTotal;
        document.addEventListener("visibilitychange", () => this.refresh());
    }

    /** Ask now, and go on asking; for anybody but superusers, hide and stop. */
    async refresh() {
        clearTimeout(this.#timer);
        const account = this.#session.account;
        this.#section.hidden = !this.#session.isSuperuser;
        if (!this.#session.isSuperuser) {
            this.#onTotal(null);
            this.#show({ items: [], total: 0 });
            return;
        }
        if (document.hidden) {
            return;
        }
        let total = 0;
        try {
            const answer = await this.#session.send("GET", "realtime/clients");
            if (account !== this.#session.account) {
                return;
            }
            total = answer.total;
            this.#show(answer);
            this.#onTotal(total);
            this.#complain("");
        } catch (error) {
            this.#complain(error.message);
        }
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.refresh(), total > MANY ? SLOW_POLL_MS : POLL_MS);
    }

    #show({ items, total }) {
        const shown = items.slice(-SHOWN).reverse();
        const known = new Set(shown.map((item) => item.id));
        for (const [id, row] of this.#rows) {
            if (!known.has(id)) {
                row.remove();
                this.#rows.delete(id);
            }
        }
        for (const [index, item] of shown.entries()) {
            const row = this.#rows.get(item.id) ?? this.#make(item.id);
            this.#fill(row, item);
            // Rows stay where they are as long as they can, so that a button keeps its focus.
            if (this.#body.children[index] !== row) {
                this.#body.insertBefore(row, this.#body.children[index] ?? null);
            }
        }
        const note = total > shown.length ? `the newest ${shown.length} of ${total}` : `${total} in all`;
        this.#section.querySelector(".hint").textContent = note;
    }

    #make(id) {
        const row = document.createElement("tr");
        row.dataset.id = id;
        for (const name of COLUMNS) {
            row.insertCell().dataset.name = name;
        }
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = "Kick";
        button.setAttribute("aria-label", `Kick stream ${id.slice(0, 8)}`);
        button.addEventListener("click", () => this.#kick(id, button));
        row.lastElementChild.append(button);
        this.#rows.set(id, row);
        return row;
    }

    #fill(row, item) {
        const [stream, ...cells] = row.cells;
        const own = item.id === this.#ownId() ? " (this page)" : "";
        stream.textContent = `${item.id.slice(0, 8)} ${item.address}${own}`;
        stream.title = item.id;
        const values = [
            item.auth ? `${item.auth.collectionName} ${item.auth.id}` : "guest",
            item.topics.map(readable).join(", ") || "–",
            age(item.age),
            bytes(item.queuedBytes),
            String(item.sent),
            item.lag ? milliseconds(item.lag * 1000) : "0",
        ];
        for (const [index, value] of values.entries()) {
            cells[index].textContent = value;
        }
    }

    async #kick(id, button) {
        button.disabled = true;
        try {
            await this.#session.send("DELETE", `realtime/clients/${encodeURIComponent(id)}`);
        } catch (error) {
            this.#complain(error.message);
            button.disabled = false;
        }
        await this.refresh();
    }

    #complain(message) {
        const problem = this.#section.querySelector(".problem");
        problem.textContent = message;
        problem.hidden = !message;
    }
}

/** Return a topic without the encoding of its options. */
function readable(topic) {
    const [name, options] = topic.split("?options=");
    try {
        const { query = {} } = options ? JSON.parse(decodeURIComponent(options)) : {};
        return [name, ...Object.entries(query).map(([key, value]) => `${key} ${value}`)].join(" · ");
    } catch {
        return topic;
    }
}

function age(seconds) {
    if (seconds < 90) {
        return `${Math.floor(seconds)} s`;
    }
    return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function bytes(count) {
    return count < 1024 ? `${count} B` : `${Math.round(count / 1024)} KiB`;
}
