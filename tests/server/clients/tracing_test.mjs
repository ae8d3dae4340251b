// The spans that a collector gets of requests, and what becomes of requests when it takes none.
import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {OtlpReceiver, decodeSpans} from './otlp_receiver.mjs';
import {ServerProcess, serverSentEvents, until} from './server_process.mjs';

const [kInternal, kServer] = [1, 2];
const [kUnset, kError] = [0, 2];
const kPatient = {OTEL_EXPORTER_OTLP_TIMEOUT: '60s'};  // this machine may be slow

const folder = mkdtempSync(join(tmpdir(), 'quern-tracing-'));
const [log, audit] = ['log', 'audit'].map((name) => join(folder, name));

/** A server that is started with more variables in its environment. */
async function startWith(variables, flags) {
  Object.assign(process.env, variables);
  try {
    return await ServerProcess.start(flags);
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
  }
}

const receiver = await OtlpReceiver.start();
const server =
  await startWith(kPatient, ['--otlp-endpoint', receiver.url, '--log-file', log, '--audit-log', audit]);
after(async () => {
  assert.equal(await server.stop(), 0);
  receiver.stop();
  assert.deepEqual(receiver.errors, []);
  rmSync(folder, {recursive: true});
});

const chat = {messages: [{role: 'user', content: 'What does bread mean?'}], max_tokens: 8, temperature: 0};
const kTraceId = '0af7651916cd43dd8448eb211c80319c';
const kParentId = 'b7ad6b7169203331';

/** What a response tells of its span. */
function contextOf(response) {
  const found = /^00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])$/.exec(response.headers.get('traceparent'));
  assert.ok(found, `traceparent: ${response.headers.get('traceparent')}`);
  const [, traceId, spanId, flags] = found;
  return {traceId, spanId, isSampled: flags === '01'};
}

/** The span of a request, and those of its phases in their order, once they have come. */
async function spansOf({traceId, spanId}, from = receiver) {
  const find = () => from.spans.find((span) => span.spanId === spanId);
  await until(() => find() || from.errors.length > 0, 'the span comes');
  assert.deepEqual(from.errors, []);
  const phases = from.spans.filter((span) => span.parentSpanId === spanId);
  phases.sort((a, b) => Number(a.start - b.start));
  for (const span of [find(), ...phases]) assert.equal(span.traceId, traceId);
  return {root: find(), phases};
}

/** Each begins where the one before it ends, and all are within the request. */
function assertNested({root, phases}) {
  let at = root.start;
  for (const [i, phase] of phases.entries()) {
    assert.equal(phase.kind, kInternal);
    assert.ok(i === 0 ? phase.start >= at : phase.start === at, `${phase.name} does not follow`);
    at = phase.end;
  }
  assert.ok(at <= root.end, 'a phase ends after the request');
}

test('the receiver refuses what is no export', () => {
  assert.throws(() => decodeSpans(Buffer.from('0a', 'hex')));            // ends within a field
  assert.throws(() => decodeSpans(Buffer.from('f80101', 'hex')));        // a field that is not in the schema
  assert.throws(() => decodeSpans(Buffer.from('0a0412021200', 'hex')));  // a span without an id
});

test('a chat has a span, with its phases and tokens', async () => {
  const response = await server.post('/v1/chat/completions', chat, {headers: {'x-request-id': 'my-request'}});
  const {usage, model} = await response.json();
  const context = contextOf(response);
  assert.ok(context.isSampled);
  const {root, phases} = await spansOf(context);
  assertNested({root, phases});
  assert.equal(root.name, 'POST /v1/chat/completions');
  assert.equal(root.kind, kServer);
  assert.equal(root.parentSpanId, '');
  assert.equal(root.status, kUnset);
  assert.equal(root.scope, 'quern');
  assert.equal(root.resource['service.name'], 'quern');
  assert.match(root.resource['service.version'], /^\d+\./);
  assert.deepEqual(root.attributes, {
    'http.request.method': 'POST',
    'url.path': '/v1/chat/completions',
    'url.scheme': 'http',
    'http.route': '/v1/chat/completions',
    'client.address': '127.0.0.1',
    'http.response.status_code': 200,
    'quern.request_id': 'my-request',
    'quern.outcome': 'answered',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': model,
    'gen_ai.usage.input_tokens': usage.prompt_tokens,
    'gen_ai.usage.output_tokens': usage.completion_tokens,
  });
  assert.deepEqual(phases.map(({name, attributes}) => [name, attributes]), [
    ['queue', {}],
    ['prefill', {'quern.prompt_tokens': usage.prompt_tokens,
      'quern.cached_tokens': usage.prompt_tokens_details.cached_tokens}],
    ['decode', {'quern.generated_tokens': usage.completion_tokens}],
  ]);
});

