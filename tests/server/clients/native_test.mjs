// llama.cpp's own endpoints, as its clients and monitors use them.
import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {ServerProcess, serverSentEvents} from './server_process.mjs';

const nCtx = 32768;
const server = await ServerProcess.start(['-c', nCtx]);
after(() => server.stop());

const sum = 'What is 2+2? Answer:';
const complete = (options = {}, path = '/completion') => server.json(path, {prompt: sum, temperature: 0, ...options});
const tokensOf = async (content, options = {}) => (await server.json('/tokenize', {content, ...options})).tokens;

function checkTimings(timings, nPrompt, nPredicted) {
  assert.equal(timings.prompt_n + timings.cache_n, nPrompt);
  assert.equal(timings.predicted_n, nPredicted);
  for (const name of ['prompt_ms', 'prompt_per_token_ms', 'prompt_per_second', 'predicted_ms',
    'predicted_per_token_ms', 'predicted_per_second']) {
    assert.ok(Number.isFinite(timings[name]) && timings[name] >= 0, `${name}: ${timings[name]}`);
  }
}

test('a whole completion', async () => {
  const answer = await complete({n_predict: 20});
  assert.equal(answer.content, ' 4');
  assert.equal(answer.stop, true);
  assert.equal(answer.stop_type, 'eos');
  assert.equal(answer.stopping_word, '');
  assert.equal(answer.truncated, false);
  assert.equal(answer.index, 0);
  assert.equal(typeof answer.id_slot, 'number');
  assert.equal(typeof answer.model, 'string');
  assert.equal(typeof answer.prompt, 'string');
  assert.equal(answer.has_new_line, false);
  assert.equal(answer.generation_settings.n_predict, 20);
  assert.equal(answer.generation_settings.temperature, 0);
  assert.ok(answer.tokens_predicted > 0);
  assert.equal(answer.tokens_evaluated, (await tokensOf(sum, {add_special: true})).length);
  assert.equal(typeof answer.tokens_cached, 'number');
  checkTimings(answer.timings, answer.tokens_evaluated, answer.tokens_predicted);
});

test('the ways in which an answer ends', async () => {
  const limited = await complete({n_predict: 3, ignore_eos: true});
  assert.deepEqual([limited.stop_type, limited.tokens_predicted], ['limit', 3]);
  const stopped = await complete({stop: ['e', 'a'], ignore_eos: true, n_predict: 100});
  assert.equal(stopped.stop_type, 'word');
  assert.ok(['e', 'a'].includes(stopped.stopping_word));
  assert.ok(!/[ea]/.test(stopped.content));
});

test('a stream as Continue reads it: the content of each object, and no [DONE]', async () => {
  const response = await server.post('/completion', {
    prompt: sum, n_predict: 20, stop: ['\n\n\n'], temperature: 0, top_k: 40, top_p: 0.9, min_p: 0.1, mirostat: 0,
    frequency_penalty: 0, presence_penalty: 0, stream: true,
  });
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const parts = [];
  for await (const part of serverSentEvents(response)) parts.push(part);
  const last = parts.pop();
  assert.ok(parts.length > 0);
  for (const part of parts) {
    assert.equal(part.stop, false);
    assert.equal(part.index, 0);
    assert.ok(Array.isArray(part.tokens));
    assert.equal(typeof part.tokens_predicted, 'number');
    assert.equal(typeof part.tokens_evaluated, 'number');
  }
  assert.equal(last.stop, true);
  assert.equal([...parts, last].map((part) => part.content).join(''), ' 4');
  checkTimings(last.timings, last.tokens_evaluated, last.tokens_predicted);
});

test('the older path', async () => {
  assert.equal((await complete({}, '/completions')).content, ' 4');
});

test('prompts of text, of tokens, mixed, and several', async () => {
  const tokens = await tokensOf(sum, {add_special: true});
  assert.equal((await complete({prompt: tokens})).content, ' 4');
  assert.equal((await complete({prompt: [...tokens.slice(0, 1), sum]})).content, ' 4');
  assert.equal((await complete({prompt: {prompt_string: sum}})).content, ' 4');
  const several = await complete({prompt: [sum, tokens]});
  assert.deepEqual(several.map((each) => [each.index, each.content]), [[0, ' 4'], [1, ' 4']]);
});

