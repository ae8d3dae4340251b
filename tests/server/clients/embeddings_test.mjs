// Embeddings through the openai client.
import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {startDemo} from './npm_packages.mjs';

const {server, client} = await startDemo();
after(() => server.stop());

const embed = (input, options = {}) => client.embeddings.create({model: 'demo', input, ...options});
const inFloats = (input) => embed(input, {encoding_format: 'float'});

test('a text becomes a vector of length 1', async () => {
  const {object, data, usage} = await inFloats('bread');
  assert.equal(object, 'list');
  assert.equal(data.length, 1);
  assert.equal(data[0].object, 'embedding');
  assert.equal(data[0].index, 0);
  assert.equal(data[0].embedding.length, 256);
  const length = Math.hypot(...data[0].embedding);
  assert.ok(Math.abs(length - 1) < 1e-4, `length ${length}`);
  assert.ok(usage.prompt_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens);
});

test('base64, which the client asks for and decodes by itself, has the same numbers', async () => {
  const decoded = (await embed('bread')).data[0].embedding;
  assert.deepEqual([...decoded], (await inFloats('bread')).data[0].embedding.map(Math.fround));
});

test('a list gives a vector for each, the same as alone', async () => {
  const texts = ['bread', 'water is wet', 'bread'];
  const {data} = await inFloats(texts);
  assert.deepEqual(data.map((each) => each.index), [0, 1, 2]);
  for (const [i, text] of texts.entries()) {
    assert.deepEqual(data[i].embedding, (await inFloats(text)).data[0].embedding);
  }
  assert.notDeepEqual(data[0].embedding, data[1].embedding);
});

test('token ids give what their text gives', async () => {
  const {tokens} = await server.json('/tokenize', {content: 'bread', add_special: true});
  const expected = (await inFloats('bread')).data[0].embedding;
  assert.deepEqual((await inFloats(tokens)).data[0].embedding, expected);
  assert.deepEqual((await inFloats([tokens])).data[0].embedding, expected);
});

test('what cannot be embedded is refused by name', async () => {
  await assert.rejects(embed([]), {status: 400, message: /input/});
  await assert.rejects(embed(''), {status: 400, message: /input/});
  await assert.rejects(embed('bread', {dimensions: 64}), {status: 400, message: /dimensions/});
  await assert.rejects(embed('bread', {encoding_format: 'hex'}), {status: 400, message: /encoding_format/});
});
