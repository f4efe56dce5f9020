// Series colours: at least 3:1 against the background of their theme, in an order that keeps
// neighbours apart for colour-blind readers. Dashes tell the rounds apart.
import { isDark } from '../app/settings';

const light = ['#2264c7', '#b8500b', '#157a4a', '#9a37aa', '#b42318', '#0b7285', '#7a6000', '#5450cf', '#b3246e', '#4d6328'];
const dark = ['#6ea8fe', '#f59f5b', '#5cc689', '#d58be5', '#ff8a80', '#4fc3d4', '#e0c04c', '#a5a3ff', '#f48fb8', '#a9c46c'];

export const colour = (i: number): string => (isDark() ? dark : light)[i % 10]!;
export const dash = (i: number): number[] => [[], [6, 3], [2, 3], [8, 3, 2, 3]][Math.floor(i / 10) % 4]!;

const given = new Map<string, number>();

/** The colour of a service: from its name, moved on while another service has it, so that up to ten differ. */
export function serviceColour(name: string): string {
  let i = given.get(name);
  if (i === undefined) {
    let h = 0;
    for (let k = 0; k < name.length; k++) h = (h * 31 + name.charCodeAt(k)) >>> 0;
    i = h % 10;
    if (given.size < 10) {
      const taken = new Set(given.values());
      while (taken.has(i)) i = (i + 1) % 10;
    }
    given.set(name, i);
  }
  return colour(i);
}
