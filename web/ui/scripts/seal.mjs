// After vite: compress the assets, drop the raw ones, write dist/BUILD.json.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { inputDigest } from './inputs.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = process.env.HUNE_UI_OUT ?? join(root, 'dist');
const sha256 = (b) => createHash('sha256').update(b).digest('hex');

const html = readFileSync(join(dist, 'index.html'));
const outputs = [{ path: 'index.html', size: html.length, gzip: gzip(html).length, sha256: sha256(html) }];
for (const name of readdirSync(join(dist, 'assets')).sort()) {
  const path = join(dist, 'assets', name);
  const raw = readFileSync(path);
  const gz = gzip(raw);
  writeFileSync(path + '.gz', gz);
  unlinkSync(path);
  outputs.push({ path: `assets/${name}`, size: raw.length, gzip: gz.length, sha256: sha256(raw) });
}

// The entry is what index.html itself asks for: script, style sheet, preloads.
const entry = [...html.toString().matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.(?:js|css))"/g)].map((m) => m[1]).sort();
const build = { inputs: inputDigest(root), entry, outputs };
writeFileSync(join(dist, 'BUILD.json'), JSON.stringify(build, null, 2) + '\n');

const sum = (list) => list.reduce((n, o) => n + o.gzip, 0) / 1024;
console.log(`entry ${sum(outputs.filter((o) => entry.includes(o.path) || o.path === 'index.html')).toFixed(1)} kB gz, all ${sum(outputs).toFixed(1)} kB gz`);

function gzip(b) {
  const gz = gzipSync(b, { level: 9 }); // Node leaves the time at 0
  gz[9] = 255; // "unknown" system: the same bytes on every platform
  return gz;
}
