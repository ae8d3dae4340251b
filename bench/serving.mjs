#!/usr/bin/env node
// Measures `quern serve` under load: concurrent streams of one length, beside what the engine does without a server.
// usage: bench/serving.mjs MODEL.gguf [-p PROMPT_TOKENS] [-n ANSWER_TOKENS] [-b STREAMS,...] [-r ROUNDS] [-t THREADS]
//                          [--peer]    also llama.cpp's server on the same file (tools/setup/fetch-peers.sh --server)
//                          [--stall]   running streams while a prompt is read in (-p 4000 unless told otherwise)
//        bench/serving.mjs --url URL ...   a server that is running already, alone
// Prints Markdown tables of medians over rounds. Every round loads the model anew, and who begins alternates. Prompts
// are random tokens, so that none shares a prefix; a bias makes each token of an answer the same visible one.
import {execFileSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import http from 'node:http';
import {createServer} from 'node:net';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {Server, ServerProcess, quernExecutable, until} from '../tests/server/clients/server_process.mjs';

const llamaServer = fileURLToPath(new URL('../.deps/peers/llama-server', import.meta.url));

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

function readArguments() {
  const text = (short, fallback) => ({type: 'string', short, default: fallback});
  const options = {
    prompt: text('p'), answer: text('n', '64'), streams: text('b', '1,4,10,16'), rounds: text('r', '3'),
    threads: text('t', '0'), url: {type: 'string'}, peer: {type: 'boolean'}, stall: {type: 'boolean'},
  };
  let parsed;
  try {
    parsed = parseArgs({options, allowPositionals: true});
  } catch (error) {
    fail(error.message);
  }
  const {values, positionals: [model, ...rest]} = parsed;
  if (rest.length > 0 || (model === undefined) === (values.url === undefined)) {
    fail('one MODEL.gguf or --url URL is needed');
  }
  if (model !== undefined && !existsSync(model)) fail(`no file ${model}`);
  const wholeNumber = (name, digits, least) => {
    if (!/^[0-9]+$/.test(digits) || Number(digits) < least) {
      fail(`--${name} is '${digits}', expected a whole number of at least ${least}`);
    }
    return Number(digits);
  };
  return {
    model, url: values.url, peer: values.peer, stall: values.stall,
    prompt: wholeNumber('prompt', values.prompt ?? (values.stall ? '4000' : '32'), 1),
    answer: wholeNumber('answer', values.answer, 2),
    rounds: wholeNumber('rounds', values.rounds, 1),
    threads: wholeNumber('threads', values.threads, 0),
    streams: values.streams.split(',').map((digits) => wholeNumber('streams', digits, 1)),
  };
}

const median = (values) => quantile(values, 0.5);

function quantile(values, q) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  return low + (at - Math.floor(at)) * (sorted[Math.ceil(at)] - low);
}

/** Facts that a request needs: the size of the vocabulary, and a token that is seen in an answer. */
async function vocabularyOf(server) {
  const {tokens} = await server.json('/tokenize', {content: ' a'});
  return {size: (await server.json('/v1/models')).data[0].meta.n_vocab, visible: tokens.at(-1)};
}

/** A streamed completion: when it was asked for, and when each of its tokens came, in ms. */
class Stream {
  tokenTimes = [];

  constructor(server, vocabulary, nPrompt, nAnswer) {
    const body = JSON.stringify({
      prompt: Array.from({length: nPrompt}, () => Math.floor(0.9 * vocabulary.size * Math.random())),
      max_tokens: nAnswer, ignore_eos: true, temperature: 0, logit_bias: {[vocabulary.visible]: 100}, stream: true,
    });
    this.nAnswer = nAnswer;
    this.startTime = performance.now();
    this.request = http.request(`${server.url}/v1/completions`,
      {method: 'POST', agent: false, headers: {'Content-Type': 'application/json', 'Content-Length': body.length}});
    this.request.end(body);
    this.ended = this.#read();
    this.ended.catch(() => {});  // who awaits it is told; who aborts the stream need not care
  }

