// The list of events, the newest first. What comes from the server is set as text, never as HTML.

import { milliseconds } from "./latency.js";

const KEPT = 500;
const LONGEST = 160;
const OWN_KEYS = new Set(["id", "collectionId", "collectionName", "created", "updated", "expand"]);

/** Shows events and notes about the connection; at most 500, added once for each frame of the screen. */
export class EventList {
    #list;
    #onFirst;
    #waiting = [];
    #frame = 0;
    #isPaused = false;

    constructor(list, onChange) {
        this.#list = list;
        this.#onFirst = onChange;
    }

    /** Add an event; returns what shows its latency. */
    addEvent(label, { data }) {
        const record = data?.record;
        const action = typeof data?.action === "string" && record ? data.action : "message";
        const details = element("details", "event");
        const summary = element("summary");
        const latency = element("span", "latency", "–");
        summary.append(time(), badge(action), text("topic", label), text("record", record ? shown(record) : brief(data)), latency);
        details.append(summary);
        details.addEventListener("toggle", () => unfold(details, data), { once: true });
        this.#add(details);
        return (ms, from) => {
            latency.textContent = from === "updated" ? `≈ ${milliseconds(ms)}` : milliseconds(ms);
            latency.dataset.from = from;
            latency.title = TITLES[from];
        };
    }

    /** Add a note about the connection. */
    addNote(action, message) {
        const row = element("div", "note");
        row.append(time(), badge(action), text("record", message));
        this.#add(row);
    }

    /** Keep the list as it is until it goes on; what arrives meanwhile comes then. */
    pause(isPaused) {
        this.#isPaused = isPaused;
        this.#schedule();
    }

    clear() {
        this.#waiting = [];
        this.#list.replaceChildren();
        this.#onFirst(true);
    }

    #add(content) {
        const row = element("li");
        row.append(content);
        this.#waiting.unshift(row);
        this.#waiting.length = Math.min(this.#waiting.length, KEPT);
        this.#schedule();
    }

    #schedule() {
        if (this.#isPaused || !this.#waiting.length) {
            return;
        }
        this.#frame ||= requestAnimationFrame(() => {
            this.#frame = 0;
            this.#list.prepend(...this.#waiting);
            this.#waiting = [];
            while (this.#list.childElementCount > KEPT) {
                this.#list.lastElementChild.remove();
            }
            this.#onFirst(false);
        });
    }
}

const TITLES = {
    write: "from the start of this page's write to the arrival of the event",
    updated: "from the record's date of the write to the arrival of the event, by two clocks",
    "": "not known",
};

function unfold(details, data) {
    details.append(text("", typeof data === "string" ? data : JSON.stringify(data, null, 2), "pre"));
}

function shown(record) {
    const values = Object.entries(record).filter(([key]) => !OWN_KEYS.has(key));
    const pairs = values.map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
    return cut([record.id, ...pairs].filter(Boolean).join("  "));
}

function brief(data) {
    return cut(typeof data === "string" ? data : JSON.stringify(data) ?? "");
}

function cut(value) {
    return value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value;
}

function time() {
    const moment = new Date();
    const shownTime = element("time", "", `${moment.toLocaleTimeString("en-GB")}.${String(moment.getMilliseconds()).padStart(3, "0")}`);
    shownTime.dateTime = moment.toISOString();
    return shownTime;
}

function badge(action) {
    const shownAction = text("action", action);
    shownAction.dataset.action = action;
    return shownAction;
}

function text(name, content, tag = "span") {
    return element(tag, name, content);
}

function element(tag, name = "", content = "") {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = content;
    return made;
}
