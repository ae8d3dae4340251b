// What the openai client makes of requests that cannot be served.
import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {OpenAI, clientOf, startDemo} from './npm_packages.mjs';

const {server, client} = await startDemo(['--api-key', 'first', '--api-key', 'second'], {apiKey: 'second'});
after(() => server.stop());

const messages = [{role: 'user', content: 'What does bread mean?'}];
const chat = (options = {}) => client.chat.completions.create({model: 'demo', messages, ...options});
const complete = (options = {}) =>
  client.completions.create({model: 'demo', prompt: 'What is 2+2? Answer:', temperature: 0, ...options});

/** Expects a 400 in OpenAI's shape whose message names `field`. */
function refuses(promise, field) {
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError, `${error.constructor.name}: ${error.message}`);
    assert.ok(error.message.includes(field), `'${field}' is not named by: ${error.message}`);
    assert.equal(typeof error.error.message, 'string');
    assert.equal(typeof error.type, 'string');
    assert.ok(error.code !== undefined);
    return true;
  });
}

const badOfBoth = {
  temperature: ['hot', -1, [], {}], top_p: [2, '1'], top_k: [0.5], min_p: [-1], max_tokens: [-7, 1.5, 'many', 1e300],
  n: [0, -1, 1.5, 1e9], stop: [5, [5], {}], seed: ['x', -1.5], logit_bias: [[1], {x: 1}, {0: 'high'}, 3],
  stream: ['yes', 1], stream_options: [true], presence_penalty: ['x'], frequency_penalty: [[]], ignore_eos: ['x'],
};

test('bad values of fields that both endpoints have', async () => {
  for (const [field, values] of Object.entries(badOfBoth)) {
    for (const value of values) {
      await refuses(chat({[field]: value}), field);
      await refuses(complete({[field]: value}), field);
    }
  }
});

test('bad values of chat\'s own fields', async () => {
  await refuses(chat({messages: []}), 'messages');
  await refuses(chat({messages: 'hello'}), 'messages');
  await refuses(chat({messages: [{content: 'no role'}]}), 'messages[0]');
  await refuses(chat({messages: [...messages, {role: 'user', content: 5}]}), 'messages[1]');
  await refuses(chat({logprobs: 3}), 'logprobs');
  await refuses(chat({logprobs: true, top_logprobs: -1}), 'top_logprobs');
  await refuses(chat({logprobs: true, top_logprobs: 1000}), 'top_logprobs');
  await refuses(chat({max_completion_tokens: -5}), 'max_completion_tokens');
});

test('bad values of completions\' own fields', async () => {
  const badPrompts = [[], 5, {}, [[]], [1.5], [-1], [999999], ['a', 5], null];
  for (const prompt of badPrompts) await refuses(complete({prompt}), 'prompt');
  await refuses(complete({logprobs: -1}), 'logprobs');
  await refuses(complete({echo: 'yes'}), 'echo');
});

test('what is known and not supported is named, not passed over', async () => {
  const tools = [{type: 'function', function: {name: 'f', parameters: {type: 'object', properties: {}}}}];
  await refuses(chat({tools}), 'tools');
  await refuses(chat({functions: [{name: 'f', parameters: {}}]}), 'functions');
  const json_schema = {name: 's', schema: {type: 'object'}};
  await refuses(chat({response_format: {type: 'json_schema', json_schema}}), 'response_format');
  await refuses(chat({response_format: {type: 'json_object'}}), 'response_format');
  const image = {type: 'image_url', image_url: {url: 'data:image/png;base64,AAAA'}};
  await refuses(chat({messages: [{role: 'user', content: [image]}]}), 'messages[0]');
  await refuses(chat({audio: {voice: 'alloy', format: 'wav'}}), 'audio');
  await refuses(complete({suffix: 'end'}), 'suffix');
  assert.ok(await chat({tools: [], response_format: {type: 'text'}, tool_choice: 'none', max_tokens: 1}));
});

test('a prompt longer than the context is refused with both numbers', async () => {
  const prompt = Array.from({length: 1500}, () => 5);
  await assert.rejects(complete({prompt}), (error) => {
    assert.equal(error.status, 400);
    assert.match(error.message, /1500/);
    assert.match(error.message, /1024/);
    assert.equal(error.type, 'exceed_context_size_error');
    assert.equal(error.error.n_prompt_tokens, 1500);
    assert.equal(error.error.n_ctx, 1024);
    return true;
  });
});

test('a bad request for a stream is refused before the stream begins', async () => {
  await refuses(chat({stream: true, temperature: 'hot'}), 'temperature');
});

test('keys', async () => {
  for (const apiKey of ['wrong', 'secon', 'secondd', 'first,second']) {
    const stranger = clientOf(server, {apiKey});
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
    await assert.rejects(stranger.chat.completions.create({model: 'demo', messages}), OpenAI.AuthenticationError);
  }
  assert.equal((await server.fetch('/v1/models')).status, 401);
  assert.equal((await server.fetch('/v1/models', {headers: {'x-api-key': 'second'}})).status, 200);
  assert.equal((await server.fetch('/v1/models', {headers: {authorization: 'Bearer first'}})).status, 200);
  assert.equal((await server.fetch('/health')).status, 200);
});

test('unknown paths', async () => {
  await assert.rejects(client.get('/nothing'), OpenAI.NotFoundError);
  await assert.rejects(client.post('/nothing', {body: {}}), OpenAI.NotFoundError);
  await assert.rejects(client.images.generate({model: 'demo', prompt: 'x'}), OpenAI.NotFoundError);
});

test('bodies that are no JSON object', async () => {
  const headers = {authorization: 'Bearer first'};
  for (const body of ['', '{', '[]', '5', 'null', '{"prompt": "a"} x', '{"prompt": "\\ud800"}']) {
    const response = await server.post('/v1/completions', body, {headers});
    assert.equal(response.status, 400, body);
    const {error} = await response.json();
    assert.equal(error.type, 'invalid_request_error');
    assert.equal(error.code, 400);
  }
});

test('answers carry an id for the log', async () => {
  const {response} = await complete().withResponse();
  assert.ok(response.headers.get('x-request-id'));
  const headers = {authorization: 'Bearer first', 'x-request-id': 'mine-42'};
  assert.equal((await server.fetch('/v1/models', {headers})).headers.get('x-request-id'), 'mine-42');
});

test('after all that it answers as before', async () => {
  assert.equal((await complete()).choices[0].text, ' 4');
});
