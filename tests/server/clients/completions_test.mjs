// Text completions, models and tokens through the openai client.
import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {startDemo} from './npm_packages.mjs';

const {server, client} = await startDemo();
after(() => server.stop());

const sum = 'What is 2+2? Answer:';
const complete = (options = {}) => client.completions.create({model: 'demo', prompt: sum, temperature: 0, ...options});
const textsOf = (completion) => completion.choices.map((choice) => choice.text);
const tokensOf = async (content) => (await server.json('/tokenize', {content, add_special: true})).tokens;

test('models', async () => {
  const models = [];
  for await (const model of client.models.list()) models.push(model);
  assert.equal(models.length, 1);
  assert.equal(models[0].object, 'model');
  assert.equal(typeof models[0].id, 'string');
  assert.equal(typeof models[0].created, 'number');
  assert.equal(typeof models[0].owned_by, 'string');
  assert.equal(typeof models[0].meta.n_ctx_train, 'number');
});

test('a text', async () => {
  const completion = await complete();
  assert.match(completion.id, /cmpl/);
  assert.equal(completion.object, 'text_completion');
  assert.deepEqual(textsOf(completion), [' 4']);
  assert.equal(completion.choices[0].index, 0);
  assert.equal(completion.choices[0].finish_reason, 'stop');
  assert.equal(completion.usage.prompt_tokens, (await tokensOf(sum)).length);
});

test('token ids, as they are', async () => {
  const prompt = await tokensOf(sum);
  const completion = await complete({prompt});
  assert.deepEqual(textsOf(completion), [' 4']);
  assert.equal(completion.usage.prompt_tokens, prompt.length);
});

test('lists of prompts, each with several choices, in order', async () => {
  const prompts = [sum, 'What is 1+4? Answer:', 'What is 3+6? Answer:'];
  const alone = [];
  for (const prompt of prompts) alone.push(...textsOf(await complete({prompt})));
  assert.deepEqual(textsOf(await complete({prompt: prompts})), alone);
  assert.deepEqual(textsOf(await complete({prompt: await Promise.all(prompts.map(tokensOf))})), alone);
  const twice = await complete({prompt: prompts, n: 2});
  assert.deepEqual(twice.choices.map((choice) => choice.index), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(textsOf(twice), alone.flatMap((text) => [text, text]));
  const streamed = prompts.map(() => '');
  for await (const chunk of await complete({prompt: prompts, stream: true})) {
    for (const choice of chunk.choices) streamed[choice.index] += choice.text;
  }
  assert.deepEqual(streamed, alone);
});

test('a stream, with its usage', async () => {
  let text = '';
  let usage;
  const reasons = [];
  for await (const chunk of await complete({stream: true, stream_options: {include_usage: true}})) {
    assert.equal(usage, undefined, 'the usage comes last');
    usage = chunk.usage ?? undefined;
    for (const choice of chunk.choices) {
      text += choice.text;
      if (choice.finish_reason) reasons.push(choice.finish_reason);
    }
  }
  assert.equal(text, ' 4');
  assert.deepEqual(reasons, ['stop']);
  assert.deepEqual(usage.completion_tokens, (await complete()).usage.completion_tokens);
});

test('log-probabilities in the shape of text completions', async () => {
  const {choices: [{text, logprobs}]} = await complete({logprobs: 3});
  const n = logprobs.tokens.length;
  assert.equal(logprobs.tokens.join(''), text);
  for (const list of [logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset]) {
    assert.equal(list.length, n);
  }
  for (let i = 0; i < n; ++i) {
    assert.ok(logprobs.token_logprobs[i] <= 0);
    assert.equal(logprobs.token_logprobs[i], Math.max(...Object.values(logprobs.top_logprobs[i])));
  }
});

test('a prompt echoed has the log-probabilities that its tokens had when they were generated', async () => {
  const generated = (await complete({logprobs: 1})).choices[0];
  const prompt = await tokensOf(sum + generated.text);
  const {choices: [{text, logprobs}]} = await complete({prompt, echo: true, logprobs: 1, max_tokens: 1});
  assert.ok(text.includes(sum + generated.text));
  assert.ok(logprobs.tokens.length >= prompt.length);
  for (const list of [logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset]) {
    assert.equal(list.length, logprobs.tokens.length);
  }
  assert.equal(logprobs.token_logprobs[0], null);
  assert.equal(logprobs.top_logprobs[0], null);
  assert.ok(logprobs.token_logprobs.slice(1).every((value) => typeof value === 'number' && value <= 0));
  assert.deepEqual(logprobs.text_offset, [...logprobs.text_offset].sort((a, b) => a - b));
  const first = prompt.length - generated.logprobs.tokens.length;
  assert.deepEqual(logprobs.tokens.slice(first, prompt.length), generated.logprobs.tokens);
  assert.deepEqual(logprobs.token_logprobs.slice(first, prompt.length), generated.logprobs.token_logprobs);
});

test('an echo alone', async () => {
  assert.deepEqual(textsOf(await complete({echo: true})), [`${sum} 4`]);
  const scored = (await complete({echo: true, logprobs: 1, max_tokens: 0})).choices[0];
  assert.equal(scored.text, sum);
  assert.equal(scored.logprobs.tokens.length, (await tokensOf(sum)).length);
});

test('a bias on a token forbids it', async () => {
  const [token] = (await server.json('/tokenize', {content: ' 4'})).tokens;
  const [text] = textsOf(await complete({logit_bias: {[token]: -100}}));
  const first = (await server.json('/tokenize', {content: text})).tokens[0];
  assert.notEqual(first, token);
});

test('16 tokens unless told otherwise', async () => {
  const {choices: [choice], usage} = await complete({ignore_eos: true});
  assert.equal(usage.completion_tokens, 16);
  assert.equal(choice.finish_reason, 'length');
});
