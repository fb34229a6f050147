// Reads an AsyncAPI document as its standard says, and prints every error in it: `node asyncapi.mjs FILE`.

import { readFile } from 'node:fs/promises';
import { argv, exit } from 'node:process';
import { Parser } from '@asyncapi/parser';

const ERROR = 0;

const { document, diagnostics } = await new Parser().parse(await readFile(argv[2], 'utf8'));
const errors = diagnostics.filter(({ severity }) => severity === ERROR);
for (const { message, path } of errors) {
  console.error(`${path.join('.')}: ${message}`);
}
exit(document && errors.length === 0 ? 0 : 1);