  async #read() {
    const response = await new Promise((resolve, reject) => {
      this.request.once('response', resolve).once('error', reject);
    });
    response.setEncoding('utf8');
    let text = '';
    for await (const part of response) {
      const events = (text + part).split('\n\n');
      text = events.pop();
      if (response.statusCode !== 200) continue;
      for (const event of events) {
        if (event.startsWith('data: {') && JSON.parse(event.slice(6)).choices?.[0]?.text) {
          this.tokenTimes.push(performance.now());
        }
      }
    }
    if (response.statusCode !== 200) throw new Error(`the server answered ${response.statusCode}: ${text}`);
    if (this.tokenTimes.length !== this.nAnswer) {
      throw new Error(`a stream brought ${this.tokenTimes.length} parts, expected ${this.nAnswer}: one for each token`);
    }
  }

  get firstTokenMs() {
    return this.tokenTimes[0] - this.startTime;
  }

  /** Between tokens, where the later one came between these times. */
  gaps(from = -Infinity, to = Infinity) {
    return this.tokenTimes.slice(1).map((time, i) => [time, time - this.tokenTimes[i]])
      .filter(([time]) => time > from && time <= to).map(([, gap]) => gap);
  }

  abort() {
    this.request.destroy();
  }
}

/** What some streams at once reach, under names that the tables use. */
async function load(server, vocabulary, count, {prompt, answer}) {
  const streams = Array.from({length: count}, () => new Stream(server, vocabulary, prompt, answer));
  await Promise.all(streams.map((stream) => stream.ended));
  const firsts = streams.map((stream) => stream.firstTokenMs);
  const gaps = streams.flatMap((stream) => stream.gaps());
  const times = streams.flatMap((stream) => stream.tokenTimes);
  // All streams run between the last one's first token and the first one's last.
  const from = Math.max(...streams.map((stream) => stream.tokenTimes[0]));
  const to = Math.min(...streams.map((stream) => stream.tokenTimes.at(-1)));
  const together = times.filter((time) => time > from && time <= to).length;
  return {
    total: 1000 * times.length / (Math.max(...times) - streams[0].startTime),
    together: to > from ? 1000 * together / (to - from) : undefined,
    first50: median(firsts), first99: quantile(firsts, 0.99), gap50: median(gaps), gap99: quantile(gaps, 0.99),
  };
}

/** Running streams before and while another prompt is read in. */
async function stall(server, vocabulary, count, {prompt, answer}) {
  const streams = Array.from({length: count}, () => new Stream(server, vocabulary, 16, 2000));
  const running = Promise.all(streams.map((stream) => stream.ended));
  const each = (condition) => until(() => streams.every(condition), 'the streams run', 600);
  await Promise.race([running, each((stream) => stream.tokenTimes.length > 2)]);
  const quietFrom = performance.now();
  await Promise.race([running, each((stream) => stream.gaps(quietFrom).length >= answer)]);
  const reader = new Stream(server, vocabulary, prompt, 2);
  await Promise.race([running, reader.ended]);
  if (streams.some((stream) => stream.tokenTimes.length === 2000)) throw new Error('a stream ended too early');
  const {startTime, tokenTimes: [end]} = reader;
  const quiet = streams.flatMap((stream) => stream.gaps(quietFrom, startTime));
  const busy = streams.flatMap((stream) => stream.gaps(startTime, end));
  streams.forEach((stream) => stream.abort());
  return {
    quiet50: median(quiet), quiet99: quantile(quiet, 0.99), busy50: median(busy), busy99: quantile(busy, 0.99),
    ratio50: median(busy) / median(quiet), ratio99: quantile(busy, 0.99) / quantile(quiet, 0.99),
    seconds: reader.firstTokenMs / 1000,
  };
}

/** Measures one server in all numbers of streams: {streams: measurement}. */
async function measureServer(server, options) {
  const vocabulary = await vocabularyOf(server);
  await load(server, vocabulary, 1, {prompt: 16, answer: 4});  // the first request warms up
  const results = {};
  for (const count of options.streams) {
    results[count] = await (options.stall ? stall : load)(server, vocabulary, count, options);
  }
  return results;
}

async function measureProcess(start, options) {
  const server = await start(options);
  try {
    return await measureServer(server, options);
  } finally {
    await server.stop();
  }
}

/** Tokens of context that the largest number of streams needs; some more each for whole pages. */
function contextOf({streams, prompt, answer, stall}) {
  return Math.max(...streams) * (stall ? 2100 : prompt + answer + 64) + (stall ? prompt + 64 : 0);
}

