// Chat through LangChain's ChatOpenAI.
import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {ChatOpenAI, startDemo} from './npm_packages.mjs';

const {server} = await startDemo();
after(() => server.stop());

const chat = new ChatOpenAI({
  model: 'demo', apiKey: 'unused', temperature: 0, maxRetries: 0, configuration: {baseURL: `${server.url}/v1`},
});

test('invoke', async () => {
  const message = await chat.invoke('What does bread mean?');
  assert.match(message.content, /^Bread \(noun\):/);
  assert.ok(message.usage_metadata.output_tokens > 0);
});

test('stream, with the usage in its last chunk', async () => {
  const whole = await chat.invoke('What does bread mean?');
  let sum;
  for await (const chunk of await chat.stream('What does bread mean?')) sum = sum ? sum.concat(chunk) : chunk;
  assert.equal(sum.content, whole.content);
  assert.equal(sum.usage_metadata.input_tokens, whole.usage_metadata.input_tokens);
  assert.equal(sum.usage_metadata.output_tokens, whole.usage_metadata.output_tokens);
});

test('batch', async () => {
  const [bread, water] = await chat.batch(['What does bread mean?', 'What does water mean?']);
  assert.match(bread.content, /^Bread /);
  assert.match(water.content, /^Water /);
});