test('tokens and probabilities, when asked', async () => {
  assert.deepEqual((await complete()).tokens, []);
  const answer = await complete({return_tokens: true, n_probs: 2});
  const {content} = await server.json('/detokenize', {tokens: answer.tokens});
  assert.ok(content.startsWith(' 4'), content);  // the token that ends it may follow
  assert.ok(answer.completion_probabilities.length > 0);
  for (const {id, token, logprob, bytes, top_logprobs} of answer.completion_probabilities) {
    assert.ok(Number.isInteger(id) && typeof token === 'string' && Array.isArray(bytes));
    assert.equal(top_logprobs.length, 2);
    assert.equal(top_logprobs[0].logprob, logprob);
  }
});

test('a seed gives the same answer again', async () => {
  const sampled = {temperature: 1.5, seed: 11, n_predict: 20, ignore_eos: true};
  assert.equal((await complete(sampled)).content, (await complete(sampled)).content);
});

test('what is known and not supported is named', async () => {
  const schema = {type: 'object', properties: {a: {type: 'string'}}};
  const unsupported = {grammar: 'root ::= "a"', json_schema: schema, lora: [{id: 0, scale: 1}]};
  for (const [field, value] of Object.entries(unsupported)) {
    const response = await server.post('/completion', {prompt: sum, [field]: value});
    assert.equal(response.status, 400, field);
    assert.match((await response.json()).error.message, new RegExp(field));
  }
});

test('tokenize and detokenize', async () => {
  const text = 'What does bread mean? äöü 🙂\n';
  const tokens = await tokensOf(text);
  assert.equal((await server.json('/detokenize', {tokens})).content, text);
  assert.equal((await tokensOf(text, {add_special: true})).length, tokens.length + 1);
  const pieces = await tokensOf(text, {with_pieces: true});
  assert.deepEqual(pieces.map((each) => each.id), tokens);
  const bytes = pieces.map(({piece}) => typeof piece === 'string' ? Buffer.from(piece) : Buffer.from(piece));
  assert.equal(Buffer.concat(bytes).toString(), text);
});

test('apply-template gives the prompt that a chat becomes, which completes as the chat does', async () => {
  const messages = [{role: 'user', content: 'What does bread mean?'}];
  const {prompt} = await server.json('/apply-template', {messages});
  assert.match(prompt, /What does bread mean\?/);
  const {usage, choices} = await server.json('/v1/chat/completions', {messages, temperature: 0});
  const answer = await complete({prompt});
  assert.equal(answer.content, choices[0].message.content);
  assert.equal(answer.tokens_evaluated, usage.prompt_tokens);
});

test('props, version and health', async () => {
  const props = await server.json('/props');
  assert.equal(props.default_generation_settings.n_ctx, nCtx);
  assert.ok(props.total_slots >= 1);
  assert.equal(typeof props.model_path, 'string');
  assert.match(props.chat_template, /messages/);
  assert.match((await server.json('/version')).version, /^\d+\.\d+\.\d+/);
  for (const path of ['/health', '/v1/health']) assert.deepEqual(await server.json(path), {status: 'ok'});
});

test('slots show what runs', async () => {
  const idle = await server.json('/slots');
  assert.ok(idle.length >= 1);
  assert.ok(idle.every((slot) => slot.is_processing === false && slot.n_ctx === nCtx));
  const response = await server.post('/completion', {prompt: sum, n_predict: 20000, ignore_eos: true, stream: true});
  const parts = serverSentEvents(response);
  await parts.next();
  assert.equal((await server.json('/slots')).filter((slot) => slot.is_processing).length, 1);
  await parts.return();
  await server.untilIdle();
});

test('metrics count what was served, under llama.cpp\'s names', async () => {
  const read = () => Promise.all(
    ['prompt_tokens_total', 'tokens_predicted_total'].map((name) => server.metric(`llamacpp:${name}`)));
  const before = await read();
  const prompt = 'A prompt that nobody has asked before.';
  const answer = await complete({prompt, n_predict: 7, ignore_eos: true});
  const after = await read();
  assert.deepEqual([after[0] - before[0], after[1] - before[1]], [answer.tokens_evaluated, 7]);
  const response = await server.fetch('/metrics');
  assert.match(response.headers.get('content-type'), /^text\/plain/);
  const text = await response.text();
  for (const name of ['time_to_first_token', 'inter_token_latency', 'request_queue']) {
    assert.match(text, new RegExp(`^quern_${name}_seconds_count [1-9]`, 'm'));
  }
});
