// The official SDK and a polyfill, as tests/e2e/sdk installs them.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(new URL("../../../tests/e2e/sdk/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(resolve(name)));

export const { default: PocketBase } = await load("pocketbase");
export const { EventSource } = await load("eventsource");