test('a stream names its span before it ends', async () => {
  const response = await server.post('/v1/completions',
    {prompt: 'bread', max_tokens: 12, temperature: 0, stream: true, stream_options: {include_usage: true}});
  const context = contextOf(response);
  assert.equal(receiver.spans.find((span) => span.spanId === context.spanId), undefined);
  let usage;
  for await (const event of serverSentEvents(response)) usage = event.usage ?? usage;
  const {root, phases} = await spansOf(context);
  assertNested({root, phases});
  assert.equal(root.attributes['gen_ai.operation.name'], 'text_completion');
  assert.equal(root.attributes['gen_ai.usage.output_tokens'], usage.completion_tokens);
  assert.deepEqual(phases.map((span) => span.name), ['queue', 'prefill', 'decode']);
});

test('several answers are within their request', async () => {
  const response = await server.post('/v1/completions', {prompt: ['bread', 'water', 'tree'], n: 3, max_tokens: 6});
  const {usage} = await response.json();
  const spans = await spansOf(contextOf(response));
  assertNested(spans);
  assert.equal(spans.phases.length, 3);
  assert.equal(spans.root.attributes['gen_ai.usage.input_tokens'], usage.prompt_tokens);
});

test('an embedding is read and not continued', async () => {
  const response = await server.post('/v1/embeddings', {input: 'bread'});
  const spans = await spansOf(contextOf(response));
  assertNested(spans);
  assert.equal(spans.root.attributes['gen_ai.operation.name'], 'embeddings');
  assert.deepEqual(spans.phases.map((span) => span.name), ['queue', 'prefill']);
});

test('a sampled parent is taken, with its state', async () => {
  const response = await server.post('/v1/completions', {prompt: 'bread', max_tokens: 2},
    {headers: {traceparent: `00-${kTraceId}-${kParentId}-01`, tracestate: 'mill=wheel,other=1'}});
  const context = contextOf(response);
  assert.equal(context.traceId, kTraceId);
  assert.notEqual(context.spanId, kParentId);
  const {root} = await spansOf(context);
  assert.equal(root.parentSpanId, kParentId);
  assert.equal(root.traceState, 'mill=wheel,other=1');
});

test('what is in a trace that is not sampled is not exported, and has ids all the same', async () => {
  const traceId = '1'.repeat(32);
  const response = await server.post('/v1/completions', {prompt: 'bread', max_tokens: 2},
    {headers: {traceparent: `00-${traceId}-${kParentId}-00`}});
  const context = contextOf(response);
  assert.equal(context.traceId, traceId);
  assert.notEqual(context.spanId, kParentId);
  assert.equal(context.isSampled, false);
  assert.equal(response.status, 200);
  await spansOf(contextOf(await server.fetch('/v1/models')));  // which would come after it
  assert.equal(receiver.spans.find((span) => span.traceId === traceId), undefined);
  await until(() => readFileSync(log, 'utf8').includes(`trace_id=${traceId}`), 'the log names the trace');
});

test('an invalid parent is none', async () => {
  const contexts = [];
  for (const traceparent of ['', 'bread', `00-${kTraceId}-${kParentId}`, `ff-${kTraceId}-${kParentId}-01`,
    `00-${'0'.repeat(32)}-${kParentId}-01`, `00-${kTraceId}-${'0'.repeat(16)}-01`,
    `00-${kTraceId.toUpperCase()}-${kParentId}-01`, `00-${kTraceId}-${kParentId}-01-more`]) {
    contexts.push(contextOf(await server.fetch('/v1/models', {headers: {traceparent}})));
    assert.notEqual(contexts.at(-1).traceId, kTraceId, traceparent);
    assert.ok(contexts.at(-1).isSampled, traceparent);
  }
  for (const context of contexts) assert.equal((await spansOf(context)).root.parentSpanId, '');
});

test('a request that is refused has a span without phases', async () => {
  const response = await server.post('/v1/chat/completions', {messages: 'none'});
  assert.equal(response.status, 400);
  const {root, phases} = await spansOf(contextOf(response));
  assert.equal(root.attributes['http.response.status_code'], 400);
  assert.equal(root.attributes['quern.outcome'], 'rejected');
  assert.equal(root.status, kUnset);  // it was the client's fault
  assert.equal(root.attributes['gen_ai.usage.input_tokens'], undefined);
  assert.deepEqual(phases, []);
});

