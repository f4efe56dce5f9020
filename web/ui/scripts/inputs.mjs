// What a build depends on, and the digest of it. fresh_test.go computes the same digest in Go:
// change both together.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const files = ['.npmrc', 'index.html', 'package-lock.json', 'package.json', 'tsconfig.json', 'vite.config.ts'];
const folders = ['scripts', 'src'];

/** Paths of every input, with slashes, sorted by bytes. Unit tests are no input. */
export function inputPaths(root) {
  const out = [...files];
  const walk = (dir) => {
    for (const e of readdirSync(join(root, dir), { withFileTypes: true })) {
      const path = `${dir}/${e.name}`;
      if (e.isDirectory()) walk(path);
      else if (!/\.test\.tsx?$/.test(e.name)) out.push(path);
    }
  };
  folders.forEach(walk);
  return out.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** SHA-256 over path, NUL, length, NUL, content of every input; line ends as LF. */
export function inputDigest(root) {
  const h = createHash('sha256');
  for (const path of inputPaths(root)) {
    const content = Buffer.from(readFileSync(join(root, path), 'latin1').replaceAll('\r\n', '\n'), 'latin1');
    h.update(`${path}\0${content.length}\0`).update(content);
  }
  return h.digest('hex');
}
