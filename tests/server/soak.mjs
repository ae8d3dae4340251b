#!/usr/bin/env node
// Soaks a server in mixed traffic, and checks that nothing is left of it and that answers stay what they were.
// usage: tests/server/soak.mjs [--seconds N] [--clients N] [--seed N] [-- FLAGS OF quern serve...]
// The server is build/release/tools/quern, or what QUERN_EXECUTABLE names, with the demo model unless the flags name
// another. Prints a summary; the exit code is 1 where a check has failed.
import {connect} from 'node:net';
import {parseArgs} from 'node:util';
import {setTimeout as sleep} from 'node:timers/promises';
import {ServerProcess, serverSentEvents, until} from './clients/server_process.mjs';

/** Numbers that are random and the same for the same seed (a Weyl sequence through the finalizer of MurmurHash3). */
class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }
  next() {
    let x = this.state = (this.state + 0x9e3779b9) >>> 0;
    x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
    x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
    return ((x ^ x >>> 16) >>> 0) / 2 ** 32;
  }
  below(n) {
    return Math.floor(n * this.next());
  }
  of(list) {
    return list[this.below(list.length)];
  }
}

const words = 'bread water tree house river stone light paper music horse glass snow'.split(' ');
const question = (word) => [{role: 'user', content: `What does ${word} mean?`}];
const sharedPrefix = `You answer briefly. ${words.map((word, i) => `Rule ${i}: mind the ${word}.`).join(' ')}`;

/** Requests whose answers never change, whatever runs beside them. */
const fixedRequests = [
  ...words.slice(0, 4).map((word) =>
    ['/v1/chat/completions', {messages: question(word), temperature: 0, max_tokens: 60}]),
  ...words.slice(4, 8).map((word, i) =>
    ['/v1/chat/completions', {messages: question(word), temperature: 1.2, seed: i, max_tokens: 40, n: 2}]),
  ['/v1/completions', {prompt: 'What is 2+2? Answer:', temperature: 0, logprobs: 3, echo: true, max_tokens: 8}],
  ['/v1/completions', {prompt: ['bread', 'water'], temperature: 0.8, seed: 9, max_tokens: 30, logprobs: 2}],
  ['/v1/completions', {prompt: `${sharedPrefix} And so`, temperature: 0, max_tokens: 30, logprobs: 1}],
  ['/v1/embeddings', {input: ['bread', sharedPrefix]}],
  ['/completion', {prompt: 'What is 3+4? Answer:', temperature: 0, n_predict: 20, n_probs: 2}],
];

/** The part of an answer that must not change, as text. */
async function answerTo(server, [path, body]) {
  const answer = await server.json(path, body);
  return JSON.stringify(answer.choices ?? answer.data ?? [answer.content, answer.completion_probabilities]);
}

const badRequests = [
  ['/v1/chat/completions', '{"messages": [{"role": "user"'], ['/v1/chat/completions', {messages: []}],
  ['/v1/chat/completions', {messages: question('bread'), temperature: 'hot'}], ['/v1/completions', {}],
  ['/v1/chat/completions', {messages: question('bread'), tools: [{type: 'function', function: {name: 'f'}}]}],
  ['/v1/completions', {prompt: [-1]}], ['/v1/completions', '['.repeat(10000)], ['/v1/embeddings', {input: 5}],
  ['/completion', {prompt: 5, n_predict: 'x'}], ['/tokenize', 'no'], ['/nothing', {}],
];

/** An answer that turns a request away, which is right under load. */
class TurnedAway extends Error {}

async function checked(response) {
  if (response.status === 429 || response.status === 503) throw new TurnedAway();
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return response;
}

async function readStream(response) {
  let last;
  for await (const event of serverSentEvents(await checked(response))) last = event;
  if (last !== '[DONE]') throw new Error(`a stream ends with ${JSON.stringify(last)}`);
}

