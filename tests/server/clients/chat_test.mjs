// Chat completions through the openai client.
import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {startDemo} from './npm_packages.mjs';

const {server, client} = await startDemo();
after(() => server.stop());

const bread = {model: 'demo', messages: [{role: 'user', content: 'What does bread mean?'}], temperature: 0};
const chat = (options = {}) => client.chat.completions.create({...bread, ...options});
const definition = (await chat()).choices[0].message.content;

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test('a whole answer has the shape of OpenAI\'s', async () => {
  const answer = await chat();
  assert.match(answer.id, /^chatcmpl-/);
  assert.equal(answer.object, 'chat.completion');
  assert.ok(Math.abs(answer.created - Date.now() / 1000) < 3600);
  assert.equal(answer.choices.length, 1);
  const [choice] = answer.choices;
  assert.equal(choice.index, 0);
  assert.equal(choice.message.role, 'assistant');
  assert.match(choice.message.content, /^Bread \(noun\):/);
  assert.equal(choice.finish_reason, 'stop');
  const {usage} = answer;
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.equal(typeof usage.prompt_tokens_details.cached_tokens, 'number');
});

test('a stream begins with the role, ends with the reason, and says the same', async () => {
  const chunks = await collect(await chat({stream: true}));
  assert.deepEqual(new Set(chunks.map((chunk) => chunk.object)), new Set(['chat.completion.chunk']));
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  const deltas = chunks.map((chunk) => chunk.choices[0].delta);
  assert.equal(deltas[0].role, 'assistant');
  assert.ok(deltas.slice(1).every((delta) => delta.role === undefined));
  assert.ok(deltas.slice(1).every((delta) => delta.content !== ''));
  assert.equal(deltas.map((delta) => delta.content ?? '').join(''), definition);
  assert.deepEqual(deltas.at(-1), {});
  const reasons = chunks.map((chunk) => chunk.choices[0].finish_reason);
  assert.equal(reasons.pop(), 'stop');
  assert.ok(reasons.every((reason) => reason === null));
  assert.ok(chunks.every((chunk) => !chunk.usage));
});

test('a stream tells its usage after the reason, when asked', async () => {
  const chunks = await collect(await chat({stream: true, stream_options: {include_usage: true}}));
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  const {usage} = await chat();
  assert.equal(last.usage.prompt_tokens, usage.prompt_tokens);
  assert.equal(last.usage.completion_tokens, usage.completion_tokens);
});

test('the client\'s own assembly of a stream gives the whole answer', async () => {
  const {model, messages, temperature} = bread;
  const answer = await client.chat.completions.stream({model, messages, temperature}).finalChatCompletion();
  assert.equal(answer.choices[0].message.content, definition);
});

test('several choices of one prompt', async () => {
  const greedy = await chat({n: 2});
  assert.deepEqual(greedy.choices.map((choice) => choice.index), [0, 1]);
  assert.ok(greedy.choices.every((choice) => choice.message.content === definition));
  const sampled = {n: 3, temperature: 2, seed: 5, max_tokens: 20};
  const texts = (await chat(sampled)).choices.map((choice) => choice.message.content);
  assert.ok(new Set(texts).size > 1, `choices differ: ${texts}`);
  const streamed = ['', '', ''];
  for await (const chunk of await chat({...sampled, stream: true})) {
    for (const {index, delta} of chunk.choices) streamed[index] += delta.content ?? '';
  }
  assert.deepEqual(streamed, texts);
});

test('a stop text ends the answer and is not part of it', async () => {
  const {choices: [choice]} = await chat({stop: [' dough', 'never']});
  assert.equal(choice.message.content, 'Bread (noun): food made from');
  assert.equal(choice.finish_reason, 'stop');
  const chunks = await collect(await chat({stop: ' dough', stream: true}));
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join(''), 'Bread (noun): food made from');
});

test('a seed gives the same answer again, and others give others', async () => {
  const sampled = async (seed) =>
    (await chat({temperature: 2, seed, max_tokens: 20})).choices[0].message.content;
  const texts = await Promise.all([1, 2, 3, 4, 5, 6].map(sampled));
  assert.deepEqual(await Promise.all([1, 2, 3, 4, 5, 6].map(sampled)), texts);
  assert.ok(new Set(texts).size > 1);
});

test('log-probabilities of the chosen and the likeliest tokens', async () => {
  const {choices: [choice]} = await chat({logprobs: true, top_logprobs: 3});
  const bytes = choice.logprobs.content.flatMap((token) => token.bytes);
  assert.equal(Buffer.from(bytes).toString(), definition);
  for (const token of choice.logprobs.content) {
    assert.ok(token.logprob <= 0);
    assert.equal(token.top_logprobs.length, 3);
    const [first] = token.top_logprobs;
    assert.deepEqual([first.token, first.logprob, first.bytes], [token.token, token.logprob, token.bytes]);
    const values = token.top_logprobs.map((each) => each.logprob);
    assert.deepEqual(values, [...values].sort((a, b) => b - a));
  }
  const chunks = await collect(await chat({logprobs: true, top_logprobs: 3, stream: true}));
  const streamed = chunks.flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []);
  assert.deepEqual(streamed, choice.logprobs.content);
  assert.ok(!(await chat()).choices[0].logprobs);
});

test('limits of length, by either name', async () => {
  for (const limit of [{max_completion_tokens: 5}, {max_tokens: 5}]) {
    const {choices: [choice], usage} = await chat(limit);
    assert.equal(choice.finish_reason, 'length');
    assert.equal(usage.completion_tokens, 5);
    assert.ok(definition.startsWith(choice.message.content));
  }
});

test('conversations, system messages and lists of text parts', async () => {
  const parts = [{type: 'text', text: 'What does '}, {type: 'text', text: 'bread mean?'}];
  const answer = await chat({messages: [{role: 'user', content: parts}]});
  assert.equal(answer.choices[0].message.content, definition);
  const longer = await chat({messages: [
    {role: 'system', content: 'Be brief.'}, ...bread.messages,
    {role: 'assistant', content: definition}, {role: 'user', content: 'What is 2+2?'},
  ]});
  assert.ok(longer.usage.prompt_tokens > answer.usage.prompt_tokens);
  assert.equal(longer.choices[0].finish_reason, 'stop');
});

test('a prompt seen before is taken from the cache, and the answer is the same to the last bit', async () => {
  const text = Array.from({length: 100}, (_, i) => `What is ${i}+${i}?`).join(' ');
  const ask = () => chat({messages: [{role: 'user', content: text}], logprobs: true, top_logprobs: 5, max_tokens: 20});
  const cold = await ask();
  const warm = await ask();
  assert.equal(cold.usage.prompt_tokens_details.cached_tokens, 0);
  assert.ok(warm.usage.prompt_tokens_details.cached_tokens > 0);
  assert.deepEqual(warm.choices, cold.choices);
});

test('requests at the same time get the answers that they get alone', async () => {
  const words = 'bread water tree house river stone light paper music horse glass snow'.split(' ');
  const ask = async (word) => {
    const messages = [{role: 'user', content: `What does ${word} mean?`}];
    return (await chat({messages, logprobs: true, top_logprobs: 2})).choices[0];
  };
  const alone = [];
  for (const word of words) alone.push(await ask(word));
  assert.deepEqual(await Promise.all(words.map(ask)), alone);
});

test('fields that the server does not know are passed over', async () => {
  const answer = await chat({
    user: 'me', parallel_tool_calls: true, store: false, metadata: {a: 'b'}, service_tier: 'auto', unheard_of: [1, {}],
  });
  assert.equal(answer.choices[0].message.content, definition);
});
