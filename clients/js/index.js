// Lets the realtime streams of the PocketBase JS SDK resume where they broke off, on a rowcast server.

export { installResume } from "./src/install.js";
export { withCursor } from "./src/cursor.js";
