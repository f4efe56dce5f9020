// Build into a temporary folder and compare with the committed dist, byte by byte (gzip members by
// their content: another zlib may pack them otherwise).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = mkdtempSync(join(tmpdir(), 'hune-ui-'));
try {
  const env = { ...process.env, HUNE_UI_OUT: out };
  execFileSync('npx', ['vite', 'build', '--logLevel', 'warn'], { cwd: root, env, stdio: 'inherit' });
  execFileSync('node', ['scripts/seal.mjs'], { cwd: root, env, stdio: 'inherit' });
  const list = (dir) => readdirSync(dir, { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name).slice(dir.length + 1)).sort();
  const want = list(out), have = list(join(root, 'dist'));
  if (want.join() !== have.join()) throw new Error(`dist holds other files than a fresh build: run make ui`);
  for (const name of want.filter((n) => n !== 'BUILD.json')) {
    const read = (dir) => (name.endsWith('.gz') ? gunzipSync(readFileSync(join(dir, name))) : readFileSync(join(dir, name)));
    if (!read(out).equals(read(join(root, 'dist')))) throw new Error(`dist/${name} differs from a fresh build: run make ui`);
  }
  console.log(`dist is what the sources build: ${want.length} files`);
} finally {
  rmSync(out, { recursive: true });
}
