// The dashboard, the alerts and the configuration over a real Prometheus that scrapes a real server under load.
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {after, test} from 'node:test';
import {ServerProcess, until} from '../../server/clients/server_process.mjs';
import {Prometheus, copyMonitoring, promtool, readMonitoring} from './prometheus_process.mjs';

const dashboard = JSON.parse(readMonitoring('grafana-dashboard.json'));
const panels = dashboard.panels.filter(({type}) => type !== 'row');

const key = 'key-of-the-test';
const folder = copyMonitoring(key);
const keyFile = join(folder, 'quern.key');
// A router before one model: every panel has something to show.
const demoModel = fileURLToPath(new URL('../../../tools/demo_model/demo-q4_k_m.gguf', import.meta.url));
const models = join(folder, 'models.toml');
writeFileSync(models, `default = "auto"
[models.demo]
path = "${demoModel}"
[routers.auto]
default = "demo"
`);
const server = await ServerProcess.start(
  ['--models-file', models, '-c', 32768, '--parallel', 1, '--max-queue', 1, '--api-key-file', keyFile]);
const address = new URL(server.url).host;
after(() => server.stop());

function configure() {
  const path = join(folder, 'prometheus.yml');
  let text = readFileSync(path, 'utf8');
  for (const [example, here] of [['"127.0.0.1:8080"', `"${address}"`], ['scrape_interval: 15s', 'scrape_interval: 1s'],
    ['evaluation_interval: 15s', 'evaluation_interval: 1s']]) {
    assert.equal(text.split(example).length, 2, `${example} is once in prometheus.yml`);
    text = text.replace(example, here);
  }
  writeFileSync(path, text);
  promtool(folder, 'check', 'config', 'prometheus.yml');
}

configure();
const start = performance.now();
const prometheus = await Prometheus.start(folder);
after(() => prometheus.stop());

const headers = {authorization: `Bearer ${key}`};
const post = (path, body, signal) => server.post(path, body, {headers, signal});
const chat = (content) => post('/v1/chat/completions', {messages: [{role: 'user', content}], max_tokens: 40});

async function answered(response) {
  assert.equal(response.status, 200, await response.text());
}

/** Waits until Prometheus knows what the server has counted. */
const seen = (query, least) => until(async () => await prometheus.sum(query) >= least, `${query} is ${least}`);

/** One request of each kind that ends at once: it makes the series of its labels. */
async function eachKind() {
  await answered(await chat('What does bread mean?'));
  await answered(await post('/v1/embeddings', {input: 'bread'}));
  assert.equal((await post('/v1/chat/completions', '{')).status, 400);
  assert.equal((await server.fetch('/nothing', {headers})).status, 404);
}

/** A place and the line are taken, one more is turned away, and the clients leave. */
async function overload() {
  const long = {prompt: 'bread', ignore_eos: true, max_tokens: 30000};
  const clients = [new AbortController(), new AbortController()];
  const left = clients.map(({signal}) => assert.rejects(post('/v1/completions', long, signal), {name: 'AbortError'}));
  await seen('llamacpp:requests_processing', 1);
  await seen('llamacpp:requests_deferred', 1);
  assert.equal((await post('/v1/completions', long)).status, 429);
  clients.forEach((client) => client.abort());
  await Promise.all(left);
}

// A rate is that of a series which was there before; so each kind of request comes before what is looked at.
await eachKind();
await seen('quern_http_requests_total{path="/v1/chat/completions"}', 2);
const sharedPrefix = 'Bread is what the miller lives by. '.repeat(40);
for (const word of ['bread', 'water', 'tree']) await answered(await chat(`${sharedPrefix}What does ${word} mean?`));
await eachKind();
await overload();
await seen('quern_requests_cancelled_total', 2);
await seen('quern_requests_turned_away_total', 1);

/** What Grafana asks for, with this server chosen. */
function expand(text) {
  const expanded = text.replaceAll('$__rate_interval', '10s').replaceAll('$instance', address.replaceAll('.', '\\\\.'));
  assert.ok(!expanded.includes('$'), `a variable is left in ${expanded}`);
  return expanded;
}

/** What is 0 as long as all goes well. */
const quiet = new Set(['Share of errors', 'Preemptions', 'Loads and unloads']);

for (const panel of panels) {
  for (const {expr, legendFormat} of panel.targets) {
    test(`"${panel.title}" shows ${legendFormat}`, async () => {
      const series = await prometheus.range(expand(expr), Math.ceil((performance.now() - start) / 1000));
      assert.ok(series.length > 0, 'there is data');
      for (const {metric, values} of series) {
        assert.ok(values.some(Number.isFinite), `${JSON.stringify(metric)} has a number`);
        for (const [, label] of legendFormat.matchAll(/{{(\w+)}}/g)) assert.ok(metric[label], `it has the label ${label}`);
      }
      if (!quiet.has(panel.title)) assert.ok(series.some(({values}) => values.some((value) => value > 0)), 'it is not all 0');
    });
  }
}

test('the dashboard offers the server to choose', async () => {
  const {query} = dashboard.templating.list.find(({name}) => name === 'instance');
  const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(query.query);
  assert.deepEqual(await prometheus.labelValues(label, metric), [address]);
});

test('the dashboard can be imported: every panel in its place, by the data source that is chosen', () => {
  const chosen = dashboard.templating.list.find(({type}) => type === 'datasource').name;
  assert.equal(dashboard.id, null);
  assert.equal(new Set(dashboard.panels.map(({id}) => id)).size, dashboard.panels.length);
  const taken = new Set();
  for (const {title, gridPos: {x, y, w, h}} of dashboard.panels) {
    assert.ok(x >= 0 && x + w <= 24, title);
    for (let column = x; column < x + w; ++column) {
      for (let line = y; line < y + h; ++line) {
        assert.ok(!taken.has(`${column},${line}`), `${title} covers another panel`);
        taken.add(`${column},${line}`);
      }
    }
  }
  for (const {title, datasource, description, fieldConfig} of panels) {
    assert.deepEqual(datasource, {type: 'prometheus', uid: `\${${chosen}}`}, title);
    assert.ok(description && fieldConfig.defaults.unit, title);
  }
});

test('every alert is evaluated, and the one of the full line alone fires', async () => {
  const names = [...readMonitoring('alerts.yml').matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
  const evaluated = async () => [...(await prometheus.alerts()).values()].every(({health}) => health !== 'unknown');
  await until(evaluated, 'all rules are evaluated');
  await until(async () => (await prometheus.alerts()).get('QuernTurnsAway').state === 'firing', 'QuernTurnsAway fires');
  const alerts = await prometheus.alerts();
  assert.deepEqual([...alerts.keys()], names);
  for (const {name, health, lastError, state} of alerts.values()) {
    assert.equal(health, 'ok', `${name}: ${lastError}`);
    if (name !== 'QuernTurnsAway') assert.notEqual(state, 'firing', name);
  }
});

test('a server that stops is noticed', async () => {
  assert.equal(await server.stop(), 0);
  await until(async () => (await prometheus.alerts()).get('QuernDown').state !== 'inactive', 'QuernDown is pending');
});
