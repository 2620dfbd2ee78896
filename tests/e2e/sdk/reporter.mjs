// Reports each test as one line of JSON: {name, outcome: "pass" | "fail" | "skip", text}.

import { inspect } from "node:util";

export default async function* (events) {
    // A file that fails before its first test says why on its error stream only.
    let printed = "";
    for await (const { type, data } of events) {
        if (type === "test:stderr") {
            printed = (printed + data.message).slice(-4000);
        }
        if (type !== "test:pass" && type !== "test:fail") {
            continue;
        }
        if (data.details?.type === "suite") {
            continue;
        }
        const { name, skip } = data;
        if (skip !== undefined) {
            yield line(name, "skip", typeof skip === "string" ? skip : "skipped");
        } else if (type === "test:pass") {
            yield line(name, "pass", "");
        } else {
            const error = data.details.error;
            yield line(name, "fail", `${inspect(error.cause ?? error, { depth: 6 })}\n${printed}`);
        }
    }
}

function line(name, outcome, text) {
    return JSON.stringify({ name, outcome, text }) + "\n";
}
