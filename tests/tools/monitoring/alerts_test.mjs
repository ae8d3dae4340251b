// The alerts and the configuration, by Prometheus's own checks.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {copyMonitoring, promtool, readMonitoring} from './prometheus_process.mjs';

const folder = copyMonitoring('key');

test('the rules are valid', () => promtool(folder, 'check', 'rules', 'alerts.yml'));

test('the configuration is valid, with its rules and its key', () => promtool(folder, 'check', 'config', 'prometheus.yml'));

test('the alerts fire on bad series and are silent on good ones', () => promtool(folder, 'test', 'rules', 'alerts_test.yml'));

test('every alert has a series that it fires on, and one just before that it is silent on', () => {
  const tests = readMonitoring('alerts_test.yml');
  const names = [...readMonitoring('alerts.yml').matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
  assert.ok(names.length > 0);
  for (const name of names) {
    assert.match(tests, new RegExp(`- alertname: ${name}\n +eval_time: \\w+\n +exp_alerts:[^\n]*\n +- exp_labels`), name);
    assert.match(tests, new RegExp(`alertname: ${name}, eval_time: \\w+, exp_alerts: \\[\\]`), name);
  }
});
