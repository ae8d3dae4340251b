// What the measuring scripts share: their arguments, statistics, tables, and programs that measure when they are asked.
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {parseArgs} from 'node:util';

export function fail(message) {
  console.error(`error: ${message}`);
  process.exit(2);
}

/** `error: …` and the end, where the value of option `name` is no whole number of at least `least`. */
export function wholeNumber(name, text, least) {
  if (!/^[0-9]+$/.test(text) || Number(text) < least) {
    fail(`--${name} is '${text}', expected a whole number of at least ${least}`);
  }
  return Number(text);
}

export const wholeNumbers = (name, text, least) => text.split(',').map((each) => wholeNumber(name, each, least));

/** The command line's options, as texts: {option: [letter, fallback]} or {option: Boolean}; and what stands without one. */
export function readOptions(known) {
  const options = Object.fromEntries(Object.entries(known).map(([name, kind]) => {
    if (kind === Boolean) return [name, {type: 'boolean'}];
    const [short, fallback] = kind;
    return [name, {type: 'string', ...(short && {short}), ...(fallback !== undefined && {default: String(fallback)})}];
  }));
  try {
    const {values, positionals} = parseArgs({options, allowPositionals: true});
    return {values, positionals};
  } catch (error) {
    return fail(error.message);
  }
}

export function quantile(values, q) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  return low + (at - Math.floor(at)) * (sorted[Math.ceil(at)] - low);
}

export const median = (values) => quantile(values, 0.5);

/** A Markdown table; the first column holds names, or numbers as the others where `numbersOnly`. */
export function printTable(columns, rows, numbersOnly = false) {
  console.log(`| ${columns.join(' | ')} |\n|${columns.map((_, i) => i > 0 || numbersOnly ? '---:' : '---').join('|')}|`);
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
}

/** A cell is empty where there was nothing to measure. */
export const show = (value, digits) => value === undefined || Number.isNaN(value) ? '' : value.toFixed(digits);

/** A program that says by a line of JSON that it is ready, and then answers each line of its input with another. */
export class Measurer {
  #child;
  #lines;

  /** Settles when the program is ready; `first` is what it said then. */
  static async start(program, flags) {
    const measurer = new Measurer();
    measurer.#child = spawn(program, flags.map(String), {stdio: ['pipe', 'pipe', 'inherit']});
    measurer.#child.once('error', (error) => fail(error.message));
    measurer.#lines = createInterface({input: measurer.#child.stdout})[Symbol.asyncIterator]();
    measurer.first = await measurer.#next();
    return measurer;
  }

  ask(line) {
    this.#child.stdin.write(`${line}\n`);
    return this.#next();
  }

  async stop() {
    this.#child.stdin.end();
    if (this.#child.exitCode === null) await new Promise((resolve) => this.#child.once('exit', resolve));
  }

  async #next() {
    const {value, done} = await this.#lines.next();
    if (done) fail(`'${this.#child.spawnargs.slice(0, 2).join(' ')}' ended too early`);
    return JSON.parse(value);
  }
}

/**
 * Calls each of `sides` once in every round, the first one first in even rounds and last in odd ones: so a busy
 * neighbour or a drift of the machine favours none. {side: [what it gave in each round]}.
 */
export async function takeTurns(sides, rounds, tell = () => {}) {
  const results = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < rounds; ++round) {
    const order = Object.entries(sides);
    for (const [name, measure] of round % 2 === 0 ? order : order.reverse()) results[name].push(await measure());
    tell(round);
  }
  return results;
}
