/** What was missed, when a stream could not be resumed. */
export interface Gap {
    /** The position behind which events were lost. */
    lost: string;
    /** Where the new stream starts; null if the server does not know of positions. */
    cursor: string | null;
}

/** What `localStorage` and `sessionStorage` are. */
export interface CursorStorage {
    getItem(key: string): string | null;
    setItem(key: string, value: string): void;
    removeItem(key: string): void;
}

export interface ResumeOptions {
    /**
     * Called when events were lost: the position is too old, or of another database.
     * Load again what you show. Events wait until the promise that it returns is settled.
     */
    onGap?: (gap: Gap) => unknown;
    /** A position to start from, such as one that `withCursor` gave. It goes before a stored one. */
    cursor?: string | null;
    /**
     * Keeps the position over page loads. Of use only to applications that keep their data as well.
     * Each page needs its own: `sessionStorage` rather than `localStorage`.
     */
    storage?: CursorStorage;
    /** The key in `storage`; by default `rowcast-cursor:` and the base URL of the client. */
    storageKey?: string;
    /** An implementation for this client; by default the global one. */
    EventSource?: new (url: string, ...rest: any[]) => any;
}

/** The part of a client of the `pocketbase` package that is used. */
export interface ResumableClient {
    readonly baseURL: string;
    readonly realtime: {
        readonly client: object;
        readonly isConnected: boolean;
        onDisconnect?: (topics: string[]) => void;
    };
    buildURL(path: string): string;
    send(path: string, options: any): Promise<any>;
}

export interface Resume {
    /**
     * The position that the next stream starts behind; null if there is none. It may lie one change before
     * the last event: what comes again of it is not told again.
     */
    readonly cursor: string | null;
    /**
     * Let the next stream start behind a position. Throws once a stream runs, or is about to come back:
     * it has a position of its own.
     */
    startAt(cursor: string): void;
    /**
     * Do some work while events wait; they are told when it is done, in their order.
     * Subscribe and load inside of it, and there is nothing between the list and the events.
     */
    hold<T>(work: () => T | Promise<T>): Promise<T>;
}

/**
 * Let the realtime streams of a client resume where they broke off. Call it once for each client, after an
 * EventSource was loaded and before the first subscribe. Throws an Error otherwise.
 *
 * Against a server that does not know of positions everything is as without it.
 */
export function installResume(client: ResumableClient, options?: ResumeOptions): Resume;

/**
 * Load lists and records, and return the position that they stand at, to give to `startAt`. Everything that
 * happens behind it is not in what was loaded, or is at least told again.
 *
 * `load` has to send its requests by the `fetch` that it is given, an option of every method of the SDK.
 * `cursor` is null if no answer carried one.
 */
export function withCursor<T>(
    load: (fetch: (url: RequestInfo | URL, config?: RequestInit) => Promise<Response>) => T | Promise<T>,
    fetch?: typeof globalThis.fetch,
): Promise<{ result: T; cursor: string | null }>;
