// Topics: from what was typed to the text that the server is asked for, and to a label for people.

/** Return a topic; options that are empty are left out. The label is for reading. */
export function makeTopic({ topic, filter = "", expand = "", fields = "", leave = false }) {
    const query = {};
    const labels = [topic];
    for (const [name, value] of Object.entries({ filter, expand, fields })) {
        if (value) {
            query[name] = value;
            labels.push(`${name} ${value}`);
        }
    }
    if (leave) {
        query.leave = "true";
        labels.push("leave");
    }
    const options = Object.keys(query).length ? `?options=${encodeURIComponent(JSON.stringify({ query }))}` : "";
    return { text: topic + options, label: labels.join(" · ") };
}
