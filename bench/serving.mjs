#!/usr/bin/env node
// Measures `quern serve` under load: concurrent streams of one length, beside what the engine does without a server.
// usage: bench/serving.mjs MODEL.gguf [-p PROMPT_TOKENS] [-n ANSWER_TOKENS] [-b STREAMS,...] [-r ROUNDS] [-t THREADS]
//                          [--peer]    also llama.cpp's server on the same file (tools/setup/fetch-peers.sh --server)
//                          [--stall]   running streams while a prompt is read in (-p 4000 unless told otherwise)
//        bench/serving.mjs --url URL ...   a server that is running already, alone
// Prints Markdown tables of medians over rounds. All sides have the model in memory all the time and take turns of
// seconds, as the speed of a shared machine changes within a minute. Prompts are random tokens, so that none shares a
// prefix; a bias makes each token of an answer the same visible one.
import {existsSync} from 'node:fs';
import http from 'node:http';
import {createServer} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {Server, ServerProcess, quernExecutable, until} from '../tests/server/clients/server_process.mjs';
import {
  Measurer, fail, median, printTable, quantile, readOptions, show, takeTurns, wholeNumber, wholeNumbers,
} from './measuring.mjs';

const llamaServer = fileURLToPath(new URL('../.deps/peers/llama-server', import.meta.url));

function readArguments() {
  const {values, positionals: [model, ...rest]} = readOptions({
    prompt: ['p'], answer: ['n', 64], streams: ['b', '1,4,10,16'], rounds: ['r', 5], threads: ['t', 0],
    url: [], peer: Boolean, stall: Boolean,
  });
  if (rest.length > 0 || (model === undefined) === (values.url === undefined)) {
    fail('one MODEL.gguf or --url URL is needed');
  }
  if (model !== undefined && !existsSync(model)) fail(`no file ${model}`);
  if (values.peer && !existsSync(llamaServer)) {
    fail(`no ${llamaServer}: tools/setup/fetch-peers.sh --server builds it`);
  }
  return {
    model, url: values.url, peer: values.peer, stall: values.stall,
    prompt: wholeNumber('prompt', values.prompt ?? (values.stall ? '4000' : '32'), 1),
    answer: wholeNumber('answer', values.answer, 2),
    rounds: wholeNumber('rounds', values.rounds, 1),
    threads: wholeNumber('threads', values.threads, 0),
    streams: wholeNumbers('streams', values.streams, 1),
  };
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

/** ms that each answer for monitors takes while `running` has not settled. */
async function watch(server, running) {
  const times = [];
  let ended = false;
  running.catch(() => {}).finally(() => { ended = true; });
  while (!ended) {
    for (const path of server.monitors ?? []) {
      const start = performance.now();
      await (await server.fetch(path)).arrayBuffer();
      times.push(performance.now() - start);
    }
    await sleep(1000);  // as often as a monitor would at most, or asking is what is measured
  }
  return times;
}

/** What some streams at once reach, under names that the tables use. */
async function load(server, vocabulary, count, {prompt, answer}) {
  const streams = Array.from({length: count}, () => new Stream(server, vocabulary, prompt, answer));
  const running = Promise.all(streams.map((stream) => stream.ended));
  const monitors = await watch(server, running);
  await running;
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
    monitors99: quantile(monitors, 0.99),
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

/** A side measures a number of streams. */
async function serverSide(server, options) {
  const vocabulary = await vocabularyOf(server);
  await load(server, vocabulary, 1, {prompt: 16, answer: 4});  // the first request warms up
  const measure = options.stall ? stall : load;
  return {measure: (count) => measure(server, vocabulary, count, options), stop: () => server.stop?.()};
}

/** The engine without a server, which measures nothing but streams that all run. */
async function engineSide({model, prompt, answer, streams, ...options}) {
  const engine = await Measurer.start(quernExecutable, ['bench', '-m', model, '-p', 0, '-n', answer, '-d', prompt,
    '-b', streams.join(','), '-r', 1, '-o', 'jsonl', '--turns', ...threadFlags(options)]);
  return {
    measure: async (count) => {
      const {median_tokens_per_second: together} = await engine.ask(streams.indexOf(count));
      return {together, gap50: 1000 * count / together};
    },
    stop: () => engine.stop(),
  };
}

async function startSides(options) {
  if (options.url) return {server: await serverSide(new Server(options.url), options)};
  const quern = await startQuern(options);
  quern.monitors = ['/health', '/metrics', '/slots'];
  const sides = {Quern: await serverSide(quern, options)};
  if (!options.stall) sides['engine alone'] = await engineSide(options);
  if (options.peer) sides['llama.cpp'] = await serverSide(await startLlamaCpp(options), options);
  return sides;
}

/** One row for each number of streams and side; a cell is [key, digits], of the median over rounds. */
function rowsOf(results, cells) {
  return Object.entries(results).flatMap(([count, sides]) => Object.entries(sides).map(([name, rounds]) =>
    [`${count} × ${name}`, ...cells.map(([key, digits]) => show(median(rounds.map((round) => round[key])), digits))]));
}

function printLoad(results) {
  const cells = [['total', 1], ['together', 1], ['first50', 0], ['first99', 0], ['gap50', 1], ['gap99', 1],
    ['monitors99', 1]];
  printTable(['streams', 'answers, tok/s', 'while all run, tok/s', 'first token, ms', '99%', 'between tokens, ms', '99%',
    'monitors 99%, ms'], rowsOf(results, cells));
  const compared = Object.entries(results).filter(([, sides]) => sides['engine alone']);
  if (compared.length === 0) return;
  console.log();
  // Of each round, whose sides ran within seconds.
  printTable(['streams', 'server / engine'], compared.map(([count, {Quern, 'engine alone': engine}]) =>
    [count, show(median(Quern.map((round, i) => round.together / engine[i].together)), 3)]));
}

function printStall(results, {prompt}) {
  const keys = ['quiet50', 'quiet99', 'busy50', 'busy99', 'ratio50', 'ratio99', 'seconds'];
  printTable(['running streams', 'between tokens, quiet, ms', '99%', `beside ${prompt} tokens of prompt, ms`, '99%',
    'ratio', 'of 99%', 'read in, s'], rowsOf(results, keys.map((key) => [key, 2])));
}

const options = readArguments();
const sides = await startSides(options).catch((error) => fail(error.message));
const results = {};
for (const count of options.streams) {
  const turns = Object.fromEntries(Object.entries(sides).map(([name, side]) => [name, () => side.measure(count)
    .catch((error) => fail(`${name}: ${error.cause?.message ?? error.message}`))]));
  const tell = (round) => console.error(`${count} streams: round ${round + 1} of ${options.rounds}`);
  results[count] = await takeTurns(turns, options.rounds, tell);
}
for (const side of Object.values(sides)) await side.stop();
(options.stall ? printStall : printLoad)(results, options);
