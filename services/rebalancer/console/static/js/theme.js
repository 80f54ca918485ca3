// Sets the theme before anything is drawn, so that nothing flashes.
const theme = localStorage.getItem('theme');
if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
