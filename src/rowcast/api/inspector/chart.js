// The chart: a bar for the events of each second, and a line for the streams of the server.

const SECONDS = 60;
const MARGIN = { top: 10, right: 34, bottom: 18, left: 34 };

/** Draws the last minute on a canvas. Seconds are whole seconds since 1970. */
export class Chart {
    #canvas;
    #events = new Map();
    #streams = new Map();
    #last = null;
    #frame = 0;

    constructor(canvas) {
        this.#canvas = canvas;
        new ResizeObserver(() => this.draw()).observe(canvas);
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    /** Count an event of now. */
    count() {
        const second = now();
        this.#events.set(second, (this.#events.get(second) ?? 0) + 1);
        this.draw();
    }

    /** Note how many streams there are; null where nobody may know. */
    setStreams(total) {
        this.#last = total;
        if (total === null) {
            this.#streams.clear();
        } else {
            this.#streams.set(now(), total);
        }
        this.draw();
    }

    /** Events in the last whole second. */
    get rate() {
        return this.#events.get(now() - 1) ?? 0;
    }

    /** Go one second on. */
    tick() {
        const oldest = now() - SECONDS;
        for (const series of [this.#events, this.#streams]) {
            for (const second of series.keys()) {
                if (second < oldest) {
                    series.delete(second);
                }
            }
        }
        if (this.#last !== null) {
            this.#streams.set(now(), this.#last);
        }
        this.draw();
    }

    /** Draw with the next frame of the screen. */
    draw() {
        this.#frame ||= requestAnimationFrame(() => {
            this.#frame = 0;
            this.#paint();
        });
    }

    #paint() {
        const { clientWidth: width, clientHeight: height } = this.#canvas;
        const scale = devicePixelRatio || 1;
        this.#canvas.width = Math.round(width * scale);
        this.#canvas.height = Math.round(height * scale);
        const context = this.#canvas.getContext("2d");
        context.scale(scale, scale);
        const style = getComputedStyle(this.#canvas);
        const color = (name) => style.getPropertyValue(`--${name}`);
        const plot = {
            left: MARGIN.left,
            top: MARGIN.top,
            width: Math.max(1, width - MARGIN.left - MARGIN.right),
            height: Math.max(1, height - MARGIN.top - MARGIN.bottom),
            end: now() + 1,
        };
        context.font = `11px ${style.fontFamily}`;
        const most = ceiling(Math.max(0, ...this.#events.values()));
        const mostStreams = ceiling(Math.max(0, ...this.#streams.values()));
        paintGrid(context, plot, { line: color("line"), text: color("soft"), most });
        paintBars(context, plot, this.#events, { most, color: color("events") });
        if (this.#streams.size) {
            paintLine(context, plot, this.#streams, { most: mostStreams, color: color("streams") });
        }
        this.#describe();
    }

    #describe() {
        const total = [...this.#events.values()].reduce((sum, count) => sum + count, 0);
        const streams = this.#last === null ? "" : `, ${this.#last} streams`;
        this.#canvas.setAttribute("aria-label", `${total} events in the last minute, ${this.rate} in the last second${streams}`);
    }
}

function now() {
    return Math.floor(Date.now() / 1000);
}

/** Return the end of an axis that holds `value`: four steps of 1, 2 or 5 with zeros. */
function ceiling(value) {
    for (let power = 1; ; power *= 10) {
        for (const step of [power, 2 * power, 5 * power]) {
            if (4 * step >= value) {
                return 4 * step;
            }
        }
    }
}

function paintGrid(context, plot, { line, text, most }) {
    context.strokeStyle = line;
    context.fillStyle = text;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let step = 0; step <= 4; step += 2) {
        const y = Math.round(plot.top + plot.height * (1 - step / 4)) + 0.5;
        context.beginPath();
        context.moveTo(plot.left, y);
        context.lineTo(plot.left + plot.width, y);
        context.stroke();
        context.fillText(compact((most * step) / 4), plot.left - 6, y);
    }
    context.textBaseline = "alphabetic";
    const y = plot.top + plot.height + 14;
    for (const [share, label, align] of [[0, "60 s ago", "left"], [0.5, "30 s", "center"], [1, "now", "right"]]) {
        context.textAlign = align;
        context.fillText(label, plot.left + plot.width * share, y);
    }
}

function paintBars(context, plot, series, { most, color }) {
    const width = plot.width / SECONDS;
    context.fillStyle = color;
    for (const [second, count] of series) {
        const x = plot.left + plot.width - (plot.end - second) * width;
        const height = (plot.height * count) / most;
        if (x >= plot.left - 0.5) {
            context.fillRect(x + width * 0.12, plot.top + plot.height - height, width * 0.76, height);
        }
    }
}

function paintLine(context, plot, series, { most, color }) {
    const width = plot.width / SECONDS;
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    let y = 0;
    for (const second of [...series.keys()].sort((a, b) => a - b)) {
        const x = Math.max(plot.left, plot.left + plot.width - (plot.end - second) * width);
        y = plot.top + plot.height * (1 - series.get(second) / most);
        context.lineTo(x, y);
        context.lineTo(x + width, y);
    }
    context.stroke();
    context.fillStyle = color;
    context.textAlign = "left";
    context.textBaseline = "middle";
    const last = series.get(Math.max(...series.keys()));
    context.fillText(compact(last), plot.left + plot.width + 6, y);
}

function compact(value) {
    return value < 10_000 ? String(value) : `${Math.round(value / 1000)}k`;
}
