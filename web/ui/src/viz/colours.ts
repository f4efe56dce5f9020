// Series colours: at least 3:1 against the background of their theme, in an order that keeps
// neighbours apart for colour-blind readers.
export const light = ['#2264c7', '#b8500b', '#157a4a', '#9a37aa', '#b42318', '#0b7285', '#7a6000', '#5450cf', '#b3246e', '#4d6328'];
export const dark = ['#6ea8fe', '#f59f5b', '#5cc689', '#d58be5', '#ff8a80', '#4fc3d4', '#e0c04c', '#a5a3ff', '#f48fb8', '#a9c46c'];
