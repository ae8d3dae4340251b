// A full queue, the client's retries, and clients that go away.
import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {OpenAI, clientOf, startDemo} from './npm_packages.mjs';
import {until} from './server_process.mjs';

const {server, client} = await startDemo(['-c', 32768, '--parallel', 1, '--max-queue', 1]);
after(() => server.stop());

// Some 20 seconds of work if nobody ends it.
const long = {model: 'demo', prompt: 'bread', temperature: 0, ignore_eos: true, max_tokens: 20000};
const short = {model: 'demo', prompt: 'What is 2+2? Answer:', temperature: 0};

/** A long answer that has begun to arrive. */
async function startStream() {
  const controller = new AbortController();
  const stream = await client.completions.create({...long, stream: true}, {signal: controller.signal});
  const first = await stream[Symbol.asyncIterator]().next();
  assert.equal(first.done, false);
  return controller;
}

const nWaiting = () => server.metric('llamacpp:requests_deferred');
const nGenerated = () => server.metric('llamacpp:tokens_predicted_total');

/**
 * Runs `work` while one answer is being generated and another request waits, which is all that the server takes;
 * `leave` makes both clients go away.
 */
async function whileFull(work) {
  const running = await startStream();
  const waiting = new AbortController();
  const waited = assert.rejects(client.completions.create(long, {signal: waiting.signal}), OpenAI.APIUserAbortError);
  const leave = () => [waiting, running].forEach((controller) => controller.abort());
  try {
    await until(async () => await nWaiting() === 1, 'a request waits');
    await work(leave);
  } finally {
    leave();
  }
  await waited;
  await server.untilIdle();
}

test('an aborted stream frees its place', async () => {
  const before = await nGenerated();
  const controller = await startStream();
  assert.ok((await server.json('/slots')).some((slot) => slot.is_processing));
  controller.abort();
  await server.untilIdle();
  const generated = await nGenerated() - before;
  assert.ok(generated < long.max_tokens, `${generated} tokens were generated for a client that had left`);
  assert.equal(await server.metric('quern_kv_pages{state="in_use"}'), 0);
});

test('an aborted request without a stream frees its place, running or waiting', async () => {
  const before = await nGenerated();
  const controllers = [new AbortController(), new AbortController()];
  const answers = controllers.map(({signal}) =>
    assert.rejects(client.completions.create(long, {signal}), OpenAI.APIUserAbortError));
  await until(async () => await nWaiting() === 1, 'one runs and one waits');
  for (const controller of controllers.reverse()) controller.abort();  // the one that waits leaves first
  await Promise.all(answers);
  await server.untilIdle();
  await until(async () => await nWaiting() === 0, 'nothing waits');
  assert.ok(await nGenerated() - before < long.max_tokens);
});

test('a client that gives up after its timeout frees its place', async () => {
  const impatient = clientOf(server, {timeout: 200});
  await assert.rejects(impatient.completions.create(long), OpenAI.APIConnectionTimeoutError);
  await server.untilIdle();
  assert.equal((await client.completions.create(short)).choices[0].text, ' 4');
});

test('a full queue turns requests away, with a time to come back', async () => {
  await whileFull(async () => {
    await assert.rejects(client.completions.create(short), (error) => {
      assert.ok(error instanceof OpenAI.RateLimitError, `${error.constructor.name}: ${error.message}`);
      assert.ok(Number(error.headers.get('retry-after')) >= 1);
      return true;
    });
    await assert.rejects(client.completions.create({...short, stream: true}), OpenAI.RateLimitError);
    for (const path of ['/health', '/slots', '/metrics', '/v1/models']) {
      assert.equal((await server.fetch(path)).status, 200, path);
    }
  });
});

test('the client comes back when it was told to, and is served', async () => {
  await whileFull(async (leave) => {
    const tries = [];
    const patient = clientOf(server, {
      maxRetries: 5,
      fetch: async (...request) => {
        const start = performance.now();
        const response = await fetch(...request);
        tries.push({start, end: performance.now(), response});
        if (response.status === 429) leave();
        return response;
      },
    });
    assert.equal((await patient.completions.create(short)).choices[0].text, ' 4');
    assert.equal(tries[0].response.status, 429);
    const retryAfter = Number(tries[0].response.headers.get('retry-after'));
    assert.ok(tries[1].start - tries[0].end >= 990 * retryAfter, 'not before it was told to');
  });
});

test('after all that it answers as before', async () => {
  assert.equal((await client.completions.create(short)).choices[0].text, ' 4');
  assert.equal(await server.metric('quern_kv_pages{state="in_use"}'), 0);
});

test('SIGTERM ends it in order', async () => {
  const {server: another} = await startDemo();
  assert.equal(await another.stop(), 0);
});
