// Ties the parts of the page together: forms, stream, list, chart, table.

import { Session } from "./api.js";
import { Chart } from "./chart.js";
import { Clients } from "./clients.js";
import { EventList } from "./events.js";
import { Latency, milliseconds } from "./latency.js";
import { Stream } from "./stream.js";
import { makeTopic } from "./topics.js";

const byId = (id) => document.getElementById(id);

const session = new Session();
const latency = new Latency();
const chart = new Chart(byId("chart"));
const events = new EventList(byId("events"), (isEmpty) => {
    byId("empty").hidden = !isEmpty;
});
const topics = new Map();
let total = 0;

const stream = new Stream(session, {
    state(name, text) {
        byId("state").textContent = text;
        byId("state").dataset.state = name;
        byId("open").textContent = name === "closed" ? "Open stream" : "Reopen";
        byId("close").disabled = name === "closed";
        byId("cut").disabled = name !== "open";
    },
    event(event) {
        total += 1;
        chart.count();
        latency.heard(event, events.addEvent(topics.get(event.topic) ?? event.topic, event));
        byId("figure-total").textContent = String(total);
    },
    note(action, text) {
        events.addNote(action, text);
    },
    problem(text) {
        complain(byId("stream"), text);
    },
});

const clients = new Clients(session, byId("clients"), {
    ownId: () => stream.clientId,
    onTotal(count) {
        chart.setStreams(count);
        byId("figure-streams").textContent = count === null ? "–" : String(count);
        byId("streams-hint").hidden = count !== null;
    },
});

function complain(form, text) {
    const problem = form.querySelector(".problem");
    problem.textContent = text;
    problem.hidden = !text;
}

/** Run `work` when a form is submitted; while it runs its main button rests, and what it throws is shown in the form. */
function onSubmit(form, work) {
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const button = form.querySelector("button");
        button.disabled = true;
        complain(form, "");
        try {
            await work(form.elements);
        } catch (error) {
            complain(form, error.message);
        } finally {
            button.disabled = false;
        }
    });
}

// -- account ----------------------------------------------------------------------------------------

onSubmit(byId("sign-in"), async ({ collection, identity, password }) => {
    await session.signIn(collection.value.trim(), identity.value.trim(), password.value);
    password.value = "";
    changedAccount();
});

byId("guest").addEventListener("click", () => {
    session.signOut();
    changedAccount();
});

function changedAccount() {
    const { account } = session;
    const name = account ? `${account.name} (${account.collection})` : "guest";
    byId("who").textContent = name;
    byId("account").textContent = name;
    byId("sign-in").hidden = Boolean(account);
    byId("signed-in").hidden = !account;
    (account ? byId("guest") : byId("sign-in").elements.identity).focus();
    stream.restart();
    clients.refresh();
    suggest();
}

/** Offer the names of collections, which superusers may list. */
async function suggest() {
    if (!session.isSuperuser) {
        return;
    }
    try {
        const { items } = await session.send("GET", "collections?perPage=500&sort=name&fields=name,type");
        offer(byId("topics-known"), items.map(({ name }) => `${name}/*`));
        offer(byId("collections-known"), items.map(({ name }) => name));
        offer(byId("auth-collections"), items.filter(({ type }) => type === "auth").map(({ name }) => name));
    } catch {
        // Names can be typed as well.
    }
}

function offer(list, values) {
    list.replaceChildren(...values.map((value) => new Option(value, value)));
}

// -- stream -----------------------------------------------------------------------------------------

onSubmit(byId("topic"), async ({ topic, filter, expand, fields, leave }) => {
    const options = { filter: filter.value.trim(), expand: expand.value.trim(), fields: fields.value.trim() };
    const made = makeTopic({ topic: topic.value.trim(), leave: leave.checked, ...options });
    topics.set(made.text, made.label);
    byId("topic").reset();
    await changedTopics();
});

async function changedTopics() {
    const rows = [...topics].map(([text, label]) => {
        const row = document.createElement("li");
        const shown = document.createElement("span");
        shown.className = "topic";
        shown.textContent = label;
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = "×";
        button.setAttribute("aria-label", `Remove ${label}`);
        button.addEventListener("click", () => {
            topics.delete(text);
            changedTopics();
            byId("topic").elements.topic.focus();
        });
        row.append(shown, button);
        return row;
    });
    byId("topics").replaceChildren(...rows);
    await stream.setTopics([...topics.keys()]);
}

onSubmit(byId("stream"), ({ mode }) => stream.open(mode.value === "cursor"));

byId("close").addEventListener("click", () => stream.close());

byId("cut").addEventListener("click", () => stream.cut(Math.min(600, Math.max(0, byId("cut-seconds").valueAsNumber || 0))));

// A browser keeps a page that was left, with its connections, for the way back: the stream would go on unseen.
let isSuspended = false;
addEventListener("pagehide", () => {
    isSuspended = stream.suspend();
});
addEventListener("pageshow", () => {
    if (isSuspended) {
        isSuspended = false;
        stream.cut(0);
    }
});

// -- writes -----------------------------------------------------------------------------------------

byId("write").elements.action.addEventListener("change", ({ target }) => {
    byId("write-id").hidden = target.value === "create";
    byId("write").elements.id.required = target.value !== "create";
    byId("write-body").hidden = target.value === "delete";
});

onSubmit(byId("write"), async ({ action, collection, id, body }) => {
    byId("written").textContent = "";
    const record = action.value === "delete" ? undefined : parseRecord(body.value);
    const path = `collections/${encodeURIComponent(collection.value.trim())}/records`;
    const recordId = id.value.trim();
    const [method, where] = {
        create: ["POST", path],
        update: ["PATCH", `${path}/${encodeURIComponent(recordId)}`],
        delete: ["DELETE", `${path}/${encodeURIComponent(recordId)}`],
    }[action.value];
    const write = latency.start(action.value === "create" ? "" : recordId);
    let answer;
    try {
        answer = await session.send(method, where, record);
    } catch (error) {
        latency.forget(write);
        throw error;
    }
    const took = milliseconds(performance.now() - write.at);
    latency.settle(write, answer?.id);
    id.value = action.value === "delete" ? "" : answer?.id ?? recordId;
    byId("written").textContent = `${action.value} ${answer?.id ?? recordId}: answered in ${took}`;
});

function parseRecord(text) {
    let record;
    try {
        record = JSON.parse(text || "{}");
    } catch (error) {
        throw new Error(`The record is not JSON: ${error.message}`);
    }
    if (record === null || typeof record !== "object" || Array.isArray(record)) {
        throw new Error("The record is not a JSON object.");
    }
    return record;
}

// -- list and figures -------------------------------------------------------------------------------

byId("pause").addEventListener("change", ({ target }) => events.pause(target.checked));
byId("clear").addEventListener("click", () => events.clear());

setInterval(() => {
    chart.tick();
    byId("figure-rate").textContent = String(chart.rate);
    byId("figure-median").textContent = milliseconds(latency.quantile(0.5));
    byId("figure-p95").textContent = milliseconds(latency.quantile(0.95));
}, 1000);
chart.draw();
