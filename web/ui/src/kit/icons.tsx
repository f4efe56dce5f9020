// Icons: paths on a 24 px grid, drawn with the text's colour.
const paths = {
  chart: 'M4 19h16M5 15l4-6 4 3 6-8',
  lines: 'M4 6h16M4 12h16M4 18h10',
  tree: 'M4 5h10M8 12h8M12 19h8',
  home: 'M4 11l8-7 8 7v9h-5v-6H9v6H4z',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  down: 'M5 9l7 7 7-7',
  up: 'M5 15l7-7 7 7',
  zoomOut: 'M10 4a6 6 0 1 0 0 12a6 6 0 0 0 0-12M20 20l-5.7-5.7M7 10h6',
  refresh: 'M19 8a8 8 0 1 0 1 6M20 4v5h-5',
  clock: 'M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16M12 8v4l3 2',
  gear: 'M12 9a3 3 0 1 0 0 6a3 3 0 0 0 0-6M12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M5.6 18.4l2.1-2.1M16.3 7.7l2.1-2.1',
  help: 'M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.5',
  play: 'M7 5l12 7-12 7z',
  pause: 'M8 5v14M16 5v14',
  live: 'M12 10a2 2 0 1 0 0 4a2 2 0 0 0 0-4M7.5 7.5a6.4 6.4 0 0 0 0 9M16.5 7.5a6.4 6.4 0 0 1 0 9M4.5 4.5a10.6 10.6 0 0 0 0 15M19.5 4.5a10.6 10.6 0 0 1 0 15',
  stop: 'M7 7h10v10H7z',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  expand: 'M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7',
  close: 'M6 6l12 12M18 6L6 18',
  plus: 'M12 6v12M6 12h12',
  minus: 'M6 12h12',
  error: 'M12 3l9.5 17h-19zM12 10v4M12 17v.5',
  bell: 'M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4',
  mute: 'M6 16V11a6 6 0 0 1 9-5.2M18 11v5l2 2H8M10 21h4M4 3l16 18',
  table: 'M4 5h16v14H4zM4 10h16M10 5v14',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
