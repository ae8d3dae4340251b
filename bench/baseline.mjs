#!/usr/bin/env node
// Checks Quern against the usual figure of CPU inference: 8 tok/s for Llama-3.1-8B Q4_K_M with 4 threads.
// usage: bench/baseline.mjs MODEL.gguf [-t THREADS] [-n ANSWER_TOKENS] [-r ROUNDS] [--expect TOK_PER_S]
// Measures decode and reading memory with 1 thread, 2 and so on, as far as this machine has CPUs for them, prints both
// as a Markdown table, and predicts 4 and 8 threads. Exit code 1 if the rate that is expected is not reached.
import {execFileSync} from 'node:child_process';
import {availableParallelism} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(2);
}

function readArguments() {
  const option = (fallback, short) => ({type: 'string', default: String(fallback), ...(short && {short})});
  const options = {threads: option(4, 't'), tokens: option(50, 'n'), rounds: option(5, 'r'), expect: option(8)};
  let parsed;
  try {
    parsed = parseArgs({options, allowPositionals: true});
  } catch (error) {
    fail(error.message);
  }
  if (parsed.positionals.length !== 1) fail('one MODEL.gguf is needed');
  const values = {model: parsed.positionals[0], expect: Number(parsed.values.expect)};
  if (!(values.expect > 0)) fail(`--expect is '${parsed.values.expect}', expected a number above 0`);
  for (const name of ['threads', 'tokens', 'rounds']) {
    if (!/^[1-9][0-9]*$/.test(parsed.values[name])) {
      fail(`--${name} is '${parsed.values[name]}', expected a whole number of at least 1`);
    }
    values[name] = Number(parsed.values[name]);
  }
  return values;
}

/** A row of `quern bench` for each number of threads up to `mostThreads`. */
function measure({model, tokens, rounds}, mostThreads) {
  const quern = join(dirname(fileURLToPath(import.meta.url)), '../build/release/tools/quern');
  const threads = Array.from({length: mostThreads}, (_, i) => i + 1).join(',');
  const flags = ['bench', '-m', model, '-p', 0, '-n', tokens, '-t', threads, '-r', rounds, '-o', 'json'];
  try {
    const text = execFileSync(quern, flags.map(String), {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
    return JSON.parse(text).map((row) => ({
      threads: row.threads, rate: row.median_tokens_per_second, limit: row.limit_tokens_per_second,
      readBytes: row.read_bytes_per_second, tokenBytes: row.read_bytes_per_second / row.limit_tokens_per_second,
    }));
  } catch (error) {
    fail(`'quern bench' failed: ${error.message.split('\n')[0]}`);
  }
}

/**
 * tok/s with `threads`: memory's rate over the bytes of a token, times the share of it that decode reached with the
 * most threads measured. Beyond those, memory gives at least what it gave them, and at most every core's own rate.
 */
function predict(rows, threads) {
  const measured = rows.find((row) => row.threads === threads);
  if (measured) return `${measured.rate.toFixed(2)} (measured)`;
  const most = rows.at(-1);
  const share = most.rate / most.limit;
  const rateOf = (readBytes) => (readBytes / most.tokenBytes * share).toFixed(2);
  const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
  const [least, best] = [most.readBytes, Math.max(most.readBytes, threads * rows[0].readBytes)];
  return `${rateOf(least)} to ${rateOf(best)} (${(100 * share).toFixed(0)}% of ${gigabytes(least)} to ` +
    `${gigabytes(best)} GB/s; ${gigabytes(most.tokenBytes)} GB a token)`;
}

const settings = readArguments();
const rows = measure(settings, Math.min(settings.threads, availableParallelism()));
console.log('| threads | reading memory, GB/s | limit, tok/s | decode, tok/s | of the limit |');
console.log('|---:|---:|---:|---:|---:|');
for (const row of rows) {
  console.log(`| ${row.threads} | ${(row.readBytes / 1e9).toFixed(1)} | ${row.limit.toFixed(2)} | ` +
    `${row.rate.toFixed(2)} | ${(100 * row.rate / row.limit).toFixed(0)}% |`);
}
console.log();
for (const threads of [4, 8]) console.log(`${threads} threads: ${predict(rows, threads)} tok/s`);
const {threads, rate, limit} = rows.at(-1);
const passed = rate >= settings.expect;
const why = passed || limit >= settings.expect ? '' : `; this machine's memory allows ${limit.toFixed(2)}`;
console.log(`${passed ? 'pass' : 'fail'}: ${rate.toFixed(2)} tok/s with ${threads} threads, expected ` +
  `${settings.expect}${why}`);
process.exitCode = passed ? 0 : 1;