async function aborted(post, random) {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), random.below(400));
  try {
    const response = await checked(await post({signal: controller.signal}));
    for await (const _ of response.body);
  } catch (error) {
    if (error.name !== 'AbortError') throw error;
  }
}

/** Sends bytes over a connection of its own, lets `use` have it, and drops it. */
async function overSocket(server, bytes, use) {
  const {hostname, port} = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});  // the server may be the first to close
  socket.write(bytes);
  try {
    await use(socket);
  } finally {
    socket.destroy();
  }
}

function rawPost(path, body, length) {
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${length ?? body.length}\r\n\r\n${body}`;
}

/** What a client does, by name, with how often it does it. */
function trafficOf(server, random, expected, latencies) {
  const stream = (messages, options = {}) => ({messages, stream: true, max_tokens: 1 + random.below(120), ...options});
  const chat = (body, options) => server.post('/v1/chat/completions', body, options);
  const anyWord = () => random.of(words);
  return {
    'streams read to the end': [5, async () => {
      const options = {stream_options: {include_usage: true}, n: 1 + random.below(2)};
      await readStream(await chat(stream(question(anyWord()), options)));
    }],
    'streams aborted': [5, () =>
      aborted((options) => chat(stream(question(anyWord()), {ignore_eos: true, max_tokens: 300}), options), random)],
    'whole answers aborted': [3, () => aborted((options) =>
      chat({messages: question(anyWord()), ignore_eos: true, max_tokens: 300}, options), random)],
    'long prompts': [2, async () => {
      const length = Math.floor(expected.nCtx * (0.4 + 0.4 * random.next()));
      const prompt = Array.from({length}, () => random.below(250));
      await checked(await server.post('/v1/completions', {prompt, max_tokens: 4}));
    }],
    'shared prefixes': [4, async () =>
      readStream(await chat(stream([{role: 'system', content: sharedPrefix}, ...question(anyWord())])))],
    'embeddings': [2, async () => {
      const input = Array.from({length: 1 + random.below(4)}, () => `${anyWord()} ${anyWord()}`);
      await checked(await server.post('/v1/embeddings', {input}));
    }],
    'bad requests': [4, async () => {
      const [path, body] = random.of(badRequests);
      const {status} = await server.post(path, body);
      if (status < 400 || status > 499) throw new Error(`${status} for ${path} ${JSON.stringify(body).slice(0, 80)}`);
    }],
    'slow readers': [1, () => {
      const body = JSON.stringify(stream(question(anyWord()), {ignore_eos: true, max_tokens: 300}));
      return overSocket(server, rawPost('/v1/chat/completions', body), async (socket) => {
        socket.pause();
        for (let i = random.below(8); i > 0; --i) {
          await sleep(300);
          socket.read(100);
        }
      });
    }],
    'half-open connections': [1, () => {
      const request = rawPost('/v1/completions', '{"prompt": "bread", "max_tok', 100);
      return overSocket(server, request.slice(0, 1 + random.below(request.length)), () => sleep(random.below(2000)));
    }],
    'looks at monitors': [3, async () => {
      const start = performance.now();
      const response = await server.fetch(random.of(['/health', '/metrics', '/slots', '/props', '/v1/models']));
      if (response.status !== 200) throw new Error(`${response.url}: ${response.status}`);
      await response.text();
      latencies.push(performance.now() - start);
    }],
    'answers compared': [4, async () => {
      const i = random.below(fixedRequests.length);
      let answer;
      try {
        answer = await answerTo(server, fixedRequests[i]);
      } catch (error) {
        throw /: (429|503) /.test(error.message) ? new TurnedAway() : error;
      }
      if (answer !== expected.answers[i]) throw new Error(`another answer to ${JSON.stringify(fixedRequests[i])}`);
    }],
  };
}

/** Mixed traffic from several clients for some seconds; counts what happened by kind. */
async function soak(traffic, random, nClients, seconds, counts) {
  const kinds = Object.entries(traffic).flatMap(([name, [weight, act]]) => Array(weight).fill([name, act]));
  const end = Date.now() + 1000 * seconds;
  await Promise.all(Array.from({length: nClients}, async () => {
    while (Date.now() < end) {
      const [name, act] = random.of(kinds);
      const count = counts[name] ??= {done: 0, turnedAway: 0, failures: []};
      try {
        await act();
        ++count.done;
      } catch (error) {
        if (error instanceof TurnedAway) ++count.turnedAway;
        else count.failures.push(`${error.message}${error.cause ? ` (${error.cause.message})` : ''}`);
      }
    }
  }));
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))];

const number = (fallback) => ({type: 'string', default: String(fallback)});
const {values: options, positionals: flags} = parseArgs({
  options: {seconds: number(120), clients: number(8), seed: number(1)}, allowPositionals: true,
});
const random = new Random(Number(options.seed));
const server = await ServerProcess.start(['--parallel', 4, '--max-queue', 2, ...flags]);
const nCtx = (await server.json('/props')).default_generation_settings.n_ctx;
const answers = [];
for (const request of fixedRequests) answers.push(await answerTo(server, request));
await sleep(500);
const openFiles = server.openFiles();

/** Waits until all that the traffic has opened is closed; gives the memory in use then. */
async function settle() {
  await server.untilIdle();
  await until(() => server.openFiles() <= openFiles, `${openFiles} files are open (now ${server.openFiles()})`);
  return server.residentBytes();
}

// A third of the time is warm-up: pages, prefix cache, threads and the heap's arenas reach their sizes. The rest is
// windows that end in quiet, where memory can be compared.
const counts = {};
const latencies = [];
const traffic = trafficOf(server, random, {answers, nCtx}, latencies);
const nWindows = 9;
const resident = [];
await soak(traffic, random, Number(options.clients), Number(options.seconds) / 3, counts);
for (let window = 0; window < nWindows; ++window) {
  await soak(traffic, random, Number(options.clients), Number(options.seconds) * 2 / 3 / nWindows, counts);
  resident.push(await settle());
}

const failures = Object.entries(counts).flatMap(([name, {failures}]) => failures.map((each) => `${name}: ${each}`));
const before = median(resident.slice(0, 3));
const growth = median(resident.slice(-3)) / before - 1;
const changed = [];
for (const [i, request] of fixedRequests.entries()) {
  if (await answerTo(server, request) !== answers[i]) changed.push(JSON.stringify(request));
}
await server.untilIdle();
const pages = await server.metric('quern_kv_pages{state="in_use"}');
const exitCode = await server.stop();

console.log('| traffic | done | turned away | failed |\n|---|---:|---:|---:|');
for (const [name, {done, turnedAway, failures}] of Object.entries(counts)) {
  console.log(`| ${name} | ${done} | ${turnedAway} | ${failures.length} |`);
}
const megabytes = resident.map((bytes) => (bytes / 1e6).toFixed(1)).join(', ');
console.log(`\nmemory at the end of each window, MB: ${megabytes}`);
const [middle, slowest] = [0.5, 0.99].map((q) => quantile(latencies, q).toFixed(1));
console.log(`monitors answered in ${middle} ms, 99%: ${slowest} ms\n`);

const checks = [
  ['requests end as they should', failures.length === 0, failures.slice(0, 10).join('\n  ')],
  ['memory grows by less than 1%', growth < 0.01, `${(100 * growth).toFixed(2)}%`],
  ['pages in use when idle: none', pages === 0, pages],
  ['answers of the idle server are the same as before', changed.length === 0, changed.join('\n  ')],
  ['it stops in order', exitCode === 0, `exit code ${exitCode}`],
];
for (const [name, good, found] of checks) console.log(`${good ? 'ok    ' : 'FAILED'} ${name}: ${found}`);
if (checks.some(([, good]) => !good)) process.exitCode = 1;
