// An npm package that tools/setup/fetch-clients.sh fetches. Without it a test says so and is skipped: CTest knows it by the
// exit code 77.
import {createRequire} from 'node:module';

const require = createRequire(new URL('../../../.deps/clients/package.json', import.meta.url));

export function load(name) {
  try {
    return require(name);
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    console.log(`skipped: ${name} is not in .deps/clients; tools/setup/fetch-clients.sh puts it there`);
    process.exit(77);
  }
}