/** Requests that run together. */
const placesOf = ({streams, stall}) => Math.max(...streams) + (stall ? 1 : 0);

const threadFlags = ({threads}) => threads > 0 ? ['-t', threads] : [];

function startQuern(options) {
  return ServerProcess.start(
    ['-m', options.model, '-c', contextOf(options), '--parallel', placesOf(options), ...threadFlags(options)]);
}

async function startLlamaCpp(options) {
  const port = await new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const {port} = probe.address();
      probe.close(() => resolve(port));
    });
  });
  const flags = ['-m', options.model, '-np', placesOf(options), '-c', contextOf(options),
    '--kv-unified', '--cache-ram', 0, '--port', port, ...threadFlags(options)];
  return ServerProcess.startOther(llamaServer, flags, `http://127.0.0.1:${port}`);
}

/** The engine without a server: {streams: {together}}. */
function measureEngine(options) {
  const {model, prompt, answer, streams} = options;
  const flags = ['bench', '-m', model, '-p', 0, '-n', answer, '-d', prompt, '-b', streams.join(','), '-r', 1,
    '-o', 'json', ...threadFlags(options)];
  const output = execFileSync(quernExecutable, flags.map(String), {stdio: ['ignore', 'pipe', 'inherit']});
  const rows = JSON.parse(output);
  return Object.fromEntries(rows.map((row) => [row.sequences, {together: row.median_tokens_per_second}]));
}

function printTable(columns, rows) {
  console.log(`| ${columns.join(' | ')} |\n|${columns.map((_, i) => i === 0 ? '---' : '---:').join('|')}|`);
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
}

/** A cell is empty where there was nothing to measure. */
const show = (value, digits) => Number.isNaN(value) ? '' : value.toFixed(digits);

/** One row for each side and number of streams; a cell is [key, digits], of the median over rounds. */
function rowsOf(sides, options, cells) {
  return options.streams.flatMap((count) => sides.map(({name, rounds}) => {
    const middle = (key) => median(rounds.map((round) => round[count][key]));
    return [`${count} × ${name}`, ...cells.map(([key, digits]) => show(middle(key), digits))];
  }));
}

function printLoad(sides, options) {
  const cells = [['total', 1], ['together', 1], ['first50', 0], ['first99', 0], ['gap50', 2], ['gap99', 2]];
  printTable(
    ['streams', 'answers, tok/s', 'while all run, tok/s', 'first token, ms', '99%', 'between tokens, ms', '99%'],
    rowsOf(sides, options, cells));
  const [server, engine] = ['Quern', 'engine alone'].map((name) => sides.find((side) => side.name === name));
  if (!engine) return;
  console.log();
  printTable(['streams', 'server / engine'], options.streams.map((count) => {
    const [ours, alone] = [server, engine].map(({rounds}) => median(rounds.map((round) => round[count].together)));
    return [count, show(ours / alone, 3)];
  }));
}

function printStall(sides, options) {
  const beside = `beside ${options.prompt} tokens of prompt, ms`;
  const keys = ['quiet50', 'quiet99', 'busy50', 'busy99', 'ratio50', 'ratio99', 'seconds'];
  printTable(
    ['running streams', 'between tokens, quiet, ms', '99%', beside, '99%', 'ratio', 'of 99%', 'read in, s'],
    rowsOf(sides, options, keys.map((key) => [key, 2])));
}

const options = readArguments();
const sides = [];
if (options.url) {
  sides.push({name: 'server', measure: () => measureServer(new Server(options.url), options)});
} else {
  sides.push({name: 'Quern', measure: () => measureProcess(startQuern, options)});
  if (!options.stall) sides.push({name: 'engine alone', measure: async () => measureEngine(options)});
  if (options.peer) {
    if (!existsSync(llamaServer)) fail(`no ${llamaServer}: tools/setup/fetch-peers.sh --server builds it`);
    sides.push({name: 'llama.cpp', measure: () => measureProcess(startLlamaCpp, options)});
  }
}
for (const side of sides) side.rounds = [];
for (let round = 0; round < options.rounds; ++round) {
  for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
    const failed = (error) => fail(`${side.name}: ${error.cause?.message ?? error.message}`);
    side.rounds.push(await side.measure().catch(failed));
  }
  console.error(`round ${round + 1} of ${options.rounds}`);
}
(options.stall ? printStall : printLoad)(sides, options);
