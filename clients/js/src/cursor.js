// The position that answers with records stand at.

const HEADER = "Rowcast-Cursor";

/** See index.d.ts. */
export async function withCursor(load, send = globalThis.fetch) {
    let cursor = null;
    let first = null;

    /** Until the first position is known requests wait for each other, so that no later one can have an earlier. */
    async function fetch(...request) {
        while (first) {
            await first;
        }
        const answer = send(...request);
        if (cursor === null) {
            first = note(answer);
        }
        return answer;
    }

    async function note(answer) {
        try {
            cursor = (await answer).headers.get(HEADER);
        } catch {
            // Who asked is told; here it only gave no position.
        } finally {
            first = null;
        }
    }

    return { result: await load(fetch), cursor };
}
