// A `quern serve` process, and plain HTTP to it, for tests and measurements.
// With QUERN_SERVER_LOG in the environment the server's standard error is shown.
import {spawn} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {setTimeout as sleep} from 'node:timers/promises';

export const quernExecutable =
  process.env.QUERN_EXECUTABLE ?? fileURLToPath(new URL('../../../build/release/tools/quern', import.meta.url));

/** Waits until `condition()` holds; fails after a time that only a defect takes. */
export async function until(condition, what, seconds = 120) {
  const end = Date.now() + 1000 * seconds;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`waited ${seconds} s until ${what}`);
    await sleep(20);
  }
}

/** The objects of a response that is a stream of server-sent events; `[DONE]` comes as that text. */
export async function* serverSentEvents(response) {
  let text = '';
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (text + part).split('\n\n');
    text = events.pop();
    for (const event of events) {
      if (event.startsWith(':')) continue;  // a comment: it keeps the connection alive
      if (!event.startsWith('data: ')) throw new Error(`not an event: ${event}`);
      const data = event.slice('data: '.length);
      yield data === '[DONE]' ? data : JSON.parse(data);
    }
  }
  if (text !== '') throw new Error(`a stream ends within an event: ${text}`);
}

/** A server that listens on `url`. */
export class Server {
  constructor(url) {
    this.url = url;
  }

  /** Each request has a connection of its own, so that none is left open when it ends. */
  fetch(path, options = {}) {
    return fetch(this.url + path, {...options, headers: {connection: 'close', ...options.headers}});
  }

  post(path, body, options = {}) {
    return this.fetch(path, {
      ...options, method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: {'content-type': 'application/json', ...options.headers},
    });
  }

  /** The JSON of a GET, or of a POST where there is a body; fails where the status is not 200. */
  async json(path, body, options) {
    const response = body === undefined ? await this.fetch(path, options) : await this.post(path, body, options);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** The value of a metric, by its name with its labels. */
  async metric(name) {
    const text = await (await this.fetch('/metrics')).text();
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    if (line === undefined) throw new Error(`no metric ${name} in:\n${text}`);
    return Number(line.slice(name.length + 1));
  }

  /** Waits until no request is running. */
  untilIdle() {
    return until(async () => (await this.json('/slots')).every((slot) => !slot.is_processing), 'all slots are free');
  }
}

function launch(program, flags) {
  return spawn(program, flags.map(String),
    {stdio: ['ignore', 'pipe', process.env.QUERN_SERVER_LOG ? 'inherit' : 'ignore']});
}

/** A server as a child process; it ends with this one. */
export class ServerProcess extends Server {
  #child;
  #ended;  // a promise of its exit code, or of the signal that ended it

  constructor(child, url) {
    super(url);
    this.#child = child;
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    this.#ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    this.#ended.then(() => process.off('exit', kill));
  }

  /** Starts it with these flags on a free port of loopback, and waits until it is ready, which its address tells. */
  static async start(flags = []) {
    const child = launch(quernExecutable, ['serve', '--port', '0', ...flags]);
    const url = await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error('quern serve did not listen within 60 s')), 60_000).unref();
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`quern serve ended with ${code} before it listened`)));
      createInterface({input: child.stdout}).on('line', (line) => {
        const found = /^address +(https?:\S+)/.exec(line);
        if (found) resolve(found[1]);
      });
    });
    return new ServerProcess(child, url);
  }

  /** Starts another server, whose flags make it listen on `url`, and waits until it is ready. */
  static startOther(program, flags, url) {
    const child = launch(program, flags);
    child.stdout.resume();
    return new ServerProcess(child, url).#whenReady();
  }

  async #whenReady() {
    await until(async () => {
      if (this.#child.exitCode !== null) throw new Error(`the server ended with ${this.#child.exitCode}`);
      return (await this.fetch('/health').catch(() => undefined))?.status === 200;
    }, 'the server is ready');
    return this;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Asks it to stop, waits, and gives its exit code. */
  async stop() {
    this.#child.kill('SIGTERM');
    const code = await Promise.race([this.#ended, sleep(60_000, undefined, {ref: false})]);
    if (code === undefined) {
      this.#child.kill('SIGKILL');
      throw new Error('the server did not stop within 60 s');
    }
    return code;
  }

  /** Bytes of memory that it holds. */
  residentBytes() {
    return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]);
  }

  openFiles() {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }
}