test('paths that are none make no names of spans', async () => {
  const response = await server.fetch('/no%ff/where');
  assert.equal(response.status, 404);
  const {root} = await spansOf(contextOf(response));
  assert.equal(root.name, 'GET');
  assert.equal(root.attributes['http.route'], undefined);
  assert.equal(root.attributes['url.path'], '/no\\xff/where');
});

test('monitors are traced only where they ask for it', async () => {
  for (const path of ['/health', '/metrics', '/slots']) {
    assert.equal((await server.fetch(path)).headers.get('traceparent'), null);
    const unsampled = await server.fetch(path, {headers: {traceparent: `00-${kTraceId}-${kParentId}-00`}});
    assert.equal(unsampled.headers.get('traceparent'), null);
    const sampled = await server.fetch(path, {headers: {traceparent: `00-${kTraceId}-${kParentId}-01`}});
    assert.equal((await spansOf(contextOf(sampled))).root.name, `GET ${path}`);
  }
});

test('the log and the audit log name the trace', async () => {
  const {traceId} = contextOf(await server.post('/v1/completions', {prompt: 'bread', max_tokens: 2}));
  await until(() => readFileSync(log, 'utf8').includes(`trace_id=${traceId}`), 'the log has it');
  await until(() => readFileSync(audit, 'utf8').includes(`"trace_id":"${traceId}"`), 'the audit log has it');
});

test("OpenTelemetry's variables hold, and what is queued comes before the end", async (context) => {
  const other = await OtlpReceiver.start();
  context.after(() => other.stop());
  const mill = await startWith({
    ...kPatient, OTEL_EXPORTER_OTLP_ENDPOINT: `${other.url}/`, OTEL_EXPORTER_OTLP_HEADERS: 'x-mill-key=grain',
    OTEL_SERVICE_NAME: 'mill', OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  }, []);
  const {traceId} = contextOf(await mill.post('/v1/completions', {prompt: 'bread', max_tokens: 2}));
  assert.equal(await mill.stop(), 0);
  assert.equal(other.spans.filter((span) => span.traceId === traceId).length, 4);
  assert.deepEqual(other.errors, []);
  assert.equal(other.headers[0]['x-mill-key'], 'grain');
  assert.equal(other.spans[0].resource['service.name'], 'mill');
  assert.equal(other.spans[0].resource['deployment.environment.name'], 'test');
});

test('an answer that is cut off is an error', async (context) => {
  const other = await OtlpReceiver.start();
  context.after(() => other.stop());
  const cut = await startWith(kPatient, ['--otlp-endpoint', other.url, '--drain-timeout', 0, '-c', 16384]);
  const asked = cut.post('/v1/completions', {prompt: 'bread', max_tokens: 16000, ignore_eos: true});
  await until(async () => (await cut.json('/slots')).some((slot) => slot.is_processing), 'it runs');
  const stopped = cut.stop();
  const response = await asked;
  assert.equal(response.status, 503);
  assert.equal(await stopped, 0);
  const {root} = await spansOf(contextOf(response), other);
  assert.equal(root.status, kError);
  assert.equal(root.attributes['error.type'], '503');
  assert.equal(root.attributes['quern.outcome'], 'failed');
});

/** Answers and stops as if it had a collector; its log tells that it has none. */
async function assertServesWithout(url) {
  const lone = join(folder, 'lone');
  const alone = await ServerProcess.start(['--otlp-endpoint', url, '--log-file', lone]);
  const response = await alone.post('/v1/completions', {prompt: 'bread', max_tokens: 2});
  assert.equal(response.status, 200);
  assert.ok(contextOf(response).isSampled);
  assert.equal(await alone.stop(), 0);
  const text = readFileSync(lone, 'utf8');
  rmSync(lone);
  assert.match(text, /warning tracing problem=".*" problems=\d+ spans_lost=[1-9]/);
}

test('a collector that is down is told of in the log alone', async () => {
  const closed = createServer();
  await new Promise((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const {port} = closed.address();
  await new Promise((resolve) => closed.close(resolve));
  await assertServesWithout(`http://127.0.0.1:${port}`);
});

test('a collector that takes no spans holds up neither answers nor the end', async (context) => {
  const sockets = [];
  const stalled = createServer((socket) => sockets.push(socket));
  await new Promise((resolve) => stalled.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    stalled.close();
  });
  await assertServesWithout(`http://127.0.0.1:${stalled.address().port}`);
  assert.ok(sockets.length > 0);
});
