import { defineConfig } from 'vite';

// Where a development server sends the API calls: a running `hune serve`.
const api = process.env.HUNE_URL ?? 'http://127.0.0.1:4320';

export default defineConfig({
  // Relative, so that the page works under any prefix: index.html carries a <base> from the server.
  base: './',
  build: {
    outDir: process.env.HUNE_UI_OUT ?? 'dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // data: URLs would need a wider Content-Security-Policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    port: 4330,
    proxy: {
      '/api': api,
      '/loki': { target: api, ws: true },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
} as Parameters<typeof defineConfig>[0]);
