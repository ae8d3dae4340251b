// `quern man`, by the programs that show manual pages; each is skipped where it is not installed.
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {test} from 'node:test';

const quern = process.env.QUERN_EXECUTABLE;
const page = spawnSync(quern, ['man'], {encoding: 'utf8'}).stdout;

function show(program, args) {
  const {stdout, stderr, error} = spawnSync(program, args, {encoding: 'utf8', input: page});
  assert.ok(!error, error);
  return {stdout, stderr};
}
const missing = (program) => spawnSync(program, ['--version']).error ? `${program} is not installed` : false;

test('it has a section for every command of the help', () => {
  const help = spawnSync(quern, ['--help'], {encoding: 'utf8'}).stdout;
  const commands = [...help.split('Subcommands:')[1].matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name);
  assert.ok(commands.includes('serve'));
  for (const command of commands) assert.ok(page.includes(`.SS \\fBquern ${command.replace(/-/g, '\\-')}`), command);
  for (const part of ['.SS \\fBquern key new\\fR', '.B LLAMA_ARG_PORT', '.SH EXIT STATUS']) assert.ok(page.includes(part), part);
});

test('groff finds no fault in it', {skip: missing('groff')}, () => {
  const {stdout, stderr} = show('groff', ['-man', '-ww', '-Tutf8', '-P-bou', '-']);
  assert.equal(stderr, '');
  assert.match(stdout, /quern serve \[options\] \[MODEL\]/);
  assert.match(stdout, /--host ADDRESS\n +Address to listen on \(default: 127\.0\.0\.1\)/);
});

test('mandoc finds no fault in it but that it has no date', {skip: missing('mandoc')}, () => {
  assert.match(show('mandoc', ['-Tlint', '-Wwarning']).stdout, /^[^\n]*missing date[^\n]*\n$/);
});
